"""The median stopping rule of Google Vizier (Golovin et al. 2017): a member that is worse than half of the others is stopped.

A member is compared with those of its arm that have reached the same epoch. (In the paper these are the completed members. In a sweep that
stops many, few complete; and who reached the epoch says as much about it.) The rule takes no view of how curves go on, and needs no η.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from search.schedulers import SchedulerInfo
from search.schedulers._curves import Curves, grace

SCHEDULER = SchedulerInfo(
    name="median",
    summary="a member stops where its best score so far is worse than the median of the mean scores so far of the others of its arm",
    formula="stop at epoch s if min y_1:s > median of the others' mean y_1:s",
    source="Golovin et al. 2017, KDD, doi 10.1145/3097983.3098043",
)
EXAMPLES = ({"min_members": 1, "grace_share": 0.05}, {"min_members": 5})


class Scheduler:
    """The curves of one sweep. It decides after every epoch of grace."""

    def __init__(
        self,
        epochs: int,
        *,
        grace_share: Annotated[float, Field(gt=0, lt=1, description="nobody is stopped before this share of the epochs")] = 0.2,
        min_members: Annotated[int, Field(ge=1, description="nobody is stopped before so many others reached the epoch")] = 3,
    ) -> None:
        self.milestones = tuple(range(grace(epochs, grace_share), epochs))
        self._min_members, self._curves = min_members, Curves()

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in (number, arm, epoch, rung score), without deciding anything."""
        for number, arm, epoch, score in reports:
            self._curves.record(number, arm, epoch, score)

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop this member now, or an empty string."""
        self._curves.record(number, arm, epoch, score)
        if epoch not in self.milestones:
            return ""
        others = self._curves.others(arm, epoch)
        if others < self._min_members:
            return ""
        best, median = self._curves.summary(number, arm, epoch).best, self._curves.median_of_others(number, arm, epoch)
        if best <= median:
            return ""
        return f"median: best score {best:.6g} at epoch {epoch}, median of the mean scores of {others} others of arm {arm!r} {median:.6g}"
