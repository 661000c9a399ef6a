"""What one gets without Lagrange: other tuners with as many trainings.

Optuna's samplers and Syne Tune's search report their luckiest trial, all trainings with one seed, as most tuning scripts do it. SMAC races:
it trains promising configs with more seeds, and reports the incumbent. SMAC and Syne Tune are installed by hand (`pip install smac
syne-tune huggingface_hub`); they are for this comparison alone.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import optuna

from objectives.base import Value
from objectives.registry import load
from search.asking.space import Space
from search.spec.reading import read
from tests.study.worlds import World

Config = dict[str, Value]
ONE_SEED = 500_000  # with which a tuner trains that knows nothing of seeds


def lucky(name: str, world: World, seed: int, trials: int) -> Config:
    """The config that a rival reports after so many trainings."""
    return (RIVALS | SLOW)[name](world, seed, trials)


def _space(world: World, seed: int) -> Space:
    spec = read(world.spec(seed))
    return Space(spec, load(spec.objective))


def _optuna(sampler: Callable[[int], Any], world: World, seed: int, trials: int) -> Config:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space, study = _space(world, seed), optuna.create_study(sampler=sampler(seed))
    for _ in range(trials):
        trial = study.ask(space.distributions())
        score = world.score(space.config(trial.params), ONE_SEED + seed)
        study.tell(trial, math.inf if math.isnan(score) else score)
    return space.config(study.best_trial.params)


def _syne_tune(world: World, seed: int, trials: int) -> Config:
    """Its BORE (Tiao et al. 2021): a classifier of good and bad configs. Its conformal regression takes 3 seconds for each config."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import loguniform, uniform
    from syne_tune.optimizer.baselines import BORE

    space = _space(world, seed)
    ranges = {name: (loguniform if one.log else uniform)(one.low, one.high) for name, one in space.distributions().items()}
    scheduler, tried, worst = BORE(ranges, metric="score", random_seed=seed), [], _Worst()
    for number in range(trials):
        params = {name: float(value) for name, value in scheduler.suggest().config.items()}
        score = worst(world.score(space.config(params), ONE_SEED + seed))
        scheduler.on_trial_complete(Trial(number, params, None), {"score": score})
        tried.append((score, params))
    return space.config(min(tried, key=lambda one: one[0])[1])


def _smac(world: World, seed: int, trials: int) -> Config:
    """SMAC3 with its random forest, seeds as it draws them, and its racing of the incumbent (Lindauer et al. 2022)."""
    from ConfigSpace import ConfigurationSpace, Float
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    space = _space(world, seed)
    knobs = [Float(name, (one.low, one.high), log=one.log) for name, one in space.distributions().items()]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario = Scenario(ConfigurationSpace(space=knobs, seed=seed), n_trials=trials, seed=seed, output_directory=Path(folder))
        facade = HyperparameterOptimizationFacade(scenario, _never, overwrite=True, logging_level=False)
        worst = _Worst()
        for _ in range(trials):
            info = facade.ask()
            cost = worst(world.score(space.config({name: float(value) for name, value in info.config.items()}), int(info.seed or 0)))
            facade.tell(info, TrialValue(cost=cost))
        best = facade.intensifier.get_incumbent()
    return space.config({name: float(value) for name, value in best.items()})


def _never(config: Any, seed: int = 0) -> float:
    raise AssertionError("trainings are asked for and told")


class _Worst:
    """A lost training scores as the worst that was seen, and one more: these tuners take no infinity."""

    def __init__(self) -> None:
        self._seen = 0.0

    def __call__(self, score: float) -> float:
        if math.isnan(score):
            return self._seen + 1.0
        self._seen = max(self._seen, score)
        return score


RIVALS: dict[str, Callable[[World, int, int], Config]] = {
    "tpe": partial(_optuna, lambda seed: optuna.samplers.TPESampler(seed=seed)),
    "random": partial(_optuna, lambda seed: optuna.samplers.RandomSampler(seed=seed)),
}
SLOW: dict[str, Callable[[World, int, int], Config]] = {
    "gp": partial(_optuna, lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "smac": _smac,
    "syne_tune": _syne_tune,
}
