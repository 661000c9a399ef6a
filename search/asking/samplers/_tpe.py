"""Optuna's TPE, to the bit, that looks at each trial once.

A sampler is made anew for each ask, and Optuna's reads all trials four times then: half of what an ask costs with 400 trials. Here is
remembered of a trial that has ended its place in the order of trials, and its values as the densities take them. The densities, the draws
and the choice among them are Optuna's own. So is all that is rare: several metrics, and knobs with a condition.

`TPESampler._sample` and what it calls are no part of Optuna's public interface. Where they are not as they were, Optuna's own is called.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from optuna.samplers import TPESampler
from optuna.trial import TrialState

Place = tuple[int, float, float, int]
"""The better is less: how it ended, what it is compared by among its like, twice, and its number."""


class Remembering(TPESampler):  # type: ignore[misc]  # optuna is untyped to mypy here
    """TPE over knobs that are drawn together, for one ask. What it remembers belongs to the study."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """The knobs that all ended trials have, in the same range; by name."""
        if len(study.directions) > 1 or self._group:
            found: dict[str, Any] = super().infer_relative_search_space(study, trial)
            return found
        seen = _seen(study)
        seen.look(study)
        return {name: one for name, one in sorted((seen.space or {}).items()) if not one.single()}

    def _sample(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        """The best of some draws, as `TPESampler._sample` finds it."""
        gamma = _gamma(self) if len(study.directions) == 1 else None
        if gamma is None:
            found: dict[str, Any] = super()._sample(study, trial, search_space)
            return found
        below, above = _seen(study).split(study, search_space, gamma)
        good, bad = (self._parzen_estimator_cls(one, search_space, self._parzen_estimator_parameters) for one in (below, above))
        drawn = good.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(drawn, self._compute_acquisition_func(drawn, good, bad))
        return {name: one.to_external_repr(best[name]) for name, one in search_space.items()}


def _gamma(sampler: Any) -> Callable[[int], int] | None:
    """How many of so many ended trials are the better ones. None where Optuna is not as we know it."""
    names = ("_parzen_estimator_cls", "_parzen_estimator_parameters", "_rng", "_n_ei_candidates", "_compare", "_compute_acquisition_func")
    try:
        from optuna.samplers._tpe.sampler import default_gamma
    except ImportError:
        return None
    usual = sampler._constant_liar and sampler._gamma is None and all(hasattr(sampler, name) for name in names)
    return default_gamma if usual else None


class _Seen:
    """What is remembered of the trials of one study."""

    def __init__(self) -> None:
        self.space: dict[str, Any] | None = None  # the knobs that all ended trials have, in the same range
        self._ended: list[Place] = []  # the best first
        self._open: list[int] = []
        self._next = 0  # the number of the first trial that was not looked at
        self._values: dict[Any, dict[int, tuple[Any, ...]]] = {}  # of each space that was asked for, by trial

    def look(self, study: Any) -> Any:
        """Take in what has ended since. Returns all trials of the study."""
        trials, still = study.get_trials(deepcopy=False), []
        for number in (*self._open, *range(self._next, len(trials))):
            one = trials[number]
            if not one.state.is_finished():
                still.append(number)
            elif one.state != TrialState.FAIL:
                insort(self._ended, _place(one))
                theirs, before = one.distributions, self.space
                self.space = dict(theirs) if before is None else {name: it for name, it in before.items() if theirs.get(name) == it}
        self._open, self._next = still, len(trials)
        return trials

    def split(self, study: Any, space: Mapping[str, Any], gamma: Callable[[int], int]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of the better trials and of the others, knob by knob, in the order of asking.

        Open trials are among the others. The one that is being asked for has no values yet.
        """
        trials, n = self.look(study), gamma(len(self._ended))
        open_ = [number for number in self._open if trials[number].state == TrialState.RUNNING]
        known = self._values.setdefault(tuple(space.items()), {})

        def columns(numbers: Iterable[int]) -> dict[str, Any]:
            held = []
            for number in sorted(numbers):
                found = known.get(number)
                if found is None and space.keys() <= (params := trials[number].params).keys():
                    found = known[number] = tuple(one.to_internal_repr(params[name]) for name, one in space.items())
                if found is not None:
                    held.append(found)
            return {name: np.asarray([values[at] for values in held]) for at, name in enumerate(space)}

        return columns(place[-1] for place in self._ended[:n]), columns([*open_, *(place[-1] for place in self._ended[n:])])


_SEEN: WeakKeyDictionary[Any, _Seen] = WeakKeyDictionary()


def _seen(study: Any) -> _Seen:
    return _SEEN.setdefault(study, _Seen())


def _place(trial: Any) -> Place:
    """Complete trials by their value; then stopped ones, the later before the earlier; then those that break a constraint, by how much."""
    beyond = sum(value for value in trial.constraints.values() if value > 0)
    if beyond > 0:
        return 2, beyond, 0.0, trial.number
    if trial.state == TrialState.COMPLETE:
        return 0, trial.value, 0.0, trial.number
    if not trial.intermediate_values:
        return 1, 1, 0.0, trial.number
    step, value = max(trial.intermediate_values.items())
    return 1, -step, np.inf if np.isnan(value) else value, trial.number
