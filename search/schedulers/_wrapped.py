"""Two schedulers at once: a member stops where either of them says so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Wrapped:
    """`outer` around `inner`. Both hear of everything, so each decides as it would alone, and the first reason counts."""

    def __init__(self, outer: Any, inner: Any) -> None:
        self._both = (outer, inner)
        self.milestones: tuple[int, ...] = tuple(sorted({*outer.milestones, *inner.milestones}))

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in (number, arm, epoch, rung score)."""
        told = list(reports)
        for one in self._both:
            one.hear(told)

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason of the first that would stop this member now, or an empty string."""
        reasons = [one.decide(number, arm, epoch, score) for one in self._both]
        return next(filter(None, reasons), "")
