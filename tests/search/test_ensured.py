"""`lagrange sweep SPEC --name N --resume`: whoever runs it again gets the sweep's outcome, and never a second sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import search.ensured
from infra.catalogue import Catalogue
from infra.catalogue.lock import STALE_S
from infra.errors import InfraError
from infra.storage import Home
from search.cli import app
from search.ensured import PATIENCE_S, ensure
from search.running.where import IN_PROCESS
from search.spec.reading import read
from tests.search.kept import kept

TINY = {
    "objective": "toy",
    "dataset": {"name": "none"},
    "scheduler": "none",
    "budget": {"trials": 4, "epochs": 1},
    "confirm": {"configs": 2, "seeds": 2, "screen": 0},
}
HOW: dict[str, Any] = {"address": IN_PROCESS, "tracking": False}


class Remembered(list[str]):
    """A listener that keeps what it is told."""

    def note(self, text: str) -> None:
        self.append(text)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path)


def begun(home: Home, status: str = "interrupted", spec: dict[str, Any] | None = None) -> None:
    """A sweep's row as a driver writes it, without its members."""
    from search.kept import begin

    with Catalogue(home.catalogue_url) as catalogue:
        begin(catalogue, read(spec or TINY), "s", home, str)
        catalogue.update_sweep("s", status=status)


def test_it_starts_then_goes_on_then_says_that_the_sweep_is_complete(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ensure(read(TINY), name="s", home=home, **HOW)
    assert first.status == "complete" and first.answer is not None
    before = kept(home, "s")
    with Catalogue(home.catalogue_url) as catalogue:
        catalogue.update_sweep("s", status="running", answer=None)  # as a driver that was killed before it stored the answer
    second = ensure(read(TINY), name="s", home=home, **HOW)
    assert second.status == "complete" and second.answer is not None and kept(home, "s") == before
    monkeypatch.setattr(search.ensured, "run", lambda *_, **__: pytest.fail("it began again"))
    third = ensure(read(TINY), name="s", home=home, **HOW)
    assert third.status == "complete" and third.seconds == 0 and "nothing was left to do" in third.notes[0]


def test_a_name_that_belongs_to_another_spec_is_refused_with_the_keys_that_differ(home: Home) -> None:
    begun(home)
    other = read({**TINY, "budget": {"trials": 9, "epochs": 1}, "seed": 7})
    with pytest.raises(InfraError, match=r"another: budget.trials, seed differ"):
        ensure(other, name="s", home=home, **HOW)


def test_more_trials_and_found_ranges_do_not_make_it_another_spec(home: Home) -> None:
    """What `resume --trials` and a pilot change is the stored spec. The one that was asked for stays beside it."""
    begun(home)
    with Catalogue(home.catalogue_url) as catalogue:
        catalogue.update_sweep("s", spec={**catalogue.sweep("s").spec, "budget": {"trials": 6, "epochs": 1}})
    outcome = ensure(read(TINY), name="s", home=home, **HOW)
    assert outcome.status == "complete"
    with Catalogue(home.catalogue_url) as catalogue:
        assert sum(row.phase == "search" for row in catalogue.members("s")) == 6


def test_a_living_driver_is_not_disturbed_and_a_dead_one_is_waited_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(home, "running")
    told, holders = Remembered(), ["host, process 1"] * 3 + [None] * 9
    monkeypatch.setattr(Catalogue, "locked_by", lambda self, name: holders.pop(0))
    monkeypatch.setattr(search.ensured, "resume", lambda name, **_: f"went on with {name}")
    monkeypatch.setattr(search.ensured.time, "sleep", lambda _: None)
    assert ensure(read(TINY), name="s", home=home, listener=told, **HOW) == "went on with s"
    assert len(told) == 1 and "host, process 1" in told[0]
    holders[:] = ["host, process 1"] * 99
    with pytest.raises(InfraError, match=r"driven by host, process 1, which is alive"):
        ensure(read(TINY), name="s", home=home, patience_s=0, **HOW)


def test_the_wait_outlasts_the_lock_of_a_driver_that_died_without_a_word() -> None:
    assert PATIENCE_S > STALE_S


def test_who_comes_second_to_a_new_name_goes_on_with_the_sweep_of_who_came_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(*_: Any, **__: Any) -> None:
        begun(home)
        raise InfraError("A sweep's name is used once")

    monkeypatch.setattr(search.ensured, "run", beaten)
    monkeypatch.setattr(search.ensured, "resume", lambda name, **_: f"went on with {name}")
    assert ensure(read(TINY), name="s", home=home, **HOW) == "went on with s"


def test_a_sweep_that_failed_before_its_first_member_begins_anew(home: Home) -> None:
    begun(home, "failed", {**TINY, "seed": 3})
    assert ensure(read(TINY), name="s", home=home, **HOW).status == "complete"


def lagrange(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_the_command_needs_a_name_and_has_the_exit_codes_of_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = lagrange("sweep", "toy", "--resume")
    assert done.exit_code == 2 and "--name" in done.output and not list(tmp_path.iterdir())
    begun(Home.open(tmp_path / "mlflow_runs"))
    done = lagrange("sweep", "toy", "--resume", "--name", "s", "--address", "in-process")
    assert done.exit_code == 2 and "used for one spec" in done.output
