"""The curves of members, for schedulers that look at more than one epoch."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A member's scores up to an epoch: the best one and the mean."""

    best: float
    mean: float


class Curves:
    """Rung scores by arm, member and epoch. NaN counts as infinite."""

    def __init__(self) -> None:
        self._arms: dict[str, dict[int, dict[int, float]]] = {}
        self._summaries: dict[int, dict[int, Summary]] = {}  # of members, as long as nothing new is heard of them

    def record(self, number: int, arm: str, epoch: int, score: float) -> None:
        """Note a score."""
        scores = self._arms.setdefault(arm, {}).setdefault(number, {})
        worst = math.inf if math.isnan(score) else score
        if scores.get(epoch) != worst:
            scores[epoch] = worst
            self._summaries.pop(number, None)

    def until(self, number: int, arm: str, epoch: int) -> dict[int, float]:
        """A member's scores up to an epoch, in the order of the epochs."""
        scores = self._arms[arm][number]
        return {one: scores[one] for one in sorted(scores) if one <= epoch}

    def summary(self, number: int, arm: str, epoch: int) -> Summary:
        """A member's scores up to an epoch in short. The mean does not depend on the order in which they came."""
        known = self._summaries.setdefault(number, {})
        if epoch not in known:
            scores = self.until(number, arm, epoch).values()
            known[epoch] = Summary(min(scores), statistics.fmean(scores))
        return known[epoch]

    def others(self, number: int, arm: str, epoch: int) -> list[Summary]:
        """Every other member of the arm that has reached an epoch, up to there."""
        return [self.summary(other, arm, epoch) for other, scores in self._arms[arm].items() if other != number and epoch in scores]


def grace(epochs: int, share: float) -> int:
    """The first epoch at which anybody may be stopped."""
    return max(1, math.ceil(share * epochs))
