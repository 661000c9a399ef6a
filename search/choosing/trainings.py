"""What a surface is fitted to: the members that trained, and the scores that stopped members would have had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.base import State
from search.choosing.answer import Row
from search.modelling.surface import Training

NEIGHBOURS = 8  # how many members with a final score predict the final score of a stopped member
SLOPE_SD = 0.5  # how far final scores are expected to follow rung scores other than one to one


@dataclass(frozen=True)
class Final:
    """A member's final score. `variance` is 0 where the score was seen, else the variance of its prediction."""

    score: float
    variance: float = 0.0


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
        donors = [(curves[number][epoch], final) for number, final in sorted(known.items()) if epoch in curves[number]]
        found = {number: _predict(donors, curves[number][epoch]) for number in stopped if last[number] == epoch}
        known.update({number: final for number, final in found.items() if final is not None})
    return known


def _predict(donors: Sequence[tuple[float, Final]], at: float) -> Final | None:
    """The final score at rung score `at`: a line through the eight nearest donors, its slope drawn to 1.

    Bayes with a flat prior on the level and slope ~ N(1, ½²). So two donors shift the prediction, and eight donors regress it. The variance
    is the variance of one new member, and it grows with the distance from the donors. The residual variance s² is that of the least-squares
    line; for two or three donors that of the shift alone; for one donor the squared shift. Predicted donors add their own variance.
    """
    near = sorted(donors, key=lambda donor: (abs(donor[0] - at), donor[0], donor[1].score))[:NEIGHBOURS]
    if not near:
        return None
    x, y = np.array([rung for rung, _ in near]), np.array([final.score for _, final in near])
    dx, dy, count = x - x.mean(), y - y.mean(), len(near)
    if count > 3 and dx.any():
        residual = float(np.sum((dy - dx * (dx @ dy) / (dx @ dx)) ** 2)) / (count - 2)
    else:
        residual = float(np.var(y - x, ddof=1)) if count > 1 else float(y[0] - x[0]) ** 2
    residual += float(np.mean([final.variance for _, final in near]))
    stiff = residual / SLOPE_SD**2
    denominator = float(dx @ dx) + stiff
    slope = max((float(dx @ dy) + stiff) / denominator, 0.0) if denominator > 0.0 else 1.0
    spread = residual / denominator if denominator > 0.0 else SLOPE_SD**2
    away = at - float(x.mean())
    return Final(float(y.mean()) + slope * away, residual * (1 + 1 / count) + spread * away**2)


def trainings(rows: Sequence[Row]) -> list[Training]:
    """Every member that says something of its config: its score, seen or predicted, or that it was lost to its config.

    A stopped member whose score no other member can predict enters with the median score, and with the spread of all scores as its doubt.
    """
    known = finals(rows)
    scores = [final.score for final in known.values()]
    blind = Final(float(np.median(scores)), float(np.var(scores))) if scores else None
    found = []
    for row in sorted(rows, key=lambda row: row.number):
        final = known.get(row.number) or (blind if row.state == State.STOPPED else None)
        if final is not None:
            found.append(Training(row.config, row.seed, final.score, final.variance))
        elif row.ended == "bad":
            found.append(Training(row.config, row.seed, None))
    return found
