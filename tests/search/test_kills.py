"""Drivers and workers that are killed at random: nothing is lost or doubled, and the answer is that of an undisturbed sweep.

`make study` has five hundred kills of more kinds of sweeps, by SIGKILL: tests/study/kills.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra import provenance
from infra.catalogue import Catalogue
from infra.storage import Home
from search import kept as books
from search.asking.projection import Projection
from search.spec.reading import read
from search.telling.files import exports
from tests.search.lives import CASES, NAME, SPEC, Doom, KilledError, Life, bury, disturbed, undisturbed


@pytest.fixture(autouse=True)
def without_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures, Optuna's database and git are no part of what is decided, and take most of the time."""
    monkeypatch.setattr(exports, "write_reports", lambda *given: [])
    monkeypatch.setattr(Projection, "finish", lambda *given: None)
    monkeypatch.setattr(provenance, "collect", dict)


@pytest.mark.parametrize("name", ["race"])
def test_a_sweep_whose_drivers_and_workers_die_is_the_sweep_of_those_that_live(name: str, tmp_path: Path) -> None:
    expected, points = undisturbed(CASES[name], tmp_path / "whole")
    found = disturbed(CASES[name], tmp_path / "parts", points, 3)
    assert found.drivers >= 4 and found.workers >= 1
    assert found.left == expected


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", sorted(set(CASES) - {"race"}))
def test_so_is_every_other_kind_of_sweep(name: str, tmp_path: Path) -> None:
    expected, points = undisturbed(CASES[name], tmp_path / "whole")
    assert disturbed(CASES[name], tmp_path / "parts", points, 0).left == expected


def test_a_driver_that_dies_while_it_adds_trials_has_added_all_or_nothing(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    Life(CASES["race"], home, Doom()).live()

    def state() -> tuple[Any, ...]:
        with Catalogue(home.catalogue_url) as catalogue:
            row = catalogue.sweep(NAME)
        return row.spec["budget"]["trials"], row.facts.get("race"), row.candidates is None

    before, seen = state(), set[bool]()
    for at in range(1, 100):
        doom = Doom(at)
        try:
            with Catalogue(home.catalogue_url) as catalogue, doom.hangs_over():
                books.go_on(catalogue, NAME, read(SPEC), 4)
        except KilledError:
            bury(home)
            assert state() == before
            continue
        seen.add(state() == before)
        break
    assert seen == {False} and state()[0] == before[0] + 4 and state()[2]
