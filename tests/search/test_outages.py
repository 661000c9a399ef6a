"""A sweep whose PostgreSQL server goes away: for a while, and for good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue
from infra.storage import Home
from search.sweep import resume, run
from search.telling.listener import Silent
from tests.postgres import Postgres

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_up")]
SPEC: dict[str, Any] = {
    "objective": "toy",
    "dataset": {"name": "none", "noise": 0.5, "seconds_per_epoch": 0.1},
    "scheduler": "none",
    "budget": {"trials": 12, "epochs": 8},
    "confirm": {"configs": 3, "seeds": 2},
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    server.start()
    yield server
    server.remove()


class Notes(Silent):
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def home(postgres: Postgres, name: str, folder: Path) -> Home:
    return Home.open(folder, catalogue_url=postgres.database(name))


def members_ended(at: Home) -> int:
    with Catalogue(at.catalogue_url) as catalogue:
        return sum(row.state is not None for row in catalogue.members("s")) if catalogue.has_sweep("s") else 0


def wait_for(at: Home, count: int) -> None:
    deadline = time.monotonic() + 180
    while members_ended(at) < count:
        assert time.monotonic() < deadline, f"fewer than {count} members ended in time"
        time.sleep(0.2)


def assert_whole(at: Home) -> None:
    """Every member once, every epoch of a complete one once."""
    with Catalogue(at.catalogue_url) as catalogue:
        rows = catalogue.members("s")
        assert [row.number for row in rows] == list(range(len(rows))) and {row.state for row in rows} == {"complete"}
        reports = [(report.number, report.epoch) for report in catalogue.reports("s")]
    assert sorted(reports) == [(row.number, epoch) for row in rows for epoch in range(1, 9)]


def test_a_server_that_comes_back_is_waited_for_and_nothing_is_lost(postgres: Postgres, tmp_path: Path) -> None:
    at, heard = home(postgres, "away", tmp_path), Notes()
    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(run, SPEC, name="s", home=at, workers=2, tracking=False, listener=heard)
        wait_for(at, 4)
        postgres.stop()
        time.sleep(12)
        postgres.start()
        outcome = sweep.result(timeout=300)
    assert outcome.status == "complete" and outcome.answer is not None, outcome
    assert len([note for note in heard.notes if note.startswith("waits for the catalogue")]) == 1, heard.notes
    assert_whole(at)


def test_a_server_that_stays_away_ends_the_sweep_and_resume_goes_on(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAGRANGE_PATIENCE_S", "5")
    at = home(postgres, "gone", tmp_path)
    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(run, SPEC, name="s", home=at, workers=2, tracking=False)
        wait_for(at, 4)
        postgres.stop()
        since = time.monotonic()
        outcome = sweep.result(timeout=120)
        postgres.start()
    assert outcome.status == "unreachable" and "was waited for" in outcome.problem, outcome
    assert time.monotonic() - since < 60
    assert resume("s", home=at, workers=2, tracking=False).status == "complete"
    assert_whole(at)
