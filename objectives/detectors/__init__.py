"""Collapse detectors: what ends a member as `collapsed`, with the evidence. One file each; every file that acts on a family is asked after
every epoch.

A file holds `SUMMARY`, `ON` (objectives), `READS` (the metrics of a member's reports that it looks at), `find(history) -> str`, a pure
function (the evidence in words that begin with the file's name, in plain writing, and a colon; or nothing), and `PLANTED`: knobs with which
a short training on digits ends so, to which its contract suite holds it.

A collapse is not a bad score: it is a model that has stopped doing what it is for, so the score it happens to have says nothing of how
good that λ could be. Nor is it a slow start, which looks the same for a while: before half of its epochs nobody has collapsed, nor on fewer
than three evaluations in a row; and a member is only ended early where no schedule can turn it round. Imports no torch.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

from objectives.base import Value
from objectives.registry import names

FEWEST = 3  # evaluations in a row that must agree
SHARE = 0.2  # and of the training


@dataclass(frozen=True)
class History:
    """A member so far: the metrics of each epoch, from the first; its budget and config.

    `rest` is the epoch from which every schedule of its loss stands still, infinite for one that never does.
    """

    metrics: Sequence[Mapping[str, float]]
    epochs: int
    config: Mapping[str, Value]
    rest: float = 0.0

    @property
    def epoch(self) -> int:
        """The last epoch that was trained."""
        return len(self.metrics)

    @property
    def over(self) -> bool:
        """Whether training is done: what is found now is what the member is."""
        return self.epoch >= self.epochs

    def length(self, share: float = SHARE, fewest: int = FEWEST) -> int:
        """How many evaluations in a row must agree."""
        return max(fewest, math.ceil(share * self.epochs))

    def last(self, count: int) -> Sequence[Mapping[str, float]]:
        """The last `count` evaluations, none where one of them lies in the first half of training."""
        return self.metrics[-count:] if self.epoch - count >= self.epochs / 2 else ()

    def settled(self, name: str, count: int) -> bool:
        """Whether nothing can turn the last `count` evaluations round: training is over, or schedules rest and `name` does not rise."""
        return self.over or (self.epoch - count >= self.rest and self.metrics[-1][name] <= self.metrics[-count][name])

    def span(self, count: int) -> str:
        """The epochs of the last `count` evaluations in words."""
        return f"epochs {self.epoch - count + 1} to {self.epoch} of {self.epochs}"


def module(name: str) -> ModuleType:
    """The detector file called `name`."""
    return importlib.import_module(f"{__name__}.{name}")


@lru_cache
def acting_on(objective: str) -> tuple[ModuleType, ...]:
    """The detectors of an objective."""
    return tuple(found for found in map(module, names("detector")) if objective in found.ON)


def reads(objective: str) -> tuple[str, ...]:
    """The metrics that the detectors of an objective look at."""
    return tuple(dict.fromkeys(name for found in acting_on(objective) for name in found.READS))


def find(objective: str, history: History) -> str:
    """The evidence of the first detector that finds a collapse, or nothing. A detector whose metrics are not reported is not asked."""
    for detector in acting_on(objective):
        if history.metrics and set(detector.READS) <= set(history.metrics[-1]):
            evidence: str = detector.find(history)
            if evidence:
                return evidence
    return ""
