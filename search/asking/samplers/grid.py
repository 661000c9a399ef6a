"""A grid over every searched knob, as fine as the trials allow, walked in an order that covers it early."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from objectives.base import Knob, Value
from search.asking.samplers import SamplerInfo
from search.asking.samplers._made import given
from search.asking.space import at
from search.conditions import branches

SAMPLER = SamplerInfo(
    name="grid",
    summary="a grid as fine as the trials allow, ends of the ranges included, λs finer than nuisance knobs; walked in shuffled order",
    formula="levels: the largest near-equal numbers whose product is at most the trials",
    adaptive=False,
    source="–",
    sequence=True,
)


def make(seed: int, knobs: Sequence[Knob], trials: int, index: int) -> Any:
    """The grid point number `index`. After the last point the grid begins again; that gives a replicate with another random seed."""
    return given(point(seed, knobs, trials, index), knobs)


def point(seed: int, knobs: Sequence[Knob], trials: int, index: int) -> dict[str, Any]:
    """A value for each knob."""
    axes = levels(knobs, trials)
    by_name = {knob.name: axis for knob, axis in zip(knobs, axes, strict=True)}
    parts = branches(knobs)
    sizes = [math.prod(len(by_name[knob.name]) for knob in acting) for _, acting in parts]
    size = sum(sizes)
    order = list(range(size))
    random.Random(seed).shuffle(order)  # so a sweep that is cut short has seen the whole space coarsely
    rest, place = order[index % size], 0
    while rest >= sizes[place]:
        rest, place = rest - sizes[place], place + 1
    setting, acting = parts[place]
    found = dict(setting)
    for knob in acting:
        rest, position = divmod(rest, len(by_name[knob.name]))
        found[knob.name] = by_name[knob.name][position]
    return found


def levels(knobs: Sequence[Knob], trials: int) -> list[list[Value]]:
    """The values of each knob: all choices, and evenly spaced values of each range, so that the grid has at most `trials` points.

    In each branch of a space with conditions only the knobs that act there make points.
    """
    acting = [[knob in mine for knob in knobs] for _, mine in branches(knobs)]
    counts = [len(knob.choices) if knob.choices else 1 for knob in knobs]
    most = [len(knob.choices) if knob.choices else _distinct(knob) for knob in knobs]
    while True:
        # The coarsest knob that may still be split goes first; a λ goes before a nuisance knob.
        ranked = sorted((count, not knob.is_lambda, place) for place, (count, knob) in enumerate(zip(counts, knobs, strict=True)))
        for count, _, place in ranked:
            finer = [*counts[:place], count + 1, *counts[place + 1 :]]
            points = sum(math.prod(n for n, here in zip(finer, mine, strict=True) if here) for mine in acting)
            if count < most[place] and points <= trials:
                counts[place] += 1
                break
        else:
            break
    return [_axis(knob, count) for knob, count in zip(knobs, counts, strict=True)]


def _distinct(knob: Knob) -> int:
    return int((knob.high or 0) - (knob.low or 0)) + 1 if knob.integer else 10**9


def _axis(knob: Knob, count: int) -> list[Value]:
    if knob.choices:
        return list(knob.choices)
    return list(dict.fromkeys(at(knob, place / (count - 1) if count > 1 else 0.5) for place in range(count)))
