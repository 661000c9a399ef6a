"""What a sweep may still spend: its wall time, and the hours of its workers. The tighter of the two ends it, each in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterable

from infra.catalogue import MemberRow
from search.running.planning.wall import WallTime
from search.spec.hours import limit, words
from search.spec.keys import Spec


class Spending:
    """The budget of one sweep. What `rows` have used counts, whoever drove them, and what is added; the wall time begins with each driver.

    `search_share` of it is the search's.
    """

    def __init__(self, spec: Spec, wall: WallTime, rows: Iterable[MemberRow] = (), search_share: float = 1.0, workers: int = 1) -> None:
        self._spec, self._wall, self._share, self._workers = spec, wall, search_share, workers
        self.used_s = sum(row.seconds for row in rows)
        self._most_s, _ = limit(spec)

    @property
    def counts(self) -> bool:
        """Whether there is a total that members use up."""
        return math.isfinite(self._most_s)

    def add(self, seconds: float) -> None:
        """Members were trained for so long, or a worker prepared the data or read the test split."""
        self.used_s += seconds

    def left_s(self) -> float:
        """How many seconds are left, if all workers train."""
        return min(self._wall.left_s(), (self._most_s - self.used_s) / self._workers)

    def over(self) -> bool:
        """Whether all of it is used up."""
        return self._wall.over() or self.used_s > self._most_s

    def search_over(self) -> bool:
        """Whether the search's share is used up."""
        return self._wall.search_over() or self.used_s > self._most_s * self._share

    def why(self) -> str:
        """What is used up, or its share for the search, in words."""
        if self.used_s > self._most_s:
            return f"the budget is used up ({words(self._spec, self.used_s)})"
        if self._wall.over():
            return "the wall time is over"
        return f"the search's share of the {'budget' if self.used_s > self._most_s * self._share else 'wall time'} is used up"

    def said(self, searched: int, asked: int) -> list[str]:
        """What an answer says of the budget: that the search ended before the trials that were asked for, and what was used of a total."""
        short = [f"{searched} of {asked} trials were searched: {self.why()}"] if searched < asked and self.search_over() else []
        return short + ([f"used: {words(self._spec, self.used_s)}"] if self.counts else [])
