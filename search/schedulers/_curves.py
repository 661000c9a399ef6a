"""The curves of members, for schedulers that look at more than one epoch."""

from __future__ import annotations

import math
import statistics
from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """A member's scores up to an epoch: the best one and the mean."""

    best: float
    mean: float


class Curves:
    """Rung scores by arm, member and epoch. NaN counts as infinite.

    What the members of an arm have come to at an epoch is kept in order, so a member is compared with thousands as fast as with few.
    """

    def __init__(self) -> None:
        self._arms: dict[str, dict[int, dict[int, float]]] = {}
        self._bests: dict[tuple[str, int], array[float]] = {}  # of all members of an arm that reached an epoch, in order
        self._means: dict[tuple[str, int], array[float]] = {}

    def record(self, number: int, arm: str, epoch: int, score: float) -> None:
        """Note a score."""
        scores = self._arms.setdefault(arm, {}).setdefault(number, {})
        worst = math.inf if math.isnan(score) else score
        if scores.get(epoch) == worst:
            return
        later = [one for one in scores if one >= epoch]
        for one in later:
            summary = self.summary(number, arm, one)
            for kept, value in ((self._bests, summary.best), (self._means, summary.mean)):
                del kept[arm, one][bisect_left(kept[arm, one], value)]
        scores[epoch] = worst
        for one in dict.fromkeys((*later, epoch)):
            summary = self.summary(number, arm, one)
            for kept, value in ((self._bests, summary.best), (self._means, summary.mean)):
                insort(kept.setdefault((arm, one), array("d")), value)

    def until(self, number: int, arm: str, epoch: int) -> dict[int, float]:
        """A member's scores up to an epoch, in the order of the epochs."""
        scores = self._arms[arm][number]
        return {one: scores[one] for one in sorted(scores) if one <= epoch}

    def summary(self, number: int, arm: str, epoch: int) -> Summary:
        """A member's scores up to an epoch in short. The mean does not depend on the order in which they came."""
        scores = self.until(number, arm, epoch).values()
        return Summary(min(scores), statistics.fmean(scores))

    def others(self, arm: str, epoch: int) -> int:
        """How many others of the arm have reached an epoch, beside a member that has."""
        return len(self._means[arm, epoch]) - 1

    def median_of_others(self, number: int, arm: str, epoch: int) -> float:
        """The median of the mean scores up to an epoch of those others; there is at least one."""
        means = self._means[arm, epoch]
        mine, count = bisect_left(means, self.summary(number, arm, epoch).mean), len(means) - 1

        def at(place: int) -> float:
            return means[place + (place >= mine)]

        return at(count // 2) if count % 2 else (at(count // 2 - 1) + at(count // 2)) / 2

    def best_of_others(self, number: int, arm: str, epoch: int) -> float:
        """The best score up to an epoch of those others; infinite where there is none."""
        bests = self._bests[arm, epoch]
        first = int(self.summary(number, arm, epoch).best == bests[0])
        return bests[first] if len(bests) > first else math.inf


def grace(epochs: int, share: float) -> int:
    """The first epoch at which anybody may be stopped."""
    return max(1, math.ceil(share * epochs))
