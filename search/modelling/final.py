"""The final score that a member would have had, from its score at a rung and from members whose final scores are known."""

from __future__ import annotations

from bisect import bisect_left
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


Donor = tuple[float, Final]  # a rung score, and what it came to


def in_order(donors: Sequence[Donor]) -> list[Donor]:
    """The donors by rung score, as `predicted` takes them."""
    return sorted(donors, key=place)


def place(donor: Donor) -> tuple[float, float]:
    """Where a donor lies among others."""
    return donor[0], donor[1].score


def nearest(donors: Sequence[Donor], at: float) -> list[Donor]:
    """Of donors that are `in_order`, those that are nearest to this rung score; of equally near ones the lower first.

    Only the few around it are looked at, so it costs as much with many donors as with few.
    """
    here = bisect_left(donors, at, key=lambda donor: donor[0])
    low = max(here - NEIGHBOURS, 0)
    if low:  # of those that are equally far all are looked at
        low = bisect_left(donors, donors[low][0], key=lambda donor: donor[0])
        while low and at - donors[low - 1][0] == at - donors[low][0]:
            low -= 1
    around = donors[low : here + NEIGHBOURS]
    return sorted(around, key=lambda donor: (abs(donor[0] - at), *place(donor)))[:NEIGHBOURS]


def predicted(donors: Sequence[Donor], at: float) -> Final | None:
    """The final score at rung score `at`: a line through the eight nearest donors, its slope drawn to 1. The donors are `in_order`.

    Bayes with a flat prior on the level and slope ~ N(1, ½²). So two donors shift the prediction, and eight donors regress it. The variance
    is the variance of one new member, and it grows with the distance from the donors. The residual variance s² is that of the least-squares
    line; for two or three donors that of the shift alone; for one donor the squared shift. Predicted donors add their own variance.
    """
    near = nearest(donors, at)
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
