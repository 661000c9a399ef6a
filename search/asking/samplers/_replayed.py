"""Optuna's samplers in a study that is asked and told, and that may be rebuilt from the catalogue at any time.

A sampler here is made anew for each member. Some keep notes in the attributes of the study: CMA-ES its normal distribution, a genetic
algorithm the generation of each trial. The catalogue does not have these notes. So they are made again at every ask, from what the study
holds: a function of the trials, like every other decision. A driver that was resumed asks as the one before it would have.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

DRAWS = 16  # how often a config that another member has is drawn again


class Asked(BaseSampler):  # type: ignore[misc]  # optuna is untyped to mypy here
    """A sampler in a study that is asked and told. It is not told of ends, when it might want to stop a study that nobody optimizes."""

    def __init__(self, sampler: Any, apart: Any = None) -> None:
        self._sampler, self._apart = sampler, apart

    def before_trial(self, study: Any, trial: Any) -> None:
        """Let the sampler prepare a trial."""
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """The knobs that are drawn together."""
        found: dict[str, Any] = self._sampler.infer_relative_search_space(study, trial)
        return found

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        """Values of the knobs that are drawn together."""
        found: dict[str, Any] = self._sampler.sample_relative(study, trial, search_space)
        return found

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """A value of a knob that is drawn by itself."""
        return (self._apart or self._sampler).sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Give the sampler another stream, where Optuna starts several threads."""
        self._sampler.reseed_rng()


class Replayed(Asked):
    """A sampler that keeps notes in the study. They are made anew for each ask: the trials are replayed in a study of its own.

    Trials are replayed in the order of asking, as if each had ended before the next was asked for. So the draw does not depend on the
    order in which members end. A draw that another trial has already is drawn again, because a child of a genetic algorithm may be a copy.
    """

    def __init__(self, sampler: Any, apart: Any = None) -> None:
        super().__init__(sampler, apart)
        self._here = threading.local()

    def before_trial(self, study: Any, trial: Any) -> None:
        """Nothing: the trial that is prepared is the one in the private study."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """The knobs that are drawn together."""
        return super().infer_relative_search_space(*self._replayed(study, trial))

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        """Values of the knobs that are drawn together, other than those of any other trial as far as the space allows."""
        told, mine = self._replayed(study, trial)
        have = [one.params for one in study.get_trials(deepcopy=False) if one.number != trial.number and one.params]
        for _ in range(DRAWS):
            found = super().sample_relative(told, mine, search_space)
            if not any(_copies(found, params) for params in have):
                break
        return found

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """A value of a knob that is drawn by itself."""
        return super().sample_independent(*self._replayed(study, trial), param_name, param_distribution)

    def _replayed(self, study: Any, trial: Any) -> tuple[Any, Any]:
        """The private study, and the trial in it that stands for this one."""
        if getattr(self._here, "number", None) != trial.number:
            self._here.number, self._here.found = trial.number, replayed(self._sampler, study, trial.number)
        found: tuple[Any, Any] = self._here.found
        return found


def replayed(sampler: Any, study: Any, number: int) -> tuple[Any, Any]:
    """A new study in which `sampler` was asked and told of all trials but `number`, and a trial in it that is open."""
    told = optuna.create_study(directions=study.directions, sampler=sampler)
    told.stop = lambda: None  # a sampler that has no point left would stop a study, which only `optimize` can
    for one in study.get_trials(deepcopy=False):
        if one.number == number or one.state == TrialState.WAITING or not (one.params or one.state.is_finished()):
            continue
        told.enqueue_trial(one.params)
        again = told.ask(one.distributions)
        _ = again.relative_params  # the sampler draws, and notes what it wants to; the values are those of the trial
        for step, value in one.intermediate_values.items():
            again.report(value, step)
        for name, excess in one.constraints.items():
            again.set_constraint(name, excess)
        if one.state.is_finished():
            told.tell(again, one.values if one.state == TrialState.COMPLETE else None, state=one.state)
    mine = told.ask()
    return told, told.get_trials(deepcopy=False)[mine.number]


def _copies(found: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    return all(name in found and found[name] == value for name, value in params.items())
