"""Schedulers: which members are worth their next epochs. One file each; the file name is the registry.

A scheduler file holds `SCHEDULER` (a SchedulerInfo) and a class `Scheduler(epochs)` with `milestones`, `replay` and `decide`. It is pure:
Ray Tune is told its decisions by `search.searcher`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from objectives.registry import names


@dataclass(frozen=True)
class SchedulerInfo:
    """What `lagrange schedulers` prints."""

    name: str
    summary: str
    formula: str
    source: str


class SchedulerProtocol(Protocol):
    """Decides at milestones whether a member goes on."""

    milestones: tuple[int, ...]

    def replay(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in what an earlier driver saw: (number, arm, epoch, rung score)."""
        ...

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop a member after this epoch; empty: it goes on."""
        ...


def known() -> list[str]:
    """The names of all schedulers."""
    return names("scheduler", __name__)


def make(name: str, epochs: int) -> SchedulerProtocol:
    """The scheduler called `name` for members of `epochs` epochs."""
    scheduler: SchedulerProtocol = importlib.import_module(f"{__name__}.{name}").Scheduler(epochs)
    return scheduler
