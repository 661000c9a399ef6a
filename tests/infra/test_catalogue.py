"""The catalogue on SQLite, and on PostgreSQL where LAGRANGE_TEST_POSTGRES names a server (a URL of a database that may be emptied)."""

from __future__ import annotations

import ast
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import infra
from infra.catalogue import HEAD, Catalogue, MemberRow, ReportRow, SweepRow, config_hash, decode, encode, lock, utc_now
from infra.catalogue.tables import SWEEPS, Base
from infra.errors import InfraError
from infra.storage import whole

pytestmark = pytest.mark.turns(2)

INFRA = Path(infra.__file__).parent
POSTGRES = os.environ.get("LAGRANGE_TEST_POSTGRES", "")
SECRET = "s3cr3t-pass"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/lagrange.db"
    if not POSTGRES:
        pytest.skip("no PostgreSQL server: LAGRANGE_TEST_POSTGRES is not set")
    engine = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("drop schema public cascade"))
        connection.execute(sa.text("create schema public"))
    engine.dispose()
    return POSTGRES


@pytest.fixture
def catalogue(url: str) -> Iterator[Catalogue]:
    with Catalogue(url) as opened:
        yield opened


def test_an_empty_file_that_was_made_for_nothing_can_be_taken_back(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    with Catalogue(f"sqlite:///{folder}/lagrange.db") as made:
        with Catalogue(made.url) as other:
            assert other.sweeps() == []
            assert not made.discard() and not other.discard(), "the other one has it open, and did not make it"
            other.create_sweep(SweepRow("s", {}))
        assert not made.discard() and made.has_sweep("s"), "it holds a sweep"
        made.delete_sweep("s")
        assert made.discard() and not folder.exists()
    folder.mkdir()
    with Catalogue(f"sqlite:///{folder}/lagrange.db") as again:
        assert again.discard() and list(folder.iterdir()) == [], "the folder was there before"
    with Catalogue("sqlite://") as memory:
        assert not memory.discard()


@pytest.fixture
def sweep(catalogue: Catalogue) -> Catalogue:
    catalogue.create_sweep(SweepRow("s", {"seed": 1}, objective="vae"))
    catalogue.add_members("s", [MemberRow(number, {"l2": 0.1 * number}, seed=7) for number in (2, 0, 1)])
    return catalogue


# --- rows


def test_what_is_stored_comes_back(catalogue: Catalogue) -> None:
    sweep = SweepRow("s", {"λ": [1, 2.5, None, {"$x": math.inf}]}, "vae", "mlp", "digits", candidates=[{"l2": 0.1}], facts={"n": 3})
    catalogue.create_sweep(sweep)
    assert catalogue.sweep("s") == sweep
    member = MemberRow(4, {"l2": 0.25, "name": "x"}, 2**40, "confirm", "off", state="complete", score=-1.5, epochs=3, facts={"width": 16})
    catalogue.add_members("s", [member])
    stored = catalogue.member("s", 4)
    assert stored.config_hash == config_hash(member.config)
    assert replace(stored, config_hash="") == member


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 5e-324, None, 0.1])
def test_every_number_survives(sweep: Catalogue, number: float | None) -> None:
    sweep.end_member("s", 1, state="diverged", score=number, metrics={"a": number})
    sweep.add_reports("s", [ReportRow(1, 1, number, {"a": number})])
    member, report = sweep.member("s", 1), sweep.reports("s")[0]
    for stored in (member.score, member.metrics["a"], report.rung_score, report.metrics["a"]):
        assert repr(stored) == repr(number)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("$float") | st.just("$$float"), inner),
)


