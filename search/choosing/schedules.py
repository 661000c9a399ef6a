"""The schedule that a population found: the line of its best member, as values of the knobs from an epoch on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from objectives.base import Knob, Phase, Value
from search.asking.space import OFF_ARM
from search.choosing.answer import Candidate, Row

SCHEDULE = "schedule"  # the arm
Steps = dict[str, list[list[Value]]]


def line_of(rows: Mapping[int, Row], last: Row) -> list[Row]:
    """A member's line, the first one first: the members on whose epochs it went on, and itself."""
    found, row = [last], last
    while row.start and row.parent is not None:
        row = rows[row.parent]
        found.append(row)
    return found[::-1]


def schedule_of(line: Sequence[Row], knobs: Sequence[Knob]) -> Steps:
    """The searched knobs that moved along a line: [[epoch, value], …] for each, where the first epoch is 0."""
    found: Steps = {}
    for knob in knobs:
        steps: list[list[Value]] = []
        for row in line:
            value = row.config[knob.name]
            if not steps or steps[-1][1] != value:
                steps.append([row.start, value])
        if len(steps) > 1:
            found[knob.name] = steps
    return found


def candidate(rows: Sequence[Row], knobs: Sequence[Knob]) -> list[Candidate]:
    """The schedule of the best complete member with λ on, to be trained from scratch; none where its knobs never moved."""
    best = _best(rows)
    if best is None:
        return []
    line = line_of({row.number: row for row in rows}, best)
    steps = schedule_of(line, knobs)
    why = f"the schedule of member {best.number}, by way of {', '.join(str(row.number) for row in line)}"
    return [Candidate(SCHEDULE, dict(line[0].config), why, schedule=steps)] if steps else []


def _best(rows: Sequence[Row]) -> Row | None:
    """The complete member with λ on that scored best."""
    ended = [row for row in rows if row.phase == Phase.SEARCH and row.arm != OFF_ARM and row.ended == "ok" and row.score is not None]
    return min(ended, key=lambda row: (row.score or 0.0, row.number), default=None)


def missing(rows: Sequence[Row], knobs: Sequence[Knob], chosen: Sequence[Candidate], scheduler: str) -> list[str]:
    """Why no schedule is judged, though a scheduler moved knobs in training. Empty where one is judged, and lost to a constant config."""
    if any(one.schedule for one in chosen):
        return []
    best, heirs = _best(rows), sum(row.phase == Phase.SEARCH and bool(row.start) for row in rows)
    if best is None:
        return [f"{scheduler} found no schedule, because no member with λ on completed"]
    if candidate(rows, knobs):
        return [f"{scheduler} found a schedule, that of member {best.number}, but no final seed has tried it"]
    took = f"{heirs} member{'s' if heirs != 1 else ''} took the place of another" if heirs else "no member took the place of another"
    return [f"{scheduler} found no schedule: {took}, and the best member, {best.number}, had one config from its first epoch to its last"]
