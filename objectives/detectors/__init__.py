"""Collapse detectors. They end a member as `collapsed`, with the evidence. One file each; every file that acts on a family is asked after
every epoch.

A file holds

- `SUMMARY`;
- `ON`: the objectives on which it acts;
- `READS`: the metrics of a member's reports that it reads;
- `find(history) -> str`: a pure function. It returns the evidence in words, which begin with the file's name in plain writing and a colon;
  or an empty string;
- `PLANTED`: knobs with which a short training on digits collapses in this way. The contract suite trains with them.

A collapse is not a bad score. A collapsed model has stopped doing what it is for. So its score says nothing about how good its λ could be.
A collapse is not a slow start either, which looks the same for a while. So no member has collapsed before half of its epochs, nor on fewer
than three evaluations in a row. And a member is ended early only where no schedule can still change it. Imports no torch.
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

FEWEST = 3  # at least so many evaluations in a row must agree
SHARE = 0.2  # and at least this share of the training


@dataclass(frozen=True)
class History:
    """A member so far: the metrics of each epoch, from the first; its budget and config.

    `rest` is the epoch after which no schedule of its loss changes any more; infinite if one always changes.
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
        """Whether training is done, so that what is found now is final."""
        return self.epoch >= self.epochs

    def length(self, share: float = SHARE, fewest: int = FEWEST) -> int:
        """How many evaluations in a row must agree."""
        return max(fewest, math.ceil(share * self.epochs))

    def last(self, count: int) -> Sequence[Mapping[str, float]]:
        """The last `count` evaluations; none where one of them lies in the first half of training."""
        return self.metrics[-count:] if self.epoch - count >= self.epochs / 2 else ()

    def settled(self, name: str, count: int) -> bool:
        """Whether nothing can change the last `count` evaluations: training is over, or schedules have ended and `name` does not rise."""
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
    """The evidence of the first detector that finds a collapse, or "". A detector whose metrics are not reported is not asked."""
    for detector in acting_on(objective):
        if history.metrics and set(detector.READS) <= set(history.metrics[-1]):
            evidence: str = detector.find(history)
            if evidence:
                return evidence
    return ""
