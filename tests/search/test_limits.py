"""No promise lies beyond the values that the score can have by its formula."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.storage import Home
from objectives.families.toy import Toy
from search import run
from search.choosing.findings import Promise
from search.choosing.from_members import _limits
from search.errors import SpecError
from search.spec.reading import read

USERS = "tests.objectives.programs.users"
NUMBERS = st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_what_is_cut_off_holds_no_value_that_the_score_can_have(a: float, b: float, least: float, most: float) -> None:
    low, high, least, most = min(a, b), max(a, b), min(least, most), max(least, most)
    cut = Promise((low + high) / 2, low, high, 5).within(least, most)
    assert least <= cut.low <= cut.high <= most
    for value in (low, high, least, most, (low + high) / 2, (least + most) / 2):
        if least <= value <= most and low <= value <= high:
            assert cut.low <= value <= cut.high


def test_limits_are_those_of_the_metric_as_it_is_compared() -> None:
    def of(objective: str, metric: object) -> tuple[float, float]:
        return _limits(read({"objective": objective, "metric": metric}))

    assert of("autoencoder", "val_mse_pixel") == (0.0, math.inf)
    assert of("autoencoder", "val_probe_error") == (0.0, 1.0)
    assert of("vae", None) == (-math.inf, math.inf), "a density is no bound"


def test_so_are_those_that_a_user_declares() -> None:
    command = {
        "objective": "command",
        "command": "true {args} --seed {seed}",
        "knobs": {"a": {"low": 0.1, "high": 1, "off": 0}},
        "read": {"lines": "(?P<acc>x)"},
    }

    def of(score: object) -> tuple[float, float]:
        return _limits(read({**command, "score": score}))

    assert of({"name": "acc", "better": "higher", "between": [0, 1]}) == (-1.0, 0.0), "as it is compared"
    assert of({"name": "acc", "between": [0, None]}) == (0.0, math.inf)
    assert of({"name": "acc"}) == (-math.inf, math.inf)
    assert _limits(read({"objective": f"{USERS}:nearly_all"})) == (-1.0, 0.0)
    with pytest.raises(SpecError, match="between must be the least and the greatest value"):
        of({"name": "acc", "between": [1, 0]})


def test_an_accuracy_is_not_promised_above_one(tmp_path: Path) -> None:
    spec = {"objective": f"{USERS}:nearly_all", "budget": {"trials": 6}, "confirm": {"configs": 2, "seeds": 2, "between": 0}}
    answer = run({**spec, "check": False}, home=Home.open(tmp_path), address="in-process", tracking=False).answer
    assert answer is not None
    assert answer.promise.high == 1.0 >= answer.promise.mean >= answer.promise.low, "two seeds of such a spread say little"


def test_a_sweep_promises_nothing_below_zero_where_its_score_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {
        "objective": "toy",
        "dataset": {"name": "none", "own_spread": 0.3},
        "scheduler": "none",
        "budget": {"trials": 8, "epochs": 2},
        "confirm": {"configs": 2, "seeds": 2, "between": 0},
    }

    def promised(name: str) -> Promise:
        answer = run(spec, name=name, home=Home.open(tmp_path), address="in-process", tracking=False).answer
        assert answer is not None
        return answer.promise

    free = promised("free")
    assert free.low < 0, "two seeds of such a spread say little"
    monkeypatch.setattr(Toy, "metrics", {**Toy.metrics, "val_risk": replace(Toy.metrics["val_risk"], ends=(0.0, math.inf))})
    bound = promised("bound")
    assert (bound.low, bound.mean, bound.high) == (0.0, free.mean, free.high)
