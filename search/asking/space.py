"""The space of a sweep: which knobs are searched and where, and which full config a sampled point stands for.

A λ's off value is not in its range (a log range holds no 0). So the *off arm* is scheduled by us: its members have every searched λ off,
and the nuisance knobs are still searched. A λ that the spec fixes keeps its fixed value in both arms.

With `alone` in a spec, a searched member has one λ on and the others off. Then every λ is an arm of its own, `alone:l2`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from objectives.base import Knob, Value
from search.spec.defaults import bounds
from search.spec.keys import Range, Searched, Spec

Params = Mapping[str, Value]
OFF_ARM, SEARCH_ARM, ALONE = "off", "search", "alone"
SEED = "seed"  # the attribute of an Optuna trial that holds the seed of its training
# Every sixth searched member belongs to the off arm: the yardstick, too, is tuned with at least a sixth of the trials.
OFF_EVERY = 6


class Space:
    """The searched knobs of a resolved spec, with this sweep's ranges. It turns sampled values into configs."""

    def __init__(self, spec: Spec, objective: Any) -> None:
        self._all: Mapping[str, Knob] = objective.knobs
        self._fixed: Params = dict(spec.fixed)
        self.knobs: list[Knob] = [_with_range(self._all[name], wanted) for name, wanted in (spec.search or {}).items()]
        self.lambdas: list[Knob] = [knob for knob in self.knobs if knob.is_lambda]
        self.nuisances: list[Knob] = [knob for knob in self.knobs if not knob.is_lambda]
        self.alone = bool(spec.alone)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of searched members beside the off arm: one arm, or one for each λ where each λ is searched alone."""
        return tuple(alone_arm(knob.name) for knob in self.lambdas) if self.alone else (SEARCH_ARM,)

    def trials(self, arm: str, trials: int) -> int:
        """How many of a sweep's trials an arm may spend."""
        share = math.ceil(trials / OFF_EVERY)
        return share if arm == OFF_ARM else math.ceil((trials - share) / len(self.arms))

    def asked(self, arm: str) -> list[Knob]:
        """The knobs that a sampler chooses for a member of an arm. All other searched λ are off."""
        lambdas = [knob for knob in self.lambdas if arm in (SEARCH_ARM, alone_arm(knob.name))]
        return [knob for knob in self.knobs if knob in lambdas or knob in self.nuisances]

    def arm_of(self, point: Params) -> str:
        """The arm of a user's first point: the arm of the λ that the point sets."""
        if not self.alone:
            return SEARCH_ARM
        return alone_arm(next(knob.name for knob in self.lambdas if knob.name in point))

    def config(self, params: Params) -> dict[str, Value]:
        """A value for every knob of the objective: from `params` where given, else fixed, else the default.

        A value outside the range is kept: the caller may mean the off arm, or a point beyond the edge.
        """
        given = {name: knob.default for name, knob in self._all.items()} | dict(self._fixed) | dict(params)
        stray = sorted(set(given) - set(self._all))
        if stray:
            raise KeyError(f"params must be knobs of the objective, {', '.join(self._all)}; got {', '.join(stray)}")
        return {name: _cast(self._all[name], value) for name, value in given.items()}

    def arm_config(self, params: Params) -> dict[str, Value]:
        """The config of an arm's member from the values that were asked for. A searched λ that was not asked for is off."""
        return self.config({**self.off_values, **params})

    @property
    def off_values(self) -> dict[str, Value]:
        """Every searched λ at its off value."""
        return {knob.name: _cast(knob, knob.off) for knob in self.lambdas if knob.off is not None}

    def params(self, config: Params) -> dict[str, Value]:
        """The searched part of a config: the part that Optuna knows."""
        return {knob.name: config[knob.name] for knob in self.knobs}

    def complete(self, point: Params) -> dict[str, Value]:
        """A user's first point with a value for every knob of its arm. A missing value is the default, moved into the range.

        Optuna silently loses the values of a partial or nested point, so it always gets all of them.
        """
        return self.clip({**{knob.name: self._all[knob.name].default for knob in self.asked(self.arm_of(point))}, **point})

    def clip(self, params: Params) -> dict[str, Value]:
        """Searched values moved to the nearest value of this sweep's range or choices."""
        return {knob.name: _clip(knob, params[knob.name]) for knob in self.knobs if knob.name in params}

    def contains(self, config: Params) -> bool:
        """True when every searched value lies in this sweep's range or choices. (A config of the off arm usually does not.)"""
        return all(knob.name in config and _clip(knob, config[knob.name]) == config[knob.name] for knob in self.knobs)

    def distributions(self, arm: str = SEARCH_ARM) -> dict[str, Any]:
        """Optuna's distribution of each knob that is asked for in an arm; keys are flat."""
        return distributions(self.asked(arm))

    def off_distributions(self) -> dict[str, Any]:
        """Optuna's distributions for the off arm: the nuisance knobs; empty when none is searched."""
        return self.distributions(OFF_ARM)


