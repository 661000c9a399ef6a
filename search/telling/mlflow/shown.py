"""Which pictures MLflow is shown: of confirmed members as they trained, of three members of the search, and of the sweep its strip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from infra.catalogue import MemberRow
from infra.storage import Home
from infra.tracking import Tracker
from objectives.base import Phase, State
from search.asking.space import OFF_ARM
from search.choosing.words import number
from search.spec.keys import Spec
from search.telling.view import STRIP

KEY = "pictures"  # the name of a member's pictures in MLflow


def caption(row: MemberRow, spec: Spec) -> str:
    """What stands above a member's pictures: its number, its searched knobs, its seed."""
    knobs = [f"{name} = {_value(row.config[name])}" for name in spec.search or () if name in row.config]
    return " · ".join([f"member {row.number}", *knobs, f"seed {row.seed}"])


def _value(value: object) -> str:
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


class Exemplars:
    """The members of a search whose pictures are kept: the best with a λ on, the best of the off arm, and the worst. It follows the rows.

    Scores are as in the catalogue: lower is better.
    """

    def __init__(self) -> None:
        self.rows: dict[str, MemberRow] = {}

    def add(self, row: MemberRow) -> list[MemberRow]:
        """Hear of a member of the search that has ended. Returns the members whose pictures nobody needs any more."""
        before = {one.number: one for one in [*self.rows.values(), row]}
        if row.state == State.COMPLETE and row.score is not None and math.isfinite(row.score):
            role = "off" if row.arm == OFF_ARM else "best"
            for name, sign in ((role, 1), ("worst", -1)):
                held = self.rows.get(name)
                if held is None or (sign * (held.score or 0.0), held.number) > (sign * row.score, row.number):
                    self.rows[name] = row
        kept = {one.number for one in self.rows.values()}
        return [one for one in before.values() if one.number not in kept]


def member(tracker: Tracker, home: Home, sweep: str, row: MemberRow) -> None:
    """Tell MLflow of a member's pictures, one for each epoch at which it was drawn. MLflow keeps each once, however often it is told."""
    sheets = sorted(home.depot.fetch(home.sheets(sweep, row.number)).glob("[0-9]*.png"))
    for path in sheets:
        tracker.image(path, KEY, int(path.stem), row.number)
    if not sheets and (picture := home.depot.fetch(home.picture(sweep, row.number))).exists():
        tracker.image(picture, KEY, row.epochs, row.number)


def members(tracker: Tracker, home: Home, sweep: str, rows: Iterable[MemberRow]) -> None:
    """Tell MLflow of all pictures of confirmed members that have ended."""
    for row in rows:
        if row.phase == Phase.CONFIRM and row.state is not None:
            member(tracker, home, sweep, row)


def sweep(tracker: Tracker, home: Home, name: str, files: Sequence[Path], rows: Mapping[int, MemberRow], kept: Exemplars) -> None:
    """Tell MLflow of what a sweep has written at its end, and of the members of the search that stand for the others.

    The strip's step is the number of members behind it, so that a sweep that went on shows what it had shown before, too.
    """
    for path in files:
        tracker.artifact(path)
        if path.stem == STRIP:
            tracker.image(path, STRIP, len(rows))
    for number_ in sorted({row.number for row in kept.rows.values()}):
        member(tracker, home, name, rows[number_])
