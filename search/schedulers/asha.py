"""Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934): early stopping at geometrically spaced rungs.

It is ours, and not Ray Tune's, for three reasons. Rungs must survive a restart (they are rebuilt from the catalogue's reports). A member's
state must be written by what ended it. And the off arm must not be stopped by the arms for which it is the yardstick: every arm is halved
by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from search.schedulers import SchedulerInfo
from search.schedulers._curves import grace
from search.schedulers._rungs import Rungs

SCHEDULER = SchedulerInfo(
    name="asha",
    summary="at each rung a member goes on only if its score is among the best 1/η of those of its arm that reached the rung so far",
    formula="rungs at grace·η^k epochs, grace = ⌈grace_share·epochs⌉; η = reduction",
    source="Li et al. 2020, arXiv 1810.05934",
)
EXAMPLES = ({"reduction": 2, "grace_share": 0.1}, {"reduction": 4})


class Scheduler:
    """The rungs of one sweep. `milestones` are the epochs at which `decide` has an opinion."""

    def __init__(
        self,
        epochs: int,
        *,
        reduction: Annotated[int, Field(ge=2, description="η: one of so many goes on at a rung")] = 3,
        # The scores of a GAN are not monotone early on, so nothing is judged before a fifth of the budget.
        grace_share: Annotated[float, Field(gt=0, lt=1, description="the share of the epochs before the first rung")] = 0.2,
    ) -> None:
        self.milestones = rungs(epochs, reduction, grace_share)
        self._rungs = Rungs(reduction)

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in (number, arm, epoch, rung score) of an earlier driver, without deciding anything."""
        for number, arm, epoch, score in reports:
            if epoch in self.milestones:
                self._rungs.record(arm, number, epoch, score)

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop this member now, or an empty string."""
        if epoch not in self.milestones:
            return ""
        self._rungs.record(arm, number, epoch, score)
        if not (beaten := self._rungs.beaten(arm, number, epoch)):
            return ""
        rank, members, kept = beaten
        return f"asha: rank {rank} of {members} of arm {arm!r} at epoch {epoch}, best {kept} go on"


def rungs(epochs: int, reduction: int, grace_share: float) -> tuple[int, ...]:
    """The epochs of the rungs, all before the last epoch."""
    epoch, found = grace(epochs, grace_share), []
    while epoch < epochs:
        found.append(epoch)
        epoch *= reduction
    return tuple(found)