@settings(max_examples=40)
@given(_JSON)
def test_json_comes_back_and_is_standard(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = encode(value)
    assert repr(decode(text)) == repr(value)
    json.loads(text, parse_constant=refuse)


def test_numbers_of_numpy_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert decode(encode({"a": np.float32(0.5), "b": np.int64(3), "c": np.array([1.0, np.nan])}))["a"] == 0.5
    assert math.isnan(decode(encode([np.float32("nan")]))[0])


@given(
    st.dictionaries(
        st.text(max_size=5), st.floats(allow_nan=False) | st.integers(-1000, 1000) | st.text(max_size=5) | st.booleans(), max_size=5
    )
)
def test_a_config_has_one_hash(config: dict[str, Any]) -> None:
    shuffled = dict(reversed(config.items()))
    as_floats = {key: float(value) if isinstance(value, int) and not isinstance(value, bool) else value for key, value in shuffled.items()}
    assert config_hash(config) == config_hash(shuffled) == config_hash(as_floats)
    assert len(config_hash(config)) == 12


def test_other_configs_have_other_hashes() -> None:
    configs: list[dict[str, Any]] = [{"a": 0.1}, {"a": 0.2}, {"b": 0.1}, {"a": "0.1"}, {"a": 1}, {"a": True}, {}, {"a": 0.1, "b": 0}]
    assert len({config_hash(config) for config in configs}) == len(configs)


def test_members_and_reports_come_in_order(sweep: Catalogue) -> None:
    sweep.add_reports("s", [ReportRow(1, 2), ReportRow(0, 9), ReportRow(1, 1)])
    sweep.add_members("s", [MemberRow(3, {}, 1, "confirm")])
    assert [row.number for row in sweep.members("s")] == [0, 1, 2, 3]
    assert [row.number for row in sweep.members("s", "confirm")] == [3]
    assert [(row.number, row.epoch) for row in sweep.reports("s")] == [(0, 9), (1, 1), (1, 2)]
    assert [row.epoch for row in sweep.reports("s", 1)] == [1, 2]
    for name in ("z", "a"):
        sweep.create_sweep(SweepRow(name, {}))
    assert [row.name for row in sweep.sweeps()] == ["s", "z", "a"]


# --- once


def test_the_first_end_wins(sweep: Catalogue) -> None:
    assert sweep.end_member("s", 1, state="stopped", reason="rung 3", score=2.0, epochs=3, reports=[ReportRow(1, 3, 2.0)])
    first = sweep.member("s", 1)
    assert first.state == "stopped" and first.ended is not None
    assert not sweep.end_member("s", 1, state="complete", score=1.0, reports=[ReportRow(1, 4, 1.0)])
    assert sweep.member("s", 1) == first
    assert [row.epoch for row in sweep.reports("s")] == [3]


def test_one_of_many_threads_ends_a_member(sweep: Catalogue) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda turn: sweep.end_member("s", 1, state="complete", reason=str(turn)), range(24)))
    assert won.count(True) == 1
    assert sweep.member("s", 1).reason == str(won.index(True))


def test_what_is_written_together_is_there_as_one(sweep: Catalogue, url: str) -> None:
    with Catalogue(url) as other:
        with sweep.together():
            sweep.add_reports("s", [ReportRow(0, 1, 1.0, {})])
            sweep.end_member("s", 1, state="complete", score=2.0)
            assert other.reports("s") == []
            assert other.member("s", 1).state is None
        assert len(other.reports("s")) == 1
        assert other.member("s", 1).state == "complete"
        with pytest.raises(ValueError), sweep.together():
            sweep.end_member("s", 0, state="complete", score=2.0)
            raise ValueError
        assert other.member("s", 0).state is None
    assert sweep.end_member("s", 0, state="failed")  # what is written afterwards is written at once again


def test_a_report_is_stored_once(sweep: Catalogue) -> None:
    sweep.add_reports("s", [ReportRow(1, 1, 5.0)])
    sweep.add_reports("s", [ReportRow(1, 1, 6.0), ReportRow(1, 2, 4.0)])
    assert [(row.epoch, row.rung_score) for row in sweep.reports("s", 1)] == [(1, 5.0), (2, 4.0)]


def test_rung_scores_are_those_of_the_reports_of_some_members(sweep: Catalogue) -> None:
    sweep.add_reports("s", [ReportRow(1, 2, 4.0), ReportRow(1, 1, 5.0), ReportRow(0, 1, 6.0), ReportRow(0, 2), ReportRow(2, 1, 7.0)])
    assert sweep.rung_scores("s", [0, 1]) == {0: {1: 6.0}, 1: {1: 5.0, 2: 4.0}}, "a report without one is left out"
    assert sweep.rung_scores("s", []) == {} and list(sweep.rung_scores("s", [1])[1]) == [1, 2]


def test_a_taken_number_stores_nothing(sweep: Catalogue) -> None:
    with pytest.raises(InfraError, match="number is used once"):
        sweep.add_members("s", [MemberRow(8, {}, 1), MemberRow(1, {}, 1)])
    assert [row.number for row in sweep.members("s")] == [0, 1, 2]


