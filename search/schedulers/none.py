"""No early stopping: every member trains for its whole budget."""

from __future__ import annotations

from collections.abc import Iterable

from search.schedulers import SchedulerInfo

SCHEDULER = SchedulerInfo(name="none", summary="every member trains for its whole budget", formula="–", source="–", several=True)


class Scheduler:
    """Never stops anything."""

    milestones: tuple[int, ...] = ()

    def __init__(self, epochs: int) -> None:
        del epochs

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Nothing to remember."""

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """Never a reason to stop."""
        del number, arm, epoch, score
        return ""
