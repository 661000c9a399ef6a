"""What schedulers share that replace members at milestones."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from objectives.base import Knob, Value


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
