"""Early stopping of a member that no longer improves (Prechelt 1998), for trainings that end long before their last epoch.

The best of an arm goes on, though it stagnates too: an answer needs complete members. So a member stops when it stagnates *and* another of
its arm that has come as far was better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from search.schedulers import SchedulerInfo
from search.schedulers._curves import Curves, grace

SCHEDULER = SchedulerInfo(
    name="patience",
    summary="a member stops where its score has not improved for `patience` epochs, unless it is the best of its arm so far",
    formula="stop at epoch s if s − e ≥ patience, where e is the last epoch with y_e < best before − min_delta",
    source="Prechelt 1998, Early Stopping – But When?, doi 10.1007/3-540-49430-8_3",
)
EXAMPLES = ({"patience": 1, "min_delta": 0.25, "grace_share": 0.05}, {"patience": 3})


class Scheduler:
    """The curves of one sweep. It decides after every epoch at which anybody can have stagnated for so long."""

    def __init__(
        self,
        epochs: int,
        *,
        patience: Annotated[int, Field(ge=1, description="epochs without an improvement")] = 5,
        min_delta: Annotated[float, Field(ge=0, description="a smaller improvement is none, in units of the score")] = 0.0,
        grace_share: Annotated[float, Field(gt=0, lt=1, description="nobody is stopped before this share of the epochs")] = 0.2,
    ) -> None:
        self.milestones = tuple(range(max(patience, grace(epochs, grace_share)), epochs))
        self._patience, self._min_delta, self._curves = patience, min_delta, Curves()

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in (number, arm, epoch, rung score), without deciding anything."""
        for number, arm, epoch, score in reports:
            self._curves.record(number, arm, epoch, score)

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop this member now, or an empty string."""
        self._curves.record(number, arm, epoch, score)
        if epoch not in self.milestones:
            return ""
        last = improved(self._curves.until(number, arm, epoch), self._min_delta)
        best = self._curves.best_of_others(number, arm, epoch)
        if epoch - last < self._patience or self._curves.summary(number, arm, epoch).best <= best:
            return ""
        return f"patience: no improvement from epoch {last} to epoch {epoch}, and another of arm {arm!r} was better"


def improved(scores: Mapping[int, float], min_delta: float) -> int:
    """The last epoch that was better than all before it by more than `min_delta`; 0 if there was none."""
    best, last = math.inf, 0
    for epoch, score in scores.items():
        if score < best - min_delta:
            best, last = score, epoch
    return last
