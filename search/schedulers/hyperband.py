"""Hyperband (Li et al. 2018, JMLR 18): successive halving from several first rungs at once, for who does not know which one is right.

An early first rung saves most where early scores predict late ones, and loses the best member where they do not. So the members are
divided into brackets. Each bracket has a first rung of its own, and one bracket has none. As in asynchronous Hyperband (Li et al. 2020), a
member is judged when it comes to a rung, among those of its bracket and its arm that came before.

Which bracket a member belongs to is a function of its number alone, so a resumed driver puts it into the same one. Numbers go to brackets
by the multiples of the golden ratio, which fill [0, 1) evenly, whatever regular part of the numbers an arm has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from typing import Annotated

from pydantic import Field

from search.schedulers import SchedulerInfo
from search.schedulers._curves import grace
from search.schedulers._rungs import Rungs

SCHEDULER = SchedulerInfo(
    name="hyperband",
    summary="asha in several brackets at once, which differ in their first rung; a member is judged within its bracket and arm",
    formula="rungs of bracket s: ⌈epochs/η^k⌉, k = s … 1; s = 0 … ⌊log_η(epochs/grace)⌋; members in proportion to ⌈η^s·(s_max+1)/(s+1)⌉",
    source="Li et al. 2018, JMLR 18; asynchronous as in Li et al. 2020, arXiv 1810.05934",
)
EXAMPLES = ({"reduction": 2, "grace_share": 0.1}, {"reduction": 4})
GOLDEN = (math.sqrt(5) - 1) / 2


class Scheduler:
    """The rungs of the brackets of one sweep."""

    def __init__(
        self,
        epochs: int,
        *,
        reduction: Annotated[int, Field(ge=2, description="η: one of so many goes on at a rung")] = 3,
        grace_share: Annotated[float, Field(gt=0, lt=1, description="no rung lies before this share of the epochs")] = 0.05,
    ) -> None:
        self.brackets = brackets(epochs, reduction, grace_share)
        most = len(self.brackets)
        self._shares = list(accumulate(math.ceil(reduction**s * most / (s + 1)) for s in range(most)))
        self.milestones: tuple[int, ...] = tuple(sorted({epoch for rungs in self.brackets for epoch in rungs}))
        self._rungs = Rungs(reduction)

    def bracket(self, number: int) -> int:
        """The bracket of a member."""
        place = number * GOLDEN % 1 * self._shares[-1]
        return next(s for s, end in enumerate(self._shares) if place < end)

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in (number, arm, epoch, rung score), without deciding anything."""
        for number, arm, epoch, score in reports:
            if epoch in self.brackets[self.bracket(number)]:
                self._rungs.record((arm, self.bracket(number)), number, epoch, score)

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop this member now, or an empty string."""
        bracket = self.bracket(number)
        if epoch not in self.brackets[bracket]:
            return ""
        self._rungs.record((arm, bracket), number, epoch, score)
        if not (beaten := self._rungs.beaten((arm, bracket), number, epoch)):
            return ""
        rank, members, kept = beaten
        return f"hyperband: rank {rank} of {members} of bracket {bracket} of arm {arm!r} at epoch {epoch}, best {kept} go on"


def brackets(epochs: int, reduction: int, grace_share: float) -> list[tuple[int, ...]]:
    """The rungs of each bracket. Bracket 0 has none, and every further one has one more, at an earlier epoch."""
    first, most = grace(epochs, grace_share), 0
    while first * reduction ** (most + 1) <= epochs:
        most += 1
    found = [[math.ceil(epochs / reduction**k) for k in range(s, 0, -1)] for s in range(most + 1)]
    # In few epochs two rungs may fall together; one of them remains.
    return [tuple(sorted({epoch for epoch in rungs if epoch < epochs})) for rungs in found]
