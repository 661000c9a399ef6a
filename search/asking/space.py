"""The space of a sweep: which knobs are searched and where, and the full config that a sampled point stands for.

A λ's off value is not in its range (a log range holds no 0): the *off arm* is scheduled by us, with every searched λ off and the nuisance
knobs still searched. A λ that the spec fixes is part of the setting, in both arms.

Where a spec asks for `alone`, a searched member has one λ on and the others off: every λ is an arm of its own, `alone:l2`.
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


class Space:
    """The searched knobs of a resolved spec, with this sweep's ranges, and the way from sampled values to configs."""

    def __init__(self, spec: Spec, objective: Any) -> None:
        self._all: Mapping[str, Knob] = objective.knobs
        self._fixed: Params = dict(spec.fixed)
        self.knobs: list[Knob] = [_with_range(self._all[name], wanted) for name, wanted in (spec.search or {}).items()]
        self.lambdas: list[Knob] = [knob for knob in self.knobs if knob.is_lambda]
        self.nuisances: list[Knob] = [knob for knob in self.knobs if not knob.is_lambda]
        self.alone = bool(spec.alone)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of searched members beside the off arm: one, or one for each λ where it is searched alone."""
        return tuple(alone_arm(knob.name) for knob in self.lambdas) if self.alone else (SEARCH_ARM,)

    def asked(self, arm: str) -> list[Knob]:
        """The knobs that a sampler chooses for a member of an arm; the searched λ among the others are off."""
        lambdas = [knob for knob in self.lambdas if arm in (SEARCH_ARM, alone_arm(knob.name))]
        return [knob for knob in self.knobs if knob in lambdas or knob in self.nuisances]

    def arm_of(self, point: Params) -> str:
        """The arm to which a user's first point belongs: that of the λ that it sets."""
        if not self.alone:
            return SEARCH_ARM
        return alone_arm(next(knob.name for knob in self.lambdas if knob.name in point))

    def config(self, params: Params) -> dict[str, Value]:
        """A value for every knob of the objective: `params` where given, else fixed, else the default.

        A value outside the range is taken as it is: the caller may mean the off arm or a point beyond the edge.
        """
        given = {name: knob.default for name, knob in self._all.items()} | dict(self._fixed) | dict(params)
        stray = sorted(set(given) - set(self._all))
        if stray:
            raise KeyError(f"params must be knobs of the objective, {', '.join(self._all)}; got {', '.join(stray)}")
        return {name: _cast(self._all[name], value) for name, value in given.items()}

    def arm_config(self, params: Params) -> dict[str, Value]:
        """The config of an arm's member from what was asked for it: every searched λ that was not is off."""
        return self.config({**self.off_values, **params})

    @property
    def off_values(self) -> dict[str, Value]:
        """Every searched λ at its off value."""
        return {knob.name: _cast(knob, knob.off) for knob in self.lambdas if knob.off is not None}

    def params(self, config: Params) -> dict[str, Value]:
        """The searched part of a config: what Optuna knows of it."""
        return {knob.name: config[knob.name] for knob in self.knobs}

    def complete(self, point: Params) -> dict[str, Value]:
        """A user's first point with a value for every knob of its arm: what it leaves out is the default, moved into the range.

        Optuna loses the values of a partial or nested point silently, so it is always given all of them.
        """
        return self.clip({**{knob.name: self._all[knob.name].default for knob in self.asked(self.arm_of(point))}, **point})

    def clip(self, params: Params) -> dict[str, Value]:
        """Searched values moved to the nearest value of this sweep's range or choices."""
        return {knob.name: _clip(knob, params[knob.name]) for knob in self.knobs if knob.name in params}

    def contains(self, config: Params) -> bool:
        """True when every searched value lies in this sweep's range or choices (the off arm's usually do not)."""
        return all(knob.name in config and _clip(knob, config[knob.name]) == config[knob.name] for knob in self.knobs)

    def distributions(self, arm: str = SEARCH_ARM) -> dict[str, Any]:
        """Optuna's distribution of each knob that is asked for in an arm; keys are flat."""
        return distributions(self.asked(arm))

    def off_distributions(self) -> dict[str, Any]:
        """The same for the off arm: the nuisance knobs, and empty when none is searched."""
        return self.distributions(OFF_ARM)


def alone_arm(name: str) -> str:
    """The arm of the members that have this λ on and no other."""
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
    """The value of a knob at `unit` in [0, 1] of its range: linear, or geometric on a log range; choices share it evenly."""
    if knob.choices:
        return knob.choices[min(int(unit * len(knob.choices)), len(knob.choices) - 1)]
    low, high = _low(knob), _high(knob)
    value = low * (high / low) ** unit if knob.log else low + (high - low) * unit
    return _clip(knob, value)


def _with_range(knob: Knob, wanted: Searched) -> Knob:
    if not isinstance(wanted, Range):
        # A λ keeps its scale, for a curve is drawn through its choices too.
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
