"""The catalogue: one SQL database that holds the truth of what ran. MLflow and Optuna are projections of it.

A member's row is committed before it is dispatched and again when it ends; the first end wins. SQLite (in WAL mode) or PostgreSQL. Strings
are stored without passwords, whatever they are. The rows handed out are plain frozen dataclasses; nobody else sees SQLAlchemy.

`plain` writes values as text, `tables` says what is stored, `engine` opens the database and holds its transactions, `lock` keeps two
drivers of one sweep apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from infra.catalogue.alike import Alike
from infra.catalogue.engine import HEAD, text
from infra.catalogue.lock import SweepLock
from infra.catalogue.opened import Opened, patient
from infra.catalogue.plain import config_hash, decode, encode
from infra.catalogue.tables import (
    MEMBERS,
    MOST_MEMBERS,
    REPORTS,
    STATES,
    STATUSES,
    SWEEPS,
    MemberRow,
    ReportRow,
    SweepRow,
    columns_of,
    utc_now,
    values_of,
)
from infra.errors import InfraError
from infra.storage import sweep_name

__all__ = [
    "HEAD",
    "STATES",
    "STATUSES",
    "Catalogue",
    "MemberRow",
    "ReportRow",
    "SweepLock",
    "SweepRow",
    "config_hash",
    "decode",
    "each_report",
    "encode",
    "utc_now",
]

PAGE = 500  # members whose reports `each_report` reads at once


@patient
class Catalogue(Opened):
    """The catalogue behind one URL. Safe for several threads and processes.

    Every method that asks the database is tried again while the database is away (`Opened.waits`).
    """

    # sweeps

    def create_sweep(self, row: SweepRow) -> None:
        """Store a new sweep. Raises InfraError when the name is taken or not a valid name."""
        if not self.took_name(row):
            raise InfraError(
                f"A sweep's name is used once; {row.name!r} is in {self.url} already. Resume it, remove it, or choose another name."
            )

    def took_name(self, row: SweepRow) -> bool:
        """Store a new sweep; False, and nothing is stored, when the name is taken. Raises InfraError when it is no valid name."""
        sweep_name(row.name)
        _one_of("status", row.status, STATUSES)
        try:
            with self._database.write() as connection:
                connection.execute(sa.insert(SWEEPS).values(**values_of(row)))
        except IntegrityError:
            return self._database.again and self.sweep(row.name).created == row.created  # the first try had arrived
        return True

    def sweep(self, name: str) -> SweepRow:
        """The sweep of that name. Raises InfraError when there is none."""
        with self._database.read() as connection:
            here = SWEEPS.c.id == self._database.sweep_id(connection, name)
            return SweepRow(*connection.execute(sa.select(*columns_of(SWEEPS, SweepRow)).where(here)).one())

    def seen(self, name: str) -> SweepRow:
        """The sweep as people are told of it: one that says `running` and has no living driver was killed, and is `interrupted`."""
        row = self.sweep(name)
        return row if row.status != "running" or self.locked_by(name) else replace(row, status="interrupted")

    def has_sweep(self, name: str) -> bool:
        """Whether the name is taken."""
        with self._database.read() as connection:
            return connection.execute(sa.select(SWEEPS.c.id).where(SWEEPS.c.name == text(name))).one_or_none() is not None

    def sweeps(self) -> list[SweepRow]:
        """Every sweep, oldest first."""
        with self._database.read() as connection:
            return [SweepRow(*row) for row in connection.execute(sa.select(*columns_of(SWEEPS, SweepRow)).order_by(SWEEPS.c.id))]

    def update_sweep(self, name: str, **changes: Any) -> None:
        """Change fields of a sweep: status, finished, answer, provenance, facts, candidates, spec, objective, model, dataset."""
        allowed = [item.name for item in fields(SweepRow) if item.name not in ("name", "created") and not item.name.startswith("lock_")]
        for key in changes:
            _one_of("field of a sweep that changes", key, allowed)
        if "status" in changes:
            _one_of("status", changes["status"], STATUSES)
        with self._database.write() as connection:
            here = SWEEPS.c.id == self._database.sweep_id(connection, name)
            connection.execute(sa.update(SWEEPS).where(here).values(**changes))

    def delete_sweep(self, name: str) -> None:
        """Remove a sweep with its members and reports. Files are `Home.remove_sweep`'s business."""
        with self._database.write() as connection:
            if self._database.again and connection.execute(sa.select(SWEEPS.c.id).where(SWEEPS.c.name == name)).one_or_none() is None:
                return  # the first try had arrived
            sweep = self._database.sweep_id(connection, name)
            for table, column in ((REPORTS, "sweep_id"), (MEMBERS, "sweep_id"), (SWEEPS, "id")):
                connection.execute(sa.delete(table).where(table.c[column] == sweep))

    # members

    def add_members(self, name: str, rows: Sequence[MemberRow]) -> None:
        """Store new members in one commit. Raises InfraError, and stores none, when one of the numbers is taken."""
        if not rows:
            return
        values = [{**values_of(row), "config_hash": row.config_hash or config_hash(row.config)} for row in rows]
        for row in rows:
            if row.state is not None:
                _one_of("state", row.state, STATES)
        try:
            with self._database.write() as connection:
                sweep = self._database.sweep_id(connection, name)
                if not (self._database.again and _are_there(connection, sweep, rows)):
                    connection.execute(sa.insert(MEMBERS), [{**value, "sweep_id": sweep} for value in values])
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
        values: dict[str, Any] = {"state": str(state), "reason": reason, "score": score, "traceback": traceback}
        values["ended"] = self._database.moment
        values |= {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items() if value is not None}
        with self._database.write() as connection:
            sweep = self._database.sweep_id(connection, name)
            here = (MEMBERS.c.sweep_id == sweep) & (MEMBERS.c.number == number)
            if connection.execute(sa.update(MEMBERS).where(here, MEMBERS.c.state.is_(None)).values(**values)).rowcount:
                _insert_reports(connection, sweep, reports)
                return True
            ended = connection.execute(sa.select(MEMBERS.c.ended).where(here)).one_or_none()
            if ended is None:
                raise _no_member(name, number)
            return self._database.again and ended[0] == values["ended"]  # the first try had arrived

    def members(self, name: str, phase: str | None = None, numbers: Sequence[int] | None = None) -> list[MemberRow]:
        """The members of a sweep by number; of one phase, or those of a few numbers, if given."""
        with self._database.read() as connection:
            query = sa.select(*columns_of(MEMBERS, MemberRow)).where(MEMBERS.c.sweep_id == self._database.sweep_id(connection, name))
            query = query if phase is None else query.where(MEMBERS.c.phase == str(phase))
            query = query if numbers is None else query.where(MEMBERS.c.number.in_(list(numbers)))
            alike = Alike()
            return [_shared(MemberRow(*row), alike) for row in connection.execute(query.order_by(MEMBERS.c.number))]

    def outline(self, name: str) -> list[MemberRow]:
        """The members of a sweep by number, with phase, arm, state and score alone: a tenth of what whole rows of a large sweep take."""
        with self._database.read() as connection:
            columns = [MEMBERS.c[key] for key in ("number", "seed", "phase", "arm", "state", "score")]
            query = sa.select(*columns).where(MEMBERS.c.sweep_id == self._database.sweep_id(connection, name)).order_by(MEMBERS.c.number)
            nothing: dict[str, Any] = {}
            return [
                MemberRow(number, nothing, seed, phase, arm, state=state, score=score, metrics=nothing, facts=nothing, schedule=nothing)
                for number, seed, phase, arm, state, score in connection.execute(query)
            ]

    def member(self, name: str, number: int) -> MemberRow:
        """One member. Raises InfraError when there is none."""
        if not 0 <= number <= MOST_MEMBERS:
            raise _no_member(name, number)
        with self._database.read() as connection:
            here = (MEMBERS.c.sweep_id == self._database.sweep_id(connection, name)) & (MEMBERS.c.number == number)
            found = connection.execute(sa.select(*columns_of(MEMBERS, MemberRow)).where(here)).one_or_none()
        if found is None:
            raise _no_member(name, number)
        return MemberRow(*found)

    # reports

    def add_reports(self, name: str, rows: Iterable[ReportRow]) -> None:
        """Store reports in one commit. A report of the same member and epoch that is there already stays as it is."""
        rows = list(rows)
        if not rows:
            return
        with self._database.write() as connection:
            sweep = self._database.sweep_id(connection, name)
            try:
                _insert_reports(connection, sweep, rows)
            except IntegrityError:
                raise InfraError(f"Reports belong to members of {name!r}; some of these do not. Add the members first.") from None

    def reports(self, name: str, number: int | None = None, until: int | None = None) -> list[ReportRow]:
        """The reports of a sweep, by member and epoch; of one member if given, or of those from `number` to before `until`."""
        with self._database.read() as connection:
            query = sa.select(*columns_of(REPORTS, ReportRow)).where(REPORTS.c.sweep_id == self._database.sweep_id(connection, name))
            if number is not None:
                query = query.where(REPORTS.c.number == number if until is None else REPORTS.c.number.between(number, until - 1))
            return [ReportRow(*row) for row in connection.execute(query.order_by(REPORTS.c.number, REPORTS.c.epoch))]

    def rung_scores(self, name: str, numbers: Sequence[int]) -> dict[int, dict[int, float]]:
        """The rung scores of some members by member and epoch. Metrics are not read, which are most of a report."""
        with self._database.read() as connection:
            query = sa.select(REPORTS.c.number, REPORTS.c.epoch, REPORTS.c.rung_score).where(
                REPORTS.c.sweep_id == self._database.sweep_id(connection, name),
                REPORTS.c.number.in_(list(numbers)),
                REPORTS.c.rung_score.is_not(None),
            )
            found: dict[int, dict[int, float]] = {}
            for number, epoch, score in connection.execute(query.order_by(REPORTS.c.number, REPORTS.c.epoch)):
                found.setdefault(number, {})[epoch] = score
        return found


