"""Every point of a finite space, each once. For spaces of choices and integers, where nothing is to be left to chance."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from objectives.base import Conflict, Knob
from search.asking.samplers import SamplerInfo
from search.asking.samplers._made import given
from search.conditions import branches

SAMPLER = SamplerInfo(
    name="brute",
    summary="every point of a finite space once, in an order that the seed mixes; then all again on fresh seeds",
    formula="point number (a·index + b) mod N of the N combinations; a and b from the seed, a prime to N",
    adaptive=False,
    source="–",
    sequence=True,
)


def make(seed: int, knobs: Sequence[Knob], trials: int, index: int) -> Any:
    """The point number `index`. After the last point the order begins again; a member with a config that was trained gets another seed."""
    del trials
    return given(point(seed, knobs, index), knobs)


def conflicts(knobs: Sequence[Knob], trials: int) -> list[Conflict]:
    """An error about knobs with infinitely many values; a warning where the trials do not suffice for all points."""
    infinite = [f"search.{knob.name}" for knob in knobs if not (knob.choices or knob.integer)]
    if infinite:
        message = (
            f"sampler brute must have a finite space; {', '.join(infinite)} has infinitely many values. "
            "Give a list of choices, such as [0.1, 1, 10], or fix it; or choose sampler: grid, which divides ranges."
        )
        return [Conflict("error", "sampler", message)]
    if (points := size(knobs)) > trials:
        message = f"sampler brute has {points} points, and the trials suffice for {trials} of them, in a mixed order. Raise budget.trials."
        return [Conflict("warning", "sampler", message)]
    return []


def point(seed: int, knobs: Sequence[Knob], index: int) -> dict[str, Any]:
    """A value for each knob."""
    points, rng = size(knobs), random.Random(seed)
    start, step = rng.randrange(points), rng.randrange(points)
    while math.gcd(step, points) != 1:
        step = rng.randrange(points)
    rest = (start + step * index) % points
    for setting, acting in branches(knobs):
        found = dict(setting)
        here = math.prod(count(knob) for knob in acting)
        if rest < here:
            break
        rest -= here
    for knob in acting:
        rest, place = divmod(rest, count(knob))
        found[knob.name] = knob.choices[place] if knob.choices else int(knob.low or 0) + place
    return found


def size(knobs: Sequence[Knob]) -> int:
    """How many points the space has. In each branch of a space with conditions only the knobs that act there make points."""
    return sum(math.prod(count(knob) for knob in acting) for _, acting in branches(knobs))


def count(knob: Knob) -> int:
    """How many values a knob has."""
    return len(knob.choices) if knob.choices else int(knob.high or 0) - int(knob.low or 0) + 1
