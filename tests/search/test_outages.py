"""A sweep whose PostgreSQL server goes away: for a while, and for good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from infra.catalogue import Catalogue
from infra.catalogue.tables import SWEEPS
from infra.storage import Home
from search.exit_codes import REPLACED, STORE_GONE
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


def lagrange(*arguments: str, at: Home, **environment: str) -> subprocess.Popen[str]:
    """The command, as a person starts it."""
    command = [sys.executable, "-c", "from search.cli import main; main()", *arguments, "--home", str(at.root), "--plain"]
    variables = {**os.environ, "LAGRANGE_CATALOGUE_URL": at.catalogue_url, **environment}
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_a_server_that_stays_away_ends_the_sweep_and_resume_goes_on(postgres: Postgres, tmp_path: Path) -> None:
    at, spec = home(postgres, "gone", tmp_path / "home"), tmp_path / "spec.yaml"
    spec.write_text(json.dumps(SPEC))
    driver = lagrange("sweep", str(spec), "--name", "s", "--workers", "2", at=at, LAGRANGE_PATIENCE_S="5")
    wait_for(at, 4)
    postgres.stop()
    since = time.monotonic()
    said, errors = driver.communicate(timeout=120)
    took = time.monotonic() - since
    postgres.start()
    assert driver.returncode == STORE_GONE, (said, errors)
    assert "waits for the catalogue" in said and errors.count("lagrange resume s") == 1 and "Traceback" not in errors, (said, errors)
    assert took < 60
    driver = lagrange("resume", "s", "--workers", "2", at=at)
    said, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, (said, errors)
    assert_whole(at)


def test_a_server_that_is_away_at_the_start_is_waited_for_and_told_as_later(postgres: Postgres, tmp_path: Path) -> None:
    at, spec = home(postgres, "late", tmp_path / "home"), tmp_path / "spec.yaml"
    spec.write_text(json.dumps(SPEC))
    postgres.stop()
    try:
        driver = lagrange("sweep", str(spec), "--name", "s", "--resume", at=at, LAGRANGE_PATIENCE_S="2")
        said, errors = driver.communicate(timeout=240)
        assert driver.returncode == STORE_GONE and "LAGRANGE_PATIENCE_S" in errors and "Traceback" not in errors, (said, errors)
        assert "waits for the catalogue, at most 2 s" in said + errors
        driver = lagrange("sweep", str(spec), "--name", "s", "--workers", "2", at=at)
        assert driver.stderr is not None  # before the sweep has a display, notes go there
        while "waits for the catalogue" not in (line := driver.stderr.readline()):
            assert line, driver.communicate()
    finally:
        postgres.start()
    said, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0 and "the catalogue is back" in said + errors, (said, errors)
    assert_whole(at)


def test_a_frozen_driver_whose_sweep_another_one_took_ends_without_a_word_to_any_store(postgres: Postgres, tmp_path: Path) -> None:
    at, spec = home(postgres, "frozen", tmp_path / "home"), tmp_path / "spec.yaml"
    spec.write_text(json.dumps(SPEC))
    first = lagrange("sweep", str(spec), "--name", "s", "--workers", "1", at=at)
    wait_for(at, 3)
    os.kill(first.pid, signal.SIGSTOP)
    with Catalogue(at.catalogue_url) as catalogue:
        deadline = time.monotonic() + 60
        with catalogue._database.write() as connection:  # as if it had been driven on another machine, whose processes nobody sees here
            connection.execute(sa.update(SWEEPS).values(lock_host="elsewhere"))
        while catalogue.locked_by("s"):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(resume, "s", home=at, workers=2, tracking=True)
            wait_for(at, 6)
            os.kill(first.pid, signal.SIGCONT)
            said, errors = first.communicate(timeout=60)
            assert first.returncode == REPLACED and "another one took over" in errors and "Traceback" not in errors, (said, errors)
            assert second.result(timeout=240).status == "complete"
    assert_whole(at)
