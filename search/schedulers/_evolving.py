"""What schedulers share that replace members at milestones."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from objectives.base import Knob, Value

IntervalShare = Annotated[float, Field(gt=0, lt=1, description="share of the epochs between milestones")]
Quantile = Annotated[float, Field(gt=0, le=0.5, description="share of members that are replaced, and that replace")]


class Replacing:
    """Replaces members at milestones. It stops nobody by itself. How knobs move is `explored` of the scheduler's own file."""

    def __init__(self, epochs: int, interval_share: float, quantile: float) -> None:
        self.milestones, self._quantile = milestones(epochs, interval_share), quantile

    def hear(self, reports: Iterable[tuple[int, str, int, float]]) -> None:
        """Nothing to remember: at a milestone everything is told again."""

    def decide(self, number: int, arm: str, epoch: int, score: float) -> str:
        """Never a reason to stop."""
        del number, arm, epoch, score
        return ""

    def replaced(self, scores: Mapping[int, float], draws: random.Random) -> dict[int, int]:
        """Who is replaced by a member that starts from whom, by the scores of an arm at a milestone."""
        return pairs(scores, self._quantile, draws)


def milestones(epochs: int, share: float) -> tuple[int, ...]:
    """Epochs at equal distances, all before the last epoch."""
    step = max(1, math.ceil(share * epochs))
    return tuple(range(step, epochs, step))


def pairs(scores: Mapping[int, float], quantile: float, draws: random.Random) -> dict[int, int]:
    """Each member of the worst quantile with one of the best quantile, drawn at random. Too few members: nobody is replaced."""
    ranked = sorted(scores, key=lambda number: (math.inf if math.isnan(scores[number]) else scores[number], number))
    count = min(math.floor(quantile * len(ranked) + 1e-9), len(ranked) // 2)
    return {number: draws.choice(ranked[:count]) for number in ranked[len(ranked) - count :]} if count else {}


def movable(knob: Knob) -> bool:
    """Whether a knob may move in training: a number that is no count and changes neither shapes nor code."""
    return not (knob.structural or knob.choices or knob.integer)


def place(knob: Knob, value: Value) -> float:
    """Where a value lies in the range of a knob: 0 to 1, in the logarithm on a log range."""
    assert knob.low is not None and knob.high is not None
    if knob.log:
        return math.log(float(value) / knob.low) / math.log(knob.high / knob.low)
    return (float(value) - knob.low) / (knob.high - knob.low)


def inside(knob: Knob, value: float) -> Value:
    """The value, moved into the knob's range."""
    assert knob.low is not None and knob.high is not None
    return min(max(value, knob.low), knob.high)