def each_report(catalogue: Catalogue, name: str, numbers: Sequence[int]) -> Iterator[ReportRow]:
    """The reports of these members, which are in order, by member and epoch. Few are in memory at once: a large sweep has a million."""
    for first in range(0, len(numbers), PAGE):
        page = numbers[first : first + PAGE]
        yield from catalogue.reports(name, page[0], page[-1] + 1)


def _shared(row: MemberRow, alike: Alike) -> MemberRow:
    """The row, with what it has in common with those before it. It was made a moment ago, and nobody has it yet."""
    for column in ("config", "metrics", "facts"):
        object.__setattr__(row, column, alike.mapping(column, getattr(row, column)))
    for column in ("phase", "arm", "state"):
        object.__setattr__(row, column, alike.word(getattr(row, column)))
    return row


def _are_there(connection: sa.Connection, sweep: int, rows: Sequence[MemberRow]) -> bool:
    """Whether these very members are stored, by an earlier try whose commit got no answer."""
    query = sa.select(MEMBERS.c.number, MEMBERS.c.seed, MEMBERS.c.created).where(MEMBERS.c.sweep_id == sweep)
    stored = set(map(tuple, connection.execute(query.where(MEMBERS.c.number.in_([row.number for row in rows])))))
    return stored == {(row.number, row.seed, row.created) for row in rows}


def _insert_reports(connection: sa.Connection, sweep: int, rows: Iterable[ReportRow]) -> None:
    """Insert reports; those that are there already stay as they are."""
    values = [{**values_of(row), "sweep_id": sweep} for row in rows]
    if not values:
        return
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        connection.execute(insert_postgresql(REPORTS).on_conflict_do_nothing(), values)
    else:
        from sqlalchemy.dialects.sqlite import insert as insert_sqlite

        connection.execute(insert_sqlite(REPORTS).on_conflict_do_nothing(), values)


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InfraError(f"A {what} is one of {', '.join(allowed)}; got {value!r}.")


def _no_member(name: str, number: int) -> InfraError:
    return InfraError(f"The sweep {name!r} must hold the member; it has none of number {number}.")
