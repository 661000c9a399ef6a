"""NSGA-II, a genetic algorithm: children of good members, with the score as the one thing that selects.

A generation is a quarter of the trials of an arm. The first is drawn at random. Each next one has children of the best of all before it:
simulated binary crossover between two parents, then polynomial mutation of one knob in n. A knob with choices takes that of either parent.
It learns from complete members only; one that a scheduler stopped has no children. In 24 trials it finds no more than a random search, and
in 64 less than TPE (docs/log.md): it is here for several metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from objectives.base import Conflict, Knob
from search.asking.samplers import SamplerInfo
from search.asking.samplers._genetic import genetic
from search.asking.samplers._made import blind

SAMPLER = SamplerInfo(
    name="nsgaii",
    summary="a genetic algorithm: children of the best members by crossover and mutation; learns from complete members",
    formula="child = mutated(SBX(a, b)), a and b by binary tournament among the best population_size so far; η_c = 2, η_m = 20",
    adaptive=True,
    source="Deb et al. 2002, IEEE Trans. Evol. Comp. 6(2), doi 10.1109/4235.996017; optuna.samplers.NSGAIISampler",
)


def make(
    seed: int,
    knobs: Sequence[Knob],
    trials: int,
    index: int,
    *,
    population_size: Annotated[
        int | None, Field(ge=2, description="members of a generation; null: a quarter of the trials, 4 to 50")
    ] = None,
    crossover_prob: Annotated[float, Field(ge=0, le=1, description="the share of children of two parents; the others have one")] = 0.9,
    swapping_prob: Annotated[float, Field(ge=0, le=1, description="how often a choice is taken from the second parent")] = 0.5,
    mutation_prob: Annotated[float | None, Field(ge=0, le=1, description="how often a knob is mutated; null: once in a child")] = None,
) -> Any:
    """NSGA-II, whose generations are made anew from the members that have ended."""
    del index
    options = {"crossover_prob": crossover_prob, "swapping_prob": swapping_prob, "mutation_prob": mutation_prob}
    return genetic("NSGAIISampler", seed, knobs, trials, population_size, options)


def conflicts(knobs: Sequence[Knob], trials: int) -> list[Conflict]:
    """A warning about knobs that it does not learn together with the others."""
    del trials
    return blind("nsgaii", knobs)
