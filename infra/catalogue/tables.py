"""The tables of the catalogue, as SQLAlchemy sees them, and their rows, as the rest of Lagrange sees them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from infra.catalogue.plain import decode, encode
from infra.errors import InfraError
from infra.storage import strip_password, strip_passwords, whole

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # as JSON writes it; a backslash that is text is written twice
STATUSES: Final = ("running", "complete", "interrupted", "failed")
MOST_MEMBERS: Final = 2**31 - 1  # as a column of whole numbers holds
STATES: Final = ("complete", "stopped", "diverged", "collapsed", "failed", "preempted")


# --- types of columns -------------------------------------------------------------------------------------------------------------------


class _Plain(sa.types.TypeDecorator[Any]):
    """Plain data of one kind, a mapping or a list, as JSON text, without passwords."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else _NUL.sub(r"\1\\ufffd", whole(encode(strip_passwords(value))))

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        try:
            found = decode(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise self._damaged(value) from error
        if not isinstance(found, self.kind):
            raise self._damaged(value)
        return found

    def _damaged(self, value: Any) -> InfraError:
        held = repr(value if len(str(value)) <= 60 else f"{str(value)[:60]}…")
        return InfraError(
            f"A row of the catalogue must hold a {self.kind.__name__} in JSON; one holds {held}. Put back a copy of the database."
        )


class _Text(sa.types.TypeDecorator[str]):
    """Text without passwords, and without what PostgreSQL or UTF-8 refuses."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else whole(strip_password(value))


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


class Base(DeclarativeBase):
    """What all tables have in common: which type a column has for a Python type."""

    type_annotation_map = {str: _Text, float: _Real, datetime: _Utc, dict[str, Any]: _Plain(dict), list[Any]: _Plain(list)}  # noqa: RUF012


class _Sweep(Base):
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


class _Member(Base):
    __tablename__ = "members"
    sweep_id: Mapped[int] = mapped_column(sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    phase: Mapped[str] = mapped_column(sa.String(20))
    arm: Mapped[str] = mapped_column(sa.String(100))
    config: Mapped[dict[str, Any]]
    config_hash: Mapped[str] = mapped_column(sa.String(12))
    seed: Mapped[int] = mapped_column(sa.BigInteger)
    parent: Mapped[int | None]
    parent_epoch: Mapped[int | None]
    start: Mapped[int] = mapped_column(server_default="0")
    schedule: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
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


class _Report(Base):
    __tablename__ = "reports"
    __table_args__ = (sa.ForeignKeyConstraint(["sweep_id", "number"], ["members.sweep_id", "members.number"], ondelete="CASCADE"),)
    sweep_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rung_score: Mapped[float | None]
    metrics: Mapped[dict[str, Any]]


SWEEPS, MEMBERS, REPORTS = (Base.metadata.tables[name] for name in ("sweeps", "members", "reports"))


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


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A member. `state` is None while it is open; `seconds` is its wall time; `config_hash` is filled in when left empty.

    A member may start from another one: with what member `parent` had become after `parent_epoch` epochs. It then counts its own epochs
    from `start`. Without a parent it starts from scratch. `schedule` holds the knobs that move in its training: [[epoch, value], …] each.
    """

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
    parent: int | None = None
    parent_epoch: int | None = None
    start: int = 0
    schedule: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What one member said after one epoch. `rung_score` is NaN only where the member diverged."""

    number: int
    epoch: int
    rung_score: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)


def columns_of(table: sa.Table, row: type[Any]) -> list[sa.Column[Any]]:
    """The columns that a row class holds, in its order."""
    return [table.c[item.name] for item in fields(row)]


def values_of(row: SweepRow | MemberRow | ReportRow) -> dict[str, Any]:
    """A row as values of its columns."""
    return {item.name: getattr(row, item.name) for item in fields(row)}
