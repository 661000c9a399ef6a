"""Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934): early stopping at geometrically spaced rungs.

It is ours, and not Ray Tune's, for three reasons. Rungs must survive a restart (they are rebuilt from the catalogue's reports). A member's
state must be written by what ended it. And the off arm must not be stopped by the arms for which it is the yardstick: every arm is halved
by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from search.schedulers import SchedulerInfo

SCHEDULER = SchedulerInfo(
    name="asha",
    summary="at each rung a member goes on only if its score is among the best 1/η of those of its arm that reached the rung so far",
    formula="rungs at grace·η^k epochs, grace = ⌈0.2·epochs⌉, η = 3",
    source="Li et al. 2020, arXiv 1810.05934",
)
REDUCTION = 3
# The scores of a GAN are not monotone early on, so nothing is judged before a fifth of the budget.
GRACE_SHARE = 0.2


class Scheduler:
    """The rungs of one sweep. `milestones` are the epochs at which `decide` has an opinion."""

    def __init__(self, epochs: int) -> None:
        self.milestones = rungs(epochs)
        self._scores: dict[tuple[str, int], dict[int, float]] = {}

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in (number, arm, epoch, rung score) of an earlier driver, without deciding anything."""
        for number, arm, epoch, score in reports:
            self._record(number, arm, epoch, score)

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop this member now, or an empty string."""
        if epoch not in self.milestones:
            return ""
        self._record(number, arm, epoch, score)
        rung = self._scores[arm, epoch]
        kept = max(1, math.ceil(len(rung) / REDUCTION))
        rank = sorted(rung, key=lambda other: (rung[other], other)).index(number) + 1
        if rank <= kept:
            return ""
        return f"asha: rank {rank} of {len(rung)} of arm {arm!r} at epoch {epoch}, best {kept} go on"

    def _record(self, number: int, arm: str, epoch: int, score: float) -> None:
        if epoch in self.milestones:
            worst = math.inf if math.isnan(score) else score
            self._scores.setdefault((arm, epoch), {})[number] = worst


def rungs(epochs: int) -> tuple[int, ...]:
    """The epochs of the rungs, all before the last epoch."""
    epoch, found = max(1, math.ceil(GRACE_SHARE * epochs)), []
    while epoch < epochs:
        found.append(epoch)
        epoch *= REDUCTION
    return tuple(found)
