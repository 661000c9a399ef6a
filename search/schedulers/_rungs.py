"""The rungs of successive halving: who is among the best 1/η of those that came to a rung so far."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Hashable


class Ranked:
    """Scores of members in order, lower first, equal ones by number. To put one in, or to find a rank, costs little among many."""

    def __init__(self) -> None:
        self.scores: dict[int, float] = {}
        self._order: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self.scores)

    def record(self, number: int, score: float) -> None:
        """Note the score of a member; a later one replaces an earlier one."""
        before = self.scores.get(number)
        if before == score:
            return
        if before is not None:
            del self._order[bisect_left(self._order, (before, number))]
        self.scores[number] = score
        insort(self._order, (score, number))

    def rank(self, number: int) -> int:
        """The place of a member, from 1 on."""
        return bisect_left(self._order, (self.scores[number], number)) + 1

    def at(self, place: int) -> float:
        """The score at a place, from 1 on."""
        return self._order[place - 1][0]


class Rungs:
    """Scores by group and epoch. A group is whoever is compared: an arm, or a bracket of it."""

    def __init__(self, reduction: int) -> None:
        self._reduction = reduction
        self._scores: dict[tuple[Hashable, int], Ranked] = {}

    def record(self, group: Hashable, number: int, epoch: int, score: float) -> None:
        """Note the score of a member at a rung. NaN counts as infinite."""
        self._scores.setdefault((group, epoch), Ranked()).record(number, math.inf if math.isnan(score) else score)

    def beaten(self, group: Hashable, number: int, epoch: int) -> tuple[int, int, int] | None:
        """Rank, members of the rung and how many go on, for a member that does not; None for one that goes on."""
        rung = self._scores[group, epoch]
        kept = max(1, math.ceil(len(rung) / self._reduction))
        rank = rung.rank(number)
        return (rank, len(rung), kept) if rank > kept else None
