"""Early stopping where it pays, and only of members that are expected to end badly.

Short trainings are trained whole: what a rung saves is less than what a wrong stop costs. Longer ones have the rungs of `asha`. A member
stops there if two things are true. Its rank is not among the best 1/η. And its final score, predicted by a line through the members of
its arm that ended, is worse by more than the error of this prediction than the best final scores, as many as go on. So a rung at which
early scores say little about late ones stops nobody. As long as fewer than `FEWEST` members of the arm have ended, nothing is predicted,
and the rank alone decides.

A share of the wall time is not asked for: what a driver decides must not depend on the speed of the machine on which it is resumed.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from search.modelling.final import Donor, Final, place, predicted
from search.schedulers import SchedulerInfo
from search.schedulers._rungs import Ranked, Rungs
from search.schedulers.asha import rungs

SCHEDULER = SchedulerInfo(
    name="auto",
    summary="nobody stops in trainings of few epochs; in longer ones a member stops at a rung of asha if its predicted final score, too, "
    "is worse than the best 1/η",
    formula="stop if rank > k = ⌈n/η⌉ and ŷ − doubt·s > y_(k), the k-th best final score; ŷ ± s: the line from rung to final scores",
    source="rungs: Li et al. 2020, arXiv 1810.05934; the line: search/modelling/final.py",
)
EXAMPLES = ({"reduction": 2, "grace_share": 0.1, "short": 3, "doubt": 0.5}, {"short": 1})
FEWEST = 4  # members of an arm that must have ended before a line is drawn through them


class Scheduler:
    """The rungs of one sweep, and the final scores of those that ended."""

    def __init__(
        self,
        epochs: int,
        *,
        short: Annotated[int, Field(ge=1, description="nobody stops in trainings of fewer epochs")] = 10,
        reduction: Annotated[int, Field(ge=2, description="η: one of so many goes on at a rung in any case")] = 3,
        grace_share: Annotated[float, Field(gt=0, lt=1, description="the share of the epochs before the first rung")] = 0.2,
        doubt: Annotated[float, Field(ge=0, description="how many errors of the prediction a member must be worse by")] = 1.0,
    ) -> None:
        self.milestones = rungs(epochs, reduction, grace_share) if epochs >= short else ()
        self._last, self._reduction, self._doubt = epochs, reduction, doubt
        self._rungs = Rungs(reduction)
        self._ends: dict[str, Ranked] = {}  # by arm: finite final scores
        self._here: dict[tuple[str, int], dict[int, float]] = {}  # by arm, rung and member: finite scores
        self._donors: dict[tuple[str, int], list[Donor]] = {}  # by arm and rung: the members with both, in order

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in (number, arm, epoch, rung score), without deciding anything."""
        for number, arm, epoch, score in reports:
            if epoch in self.milestones:
                self._rungs.record(arm, number, epoch, score)
            if math.isfinite(score):
                self._note(number, arm, epoch, score)

    def _note(self, number: int, arm: str, epoch: int, score: float) -> None:
        """Keep the donors of every rung in order, so that no decision sorts all members."""
        ends = self._ends.setdefault(arm, Ranked())
        for rung in self.milestones if epoch == self._last else (epoch,) if epoch in self.milestones else ():
            here = self._here.setdefault((arm, rung), {})
            donors, end = self._donors.setdefault((arm, rung), []), ends.scores.get(number)
            if number in here and end is not None:
                donors.remove((here[number], Final(end)))
            if epoch == self._last:
                end = score
            else:
                here[number] = score
            if number in here and end is not None:
                insort(donors, (here[number], Final(end)), key=place)
        if epoch == self._last:
            ends.record(number, score)

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop this member now, or an empty string."""
        if epoch not in self.milestones:
            return ""
        self.hear([(number, arm, epoch, score)])
        if not (beaten := self._rungs.beaten(arm, number, epoch)):
            return ""
        rank, members, kept = beaten
        said = f"auto: rank {rank} of {members} of arm {arm!r} at epoch {epoch}, best {kept} go on"
        ends, donors = self._ends.get(arm, Ranked()), self._donors.get((arm, epoch), [])
        if number in ends.scores and math.isfinite(score):  # told again: it does not predict itself
            donors = [*donors]
            donors.remove((score, Final(ends.scores[number])))
        if len(donors) < FEWEST or not math.isfinite(score):
            return said
        found = predicted(donors, score)
        assert found is not None  # there are donors
        best = ends.at(min(kept, len(ends)))
        error = math.sqrt(found.variance)
        if found.score - self._doubt * error <= best:
            return ""
        return f"{said}; predicted to end with {found.score:.4g} ± {error:.2g}, the best {kept} with {best:.4g} or less"
