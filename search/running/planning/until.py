"""A search that goes on until λ is known to what was asked: how many members it has at least."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from objectives.base import Phase
from search.asking.space import Space
from search.choosing.answer import Row
from search.choosing.from_members import lambda_goals
from search.spec.goals import MOST
from search.spec.keys import Spec


class Until:
    """The members that the search of one sweep wants. It has no state that the members do not have.

    The goals about λ are looked at when half of the trials ended, or all of them where the user gave points to try, and then after every
    sixth of them. Where a look finds all goals reached, the search is over. A search that has more members than a look needs was not over
    at that look.
    """

    def __init__(self, spec: Spec, space: Space, rows: Callable[[], Sequence[Row]]) -> None:
        self._spec, self._space, self._rows = spec, space, rows
        self._step = max(2, math.ceil(spec.budget.trials / 6))
        self._reached: dict[int, bool] = {}  # by number of members: a look costs a second, and the plan asks again and again

    def wanted(self, searched: int, open_: bool) -> int:
        """How many members the search needs now, of which there are `searched`; `open_`: some of them have no end yet."""
        trials = self._spec.budget.trials
        if not any(goal.about != "effect" for goal in self._spec.goals):
            return trials
        look = trials if self._spec.points else math.ceil(trials / 2)
        while look < searched:
            look += self._step
        if searched < look or open_:
            return min(look, MOST * trials)
        if searched not in self._reached:
            # Not the confirmations: a driver that comes later looks again, and there may be some by then.
            rows = [row for row in self._rows() if row.phase == Phase.SEARCH]
            self._reached[searched] = all(one.reached for one in lambda_goals(self._spec, self._space, rows))
        return searched if self._reached[searched] else min(look + self._step, MOST * trials)
