"""The strip: what one λ does to a model, in pictures. One row for each of its values, from off to the most regularized.

The rows are members of one seed: the same first weights, data order and noise. Inputs and codes are the same for all members anyway. So
what differs from row to row comes from λ, and from nuisance knobs where the arms differ in them. Where the best config was not trained on
this seed, because it was found after the first round, its row is of another seed, and says so. The rows are confirmed members, because
these are trained to the end.

Of several λ the strip is about the one that matters most of those that are on in the best config. The others are the same in all its rows,
but for the off arm, where all are off: they are as in the arms that give the most rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from infra.catalogue import MemberRow
from infra.storage import Home
from objectives import pictures
from objectives.base import Knob, Phase, State, Value, lowered
from search.asking.space import AGAINST_OFF, OFF_ARM, Space
from search.choosing.answer import Answer
from search.choosing.words import number
from search.modelling.axis import Axis
from search.spec.keys import Spec
from search.telling.view import STRIP

FEWEST = 2  # rows with a picture: one alone shows nothing of λ
LOST = (State.COLLAPSED, State.DIVERGED)


def write(name: str, spec: Spec, answer: Answer, members: Sequence[MemberRow], home: Home) -> list[Path]:
    """Draw the strip of an answered sweep. Returns its path, or nothing where the members show no pictures, or too few."""
    space = Space(spec, spec.trained)
    numbers = [one for one in space.lambdas or space.knobs if not any(isinstance(value, str) for value in one.choices)]
    if not numbers:
        return []
    knob = judged(answer, numbers)
    others = [one.name for one in space.lambdas if one.name != knob.name]
    ended = [row for row in members if row.phase == Phase.CONFIRM and (row.state == State.COMPLETE or row.state in LOST)]
    sheets = {row.number: sheet for row in ended if (sheet := last(home, name, row.number)) is not None}
    if not (chosen := rows(ended, sheets, knob, others, answer)):
        return []
    seed, fixed = chosen[0].seed, {other: chosen[-1].config[other] for other in others}
    chosen = _with_the_best(chosen, [row for row in ended if row.number in sheets], knob, answer)
    drawn = [_row(row, sheets.get(row.number), knob, answer, space.against, seed, fixed) for row in chosen]
    drawn += _beyond(chosen[-1], members, knob, fixed)
    about = " · ".join(part for part in (spec.objective, spec.model or "", spec.dataset.name) if part)
    said = "".join(f"{other} = {number(float(value))}, " for other, value in fixed.items())
    picture = pictures.strip(drawn, f"{about}: what {knob.name} does ({said}members of seed {seed})")
    assert picture is not None
    path = home.reports(name) / f"{STRIP}.png"
    pictures.save(picture, path)
    return [path]


def judged(answer: Answer, lambdas: Sequence[Knob]) -> Knob:
    """The λ that the strip is about: of those that are on in the best config (of all, if none is) the one with the largest importance."""
    on = [knob for knob in lambdas if answer.best.get(knob.name) != knob.off] or list(lambdas)
    shares: dict[str, float] = {}
    for one in answer.beside.importance:
        for name, share in one.shares.items():
            shares[name] = max(share, shares.get(name, -math.inf)) if math.isfinite(share) else shares.get(name, -math.inf)
    return max(on, key=lambda knob: shares.get(knob.name, -math.inf))


def rows(
    ended: Sequence[MemberRow], sheets: Mapping[int, pictures.Sheet], knob: Knob, others: Sequence[str], answer: Answer
) -> list[MemberRow]:
    """The rows of the strip: of all choices of the other λ the one that gives the most rows, of several that of the best config."""
    off = [row for row in ended if row.arm == OFF_ARM]
    groups: dict[tuple[Value, ...], list[MemberRow]] = {tuple(answer.best[other] for other in others): []}
    for row in ended:
        if row.arm != OFF_ARM and not row.schedule:
            groups.setdefault(tuple(row.config[other] for other in others), []).append(row)
    return max((of_one_seed([*off, *group], sheets, knob, answer) for group in groups.values() if group), key=len, default=[])


def last(home: Home, sweep: str, number_: int) -> pictures.Sheet | None:
    """The last sheet that a member has left, which is of its end where it is complete; None where it has shown nothing."""
    found = sorted(home.depot.fetch(home.sheets(sweep, number_)).glob("[0-9]*.png"))
    return pictures.read(found[-1]) if found else None


def of_one_seed(found: Sequence[MemberRow], sheets: Mapping[int, pictures.Sheet], knob: Knob, answer: Answer) -> list[MemberRow]:
    """The rows of the strip, in their order: off first, then from weak to strong; empty where no seed has two pictures.

    It is the seed with the most values of λ, of several the one whose members are the oldest. Of two members with one value the best config
    goes first, else the older one.
    """
    best: list[MemberRow] = []
    for seed in dict.fromkeys(row.seed for row in sorted(found, key=lambda row: row.number)):
        mine = [row for row in found if row.seed == seed]
        values: dict[Value, MemberRow] = {}
        for row in sorted(mine, key=lambda row: (row.arm != OFF_ARM, row.arm != answer.arm, row.number)):
            values.setdefault(row.config[knob.name], row)
        shown = sum(row.state == State.COMPLETE and row.number in sheets for row in values.values())
        if shown >= FEWEST and len(values) > len(best):
            best = _ordered(values.values(), knob)
    return best


def _ordered(found: Iterable[MemberRow], knob: Knob) -> list[MemberRow]:
    axis = Axis.of(knob)
    return sorted(found, key=lambda row: (row.arm != OFF_ARM, axis.more * axis.u(row.config[knob.name]), row.number))


def _with_the_best(chosen: list[MemberRow], shown: Sequence[MemberRow], knob: Knob, answer: Answer) -> list[MemberRow]:
    """The rows with the best config among them: where the seed has no member of it, its oldest member of another seed."""
    best = [row for row in shown if row.arm == answer.arm and row.state == State.COMPLETE]
    if not best or any(row.config == answer.best for row in chosen):
        return chosen
    return _ordered([*chosen, min(best, key=lambda row: row.number)], knob)


def _row(
    row: MemberRow, sheet: pictures.Sheet | None, knob: Knob, answer: Answer, against: str, seed: int, fixed: Mapping[str, Value]
) -> pictures.Row:
    value = f"{knob.name} = {number(float(row.config[knob.name]))}"
    if row.arm == OFF_ARM:
        value = f"off ({value})" if against == AGAINST_OFF else f"baseline ({value})"
    label = f"{value} (best)" if row.arm == answer.arm or (row.config == answer.best and row.arm != OFF_ARM) else value
    if row.state != State.COMPLETE:
        return pictures.Row(label, str(row.state), words=row.reason)
    score = "" if row.score is None else f"score {number(lowered(row.score, answer.better))}"
    moved = [f"{other} = {number(float(row.config[other]))}" for other in fixed if row.config[other] != fixed[other] and row.arm != OFF_ARM]
    note = ", ".join(part for part in (score, *moved, "another seed" if row.seed != seed else "") if part)
    return pictures.Row(label, note, sheet, "no picture was drawn")


def _beyond(strongest: MemberRow, members: Sequence[MemberRow], knob: Knob, fixed: Mapping[str, Value]) -> list[pictures.Row]:
    """A row of words for the weakest λ beyond the strip at which a training of the search was lost, if there is one."""
    axis = Axis.of(knob)

    def u(row: MemberRow) -> float:
        return axis.more * axis.u(row.config[knob.name])

    lost = [
        row
        for row in members
        if row.phase == Phase.SEARCH
        and row.state in LOST
        and u(row) > u(strongest)
        and all(row.config[other] == value for other, value in fixed.items())
    ]
    if not lost:
        return []
    first = min(lost, key=lambda row: (u(row), row.number))
    label = f"{knob.name} = {number(float(first.config[knob.name]))}"
    return [pictures.Row(label, f"{first.state} in the search", words=first.reason)]
