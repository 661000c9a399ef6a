"""The members of a sweep as rows for the choice. Of a large sweep they are asked for again and again, so what has not changed is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.catalogue import MemberRow, config_hash
from objectives.base import Phase
from search.choosing.answer import Candidate, Row
from search.choosing.missing import not_its_own
from search.choosing.watched import Watched

Curves = Mapping[int, Mapping[int, float]]  # by member and epoch


class Table:
    """The rows of members. A row is made anew where its member is another object than at the last look, or its arm may be another one.

    `curves` holds the finite rung scores of each member by epoch, `watched` the metrics beside the score that are asked for or constrained.
    Whoever adds to the curve of a member replaces the member, too.
    """

    def __init__(self, curves: Curves, watched: Watched | None = None) -> None:
        self._curves, self._watched = curves, watched or Watched()
        self._members: list[MemberRow] = []
        self._rows: list[Row] = []
        self._chosen: list[Candidate] = []

    def of(self, members: Sequence[MemberRow], chosen: Sequence[Candidate]) -> list[Row]:
        """The members, as rows for the choice. A confirmed config gets the arm that it has among today's candidates.

        Members come in the order in which they were asked for. The same list comes back as long as nothing has changed.
        """
        arms = {config_hash(one.config, one.schedule): one.arm for one in chosen}
        same = list(chosen) == self._chosen
        known = [
            row if before is member and (same or member.phase != Phase.CONFIRM) else self._row(member, arms)
            for member, before, row in zip(members, self._members, self._rows, strict=False)
        ]
        known += [self._row(member, arms) for member in members[len(known) :]]
        if len(known) != len(self._rows) or any(row is not before for row, before in zip(known, self._rows, strict=True)):
            self._rows = known
        self._members, self._chosen = list(members), list(chosen)
        return self._rows

    def _row(self, row: MemberRow, arms: Mapping[str, str]) -> Row:
        watched = self._watched
        return Row(
            number=row.number,
            phase=row.phase,
            arm=arms.get(row.config_hash, "dropped") if row.phase == Phase.CONFIRM else row.arm,
            config=row.config,
            seed=row.seed,
            state=row.state or "open",
            score=row.score,
            rung_score=row.rung_score,
            epochs=row.epochs,
            seconds=row.seconds,
            curve=self._curves.get(row.number, {}),
            parent=row.parent,
            start=row.start,
            moves=bool(row.schedule),
            metrics=watched.metrics(row),
            tracks=watched.values.get(row.number, {}),
            others=watched.others(row),
            other_curves=watched.other_curves(row.number),
            astray=not_its_own(row),
        )
