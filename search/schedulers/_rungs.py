"""The rungs of successive halving: who is among the best 1/η of those that came to a rung so far."""

from __future__ import annotations

import math
from collections.abc import Hashable


class Rungs:
    """Scores by group and epoch. A group is whoever is compared: an arm, or a bracket of it."""

    def __init__(self, reduction: int) -> None:
        self._reduction = reduction
        self._scores: dict[tuple[Hashable, int], dict[int, float]] = {}

    def record(self, group: Hashable, number: int, epoch: int, score: float) -> None:
        """Note the score of a member at a rung. NaN counts as infinite."""
        self._scores.setdefault((group, epoch), {})[number] = math.inf if math.isnan(score) else score

    def beaten(self, group: Hashable, number: int, epoch: int) -> tuple[int, int, int] | None:
        """Rank, members of the rung and how many go on, for a member that does not; None for one that goes on."""
        rung = self._scores[group, epoch]
        kept = max(1, math.ceil(len(rung) / self._reduction))
        rank = sorted(rung, key=lambda other: (rung[other], other)).index(number) + 1
        return (rank, len(rung), kept) if rank > kept else None
