"""The final score that a member would have had, from its score at a rung and from members whose final scores are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 8  # how many members with a final score predict the final score of a stopped member
SLOPE_SD = 0.5  # how far final scores are expected to follow rung scores other than one to one


@dataclass(frozen=True)
class Final:
    """A member's final score. `variance` is 0 where the score was seen, else the variance of its prediction."""

    score: float
    variance: float = 0.0


def predicted(donors: Sequence[tuple[float, Final]], at: float) -> Final | None:
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
