"""A catalogue that goes away and comes back: waited for, nothing lost, nothing doubled, whatever a commit's answer was."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import Catalogue, MemberRow, ReportRow, SweepRow, lock, opening, patience
from infra.catalogue.tables import SWEEPS
from infra.errors import InfraError, LockLost, StoreGone


class Cut:
    """Cuts the connection of a catalogue to its database: before some commits, so that they do not arrive, or after them, unseen."""

    def __init__(self, catalogue: Catalogue, faults: list[str]) -> None:
        self.faults = faults
        engine = catalogue._database._engine
        real = engine.dialect.do_commit

        def commit(connection: Any) -> None:
            fault = self.faults.pop(0) if self.faults else ""
            if fault == "before":
                raise _away()
            real(connection)
            if fault == "after":
                raise _away()

        engine.dialect.do_commit = commit  # type: ignore[method-assign]
        sa.event.listen(engine, "before_cursor_execute", self._execute)

    def _execute(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if self.faults and self.faults[0] == "statement" and not statement.startswith("PRAGMA"):
            self.faults.pop(0)
            raise sa.exc.OperationalError(statement, None, _away())


def _away() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("connection cut")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(patience, "LONGEST_PAUSE_S", 0.01)


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue(f"sqlite:///{tmp_path}/x.db") as opened:
        yield opened


def never() -> bool:
    return False


def fill(catalogue: Catalogue) -> None:
    """What a driver writes, alone and together."""
    catalogue.create_sweep(SweepRow("s", {}))
    catalogue.add_members("s", [MemberRow(number, {"l2": 0.1}, number) for number in range(3)])
    catalogue.add_reports("s", [ReportRow(0, 1, 1.0)])
    with catalogue.together():
        catalogue.add_reports("s", [ReportRow(1, 1, 2.0)])
        assert catalogue.end_member("s", 0, state="complete", score=1.0, reports=[ReportRow(0, 2, 0.5)])
        assert catalogue.end_member("s", 1, state="diverged")
        catalogue.add_members("s", [MemberRow(3, {"l2": 0.2}, 7)])
        catalogue.update_sweep("s", facts={"waiting": [2]})
    assert catalogue.end_member("s", 2, state="complete", score=3.0)
    assert not catalogue.end_member("s", 2, state="failed")
    catalogue.update_sweep("s", status="complete")


def written(catalogue: Catalogue) -> Any:
    members = [(row.number, row.seed, row.config, row.state, row.score) for row in catalogue.members("s")]
    return members, catalogue.reports("s"), catalogue.sweep("s").facts, catalogue.sweep("s").status


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue that holds nothing: its tables cost half a second."""
    file = tmp_path_factory.mktemp("empty") / "x.db"
    Catalogue(f"sqlite:///{file}").close()
    return file


def filled(empty: Path, faults: list[str], told: Callable[[str], object]) -> Any:
    """What the catalogue holds after the driver's writes, with these faults."""
    file = empty.with_name("filled.db")
    shutil.copy(empty, file)
    with Catalogue(f"sqlite:///{file}") as catalogue:
        cutter = Cut(catalogue, faults)
        with catalogue.waits(never, told):
            fill(catalogue)
        cutter.faults.clear()
        found = written(catalogue)
    file.unlink()
    return found


@pytest.fixture(scope="module")
def quiet(empty: Path) -> Any:
    """What it holds without a fault."""
    return filled(empty, [], print)


@settings(max_examples=20)
@given(faults=st.lists(st.sampled_from(["", "", "before", "after", "statement"]), max_size=12))
def test_cuts_lose_and_double_nothing(empty: Path, quiet: Any, faults: list[str]) -> None:
    heard: list[str] = []
    assert filled(empty, list(faults), heard.append) == quiet
    waits, backs = (sum(text.startswith(start) for text in heard) for start in ("waits for the catalogue", "the catalogue is back"))
    assert waits == backs <= sum(map(bool, faults))


def test_a_removal_whose_answer_was_lost_is_a_removal(catalogue: Catalogue) -> None:
    catalogue.create_sweep(SweepRow("s", {}))
    Cut(catalogue, ["after"])
    with catalogue.waits(never, print):
        catalogue.delete_sweep("s")
    assert not catalogue.has_sweep("s")


def test_a_name_that_another_one_took_meanwhile_is_taken(catalogue: Catalogue) -> None:
    Cut(catalogue, ["before"])

    def take(_: str) -> None:
        with Catalogue(catalogue.url) as other:
            other.create_sweep(SweepRow("s", {"mine": False}))

    with catalogue.waits(never, take), pytest.raises(InfraError, match="name is used once"):
        catalogue.create_sweep(SweepRow("s", {"mine": True}))
    assert catalogue.sweep("s").spec == {"mine": False}


def _locked(file: Path) -> sqlite3.Connection:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_a_locked_file_is_waited_for_and_that_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BUSY_MS", 1)
    heard: list[str] = []
    with Catalogue(f"sqlite:///{tmp_path}/x.db") as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))
        with closing(_locked(tmp_path / "x.db")) as other, catalogue.waits(never, heard.append), ThreadPoolExecutor(1) as pool:
            writing = pool.submit(catalogue.update_sweep, "s", status="complete")
            while not heard:
                time.sleep(0.01)
            assert catalogue.sweep("s").status == "running"  # whoever reads does not wait
            other.execute("COMMIT")
            writing.result(20)
        assert catalogue.sweep("s").status == "complete" and catalogue.waited_s > 0
    assert heard[0] == "waits for the catalogue, at most 300 s: database is locked" and heard[1].startswith("the catalogue is back")
    assert len(heard) == 2


