"""What a plan says of a sweep before it is started."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from infra.storage import Home
from search.choosing.arms import t_quantile
from search.choosing.race import FIRST
from search.estimate import budgets, dry_run
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.sweep import run

TOY = {"objective": "toy", "search": {"l2": {}}, "dataset": {"name": "none", "noise": 0.5}, "budget": {"trials": 8, "epochs": 4}}
SPEC = {**TOY, "confirm": {"seeds": 4}, "scheduler": "none"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home.open(tmp_path_factory.mktemp("home"))
    assert run(SPEC, home=found, address=IN_PROCESS, tracking=False).status == "complete"
    return found


def test_three_budgets_stand_side_by_side_and_the_larger_one_tells_more(tmp_path: Path) -> None:
    found, _ = budgets(read(SPEC), home=Home.open(tmp_path / "nothing"), workers=2)
    assert [(one.trials, one.seeds) for one in found] == [(4, 2), (8, 4), (16, 8)]
    assert found[1].members == sum(dry_run(read(SPEC), home=Home.open(tmp_path / "nothing"), workers=2).members.values())
    assert found[0].width > found[1].width > found[2].width
    # No sweep of this kind was made here, so the unit is the noise itself: 2 t √2 / √S.
    assert all(one.unit == "sd of one training" for one in found)
    assert found[2].width == pytest.approx(2 * t_quantile(1 - FIRST / 2, 7) * math.sqrt(2 / 8))


def test_a_sweep_of_the_same_kind_gives_time_and_noise_and_one_of_other_data_does_not(home: Home) -> None:
    known, basis = budgets(read({**SPEC, "budget": {"trials": 24, "epochs": 9}}), home=home, workers=1)
    assert known[0].unit == "val_risk" and "earlier sweeps of this kind took here" in basis
    other, basis = budgets(read({**SPEC, "dataset": {"name": "none", "noise": 0.6}}), home=home, workers=1)
    assert other[0].unit == "sd of one training" and "here and now" in basis
