"""Samplers and schedulers with options, from the spec to the members of a sweep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import search.cli
import search.sweep
from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.storage import Home
from objectives.base import Report, State
from search.errors import SpecError
from search.options import said
from search.running.planning.new_members import SEEDS
from search.running.where import IN_PROCESS
from search.running.writing.ledger import Ledger
from search.running.writing.leftovers import Leftovers
from search.spec.faults import warnings
from search.spec.keys import Spec
from search.spec.reading import read, resolve
from search.spec.text import parse_yaml
from search.sweep import Outcome, run
from search.telling.files import exports
from search.telling.listener import Silent
from search.telling.mlflow.mirror import Mirror
from tests.search.kept import in_parts, kept
from tests.search.kept import said as told
from tests.search.simulated import Simulated

pytestmark = pytest.mark.turns(3)

FORMS: list[dict[str, Any]] = [
    {"sampler": {"name": "tpe", "n_startup_trials": 4}, "scheduler": {"name": "asha", "reduction": 2, "grace_share": 0.1}},
    {"sampler": "optuna.samplers:QMCSampler", "scheduler": {"name": "patience", "wraps": "asha"}},
    {
        "sampler": {"name": "optuna.samplers:TPESampler", "group": True, "n_startup_trials": 3},
        "scheduler": {"name": "median", "wraps": {"name": "patience", "min_delta": 1e-3, "wraps": {"name": "hyperband", "reduction": 4}}},
    },
    {"sampler": {"name": "cmaes", "popsize": None, "lr_adapt": True}, "scheduler": {"name": "none", "wraps": None}},
]


# The spec ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=lambda form: said(form["sampler"]))
def test_options_survive_yaml_json_and_resolving_twice(form: dict[str, Any]) -> None:
    spec = read({"objective": "toy", **form})
    assert (spec.sampler, spec.scheduler) == (form["sampler"], form["scheduler"])
    assert read(parse_yaml(spec.to_yaml())) == spec == resolve(spec)
    assert read(yaml.safe_load(exports.to_yaml(spec.model_dump(exclude_none=True)))) == spec
    assert read(json.loads(json.dumps(spec.model_dump(mode="json", exclude_none=True)))) == spec, "as the catalogue keeps it"


@pytest.mark.parametrize(
    ("given", "overrides", "sampler", "scheduler"),
    [
        ({}, (), "tpe", "asha"),
        ({"sampler": {"name": "qmc"}, "scheduler": {"name": "none"}}, (), "qmc", "none"),
        ({"sampler": {}, "scheduler": None}, (), "tpe", "none"),
        ({"sampler": {"n_startup_trials": 5}}, (), {"name": "tpe", "n_startup_trials": 5}, "asha"),
        ({}, ("sampler.name=qmc", "scheduler.name=median"), "qmc", "median"),
        ({}, ("sampler.n_startup_trials=5",), {"name": "tpe", "n_startup_trials": 5}, "asha"),
        ({}, ("scheduler.reduction=2",), "tpe", {"name": "asha", "reduction": 2}),
        ({"sampler": "nsgaii"}, ("sampler.population_size=5",), {"name": "nsgaii", "population_size": 5}, "asha"),
        ({"scheduler": {"name": "patience", "wraps": "asha"}}, ("scheduler.wraps.reduction=2",), "tpe",
         {"name": "patience", "wraps": {"name": "asha", "reduction": 2}}),
        ({"sampler": {"name": "tpe", "n_startup_trials": 5}}, ("sampler=random",), "random", "asha"),
    ],
)  # fmt: skip
def test_each_form_is_read_as_it_is_meant(given: dict[str, Any], overrides: tuple[str, ...], sampler: Any, scheduler: Any) -> None:
    spec = read({"objective": "toy", **given}, overrides)
    assert (spec.sampler, spec.scheduler) == (sampler, scheduler)


def faults(**given: Any) -> list[str]:
    with pytest.raises(SpecError) as error:
        read({"objective": "toy", **given})
    return error.value.faults


@pytest.mark.parametrize("value", [3, [], ["tpe"], {"name": 3}, {1: 2}, {"name": None}, {"name": ["tpe"]}, True])
@pytest.mark.parametrize("key", ["sampler", "scheduler"])
def test_what_is_no_name_is_refused(key: str, value: Any) -> None:
    (fault,) = faults(**{key: value})
    assert fault.startswith(f"{key} must be a name, or a mapping with name and options; got {value!r}.")


def test_all_faults_are_said_at_once() -> None:
    found = faults(
        sampler={"name": "optuna.samplers:TPESampler", "seeds": 1, "seed": 2},
        scheduler={"name": "asha", "reduction": 1, "wraps": {"name": "pathience"}},
        budget={"trials": 2},
    )
    assert len(found) == 5, found
    for words in ("'seeds'", "sampler.seed must be left out", "scheduler.reduction", "Did you mean 'patience'?", "budget.trials"):
        assert sum(words in fault for fault in found) == 1, (words, found)


def test_a_scheduler_that_replaces_members_is_not_wrapped() -> None:
    (fault,) = faults(scheduler={"name": "patience", "wraps": {"name": "pbt"}}, budget={"trials": 24})
    assert fault.startswith("scheduler.wraps must be a scheduler that stops members; pbt replaces them.")


def test_what_a_sampler_cannot_do_with_the_knobs_is_a_fault_or_a_warning() -> None:
    (fault,) = faults(sampler="brute", search={"l2": {}, "lr": {}})
    assert "search.l2, search.lr has infinitely many values" in fault
    assert not warnings(read({"objective": "toy", "sampler": "brute", "search": {"l2": [0.1, 1.0]}}))
    assert "dropout has choices" in " ".join(
        warnings(read({"objective": "vae", "sampler": "cmaes", "search": {"beta": {}, "dropout": [0.0, 0.2]}}))
    )
    both = faults(sampler="brute", search={"l2": {"low": 3, "high": 1}})
    assert len(both) == 1 and "low must be below high" in both[0], "the range must be right first"


@pytest.mark.parametrize("sampler", ["brute", "not_here:Sampler"])
def test_an_export_can_be_trained_whatever_found_it(sampler: str) -> None:
    assert read({"objective": "toy", "sampler": sampler, "search": {}, "fixed": {"l2": 0.1}}, purpose="train").sampler == sampler


def test_a_sampler_of_ones_own_is_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_here.py").write_text(
        "from optuna.samplers import RandomSampler\nclass Mine(RandomSampler): pass\nclass Other: pass\n"
    )
    (tmp_path / "mine_broken.py").write_text("undefined\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert read({"objective": "toy", "sampler": "mine_here:Mine"}).sampler == "mine_here:Mine"
    for name, words in (
        ("mine_here:Other", "got 'Other', which is none"),
        ("mine_here:Nine", "Did you mean 'Mine'?"),
        ("mine_broken:Mine", "its module must be importable; name 'undefined' is not defined"),
    ):
        (fault,) = faults(sampler=name)
        assert words in fault


# The command line -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    found: list[Spec] = []

    def fake(spec: Spec, **options: Any) -> Outcome:
        found.append(spec)
        return Outcome("s", "complete")

    monkeypatch.setattr(search.sweep, "run", fake)
    return found


def lagrange(*args: str) -> Any:
    return CliRunner().invoke(search.cli.app, list(args))


@pytest.mark.parametrize(
    ("args", "sampler", "scheduler"),
    [
        (("--sampler", "qmc"), "qmc", "asha"),
        (("--sampler", "optuna.samplers:QMCSampler", "--scheduler", "median"), "optuna.samplers:QMCSampler", "median"),
        (("--sampler", "tpe", "--set", "sampler.n_startup_trials=3"), {"name": "tpe", "n_startup_trials": 3}, "asha"),
    ],
)
def test_the_command_line_takes_names_and_classes(started: list[Spec], args: tuple[str, ...], sampler: Any, scheduler: Any) -> None:
    assert lagrange("sweep", "toy", *args).exit_code == 0
    assert (started[0].sampler, started[0].scheduler) == (sampler, scheduler)


def test_a_mistake_on_the_command_line_starts_nothing(started: list[Spec]) -> None:
    result = lagrange("sweep", "toy", "--sampler", "optuna.samplers:QCMSampler", "--scheduler", "meidan")
    assert result.exit_code == 2 and not started and "Traceback" not in result.output
    assert "Did you mean 'QMCSampler'?" in result.stderr and "Did you mean 'median'?" in result.stderr


def test_the_lists_say_how_options_are_written() -> None:
    assert "sampler: {name: tpe, n_startup_trials: 4}" in lagrange("samplers").stdout
    assert "wraps: asha}" in lagrange("schedulers").stdout
    assert "popsize" in lagrange("samplers", "cmaes").stdout and "scramble" in lagrange("samplers", "optuna.samplers:QMCSampler").stdout
    assert json.loads(lagrange("schedulers", "asha", "--json").stdout)["options"]["reduction"].startswith("a whole number of at least 2")
    assert lagrange("samplers", "optuna.samplers:Nope").exit_code == 2


# Sweeps -----------------------------------------------------------------------------------------------------------------------------------

FINITE: dict[str, Any] = {"objective": "toy", "search": {"l2": [0.1, 0.3, 1.0], "lr": [0.01, 0.1]}, "confirm": {"configs": 0}}


def test_brute_force_tries_every_point_and_then_every_point_on_another_seed(tmp_path: Path) -> None:
    spec = {**FINITE, "sampler": "brute", "budget": {"trials": 15, "epochs": 1}}
    with Simulated(tmp_path, spec, lambda config: float(config["l2"])) as sweep:
        sweep.run()
        rows = [row for row in sweep.ledger.ordered() if row.arm == "search"]
    counts = Counter(row.config_hash for row in rows)
    assert len(rows) == 12 and len(counts) == 6 and set(counts.values()) == {2}
    assert len({row.config_hash for row in rows[:6]}) == 6, "each once before any comes again"
    assert len({(row.config_hash, row.seed) for row in rows}) == 12, "a replicate, not a copy"
    assert len({row.seed for row in rows[:6]}) <= SEEDS, "a few seeds take turns"


TOY: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 16, "epochs": 9},
    "confirm": {"configs": 2, "seeds": 2},
}
RESUMED: list[dict[str, Any]] = [
    {"sampler": {"name": "cmaes", "popsize": 4}, "scheduler": "hyperband"},
    {
        "sampler": {"name": "nsgaii", "population_size": 4},
        "scheduler": {"name": "patience", "patience": 2, "min_delta": 0.5, "wraps": "median"},
    },
    {"sampler": {"name": "optuna.samplers:CmaEsSampler", "popsize": 4}, "scheduler": {"name": "median", "min_members": 1}},
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("form", RESUMED, ids=lambda form: said(form["scheduler"]))
def test_what_was_interrupted_goes_on_to_the_same_members(form: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run({**TOY, **form}, name="s", home=Home.open(tmp_path / "whole"), address=IN_PROCESS, tracking=False)
    home = Home.open(tmp_path / "parts")
    outcome, lives = in_parts({**TOY, **form}, home, 23, monkeypatch)
    assert lives > 3 and told(outcome) == told(whole)
    parts, there = kept(home, "s")[0], kept(Home.open(tmp_path / "whole"), "s")[0]
    assert [(row.config, row.seed, row.state, row.reason) for row in parts] == [
        (row.config, row.seed, row.state, row.reason) for row in there
    ]
    assert any(row.state == "stopped" for row in there), "the scheduler had something to say"


def test_a_driver_that_was_resumed_tells_its_scheduler_what_the_one_before_told(tmp_path: Path) -> None:
    """The last report of a member that collapsed was told to nobody: the member could not go on."""

    class Hears:
        milestones = (2,)

        def __init__(self) -> None:
            self.told: list[tuple[int, int]] = []

        def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
            self.told += [(number, epoch) for number, _, epoch, _ in reports]

        def decide(self, *report: Any) -> str:
            return ""

    def ledger(catalogue: Catalogue) -> tuple[Ledger, Hears]:
        hears = Hears()
        one = Ledger("s", catalogue, Mirror(), Silent(), hears, epochs=9, leftovers=Leftovers(Home.open(tmp_path), "s"))
        return one, hears

    with Catalogue(f"sqlite:///{tmp_path / 'c.db'}") as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))
        live, hears = ledger(catalogue)
        live.open([MemberRow(number, {"l2": 0.1}, 1, phase="search", arm="search") for number in range(2)])
        reports = {number: [Report(number, epoch, 1.0) for epoch in (1, 2)] for number in range(2)}
        reports[1][-1] = Report(1, 2, 1.0, state=State.COLLAPSED, reason="collapsed: of one mind")
        live.decide(reports)
        live.record(reports, 1.0, {})
        resumed = ledger(catalogue)[1]
    assert sorted(hears.told) == sorted(resumed.told) == [(0, 1), (0, 2), (1, 1)]
