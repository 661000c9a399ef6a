"""What one gets without Lagrange: the config of the luckiest of many trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna

from objectives.base import Value
from objectives.registry import load
from search.asking.space import Space
from search.spec.reading import read
from tests.study.worlds import World

RIVALS: dict[str, Callable[[int], Any]] = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}
SLOW: dict[str, Callable[[int], Any]] = {"gp": lambda seed: optuna.samplers.GPSampler(seed=seed)}


def lucky(name: str, world: World, seed: int, trials: int) -> dict[str, Value]:
    """The config with the best score of so many trials, all with one seed, as most tuning scripts do it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec = read(world.spec(seed))
    space = Space(spec, load(spec.objective))
    study = optuna.create_study(sampler=(RIVALS | SLOW)[name](seed))
    for _ in range(trials):
        trial = study.ask(space.distributions())
        score = world.score(space.config(trial.params), 500_000 + seed)
        study.tell(trial, math.inf if math.isnan(score) else score)
    return space.config(study.best_trial.params)