def test_removing_a_sweep_leaves_its_neighbours(sweep: Catalogue) -> None:
    sweep.create_sweep(SweepRow("t", {}))
    sweep.add_members("t", [MemberRow(1, {}, 1)])
    sweep.add_reports("t", [ReportRow(1, 1)])
    sweep.add_reports("s", [ReportRow(1, 1)])
    sweep.delete_sweep("s")
    assert [row.name for row in sweep.sweeps()] == ["t"] and not sweep.has_sweep("s")
    assert len(sweep.members("t")) == len(sweep.reports("t")) == 1
    sweep.create_sweep(SweepRow("s", {}))
    assert sweep.members("s") == [] and sweep.reports("s") == []


def test_a_sweep_is_updated(sweep: Catalogue) -> None:
    sweep.update_sweep("s", status="complete", answer={"λ": 0.1}, finished=utc_now())
    row = sweep.sweep("s")
    assert row.status == "complete" and row.answer == {"λ": 0.1} and row.finished is not None and row.finished.utcoffset() is not None


def test_reading_and_then_writing_is_never_too_late(sweep: Catalogue, url: str) -> None:
    """In SQLite a transaction that read before another one wrote may not write any more, unless it took the lock at its start."""
    with Catalogue(url) as other, ThreadPoolExecutor(1) as pool:
        with sweep._database.write() as connection:
            sweep._database.sweep_id(connection, "s")
            later = pool.submit(other.end_member, "s", 1, state="complete")
            time.sleep(0.3)
            connection.execute(sa.update(SWEEPS).values(status="failed"))
        assert later.result(20)
    assert sweep.sweep("s").status == "failed" and sweep.member("s", 1).state == "complete"


# --- mistakes


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda c: c.sweep("nope"), r"'nope' is not.*knows s"),
        (lambda c: c.member("s", 99), "none of number 99"),
        (lambda c: c.end_member("s", 99, state="complete"), "none of number 99"),
        (lambda c: c.end_member("s", 1, state="finished"), "state is one of complete"),
        (lambda c: c.update_sweep("s", status="done"), "status is one of running"),
        (lambda c: c.update_sweep("s", created=1), "field of a sweep"),
        (lambda c: c.update_sweep("nope", status="failed"), "'nope' is not"),
        (lambda c: c.create_sweep(SweepRow("s", {})), "name is used once"),
        (lambda c: c.create_sweep(SweepRow("../x", {})), "letters, digits"),
        (lambda c: c.add_reports("s", [ReportRow(99, 1)]), "Add the members first"),
        (lambda c: c.lock("nope").__enter__(), "'nope' is not"),
    ],
)
def test_a_mistake_is_told(sweep: Catalogue, mistake: Any, message: str) -> None:
    with pytest.raises(InfraError, match=message):
        mistake(sweep)


@pytest.mark.parametrize(
    "bad",
    [
        f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/lagrange",
        f"postgresql://127.0.0.1:1/lagrange?user=ann&password={SECRET}",
        f"mysql://ann:{SECRET}@db/x",
        "sqlite:////proc/nowhere/x.db",
    ],
)
def test_a_database_that_does_not_open_is_told_without_password(bad: str) -> None:
    with pytest.raises(InfraError) as caught:
        Catalogue(bad)
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.__cause__)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("not a database " * 100)
    with pytest.raises(InfraError, match="not a database"):
        Catalogue(f"sqlite:///{tmp_path}/x.db")


def test_a_newer_catalogue_is_left_alone(url: str) -> None:
    with Catalogue(url) as catalogue, catalogue._database._engine.begin() as connection:
        connection.execute(sa.text("update lagrange_version set version_num = '9999'"))
    with pytest.raises(InfraError, match="newer one"):
        Catalogue(url)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    with Catalogue(f"sqlite:///{tmp_path}/home/lagrange.db", create=False) as catalogue:
        assert catalogue.sweeps() == []
        with pytest.raises(InfraError, match="does not exist"):
            catalogue.sweep("s")
    assert list(tmp_path.iterdir()) == []


def test_no_password_is_in_the_file(tmp_path: Path) -> None:
    with Catalogue(f"sqlite:///{tmp_path}/x.db") as catalogue:
        dirty = {"url": f"postgresql://ann:{SECRET}@db/x", "password": SECRET, "list": [f"--password {SECRET}"]}
        catalogue.create_sweep(SweepRow("s", dirty, provenance=dirty, facts=dirty))
        catalogue.add_members("s", [MemberRow(1, dirty, 1)])
        catalogue.add_reports("s", [ReportRow(1, 1, metrics=dirty)])
        catalogue.end_member(
            "s", 1, state="failed", reason=dirty["url"], traceback=f"x\n  connect({dirty['url']!r})\n", metrics=dirty, facts=dirty
        )
        catalogue.update_sweep("s", answer=dirty, candidates=[dirty])
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ann" in stored and SECRET.encode() not in stored


