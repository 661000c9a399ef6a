"""What an objective says against a spec: errors join the spec's faults, warnings are said once before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import search.estimate
import search.sweep
from search.cli import app
from search.errors import SpecError
from search.estimate import DryRun
from search.spec.faults import warnings
from search.spec.keys import Spec
from search.spec.reading import read

MODULE = '''
from objectives.base import Conflict, Knob, Metric, ObjectiveError


def knob(name, **facts):
    usual = {"default": 0.0, "low": 1e-3, "high": 1.0, "log": True, "off": 0.0}
    return Knob(name=name, summary="", formula="", unit="1", **(usual | facts))


class Silent:
    """An objective of a user's own: it has no `conflicts`."""

    knobs = {
        "one": knob("one"),
        "two": knob("two"),
        "fraction": knob("fraction", default=1.0, low=0.0, high=1.0, log=False, off=1.0),
        "loss": knob("loss", default="hinge", low=None, high=None, log=False, off=None, choices=("hinge", "lsgan")),
        "lr": knob("lr", default=0.1, off=None),
    }
    metrics = {"score": Metric("score", "", "", "1", decides=True)}
    score = "score"
    default_search = ("one",)
    default_epochs = 30
    models = ("first", "second")
    datasets = ()
    likelihoods = ("gaussian",)
    asked = []

    def __init__(self, settings):
        pass

    def prepare(self):
        return {}

    def start(self, members):
        raise ObjectiveError("not trained here")

    def read_test(self, config, weights):
        return {}


class Loud(Silent):
    """The same with an opinion."""

    @classmethod
    def conflicts(cls, intent):
        cls.asked.append(intent)
        found = [Conflict("warning", "two", "two is odd")] if "two" in intent.on else []
        return found + ([Conflict("error", "both", "one and two do not go together")] if {"one", "two"} <= set(intent.on) else [])
'''


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "opinions.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import importlib
    import sys

    sys.modules.pop("opinions", None)
    yield importlib.import_module("opinions")
    sys.modules.pop("opinions", None)


def asked(**spec: Any) -> Spec:
    return read({"objective": "opinions:Loud", **spec})


def test_an_error_is_a_fault_beside_the_others() -> None:
    with pytest.raises(SpecError) as caught:
        asked(search={"one": {}, "two": {}, "tree": {}}, sampler="tpee")
    assert "one and two do not go together" in caught.value.faults
    assert any("'tree'" in fault for fault in caught.value.faults)
    assert any("'tpee'" in fault for fault in caught.value.faults)
    assert not any("odd" in fault for fault in caught.value.faults), "a warning is no fault"


def test_a_fixed_value_counts_and_an_off_value_does_not() -> None:
    with pytest.raises(SpecError):
        asked(fixed={"two": 0.5})
    assert warnings(asked(fixed={"two": 0.0})) == []


def test_warnings_are_those_of_the_resolved_spec() -> None:
    assert warnings(asked(search={"two": {}})) == ["two is odd"]
    assert warnings(asked()) == []


def test_what_an_objective_is_told(elsewhere: Any) -> None:
    asked(
        search={"one": {"low": 0.01}, "lr": [0.1, 0.2]}, fixed={"fraction": 0.5}, model="second", score="best_epoch", budget={"epochs": 50}
    )
    intent = elsewhere.Loud.asked[-1]
    assert intent.on == {"one": (0.01, 1.0), "fraction": (0.5,), "loss": ("hinge",), "lr": (0.1, 0.2)}
    assert intent.searched == {"one", "lr"}
    assert (intent.model, intent.likelihood, intent.score, intent.metric) == ("second", "gaussian", "best_epoch", "score")
    assert (intent.epochs, intent.first_rung) == (50, 10)


def test_defaults_are_told_as_they_will_be(elsewhere: Any) -> None:
    asked(scheduler="none", search={"one": {}, "loss": {}})
    intent = elsewhere.Loud.asked[-1]
    assert (intent.model, intent.epochs, intent.first_rung) == ("first", 30, None)
    assert intent.on["loss"] == ("hinge", "lsgan")


def test_an_objective_without_an_opinion_is_fine() -> None:
    spec = read({"objective": "opinions:Silent", "search": {"one": {}, "two": {}}})
    assert warnings(spec) == []


def lagrange(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_a_sweep_says_its_warnings_once_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(search.sweep, "run", lambda spec, **_: said.append("runs") or search.sweep.Outcome("name", "complete"))
    done = lagrange("sweep", "opinions:Loud", "--set", "search={two: {}}")
    assert done.exit_code == 0, done.output
    assert said == ["runs"]
    assert done.output.count("note: two is odd") == 1


def test_a_dry_run_says_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.estimate, "dry_run", lambda spec, **_: DryRun(spec, {"search": 1}, {"search": 1}, 1, 1.0, "nothing"))
    done = lagrange("sweep", "opinions:Loud", "--set", "search={two: {}}", "--dry-run")
    assert done.exit_code == 0, done.output
    assert done.output.count("note: two is odd") == 1


def test_an_error_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.sweep, "run", lambda *_, **__: pytest.fail("started"))
    done = lagrange("sweep", "opinions:Loud", "--set", "search={one: {}, two: {}}")
    assert done.exit_code == 2
    assert "one and two do not go together" in done.output