def alone_arm(name: str) -> str:
    """The arm of the members that have only this λ on."""
    return f"{ALONE}:{name}"


def distributions(knobs: Sequence[Knob]) -> dict[str, Any]:
    """Optuna's distribution of each knob."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for knob in knobs:
        if knob.choices:
            found[knob.name] = CategoricalDistribution(knob.choices)
        elif knob.integer:
            found[knob.name] = IntDistribution(int(_low(knob)), int(_high(knob)), log=knob.log)
        else:
            found[knob.name] = FloatDistribution(_low(knob), _high(knob), log=knob.log)
    return found


def at(knob: Knob, unit: float) -> Value:
    """The value of a knob at `unit` in [0, 1] of its range: linear, or geometric on a log range. Choices get equal shares of [0, 1].

    At 0 and 1 it is the bound itself, which a power or a sum would miss by its rounding.
    """
    if knob.choices:
        return knob.choices[min(int(unit * len(knob.choices)), len(knob.choices) - 1)]
    low, high = _low(knob), _high(knob)
    if unit in (0.0, 1.0):
        return _clip(knob, high if unit else low)
    return _clip(knob, low * (high / low) ** unit if knob.log else low + (high - low) * unit)


def _with_range(knob: Knob, wanted: Searched) -> Knob:
    if not isinstance(wanted, Range):
        # A λ keeps its scale, because a curve is drawn through its choices too.
        scale = knob.log and knob.is_lambda
        return replace(knob, choices=tuple(_cast(knob, value) for value in wanted), low=None, high=None, log=scale)
    if knob.choices:
        return knob
    low, high, log = bounds(knob, wanted)
    return replace(knob, low=low, high=high, log=log)


def _cast(knob: Knob, value: Value) -> Value:
    """Integers for integer knobs and floats for the others, so that equal configs hash alike."""
    if isinstance(value, bool | str) or (knob.choices and not isinstance(value, int | float)):
        return value
    if knob.integer:
        return int(value)
    return value if knob.choices else float(value)


def _clip(knob: Knob, value: Value) -> Value:
    if knob.choices:
        if value in knob.choices:
            return value
        numbers = [choice for choice in knob.choices if not isinstance(choice, str)]
        if isinstance(value, str) or not numbers:
            return knob.choices[0]
        return min(numbers, key=lambda choice: abs(choice - value))
    if isinstance(value, str) or math.isnan(value):
        raise ValueError(f"knob {knob.name!r} must be a number; got {value!r}")
    inside = min(max(value, _low(knob)), _high(knob))
    return round(inside) if knob.integer else float(inside)


def _low(knob: Knob) -> float:
    if knob.low is None:
        raise ValueError(f"knob {knob.name!r} has no range")
    return knob.low


def _high(knob: Knob) -> float:
    if knob.high is None:
        raise ValueError(f"knob {knob.name!r} has no range")
    return knob.high
