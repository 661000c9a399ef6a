"""What the genetic algorithms have in common: real-coded operators, and a population that fits the trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from objectives.base import Knob
from search.asking.samplers._made import apart, new, wrapped


def genetic(name: str, seed: int, knobs: Sequence[Knob], trials: int, population_size: int | None, options: dict[str, Any]) -> Any:
    """A genetic algorithm of Optuna's with the operators of Deb et al. 2002.

    Optuna's own default, uniform crossover with mutation at random, only recombines values that were drawn before. With one knob it is a
    random search. And with its population of 50 a usual sweep would end in the first generation, which is random, too.
    """
    from optuna.samplers.nsgaii import PolynomialMutation, SBXCrossover

    size = population_size or population(trials)
    operators = {"crossover": new(SBXCrossover), "mutation": new(PolynomialMutation)}
    return wrapped(new(name, seed=seed, population_size=size, **operators, **options), keeps_notes=True, apart=apart(seed, knobs))


def population(trials: int) -> int:
    """A quarter of the trials, so that three generations learn; 4 at least and 50 at most."""
    return min(50, max(4, trials // 4))
