"""The catalogue: one SQL database that holds the truth of what ran. MLflow and Optuna are projections of it.

A member's row is committed before it is dispatched and again when it ends; the first end wins. SQLite (in WAL mode) or PostgreSQL. Strings
are stored without passwords, whatever they are. The rows handed out are plain frozen dataclasses; nobody else sees SQLAlchemy.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.errors import InfraError
from infra.storage import sqlite_path, strip_password, strip_passwords, sweep_name

HEAD: Final = "0001"
"""The newest revision in `migrations/versions`."""

STATUSES: Final = ("running", "complete", "interrupted", "failed")
STATES: Final = ("complete", "stopped", "diverged", "collapsed", "failed", "preempted")
BEAT_S: Final = 5.0
STALE_S: Final = 30.0
_MIGRATION_LOCK: Final = 0x1A62A26E  # any constant: names our advisory lock in a PostgreSQL database


# --- values -----------------------------------------------------------------------------------------------------------------------------


def encode(value: Any) -> str:
    """Plain data as standard JSON: NaN and ±inf become {"$float": "nan"}. Tuples come back as lists; numbers of numpy as Python's."""
    try:
        text = json.dumps(value, allow_nan=False, default=_number, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_escape(value), allow_nan=False, default=_number, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(_escape(value), default=_number, ensure_ascii=False, separators=(",", ":")) if '"$' in text else text


def decode(text: str) -> Any:
    """The inverse of `encode`."""
    return _unescape(json.loads(text)) if '"$' in text else json.loads(text)


def config_hash(config: Mapping[str, Any]) -> str:
    """First 12 hex digits of the SHA-256 of the config's canonical JSON. 1 and 1.0 are one value, True is another."""

    def plain(value: Any) -> Any:
        return float(value) + 0.0 if isinstance(value, int | float) and not isinstance(value, bool) else value

    text = json.dumps(_escape({key: plain(config[key]) for key in config}), sort_keys=True, default=_number, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _number(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy, without importing it
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"The catalogue stores plain data (numbers, strings, lists, dicts); got {type(value).__name__}: {value!r}.")


def _escape(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(float(value))}
    if isinstance(value, Mapping):
        return {f"${key}" if str(key).startswith("$") else key: _escape(item) for key, item in value.items()}
    return [_escape(item) for item in value] if isinstance(value, list | tuple) else value


def _unescape(value: Any) -> Any:
    if isinstance(value, list):
        return [_unescape(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$float"}:
        return float(value["$float"])
    return {key.removeprefix("$"): _unescape(item) for key, item in value.items()}


class _Plain(sa.types.TypeDecorator[Any]):
    """Plain data as JSON text, without passwords."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else encode(strip_passwords(value)).replace("\\u0000", "\\ufffd")

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        return None if value is None else decode(value)


class _Words(sa.types.TypeDecorator[str]):
    """Text without passwords and without NUL, which PostgreSQL refuses."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else strip_password(value).replace("\x00", "\ufffd")


class _Real(sa.types.TypeDecorator[float]):
    """A double. SQLite turns NaN into NULL, so there NaN is kept as the text "nan"."""

    impl = sa.Double
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        return sa.types.NullType() if dialect.name == "sqlite" else sa.Double()  # Double would make a float of "nan" again

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        number = float(value)
        return "nan" if math.isnan(number) and dialect.name == "sqlite" else number

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> float | None:
        return None if value is None else float(value)


class _Utc(sa.types.TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# --- tables -----------------------------------------------------------------------------------------------------------------------------


class _Base(DeclarativeBase):
    type_annotation_map = {str: _Words, float: _Real, datetime: _Utc, dict[str, Any]: _Plain, list[Any]: _Plain}  # noqa: RUF012


class _Sweep(_Base):
    __tablename__ = "sweeps"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    status: Mapped[str] = mapped_column(sa.String(20))
    objective: Mapped[str] = mapped_column(sa.String(200))
    model: Mapped[str] = mapped_column(sa.String(200))
    dataset: Mapped[str] = mapped_column(sa.String(200))
    created: Mapped[datetime]
    finished: Mapped[datetime | None]
    spec: Mapped[dict[str, Any]]
    answer: Mapped[dict[str, Any] | None]
    provenance: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]]
    candidates: Mapped[list[Any] | None]
    lock_host: Mapped[str | None] = mapped_column(sa.String(200))
    lock_pid: Mapped[int | None]
    lock_token: Mapped[str | None] = mapped_column(sa.String(100))
    lock_heartbeat: Mapped[float | None]


class _Member(_Base):
    __tablename__ = "members"
    sweep_id: Mapped[int] = mapped_column(sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    phase: Mapped[str] = mapped_column(sa.String(20))
    arm: Mapped[str] = mapped_column(sa.String(100))
    config: Mapped[dict[str, Any]]
    config_hash: Mapped[str] = mapped_column(sa.String(12))
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    state: Mapped[str | None] = mapped_column(sa.String(20))
    reason: Mapped[str]
    score: Mapped[float | None]
    rung_score: Mapped[float | None]
    metrics: Mapped[dict[str, Any]]
    epochs: Mapped[int]
    seconds: Mapped[float]
    traceback: Mapped[str]
    facts: Mapped[dict[str, Any]]
    created: Mapped[datetime]
    ended: Mapped[datetime | None]


class _Report(_Base):
    __tablename__ = "reports"
    __table_args__ = (sa.ForeignKeyConstraint(["sweep_id", "number"], ["members.sweep_id", "members.number"], ondelete="CASCADE"),)
    sweep_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rung_score: Mapped[float | None]
    metrics: Mapped[dict[str, Any]]


_SWEEPS, _MEMBERS, _REPORTS = (_Base.metadata.tables[name] for name in ("sweeps", "members", "reports"))


# --- rows -------------------------------------------------------------------------------------------------------------------------------


def utc_now() -> datetime:
    """This moment, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class SweepRow:
    """A sweep, its spec and its answer. None where nothing was written yet. `lock_heartbeat` is in seconds since 1970."""

    name: str
    spec: dict[str, Any]
    objective: str = ""
    model: str = ""
    dataset: str = ""
    status: str = "running"
    created: datetime = field(default_factory=utc_now)
    finished: datetime | None = None
    answer: dict[str, Any] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    candidates: list[Any] | None = None
    lock_host: str | None = None
    lock_pid: int | None = None
    lock_heartbeat: float | None = None


@dataclass(frozen=True)
class MemberRow:
    """A member. `state` is None while it is open; `seconds` is its wall time; `config_hash` is filled in when left empty."""

    number: int
    config: dict[str, Any]
    seed: int
    phase: str = "search"
    arm: str = ""
    config_hash: str = ""
    state: str | None = None
    reason: str = ""
    score: float | None = None
    rung_score: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0
    traceback: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=utc_now)
    ended: datetime | None = None


@dataclass(frozen=True)
class ReportRow:
    """What one member said after one epoch. `rung_score` is NaN only where the member diverged."""

    number: int
    epoch: int
    rung_score: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)


def _columns(table: sa.Table, row: type[Any]) -> list[sa.Column[Any]]:
    return [table.c[item.name] for item in fields(row)]


def _values(row: Any) -> dict[str, Any]:
    return {item.name: getattr(row, item.name) for item in fields(row)}


# --- the catalogue ----------------------------------------------------------------------------------------------------------------------


class Catalogue:
    """The catalogue behind one URL. Safe for several threads and processes.

    With `create=False` a SQLite file that does not exist is not made: the catalogue is then empty. Raises InfraError, without passwords,
    when the database cannot be opened or was written by a newer Lagrange.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.url = strip_password(url)
        file = sqlite_path(url)
        if file is not None and not create and not file.exists():
            url, file = "sqlite://", None
        self._joint: sa.Connection | None = None  # of the commit that `together` gathers
        self._writing = threading.RLock()  # one writer per process: SQLite would otherwise poll for its own lock
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._engine = _engine(url)
            self._migrate()
        except InfraError:
            raise
        except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
            raise InfraError(
                f"The catalogue must be a database that opens; {self.url} does not: {_short(error, url)}. {_remedy(error)}"
            ) from None

    def close(self) -> None:
        """Give connections back. The catalogue may be used again afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # sweeps

    def create_sweep(self, row: SweepRow) -> None:
        """Store a new sweep. Raises InfraError when the name is taken or not a valid name."""
        sweep_name(row.name)
        _one_of("status", row.status, STATUSES)
        try:
            with self._write() as connection:
                connection.execute(sa.insert(_SWEEPS).values(**_values(row)))
        except IntegrityError:
            raise InfraError(
                f"A sweep's name is used once; {row.name!r} is in {self.url} already. Resume it, remove it, or choose another name."
            ) from None

    def sweep(self, name: str) -> SweepRow:
        """The sweep of that name. Raises InfraError when there is none."""
        with self._read() as connection:
            found = connection.execute(sa.select(*_columns(_SWEEPS, SweepRow)).where(_SWEEPS.c.name == name)).one_or_none()
            if found is None:
                raise self._unknown(connection, name)
        return SweepRow(*found)

    def has_sweep(self, name: str) -> bool:
        """Whether the name is taken."""
        with self._read() as connection:
            return connection.execute(sa.select(_SWEEPS.c.id).where(_SWEEPS.c.name == name)).one_or_none() is not None

    def sweeps(self) -> list[SweepRow]:
        """Every sweep, oldest first."""
        with self._read() as connection:
            return [SweepRow(*row) for row in connection.execute(sa.select(*_columns(_SWEEPS, SweepRow)).order_by(_SWEEPS.c.id))]

    def update_sweep(self, name: str, **changes: Any) -> None:
        """Change fields of a sweep: status, finished, answer, provenance, facts, candidates, spec, objective, model, dataset."""
        allowed = [item.name for item in fields(SweepRow) if item.name not in ("name", "created") and not item.name.startswith("lock_")]
        for key in changes:
            _one_of("field of a sweep that changes", key, allowed)
        if "status" in changes:
            _one_of("status", changes["status"], STATUSES)
        with self._write() as connection:
            if not connection.execute(sa.update(_SWEEPS).where(_SWEEPS.c.name == name).values(**changes)).rowcount:
                raise self._unknown(connection, name)

    def delete_sweep(self, name: str) -> None:
        """Remove a sweep with its members and reports. Files are `Home.remove_sweep`'s business."""
        with self._write() as connection:
            sweep = self._id(connection, name)
            for table, column in ((_REPORTS, "sweep_id"), (_MEMBERS, "sweep_id"), (_SWEEPS, "id")):
                connection.execute(sa.delete(table).where(table.c[column] == sweep))

    # members

    def add_members(self, name: str, rows: Sequence[MemberRow]) -> None:
        """Store new members in one commit. Raises InfraError, and stores none, when one of the numbers is taken."""
        if not rows:
            return
        values = [{**_values(row), "config_hash": row.config_hash or config_hash(row.config)} for row in rows]
        for row in rows:
            if row.state is not None:
                _one_of("state", row.state, STATES)
        try:
            with self._write() as connection:
                sweep = self._id(connection, name)
                connection.execute(sa.insert(_MEMBERS), [{**value, "sweep_id": sweep} for value in values])
        except IntegrityError:
            numbers = ", ".join(str(row.number) for row in rows)
            raise InfraError(
                f"A member's number is used once in a sweep; one of {numbers} is in {name!r} already. Take fresh numbers."
            ) from None

    def end_member(
        self,
        name: str,
        number: int,
        *,
        state: str,
        reason: str = "",
        score: float | None = None,
        rung_score: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        epochs: int | None = None,
        seconds: float | None = None,
        traceback: str = "",
        facts: Mapping[str, Any] | None = None,
        reports: Iterable[ReportRow] = (),
    ) -> bool:
        """Write how a member ended, and its last `reports`, in one commit.

        The first end wins: True if this was it; False, and nothing is written, if the member had ended before.
        """
        _one_of("state", str(state), STATES)
        given = {"rung_score": rung_score, "metrics": metrics, "epochs": epochs, "seconds": seconds, "facts": facts}
        values: dict[str, Any] = {"state": str(state), "reason": reason, "score": score, "traceback": traceback, "ended": utc_now()}
        values |= {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items() if value is not None}
        with self._write() as connection:
            sweep = self._id(connection, name)
            here = (_MEMBERS.c.sweep_id == sweep) & (_MEMBERS.c.number == number)
            if connection.execute(sa.update(_MEMBERS).where(here, _MEMBERS.c.state.is_(None)).values(**values)).rowcount:
                curve = list(reports)
                if curve:
                    _insert_reports(connection, sweep, curve)
                return True
            if connection.execute(sa.select(_MEMBERS.c.number).where(here)).one_or_none() is None:
                raise _no_member(name, number)
            return False

    def reopen_member(self, name: str, number: int, *, keep_epochs: int | None = None) -> None:
        """Make an ended member open again, to be trained on. With `keep_epochs`, reports of later epochs are forgotten."""
        cleared = {"state": None, "reason": "", "score": None, "traceback": "", "ended": None}
        with self._write() as connection:
            sweep = self._id(connection, name)
            here = (_MEMBERS.c.sweep_id == sweep) & (_MEMBERS.c.number == number)
            if not connection.execute(sa.update(_MEMBERS).where(here).values(**cleared)).rowcount:
                raise _no_member(name, number)
            if keep_epochs is not None:
                late = (_REPORTS.c.sweep_id == sweep) & (_REPORTS.c.number == number) & (_REPORTS.c.epoch > keep_epochs)
                connection.execute(sa.delete(_REPORTS).where(late))

    def members(self, name: str, phase: str | None = None) -> list[MemberRow]:
        """The members of a sweep by number; of one phase if given."""
        with self._read() as connection:
            query = sa.select(*_columns(_MEMBERS, MemberRow)).where(_MEMBERS.c.sweep_id == self._id(connection, name))
            query = query if phase is None else query.where(_MEMBERS.c.phase == str(phase))
            return [MemberRow(*row) for row in connection.execute(query.order_by(_MEMBERS.c.number))]

    def member(self, name: str, number: int) -> MemberRow:
        """One member. Raises InfraError when there is none."""
        with self._read() as connection:
            here = (_MEMBERS.c.sweep_id == self._id(connection, name)) & (_MEMBERS.c.number == number)
            found = connection.execute(sa.select(*_columns(_MEMBERS, MemberRow)).where(here)).one_or_none()
        if found is None:
            raise _no_member(name, number)
        return MemberRow(*found)

    # reports

    def add_reports(self, name: str, rows: Iterable[ReportRow]) -> None:
        """Store reports in one commit. A report of the same member and epoch that is there already stays as it is."""
        rows = list(rows)
        if not rows:
            return
        with self._write() as connection:
            sweep = self._id(connection, name)
            try:
                _insert_reports(connection, sweep, rows)
            except IntegrityError:
                raise InfraError(f"Reports belong to members of {name!r}; some of these do not. Add the members first.") from None

    def reports(self, name: str, number: int | None = None) -> list[ReportRow]:
        """The reports of a sweep, by member and epoch; of one member if given."""
        with self._read() as connection:
            query = sa.select(*_columns(_REPORTS, ReportRow)).where(_REPORTS.c.sweep_id == self._id(connection, name))
            query = query if number is None else query.where(_REPORTS.c.number == number)
            return [ReportRow(*row) for row in connection.execute(query.order_by(_REPORTS.c.number, _REPORTS.c.epoch))]

    # the lock of a sweep

    def lock(self, name: str) -> SweepLock:
        """`with catalogue.lock(name):` makes this process the only driver of the sweep. Raises InfraError when another one is alive."""
        return SweepLock(self, name)

    def locked_by(self, name: str) -> str | None:
        """Host and process id of the living driver of a sweep, for people to read; None if there is none."""
        with self._read() as connection:
            holder = self._holder(connection, name)
            return None if holder.token is None or holder.gone(self._clock(connection)) else f"{holder.host}, process {holder.pid}"

    def _holder(self, connection: sa.Connection, name: str) -> _Holder:
        columns = (_SWEEPS.c.lock_token, _SWEEPS.c.lock_host, _SWEEPS.c.lock_pid, _SWEEPS.c.lock_heartbeat)
        found = connection.execute(sa.select(*columns).where(_SWEEPS.c.name == name)).one_or_none()
        if found is None:
            raise self._unknown(connection, name)
        return _Holder(*found)

    def _clock(self, connection: sa.Connection) -> float:
        """Seconds since 1970 by the clock that all drivers share: the server's, or this machine's for a file."""
        if connection.dialect.name != "postgresql":
            return time.time()
        return float(connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())

    # many writes as one

    @contextmanager
    def together(self) -> Iterator[None]:
        """`with catalogue.together():` makes everything that is written inside, by this thread, one commit: all of it or nothing."""
        with self._write() as connection:
            outer, self._joint = self._joint, connection
            try:
                yield
            finally:
                self._joint = outer

    # inside

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._told(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """One transaction that takes SQLite's write lock at its start, so that reading and then writing cannot fail for being late."""
        with self._writing:
            if self._joint is not None:
                yield self._joint
                return
            with self._told(), self._engine.connect().execution_options(lagrange_write=True) as connection, connection.begin():
                yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise InfraError(f"The catalogue {self.url} must answer; it says: {_short(error, '')}. {_remedy(error)}") from error

    def _id(self, connection: sa.Connection, name: str) -> int:
        found = connection.execute(sa.select(_SWEEPS.c.id).where(_SWEEPS.c.name == name)).scalar_one_or_none()
        if found is None:
            raise self._unknown(connection, name)
        return int(found)

    def _unknown(self, connection: sa.Connection, name: str) -> InfraError:
        known = list(connection.execute(sa.select(_SWEEPS.c.name).order_by(_SWEEPS.c.id.desc()).limit(10)).scalars())
        there = f"It knows {', '.join(known)}." if known else "It holds no sweep yet."
        return InfraError(f"The sweep must be in the catalogue {self.url}; {name!r} is not. {there}")

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            if _revision(connection) == HEAD:
                return
        with self._write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            _upgrade(connection, self.url)


@dataclass(frozen=True)
class _Holder:
    token: str | None
    host: str | None
    pid: int | None
    heartbeat: float | None

    def gone(self, now: float) -> bool:
        """The holder died on this machine, or has been silent for long."""
        if self.heartbeat is None or now - self.heartbeat > STALE_S:
            return True
        return self.host == socket.gethostname() and not _alive(self.pid or -1, self.token or "")


class SweepLock:
    """The right to drive one sweep. Beats every 5 s; `lost` is set when another driver took over (this one was silent for 30 s)."""

    def __init__(self, catalogue: Catalogue, name: str) -> None:
        self._catalogue, self._name = catalogue, name
        self._token = f"{uuid.uuid4().hex}@{psutil.Process().create_time():.2f}"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = threading.Event()

    def __enter__(self) -> SweepLock:
        self._claim()
        self._thread = threading.Thread(target=self._beat, name="lagrange-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(InfraError):  # an unreachable database must not hide what the sweep has to say; the lock goes stale by itself
            self._set({"lock_token": None, "lock_host": None, "lock_pid": None, "lock_heartbeat": None}, self._token)

    def check(self) -> None:
        """Raise InfraError if another driver took over."""
        if self.lost.is_set():
            raise InfraError(
                f"A sweep has one driver; another one took over {self._name!r} while this one was silent. Let the other one go on."
            )

    def _claim(self) -> None:
        with self._catalogue._write() as connection:
            holder, now = self._catalogue._holder(connection, self._name), self._catalogue._clock(connection)
            if holder.token is not None and not holder.gone(now):
                raise InfraError(
                    f"A sweep has one driver; {self._name!r} is driven by process {holder.pid} on {holder.host}, "
                    f"which was last heard {max(0.0, now - (holder.heartbeat or 0)):.0f} s ago. Wait for it, or stop it first."
                )
            mine = {"lock_token": self._token, "lock_host": socket.gethostname(), "lock_pid": os.getpid(), "lock_heartbeat": now}
            if not _replace_lock(connection, self._name, holder.token, mine):
                raise InfraError(
                    f"A sweep has one driver; another one took {self._name!r} at this very moment. Wait for it, or stop it first."
                )

    def _set(self, values: Mapping[str, Any], token: str) -> bool:
        with self._catalogue._write() as connection:
            return _replace_lock(connection, self._name, token, values)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            with suppress(InfraError):  # the next beat may reach the database again
                with self._catalogue._write() as connection:
                    now = self._catalogue._clock(connection)
                    held = _replace_lock(connection, self._name, self._token, {"lock_heartbeat": now})
                if not held:
                    self.lost.set()
                    return


def _replace_lock(connection: sa.Connection, name: str, token: str | None, values: Mapping[str, Any]) -> bool:
    """Compare and swap: False if the lock is no longer what `token` says."""
    same = _SWEEPS.c.lock_token.is_(None) if token is None else _SWEEPS.c.lock_token == token
    return bool(connection.execute(sa.update(_SWEEPS).where(_SWEEPS.c.name == name, same).values(**values)).rowcount)


def _alive(pid: int, token: str) -> bool:
    """Whether the process that made the token lives; a later process with the same id does not count."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        started = token.rpartition("@")[2]
        return not started or abs(process.create_time() - float(started)) < 2.0
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, ValueError):
        return True


def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        # lagrange is tested with psycopg 3; a bare postgresql:// would look for psycopg2
        parsed = parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed
        return sa.create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    if parsed.get_backend_name() != "sqlite":
        raise InfraError(f"The catalogue is a sqlite or postgresql database; got {strip_password(url)}. Use one of the two.")
    engine = sa.create_engine(parsed)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute("PRAGMA busy_timeout=30000")
    deadline = time.monotonic() + 30
    while connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except Exception:  # the change of mode does not wait for other processes by itself
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("lagrange_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _insert_reports(connection: sa.Connection, sweep: int, rows: Iterable[ReportRow]) -> None:
    """Insert reports; those that are there already stay as they are."""
    values = [{**_values(row), "sweep_id": sweep} for row in rows]
    if not values:
        return
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        connection.execute(insert_postgresql(_REPORTS).on_conflict_do_nothing(), values)
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        connection.execute(insert_sqlite(_REPORTS).on_conflict_do_nothing(), values)


def _revision(connection: sa.Connection) -> str | None:
    if connection.dialect.name == "sqlite":
        query = "select name from sqlite_master where name='lagrange_version'"
    else:
        query = "select to_regclass('lagrange_version')"
    if connection.exec_driver_sql(query).scalar() is None:
        return None
    found = connection.exec_driver_sql("select version_num from lagrange_version").scalar()
    return None if found is None else str(found)


def _upgrade(connection: sa.Connection, shown: str) -> None:
    """Bring the database to HEAD inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise InfraError(
            f"The catalogue {shown} is of revision {_revision(connection)}, this Lagrange knows up to {HEAD}: a newer one wrote it. "
            "Install that version, or use another catalogue."
        ) from None


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InfraError(f"A {what} is one of {', '.join(allowed)}; got {value!r}.")


def _no_member(name: str, number: int) -> InfraError:
    return InfraError(f"The sweep {name!r} must hold the member; it has none of number {number}.")


def _short(error: Exception, url: str) -> str:
    """The first line of an error, without passwords, not even one that stands alone."""
    line = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
    with suppress(Exception):
        password = sa.make_url(url).password
        line = line.replace(str(password), "***") if password else line
    return strip_password(line).rstrip(".")


def _remedy(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "Install the driver: pip install 'lagrange-search[postgresql]'."
    return "Check the URL, that the server runs, and that you may write there."
