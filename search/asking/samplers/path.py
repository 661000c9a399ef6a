"""A regularization path: λ from weak to strong and back, each training starting from the weights with which the one before it ended.

On the way up and on the way back the same values are trained. So the path shows *hysteresis*: whether the score at a λ depends on the λ
from which one comes (a collapsed posterior often stays collapsed). `chains` paths run beside each other, each with one seed; their
differences say how large a gap luck makes. The first member of a chain starts from scratch, at the weakest λ.

What a member of a path scores is not what a training from scratch scores: with its predecessors it has trained longer. The confirmation
trains from scratch, and so does whoever uses the exported config.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from objectives.base import Conflict, Knob
from search.asking.samplers import SamplerInfo
from search.asking.samplers._made import given
from search.asking.space import at

SAMPLER = SamplerInfo(
    name="path",
    summary="one λ from weak to strong and back, evenly spaced; each member starts from the weights of the one before it; shows hysteresis",
    formula="chain c = index mod chains, step s = index div chains; λ at min(s, 2m − 1 − s)/(m − 1) of its range, m = ⌈trials/(2·chains)⌉",
    adaptive=False,
    source="warm starts: Friedman, Hastie and Tibshirani 2010, J. Stat. Software 33",
    sequence=True,
    hands_on=True,
    several=False,
)
EXAMPLES = ({"chains": 1}, {"chains": 3})
CHAINS = 2

Chains = Annotated[int, Field(ge=1, description="paths beside each other, each with a seed of its own")]


def make(seed: int, knobs: Sequence[Knob], trials: int, index: int, *, chains: Chains = CHAINS) -> Any:
    """The point number `index`. After the way back a chain begins again from its last weights."""
    del seed
    return given({knob.name: at(knob, place(knob, trials, index, chains)) for knob in knobs}, knobs)


def place(knob: Knob, trials: int, index: int, chains: int) -> float:
    """Where in the range of λ the member lies, 0 to 1."""
    points = max(2, math.ceil(trials / (2 * chains)))
    step = index // chains % (2 * points)
    along = min(step, 2 * points - 1 - step) / (points - 1)
    return along if knob.more == "high" else 1.0 - along


def predecessor(index: int, *, chains: int = CHAINS) -> int | None:
    """The member, by its index in the arm, from which this one starts; None for the first of a chain."""
    return index - chains if index >= chains else None


def chain(index: int, *, chains: int = CHAINS) -> int:
    """The chain of a member. Its members have one seed."""
    return index % chains


def conflicts(knobs: Sequence[Knob], trials: int) -> list[Conflict]:
    """Errors about what is no path of one λ; a warning where there is no way back."""
    lambdas = [knob for knob in knobs if knob.is_lambda]
    others = [f"search.{knob.name}" for knob in knobs if not knob.is_lambda]
    found = []
    if len(lambdas) != 1:
        names = ", ".join(knob.name for knob in lambdas) or "none"
        found.append(f"sampler path must have one λ to go along; {names} are searched together. Set alone: true, or fix all but one.")
    found += [
        f"sampler path must have a range to go along; search.{knob.name} is a choice out of {list(knob.choices)}. Give it low and high."
        for knob in lambdas
        if knob.choices
    ]
    if others:
        names = ", ".join(others)
        found.append(f"sampler path must go along one λ with all else fixed; {names} is searched, too. Move it to fixed.")
    errors = [Conflict("error", "sampler", message) for message in found]
    if not errors and trials < 4 * CHAINS:
        message = f"sampler path has {trials} members for {CHAINS} chains, each up and back: too few for a way back. Raise budget.trials."
        return [Conflict("warning", "sampler", message)]
    return errors
