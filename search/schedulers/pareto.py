"""Early stopping for several metrics: a member stops where it will hardly end on the Pareto front of its arm.

A member that is worse in one metric may still be on the front. What counts is not where it is now but where it is likely to end. The
members of the arm that are complete say how a value at this epoch, and its change since about half of it, predict the final value: each
metric by a ridge regression whose slope is drawn to 1. The prediction is Student's t around ŷ, wider where few members are complete. A
member stops at epoch t if at this epoch it is dominated, and

    P(no complete member b has y_b ≤ Y in every metric) ≤ risk,    Y = ŷ + s·t_ν in each metric by itself.

The probability is that of the whole front of the complete members: one of them may beat the member where its first metric comes out well,
another where it does not. Members that are still in training dominate nobody, because they may yet diverge. Until `min_members` of the arm
are complete, nobody stops.

A complete member that ended far worse than its value had promised (by more than `TRIM` robust standard deviations) has lost its way after
this epoch. It is left out of the regression, so what is predicted is the end of a member that stays sound. Otherwise few divergences would
make every prediction too wide to stop anybody.

A metric that is not measured at the epoch (NaN) shows nothing, so nobody stops. For this reason `bytes` is measured after every epoch. The
first value is the rung score, the cheap stand-in of the score. With one metric the rule is the same.
`python -m tests.study.replay_pareto` replays it on curves of real trainings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from search.schedulers import SchedulerInfo, Score
from search.schedulers._curves import grace

SCHEDULER = SchedulerInfo(
    name="pareto",
    summary="a member stops only where it is likely to end dominated by the complete members of its arm in all metrics",
    formula="stop at epoch t if P(no complete b has y_b ≤ Y in every metric) ≤ risk; Y by regression on the complete members",
    source="ours; Pareto dominance as in Deb et al. 2002, doi 10.1109/4235.996017; a rung's prediction as in search/choosing/trainings.py",
    several=True,
)
EXAMPLES = ({"risk": 0.2, "grace_share": 0.2}, {"min_members": 2})
SLOPE_SD = 0.5  # how far final values are expected to follow earlier ones other than one to one, and to go on with their change
GROWTH = 1.5  # from one milestone to the next
TRIM = 4.0
DRAWS = 2000
Array = NDArray[np.float64]
Values = tuple[float, ...]


class Scheduler:
    """The curves of one sweep, by arm, epoch and member. Milestones grow by half, from the epochs of grace on."""

    def __init__(
        self,
        epochs: int,
        *,
        risk: Annotated[float, Field(gt=0, lt=1, description="how likely a member that is stopped may be to end on the front")] = 0.1,
        min_members: Annotated[int, Field(ge=2, description="nobody is stopped before so many of the arm are complete")] = 4,
        grace_share: Annotated[float, Field(gt=0, lt=1, description="nobody is stopped before this share of the epochs")] = 0.1,
    ) -> None:
        self.milestones = milestones(epochs, grace_share)
        self._epochs, self._risk, self._fewest = epochs, risk, min_members
        self._seen: dict[str, dict[int, dict[int, Values]]] = {}

    def hear(self, reports: Iterable[tuple[int, str, int, Score]]) -> None:
        """Take in (number, arm, epoch, the rung score or the values of all metrics), without deciding anything."""
        for number, arm, epoch, score in reports:
            if epoch in self.milestones or epoch == self._epochs:
                self._seen.setdefault(arm, {}).setdefault(epoch, {})[number] = _values(score)

    def decide(self, number: int, arm: str, epoch: int, score: Score) -> str:
        """The reason to stop this member now, or an empty string."""
        self.hear([(number, arm, epoch, score)])
        seen = self._seen.get(arm, {})
        ends = {one: values for one, values in seen.get(self._epochs, {}).items() if all(map(math.isfinite, values))}
        if epoch not in self.milestones or number in seen.get(self._epochs, {}):
            return ""
        here, before = seen[epoch], self._before(seen, epoch)
        mine = here[number]
        donors = [one for one in sorted(ends) if one in here and all(map(math.isfinite, (*here[one], *before.get(one, ()))))]
        if len(donors) < self._fewest or any(map(math.isnan, mine)) or not any(_dominates(other, mine) for other in here.values()):
            return ""
        if not all(one in before and all(map(math.isfinite, before[one])) for one in (*donors, number)):
            before = {}
        drawn = np.array([self._drawn(m, donors, here, before, ends, number) for m in range(len(mine))])
        known = np.array([ends[one] for one in sorted(ends)])
        free = 1 - float(np.mean(np.any(np.all(known[:, :, None] <= drawn[None], axis=1), axis=0)))
        if free > self._risk:
            return ""
        count = "the score" if len(mine) == 1 else f"all {len(mine)} metrics"
        return f"pareto: at epoch {epoch} it is likely ({100 * (1 - free):.0f} %) to end behind complete members of arm {arm!r} in {count}"

    def _drawn(
        self,
        metric: int,
        donors: Sequence[int],
        here: Mapping[int, Values],
        before: Mapping[int, Values],
        ends: Mapping[int, Values],
        number: int,
    ) -> Array:
        """Draws of the final value of one metric, (DRAWS,). Where the value is infinite now, so is the end."""
        if math.isinf(here[number][metric]):
            return np.full(DRAWS, here[number][metric])
        way = Way.of(
            np.array([_seen(here[one], before.get(one), metric) for one in donors]),
            np.array([ends[one][metric] for one in donors]),
            self._fewest,
        )
        mean, variance = way.end(_seen(here[number], before.get(number), metric))
        return mean + math.sqrt(variance) * _students(way.free, metric)

    def _before(self, seen: Mapping[int, dict[int, Values]], epoch: int) -> dict[int, Values]:
        """The values of members at the last milestone in the first half of these epochs; none where there is no such milestone."""
        early = [one for one in self.milestones if 2 * one <= epoch]
        return seen.get(early[-1], {}) if early else {}


@dataclass(frozen=True)
class Way:
    """From a value (and its change) at an epoch to the final value: ridge regression toward slope 1 and change 0."""

    at: Array
    level: float
    slopes: Array
    residual: float  # variance
    spread: Array  # the posterior covariance of the slopes
    count: int
    free: int  # degrees of freedom

    @staticmethod
    def of(x: Array, y: Array, fewest: int = 2) -> Way:
        """From donors' points x (n, p) and final values y (n,), without those that ended far worse than the others say.

        At least half of the donors are kept, and `fewest` of them.
        """
        kept = np.ones(len(y), dtype=bool)
        while True:
            way = Way._fitted(x[kept], y[kept])
            beyond = y - way.level - (x - way.at) @ way.slopes
            middle = float(np.median(beyond[kept]))
            fine = beyond - middle <= TRIM * 1.4826 * float(np.median(np.abs(beyond[kept] - middle))) + 1e-12 * abs(way.level)
            fine &= kept  # so it ends
            if fine.sum() in (kept.sum(), 0) or fine.sum() < max(fewest, len(y) / 2):
                return way
            kept = fine

    @staticmethod
    def _fitted(x: Array, y: Array) -> Way:
        """The residual variance s² is that of least squares, with ν = n − 1 − p degrees of freedom; with too few donors that of y − x."""
        count, width = x.shape
        at, level = x.mean(axis=0), float(y.mean())
        dx, dy, free = x - at, y - level, count - 1 - width
        if free > 0:
            fitted = dx @ np.linalg.lstsq(dx, dy, rcond=None)[0]
            residual = float(np.sum((dy - fitted) ** 2)) / free
        else:
            free, residual = max(count - 1, 1), float(np.var(y - x[:, 0], ddof=1)) if count > 1 else math.inf
        squares: Array = dx.T @ dx
        stiff = max(residual / SLOPE_SD**2, 1e-9 * float(np.trace(squares)), 1e-300)  # donors that are all alike say nothing of slopes
        inverse: Array = np.linalg.inv(squares + stiff * np.eye(width))
        slopes: Array = inverse @ (dx.T @ dy + stiff * np.eye(width)[0])
        return Way(at, level, slopes, residual, residual * inverse, count, free)

    def end(self, point: Sequence[float]) -> tuple[float, float]:
        """The expected final value of a member that is at this point, and the variance of that."""
        away: Any = np.array(point) - self.at
        spread = max(float(away @ self.spread @ away), 0.0)
        return self.level + float(self.slopes @ away), self.residual * (1 + 1 / self.count) + spread


def milestones(epochs: int, grace_share: float) -> tuple[int, ...]:
    """Epochs that grow by half, from the first at which anybody may be stopped; all lie before the last epoch."""
    found, at = [], float(grace(epochs, grace_share))
    while math.ceil(at) < epochs:
        found.append(math.ceil(at))
        at = max(at * GROWTH, math.ceil(at) + 1)
    return tuple(found)


def _seen(here: Values, before: Values | None, metric: int) -> list[float]:
    """What predicts the end of one metric: its value, and its change where an earlier value is known."""
    return [here[metric], here[metric] - before[metric]] if before is not None else [here[metric]]


@cache
def _students(free: int, metric: int) -> Array:
    """Draws of Student's t, the same ones whenever they are asked for."""
    found: Array = np.random.default_rng([free, metric]).standard_t(free, DRAWS)
    return found


def _dominates(one: Values, other: Values) -> bool:
    """Whether these values are at least as good in all, and better in one; never where one is NaN."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def _values(score: Score) -> Values:
    """All values. A rung score that is NaN is the worst; another metric that is NaN was not measured."""
    first, *others = score if isinstance(score, tuple) else (score,)
    return (math.inf if math.isnan(first) else first, *others)
