"""What a surface is fitted to: the members that trained, and the scores that stopped members would have had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from objectives.base import Phase, State
from search.choosing.answer import Row
from search.modelling.final import Final, in_order, predicted
from search.modelling.surface import Training


def finals(rows: Sequence[Row]) -> dict[int, Final]:
    """The final scores of complete members, and the predicted final scores of stopped members, by member number.

    A stopped member is predicted from its last rung score. The donors are the members that have a rung score at the same epoch and a final
    score. Members that were stopped latest are predicted first; then they help to predict those that were stopped earlier. If only the
    survivors of every later rung were donors, their luck at those rungs would make everyone's prediction too good. A stopped member is left
    out if no donor has a score at its epoch.
    """
    known = {row.number: Final(row.score) for row in rows if row.ended == "ok" and row.score is not None}
    curves = {row.number: row.curve or ({row.epochs: row.rung_score} if row.rung_score is not None else {}) for row in rows}
    stopped = [row.number for row in rows if row.state == State.STOPPED and curves[row.number]]
    last = {number: max(curves[number]) for number in stopped}
    for epoch in sorted(set(last.values()), reverse=True):
        donors = in_order([(curves[number][epoch], final) for number, final in sorted(known.items()) if epoch in curves[number]])
        found = {number: predicted(donors, curves[number][epoch]) for number in stopped if last[number] == epoch}
        known.update({number: final for number, final in found.items() if final is not None})
    return known


def trainings(rows: Sequence[Row]) -> list[Training]:
    """Every member that says something of its config: its score, seen or predicted, or that it was lost to its config.

    A stopped member whose score no other member can predict enters with the median score, and with the spread of all scores as its doubt.
    A member of a path, too, says only with a doubt what a training from scratch would score.
    """
    rows = [row for row in rows if row.constant]  # one whose knobs moved says nothing of one config
    known, warm = finals(rows), path_doubt(rows)
    scores = [final.score for final in known.values()]
    blind = Final(float(np.median(scores)), float(np.var(scores))) if scores else None
    found = []
    for row in sorted(rows, key=lambda row: row.number):
        final = known.get(row.number) or (blind if row.state == State.STOPPED else None)
        if final is not None:
            doubt = final.variance + (warm if row.parent is not None else 0.0)
            found.append(Training(row.config, row.seed, final.score, doubt, row.state == State.STOPPED))
        elif row.ended == "bad":
            found.append(Training(row.config, row.seed, None))
    return found


def path_doubt(rows: Sequence[Row]) -> float:
    """Half the mean squared difference of two trainings of one config and seed: those of a path, on the way up and on the way back."""
    ways: dict[tuple[object, ...], list[float]] = {}
    for row in sorted(rows, key=lambda row: row.number):
        if row.phase == Phase.SEARCH and row.ended == "ok" and row.score is not None:
            ways.setdefault((row.arm, row.seed, *sorted(row.config.items())), []).append(row.score)
    gaps = [both[1] - both[0] for both in ways.values() if len(both) > 1]
    return float(np.mean(np.square(gaps))) / 2 if gaps else 0.0
