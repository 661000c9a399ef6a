"""Who watches a sweep from another process is told what its driver's own display is told, each thing once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.catalogue import Catalogue, MemberRow, ReportRow, SweepRow
from infra.catalogue.lock import STALE_S
from infra.catalogue.opened import Opened
from infra.errors import InfraError, StoreGone
from infra.storage import Home
from search import watching
from search.cli import app
from search.running.where import IN_PROCESS
from search.spec.plain import plain_spec
from search.spec.reading import read
from search.sweep import run
from search.telling.listener import Silent
from search.watching import newest, watch

pytestmark = pytest.mark.turns(2)

SPEC = {"objective": "toy", "search": {"l2": {}}, "budget": {"trials": 4, "epochs": 4}}


class Told(Silent):
    """Everything that a listener hears, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def member(self, number: int, phase: str, arm: str, config: Any, start: int = 0) -> None:
        self.events.append(("member", number))

    def report(self, number: int, epoch: int, epochs: int, rung_score: float) -> None:
        self.events.append(("report", number, epoch, epochs))

    def ended(self, number: int, state: str, score: float | None, reason: str) -> None:
        self.events.append(("ended", number, state))

    def note(self, text: str) -> None:
        self.events.append(("note", text))

    def phase(self, name: str, done: int, total: int) -> None:
        self.events.append(("phase", str(name), done, total))


def member(number: int, phase: str = "search") -> MemberRow:
    return MemberRow(number=number, phase=phase, arm="search", config={"l2": 0.1, "lr": 0.01}, seed=1)


def begun(home: Home, name: str = "one") -> Catalogue:
    catalogue = Catalogue(home.catalogue_url)
    catalogue.create_sweep(SweepRow(name=name, spec=plain_spec(read(SPEC)), objective="toy", model="none", dataset="none"))
    return catalogue


def test_a_watcher_hears_everything_once_and_ends_with_the_driver(tmp_path: Path) -> None:
    home, told = Home.open(tmp_path / "home"), Told()
    catalogue = begun(home)
    catalogue.add_members("one", [member(0)])
    lock = catalogue.lock("one")

    def steps() -> Iterator[None]:
        catalogue.add_reports("one", [ReportRow(0, 1, 2.0), ReportRow(0, 2, 1.5)])
        yield
        catalogue.add_members("one", [member(1)])
        catalogue.end_member("one", 0, state="complete", score=1.0, epochs=4, reports=[ReportRow(0, 3, 1.2), ReportRow(0, 4, 1.1)])
        yield
        catalogue.end_member("one", 1, state="diverged", reason="NaN", epochs=1)
        catalogue.add_members("one", [member(2, "confirm"), member(3, "confirm")])
        yield
        catalogue.end_member("one", 2, state="complete", score=1.0, epochs=4)
        lock.__exit__(None, None, None)
        yield

    going = steps()
    with lock:
        row = watch("one", told, home=home, poll_s=0.0, sleep=lambda seconds: next(going))
    assert row.name == "one"
    assert told.events == [
        ("member", 0),
        ("report", 0, 1, 4),
        ("report", 0, 2, 4),
        ("report", 0, 3, 4),
        ("report", 0, 4, 4),
        ("ended", 0, "complete"),
        ("member", 1),
        ("phase", "confirm", 0, 2),
        ("ended", 1, "diverged"),
        ("member", 2),
        ("member", 3),
        ("ended", 2, "complete"),
    ]


def test_a_database_that_goes_away_is_waited_for_and_then_the_driver_is_heard_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it was away no sign of life could arrive, so the lock looks old when it is back."""
    home, told, now = Home.open(tmp_path / "home"), Told(), [0.0]
    catalogue = begun(home)
    monkeypatch.setattr("infra.catalogue.patience.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=None))
    asked = Opened._holder
    answers = iter(["host", "away", "away", "silent", "silent", "host", "silent", "gone"])

    def holder(self: Catalogue, name: str) -> str | None:
        answer = next(answers)
        if answer == "away":
            raise StoreGone("The server does not answer", reason="no route", passing=True)
        if answer == "silent":
            catalogue.add_members("one", [member(len(catalogue.members("one")))])
        return "host" if answer == "host" else None

    rests = [1.0, 1.0, 1.0, STALE_S]  # then it is believed that the driver is gone

    def passes(seconds: float) -> None:
        now[0] += rests.pop(0)

    monkeypatch.setattr(Opened, "_holder", holder)
    watch("one", told, home=home, sleep=passes)
    monkeypatch.setattr(Opened, "_holder", asked)
    assert [event[1] for event in told.events if event[0] == "member"] == [0, 1, 2] and not list(answers)
    assert [event[1][:23] for event in told.events if event[0] == "note"] == ["waits for the catalogue", "the catalogue is back, "]


def test_a_sweep_that_has_ended_is_shown_at_once_and_without_a_name_one_must_run(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    with pytest.raises(InfraError, match="none is"):
        newest(home)
    run({**SPEC, "confirm": {"seeds": 2, "screen": 0}}, name="one", home=home, address=IN_PROCESS, tracking=False)
    shown = CliRunner().invoke(app, ["watch", "one", "--home", str(home.root)], env={"COLUMNS": "200"})
    assert shown.exit_code == 0 and "promise" in shown.output and str(home.reports("one")) in shown.output
    none = CliRunner().invoke(app, ["watch", "--home", str(home.root)])
    assert none.exit_code == 2 and "lagrange ls" in none.output
    began = time.monotonic()
    late = CliRunner().invoke(app, ["watch", "late", "--wait", "0.2", "--home", str(home.root)])
    assert late.exit_code == 2 and "'late' is not" in late.output and time.monotonic() - began >= 0.2
    begun(home, "dead")
    dead = CliRunner().invoke(app, ["watch", "dead", "--home", str(home.root)])
    assert "no driver and no answer; it is interrupted" in dead.output and "lagrange resume dead" in dead.output


def test_a_sweep_that_was_killed_is_interrupted_wherever_its_status_is_told(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    catalogue = begun(home, "dead")
    assert catalogue.sweep("dead").status == "running" and catalogue.seen("dead").status == "interrupted"
    for command in ("export", "register"):
        said = CliRunner().invoke(app, [command, "dead", "--home", str(home.root)], env={"COLUMNS": "200"}).output
        assert "is interrupted and has none" in said and "lagrange resume dead" in said, command
    with catalogue.lock("dead"):
        assert catalogue.seen("dead").status == "running"
        said = CliRunner().invoke(app, ["export", "dead", "--home", str(home.root)], env={"COLUMNS": "200"}).output
        assert "is running and has none" in said and "lagrange watch dead" in said
