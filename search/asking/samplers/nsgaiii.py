"""NSGA-III, a genetic algorithm for many metrics; with one it selects as NSGA-II does.

Its reference points spread a population over the Pareto front of three metrics or more. Operators and generations are those of `nsgaii`.
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
    name="nsgaiii",
    summary="a genetic algorithm for three metrics and more, by reference points; with one metric it does as nsgaii does",
    formula="child = mutated(SBX(a, b)), a and b by binary tournament among the best population_size so far; η_c = 2, η_m = 20",
    adaptive=True,
    source="Deb and Jain 2014, IEEE Trans. Evol. Comp. 18(4), doi 10.1109/TEVC.2013.2281535; optuna.samplers.NSGAIIISampler",
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
    dividing_parameter: Annotated[int, Field(ge=1, description="how finely reference points divide each metric")] = 3,
) -> Any:
    """NSGA-III, whose generations are made anew from the members that have ended."""
    del index
    options = {
        "crossover_prob": crossover_prob,
        "swapping_prob": swapping_prob,
        "mutation_prob": mutation_prob,
        "dividing_parameter": dividing_parameter,
    }
    return genetic("NSGAIIISampler", seed, knobs, trials, population_size, options)


def conflicts(knobs: Sequence[Knob], trials: int) -> list[Conflict]:
    """A warning about knobs that it does not learn together with the others."""
    del trials
    return blind("nsgaiii", knobs)