# --- schema


def test_migrations_make_what_the_models_say(catalogue: Catalogue) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with catalogue._database._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "lagrange_version", "compare_type": False})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == HEAD


def test_a_catalogue_of_the_first_revision_is_read_and_its_members_started_from_scratch(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    engine = sa.create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    config = Config()
    config.set_main_option("script_location", str(INFRA / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        sweep = "1, 's', 'running', '', '', '', '2026-01-01', null, '{}', null, '{}', '{}', null, null, null, null, null"
        member = "1, 3, 'search', 'off', '{\"l2\":0.5}', 'abc', 7, null, '', null, null, '{}', 0, 0.0, '', '{}', '2026-01-01', null"
        connection.exec_driver_sql(f"insert into sweeps values ({sweep})")
        connection.exec_driver_sql(f"insert into members values ({member})")
    engine.dispose()
    with Catalogue(f"sqlite:///{tmp_path / 'old.db'}") as catalogue:
        (old,) = catalogue.members("s")
        assert (old.number, old.config, old.parent, old.parent_epoch, old.start, old.schedule) == (3, {"l2": 0.5}, None, None, 0, {})
        new = MemberRow(4, {"l2": 1.0}, 8, parent=3, parent_epoch=5, start=5, schedule={"l2": [[0, 1.0], [5, 2.0]]})
        catalogue.add_members("s", [new])
        found = catalogue.member("s", 4)
        assert (found.parent, found.parent_epoch, found.start, found.schedule) == (3, 5, 5, {"l2": [[0, 1.0], [5, 2.0]]})


def test_head_is_the_newest_migration() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(INFRA / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_sqlite_is_in_wal_mode(tmp_path: Path) -> None:
    with Catalogue(f"sqlite:///{tmp_path}/x.db") as catalogue, catalogue._database._engine.connect() as connection:
        assert [connection.exec_driver_sql(f"pragma {name}").scalar() for name in ("journal_mode", "synchronous", "busy_timeout")] == [
            "wal",
            1,
            2000,
        ]


# --- several processes


def _python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_may_create_a_catalogue_at_once(url: str) -> None:
    code = """
import sys
from infra.catalogue import Catalogue, SweepRow, MemberRow
print("ready", flush=True); sys.stdin.readline()
c = Catalogue(sys.argv[1]); c.create_sweep(SweepRow(sys.argv[2], {}))
for n in range(20): c.add_members(sys.argv[2], [MemberRow(n, {}, 1)])
"""
    starters = [_python(code, url, f"s{turn}") for turn in range(3)]
    for process in starters:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in starters:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in starters:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    with Catalogue(url) as catalogue:
        assert sorted(row.name for row in catalogue.sweeps()) == ["s0", "s1", "s2"]
        assert all(len(catalogue.members(f"s{turn}")) == 20 for turn in range(3))


HOLD = """
import sys, time
from infra.catalogue import Catalogue
with Catalogue(sys.argv[1]).lock("s"):
    print("locked", flush=True); sys.stdin.readline()
"""


def _holder(url: str) -> subprocess.Popen[str]:
    process = _python(HOLD, url)
    assert process.stdout is not None and process.stdout.readline() == "locked\n", process.communicate()[1]
    return process


def test_a_second_driver_is_refused_by_name(sweep: Catalogue, url: str) -> None:
    holder = _holder(url)
    try:
        with pytest.raises(InfraError, match=rf"process {holder.pid} on .* s ago"), sweep.lock("s"):
            pass
        assert f"process {holder.pid}" in str(sweep.locked_by("s"))
    finally:
        holder.communicate("\n", timeout=20)
    assert sweep.locked_by("s") is None
    with sweep.lock("s"):
        pass


def test_the_lock_of_a_killed_driver_is_free_at_once(sweep: Catalogue, url: str) -> None:
    holder = _holder(url)
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with sweep.lock("s"):
        assert str(os.getpid()) in str(sweep.locked_by("s"))


def test_one_of_many_threads_gets_the_lock(sweep: Catalogue) -> None:
    barrier, done = threading.Barrier(6), threading.Event()

    def claim(_: int) -> bool:
        barrier.wait()
        try:
            with sweep.lock("s"):
                done.wait(1.0)
                return True
        except InfraError:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(claim, range(6))).count(True) == 1


def _pretend(catalogue: Catalogue, **values: Any) -> None:
    with catalogue._database.write() as connection:
        connection.execute(sa.update(SWEEPS).values(**values))


def test_a_silent_driver_elsewhere_is_waited_for_and_then_replaced(sweep: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    now = time.time()
    _pretend(sweep, lock_token="x@1", lock_host="elsewhere", lock_pid=1, lock_heartbeat=now - 20)
    with pytest.raises(InfraError, match="process 1 on elsewhere, which was last heard 2"):
        sweep.lock("s").__enter__()
    _pretend(sweep, lock_heartbeat=now - 31)
    with sweep.lock("s"):
        pass


def test_a_later_process_with_the_same_id_does_not_hold_the_lock(sweep: Catalogue) -> None:
    import socket

    _pretend(sweep, lock_token="x@1.0", lock_host=socket.gethostname(), lock_pid=os.getpid(), lock_heartbeat=time.time())
    with sweep.lock("s"):
        pass


def test_a_lock_beats_and_notices_that_it_was_taken(sweep: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    with sweep.lock("s") as held:
        first = sweep.sweep("s").lock_heartbeat or 0
        time.sleep(0.3)
        assert (sweep.sweep("s").lock_heartbeat or 0) > first
        held.check()
        _pretend(sweep, lock_token="another")
        assert held.lost.wait(5)
        with pytest.raises(InfraError, match="took over"):
            held.check()
    with sweep._database.read() as connection:
        assert lock.holder(sweep._database, connection, "s").token == "another"  # not ours to release


def test_the_lock_is_free_after_an_exception(sweep: Catalogue) -> None:
    with pytest.raises(ZeroDivisionError), sweep.lock("s"):
        raise ZeroDivisionError
    assert sweep.locked_by("s") is None


# --- house rules


def test_only_the_catalogue_knows_sqlalchemy_and_infra_knows_nobody() -> None:
    homes = {"sqlalchemy": ("catalogue", "migrations"), "alembic": ("catalogue", "migrations"), "mlflow": ("tracking",)}
    for file in INFRA.rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
        allowed = {name for name, folders in homes.items() if file.relative_to(INFRA).parts[0] in folders}
        assert not (names & {"search", "objectives", "torch", "sqlalchemy", "alembic", "mlflow"}) - allowed, file


@settings(max_examples=25)
@given(name=st.text(max_size=12))
def test_no_name_does_harm(name: str) -> None:
    with Catalogue("sqlite://") as catalogue:
        try:
            catalogue.create_sweep(SweepRow(name, {}))
        except InfraError:
            assert catalogue.sweeps() == []
        else:
            assert catalogue.sweep(name).name == name


@pytest.mark.parametrize("text", ["/data/\udcff", "\ud800", "a\0b", "\\u0000 \\ud800 as they are written", "λ ü 💥"])
def test_every_text_is_kept_or_its_characters_are(tmp_path: Path, text: str) -> None:
    """The name of a file may be no UTF-8: Python has it as text that nobody can write, and an error of a training names it."""
    kept = text if text.startswith(("\\", "λ")) else whole(text)
    with Catalogue(f"sqlite:///{tmp_path}/c.db") as catalogue:
        catalogue.create_sweep(SweepRow("s", {"a": text}, facts={"folder": text}))
        catalogue.add_members("s", [MemberRow(0, {"kind": text}, 1)])
        catalogue.add_reports("s", [ReportRow(0, 1, 1.0, {text: 1.0})])
        catalogue.end_member("s", 0, state="failed", reason=text, traceback=text)
        (member,) = catalogue.members("s")
        assert (member.reason, member.traceback, member.config["kind"]) == (kept, kept, kept)
        assert catalogue.sweep("s").facts == {"folder": kept} and catalogue.sweep("s").spec == {"a": kept}
        assert catalogue.reports("s")[0].metrics == {kept: 1.0}
    kept.encode()


@pytest.mark.parametrize("number", [-1, 2**31, 10**23])
def test_a_member_of_a_number_that_no_column_holds_is_not_there(tmp_path: Path, number: int) -> None:
    with Catalogue(f"sqlite:///{tmp_path}/c.db") as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))
        with pytest.raises(InfraError, match=f"none of number {number}"):
            catalogue.member("s", number)
