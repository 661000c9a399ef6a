"""Early stopping for several metrics: a member stops only where another is better in *all* of them, by more than the noise.

A member that is worse in one metric may still be on the Pareto front. So it is compared with every other member of its arm that came as
far, in each metric by itself. What counts is not where the two are now but where they are likely to end. The members of the arm that are
complete say how a value at this epoch, and its change since about half of it, predict the final value: by a regression whose slope is drawn
to 1, with its residual variance. Of a member that is complete the final value is known. A member stops at epoch t if there is a b with

    ŷ_a − ŷ_b > sds · √(v_a + v_b)    in every metric,

where ŷ is the predicted (or known) final value and v its variance, wider where few members are complete. Until `min_members` of its arm are
complete, nobody stops.

A metric that is not measured at the epoch (NaN) shows nobody to be better in it, so nobody stops. For this reason `bytes` is measured after
every epoch. The first value is the rung score, the cheap stand-in of the score. With one metric the rule is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from search.schedulers import SchedulerInfo, Score
from search.schedulers._curves import grace

SCHEDULER = SchedulerInfo(
    name="pareto",
    summary="a member stops only where another of its arm is better in every metric, beyond the noise of what its values predict",
    formula="stop at epoch t if some b has ŷ_a − ŷ_b > sds·√(v_a + v_b) in every metric; ŷ and v by regression on the complete members",
    source="ours; Pareto dominance as in Deb et al. 2002, doi 10.1109/4235.996017; a rung's prediction as in search/choosing/trainings.py",
    several=True,
)
EXAMPLES = ({"sds": 1.0, "grace_share": 0.2}, {"min_members": 2})
SLOPE_SD = 0.5  # how far final values are expected to follow earlier ones other than one to one, and to go on with their change
GROWTH = 1.5  # from one milestone to the next
Array = NDArray[np.float64]
Values = tuple[float, ...]


class Scheduler:
    """The curves of one sweep, by arm, epoch and member. Milestones grow by half, from the epochs of grace on."""

    def __init__(
        self,
        epochs: int,
        *,
        sds: Annotated[float, Field(ge=0, description="how far beyond the noise a member must be dominated, in standard deviations")] = 2.0,
        min_members: Annotated[int, Field(ge=2, description="nobody is stopped before so many of the arm are complete")] = 4,
        grace_share: Annotated[float, Field(gt=0, lt=1, description="nobody is stopped before this share of the epochs")] = 0.1,
    ) -> None:
        self.milestones = milestones(epochs, grace_share)
        self._epochs, self._sds, self._fewest = epochs, sds, min_members
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
        ends = seen.get(self._epochs, {})
        if epoch not in self.milestones or number in ends:
            return ""
        here, before = seen[epoch], self._before(seen, epoch)
        donors = [one for one in sorted(here) if one in ends and all(map(math.isfinite, (*here[one], *ends[one], *before.get(one, ()))))]
        before = before if all(one in before for one in (*donors, number)) else {}
        if len(donors) < self._fewest:
            return ""
        ways = [
            Way.of(np.array([_seen(here[one], before.get(one), m) for one in donors]), np.array([ends[one][m] for one in donors]))
            for m in range(len(here[number]))
        ]

        def end(one: int, m: int) -> tuple[float, float]:
            if one in ends:
                return ends[one][m], 0.0
            point = _seen(here[one], before.get(one), m)
            if len(point) != ways[m].width or not all(map(math.isfinite, point)):
                return here[one][m] if math.isinf(here[one][m]) else math.nan, 0.0
            return ways[m].end(point)

        mine = [end(number, m) for m in range(len(ways))]
        for other in sorted(here):
            if other != number and all(self._better(end(other, m), mine[m]) for m in range(len(ways))):
                count = "the score" if len(ways) == 1 else f"all {len(ways)} metrics"
                return f"pareto: member {other} of arm {arm!r} is better in {count} beyond the noise at epoch {epoch}"
        return ""

    def _better(self, one: tuple[float, float], other: tuple[float, float]) -> bool:
        """Whether one end is better than the other beyond the noise; never where either is unknown."""
        return bool(other[0] - one[0] > self._sds * math.sqrt(one[1] + other[1]))

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
    residual: float  # variance, widened for the degrees of freedom
    spread: Array  # the posterior covariance of the slopes
    count: int

    @property
    def width(self) -> int:
        """How many numbers it predicts from."""
        return len(self.at)

    @staticmethod
    def of(x: Array, y: Array) -> Way:
        """From donors' points x (n, p) and final values y (n,).

        The residual variance s² is that of least squares, with n − 1 − p degrees of freedom; with too few donors that of y − x. It is
        widened by (1 + (1 + 2²)/4ν)², so that two standard deviations are about the 97.7 % quantile of Student's t with ν degrees of
        freedom (Cornish-Fisher).
        """
        count, width = x.shape
        at, level = x.mean(axis=0), float(y.mean())
        dx, dy, free = x - at, y - level, count - 1 - width
        if free > 0:
            fitted = dx @ np.linalg.lstsq(dx, dy, rcond=None)[0]
            residual = float(np.sum((dy - fitted) ** 2)) / free
        else:
            free, residual = max(count - 1, 1), float(np.var(y - x[:, 0], ddof=1)) if count > 1 else math.inf
        residual *= (1 + 5 / (4 * free)) ** 2
        squares: Array = dx.T @ dx
        stiff = max(residual / SLOPE_SD**2, 1e-9 * float(np.trace(squares)), 1e-300)  # donors that are all alike say nothing of slopes
        inverse: Array = np.linalg.inv(squares + stiff * np.eye(width))
        slopes: Array = inverse @ (dx.T @ dy + stiff * np.eye(width)[0])
        return Way(at, level, slopes, residual, residual * inverse, count)

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


def _values(score: Score) -> Values:
    """All values. A rung score that is NaN is the worst; another metric that is NaN was not measured."""
    first, *others = score if isinstance(score, tuple) else (score,)
    return (math.inf if math.isnan(first) else first, *others)
