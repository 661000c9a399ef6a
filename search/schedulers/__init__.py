"""Schedulers: which members are worth their next epochs. One file each; the file name is the name in a spec, so no list is edited.

A file holds `SCHEDULER`, a `SchedulerInfo`, and a class `Scheduler(epochs)` with the methods of `SchedulerProtocol`. The class is pure:
what carries a sweep out asks it and does as it says. The contract suite tests each file for this:

- milestones ascend, and all lie before the last epoch; between them the scheduler decides nothing;
- a decision depends on what was told, not on the order or the groups in which it was told, because packs report together, and a resumed
  driver tells everything again;
- every arm is judged only against itself, so that the off arm is not stopped by the arms for which it is the yardstick;
- a lower score is better and NaN is the worst; the best of an arm goes on;
- a reason begins with the scheduler's name and names the epoch.
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
    """Decides at milestones whether a member goes on. `milestones` are the epochs after which workers wait for a decision."""

    milestones: tuple[int, ...]

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Take in what an earlier driver was told: (number, arm, epoch, rung score)."""
        ...

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """The reason to stop a member after this epoch; empty if the member goes on."""
        ...


def known() -> list[str]:
    """The names of all schedulers."""
    return names("scheduler", __name__)


def make(name: str, epochs: int) -> SchedulerProtocol:
    """The scheduler called `name` for members of `epochs` epochs."""
    scheduler: SchedulerProtocol = importlib.import_module(f"{__name__}.{name}").Scheduler(epochs)
    return scheduler
