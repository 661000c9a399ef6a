"""What is written of members while they are open, and how members that had ended are opened again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from infra.catalogue import Catalogue, MemberRow
from infra.catalogue.tables import MEMBERS


def note_members(catalogue: Catalogue, sweep: str, rows: Iterable[MemberRow]) -> None:
    """Write the seconds and the facts of open members, in one commit. A member that has ended stays as it is."""
    values = [{"at": row.number, "seconds": row.seconds, "facts": row.facts} for row in rows]
    if not values:
        return
    with catalogue._database.write() as connection:
        mine = MEMBERS.c.sweep_id == catalogue._database.sweep_id(connection, sweep)
        here = (mine, MEMBERS.c.number == sa.bindparam("at"), MEMBERS.c.state.is_(None))
        seconds, facts = (sa.bindparam(name, type_=MEMBERS.c[name].type) for name in ("seconds", "facts"))
        connection.execute(sa.update(MEMBERS).where(*here).values(seconds=seconds, facts=facts), values)


def reopen_members(catalogue: Catalogue, sweep: str, rows: Sequence[MemberRow]) -> None:
    """Open members again that had ended, with the facts of these rows, in one commit. Their reports and their seconds stay."""
    with catalogue._database.write() as connection:
        mine = MEMBERS.c.sweep_id == catalogue._database.sweep_id(connection, sweep)
        for row in rows:
            again = {"state": None, "reason": "", "score": None, "traceback": "", "ended": None, "facts": row.facts}
            connection.execute(sa.update(MEMBERS).where(mine, MEMBERS.c.number == row.number).values(**again))