@pytest.mark.parametrize("asked", [False, True])
def test_a_file_that_stays_locked_ends_the_driver_and_nothing_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setattr(opening, "BUSY_MS", 1)
    monkeypatch.setenv("LAGRANGE_PATIENCE_S", "300" if asked else "0.05")
    with Catalogue(f"sqlite:///{tmp_path}/x.db") as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))
        with closing(_locked(tmp_path / "x.db")), catalogue.waits(lambda: asked, print):
            with pytest.raises(StoreGone, match="stopped while it waited" if asked else "was waited for .*LAGRANGE_PATIENCE_S.*locked"):
                catalogue.update_sweep("s", status="complete")
            assert isinstance(catalogue.failure, StoreGone)
        with pytest.raises(StoreGone):
            catalogue.sweep("s")
    with Catalogue(f"sqlite:///{tmp_path}/x.db") as catalogue:
        assert catalogue.sweep("s").status == "running"


@pytest.mark.parametrize("given", ["soon", "-1", "inf", "nan"])
def test_the_patience_is_a_number(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("LAGRANGE_PATIENCE_S", given)
    with pytest.raises(InfraError, match="LAGRANGE_PATIENCE_S"), catalogue.waits(never, print):
        pass


# --- the fence


def _taken(catalogue: Catalogue) -> None:
    """Another driver takes the lock, as it may when this one was silent."""
    with Catalogue(catalogue.url) as other, other._database.write() as connection:
        connection.execute(sa.update(SWEEPS).values(lock_token="another", lock_host="elsewhere", lock_pid=1))


WRITES: dict[str, Callable[[Catalogue], Any]] = {
    "update": lambda c: c.update_sweep("s", status="failed"),
    "members": lambda c: c.add_members("s", [MemberRow(9, {}, 1)]),
    "reports": lambda c: c.add_reports("s", [ReportRow(0, 9, 1.0)]),
    "end": lambda c: c.end_member("s", 0, state="failed"),
    "delete": lambda c: c.delete_sweep("s"),
    "create": lambda c: c.create_sweep(SweepRow("t", {})),
}


def _together(catalogue: Catalogue) -> None:
    with catalogue.together():
        catalogue.end_member("s", 0, state="failed")


@pytest.mark.parametrize("write", [*WRITES.values(), _together], ids=[*WRITES, "together"])
def test_a_driver_whose_lock_was_taken_writes_nothing(catalogue: Catalogue, write: Callable[[Catalogue], Any]) -> None:
    catalogue.create_sweep(SweepRow("s", {}))
    catalogue.add_members("s", [MemberRow(0, {}, 1)])
    with catalogue.waits(never, print), catalogue.lock("s") as held:
        assert held.sure() and catalogue.sure()
        catalogue.add_reports("s", [ReportRow(0, 1, 1.0)])
        _taken(catalogue)
        with pytest.raises(LockLost, match="another one took over 's'"):
            write(catalogue)
        with pytest.raises(LockLost):
            catalogue.sweep("s")
    with Catalogue(catalogue.url) as other:
        assert [row.name for row in other.sweeps()] == ["s"] and other.sweep("s").status == "running"
        assert [row.state for row in other.members("s")] == [None] and len(other.reports("s")) == 1


def test_a_lock_is_sure_for_a_while_after_a_beat_only(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue.create_sweep(SweepRow("s", {}))
    with catalogue.lock("s") as held:
        assert catalogue.sure()
        now = lock.uptime_s()
        monkeypatch.setattr(lock, "uptime_s", lambda: now + lock.SURE_S)
        assert not catalogue.sure(), "a driver that has slept does not know"
        held.check()
        assert catalogue.sure(), "it has asked"
        _taken(catalogue)
        held.check()
        monkeypatch.setattr(lock, "uptime_s", lambda: now + 3 * lock.SURE_S)
        with pytest.raises(LockLost):
            held.check()


def test_a_clock_that_jumps_takes_no_lock_from_a_driver_that_lives(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    catalogue.create_sweep(SweepRow("s", {}))
    real = time.time
    with catalogue.lock("s"), Catalogue(catalogue.url) as other:
        for jump in (3600.0, -3600.0):
            monkeypatch.setattr(other._database, "clock", lambda connection, jump=jump: real() + jump)
            with pytest.raises(InfraError, match="has one driver"):
                other.lock("s").__enter__()
        assert threading.active_count() > 1


def test_a_server_that_is_away_at_the_start_is_waited_for_by_a_driver_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    url, said = "postgresql+psycopg://ann@127.0.0.1:1/lagrange", list[str]()
    with pytest.raises(StoreGone, match=r"a database that opens.*Connection refused"):
        Catalogue(url)  # who only looks does not wait
    monkeypatch.setenv("LAGRANGE_PATIENCE_S", "0.3")
    with pytest.raises(StoreGone, match=r"was waited for .*LAGRANGE_PATIENCE_S.*Connection refused"):
        Catalogue(url, told=said.append)
    assert len(said) == 1 and said[0].startswith("waits for the catalogue, at most 0.3 s")
