"""The space of a sweep: which knobs are searched and where, and which full config a sampled point stands for.

A λ's off value is not in its range (a log range holds no 0). So the *off arm* is scheduled by us: its members have every searched λ off,
and the nuisance knobs are still searched. A λ that the spec fixes keeps its fixed value in both arms.

A knob with a condition (`conditions.py`) acts in some branches of the space only. In a config it has its off value or default elsewhere.

With `alone` in a spec, a searched member has one λ on and the others off. Then every λ is an arm of its own, `alone:l2`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from objectives.base import Knob, Value
from search.conditions import active, cast, conditional, needed, rest, settled, with_a_lambda, without
from search.spec.defaults import bounds
from search.spec.keys import Range, Searched, Spec, condition, plain

Params = Mapping[str, Value]
OFF_ARM, SEARCH_ARM, ALONE = "off", "search", "alone"
BASELINE = "baseline"  # the arm of the config that the user has today, where λ has an off arm beside it
# What the off arm is where no searched knob is a λ: the user's config of today, or nothing that anybody asked about.
AGAINST_OFF, AGAINST_BASELINE, AGAINST_NOTHING = "off", "baseline", "nothing"
SEED = "seed"  # the attribute of an Optuna trial that holds the seed of its training
# Every sixth searched member belongs to the off arm: the yardstick, too, is tuned with at least a sixth of the trials.
OFF_EVERY = 6


class Space:
    """The searched knobs of a resolved spec, with this sweep's ranges. It turns sampled values into configs."""

    def __init__(self, spec: Spec, objective: Any) -> None:
        self._all: Mapping[str, Knob] = objective.knobs
        self._fixed: Params = dict(spec.fixed)
        search = spec.search or {}
        self.knobs: list[Knob] = [
            replace(_with_range(self._all[name], plain(wanted)), when=_when(condition(wanted), search, self._all))
            for name, wanted in search.items()
        ]
        self.against = AGAINST_OFF
        self.baseline = self.config(spec.baseline) if spec.baseline else {}
        if not any(knob.is_lambda for knob in self.knobs):
            self.against = AGAINST_BASELINE if spec.baseline else AGAINST_NOTHING
            usual = self.config(spec.baseline)
            # What is compared with takes the place of the off arm. Neither end of these knobs is more regularized.
            self.knobs = [replace(knob, off=usual[knob.name], more=None) for knob in self.knobs]
        self.lambdas: list[Knob] = [knob for knob in self.knobs if knob.is_lambda]
        self.nuisances: list[Knob] = [knob for knob in self.knobs if not knob.is_lambda]
        self.alone = bool(spec.alone)
        self.hands_on = bool(objective.hands_on)  # whether a member can start from what another one has become

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms of searched members beside the off arm: one arm, or one for each λ where each λ is searched alone."""
        return tuple(alone_arm(knob.name) for knob in self.lambdas) if self.alone else (SEARCH_ARM,)

    @property
    def searches_off(self) -> bool:
        """Whether the off arm has a share of the search. It has none where it would be the defaults, which nobody asked about."""
        return self.against != AGAINST_NOTHING

    def trials(self, arm: str, trials: int) -> int:
        """How many of a sweep's trials an arm may spend."""
        share = math.ceil(trials / OFF_EVERY) if self.searches_off else 0
        return share if arm == OFF_ARM else math.ceil((trials - share) / len(self.arms))

    def asked(self, arm: str) -> list[Knob]:
        """The knobs that a sampler chooses for a member of an arm. All other searched λ are off.

        A choice that would switch off every λ of the arm is left out, because the off arm has it.
        """
        if arm == OFF_ARM and self.against != AGAINST_OFF:
            return []
        off = [knob.name for knob in self.lambdas if arm not in (SEARCH_ARM, alone_arm(knob.name))]
        return with_a_lambda(without(off, self.knobs))

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
        return {name: cast(self._all[name], value) for name, value in given.items()}

    def arm_config(self, params: Params) -> dict[str, Value]:
        """The config of an arm's member from the values that were asked for. A searched λ that was not asked for is off.

        So is a λ whose condition does not hold; a nuisance knob is at its default there.
        """
        return settled(self.config({**self.off_values, **params}), self.knobs)

    @property
    def off_values(self) -> dict[str, Value]:
        """Every searched λ at its off value."""
        off = self.lambdas if self.against == AGAINST_OFF else self.knobs
        return {knob.name: cast(knob, knob.off) for knob in off if knob.off is not None}

    def params(self, config: Params) -> dict[str, Value]:
        """The searched part of a config: the part that Optuna knows."""
        return {knob.name: config[knob.name] for knob in self.knobs}

    def complete(self, point: Params) -> dict[str, Value]:
        """A user's first point with a value for every knob of its arm. A missing value is the default, moved into the range.

        A choice on which a knob of the point depends is one under which that knob acts. Optuna silently loses the values of a partial or
        nested point, so it always gets all of them.
        """
        asked = self.asked(self.arm_of(point))
        wants = [needed(knob, asked) for knob in asked if knob.name in point]
        found: dict[str, Value] = {}
        for knob in asked:
            fitting = [value for value in knob.choices if all(value in one.get(knob.name, (value,)) for one in wants)]
            usual = self._all[knob.name].default
            found[knob.name] = fitting[0] if fitting and usual not in fitting else usual
        given = {**found, **point}
        return {knob.name: _clip(knob, given[knob.name]) for knob in asked}

    def one_on(self, name: str) -> dict[str, Value]:
        """A config with one searched λ on, under choices with which it acts; the others are off where that is possible."""
        mine = next(knob for knob in self.knobs if knob.name == name)
        kept = {name, *needed(mine, self.knobs)}
        off = {other: value for other, value in self.off_values.items() if other not in kept}
        return self.arm_config({**self.complete({name: at(mine, 0.5)}), **off})

    def with_ranges(self, found: Mapping[str, tuple[float, float]]) -> None:
        """Take these ranges, low and high, for these knobs. Nothing was asked for yet."""
        self.knobs = [replace(k, low=found[k.name][0], high=found[k.name][1]) if k.name in found else k for k in self.knobs]
        self.lambdas = [knob for knob in self.knobs if knob.is_lambda]
        self.nuisances = [knob for knob in self.knobs if not knob.is_lambda]

    def clip(self, params: Params) -> dict[str, Value]:
        """Searched values moved to the nearest value of this sweep's range or choices."""
        return {knob.name: _clip(knob, params[knob.name]) for knob in self.knobs if knob.name in params}

    def contains(self, config: Params) -> bool:
        """True when every searched value lies in this sweep's range or choices. (A config of the off arm usually does not.)"""
        at = settled(config, self.knobs)
        on = [knob for knob in self.knobs if active(knob, at)]
        return at == dict(config) and all(_clip(knob, config[knob.name]) == config[knob.name] for knob in on)

    def distributions(self, arm: str = SEARCH_ARM) -> dict[str, Any]:
        """Optuna's distribution of each knob that is asked for in an arm; keys are flat."""
        return distributions(self.asked(arm))

    def unconditional(self, arm: str) -> dict[str, Any]:
        """Optuna's distribution of each knob of an arm that always acts."""
        return distributions([knob for knob in self.asked(arm) if not knob.when])

    def asked_in(self, arm: str, config: Params) -> dict[str, Any]:
        """Optuna's distribution of each knob that is asked for in an arm and acts in a settled config."""
        return distributions([knob for knob in self.asked(arm) if active(knob, config)])

    def drawn(self, trial: Any, arm: str) -> dict[str, Value]:
        """The config of a trial that was asked for the knobs without a condition. The others are asked for now, as far as they act."""
        asked, found = self.asked(arm), dict(trial.params)
        for knob in conditional(asked):
            found[knob.name] = _suggested(trial, knob) if active(knob, found) else rest(knob)
        return self.arm_config(found)

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


def _suggested(trial: Any, knob: Knob) -> Value:
    """The value that a trial gets for a knob."""
    if knob.choices:
        value: Value = trial.suggest_categorical(knob.name, knob.choices)
        return value
    if knob.integer:
        return int(trial.suggest_int(knob.name, int(_low(knob)), int(_high(knob)), log=knob.log))
    return float(trial.suggest_float(knob.name, _low(knob), _high(knob), log=knob.log))


def _when(given: Mapping[str, tuple[Value, ...]], search: Mapping[str, Searched], knobs: Mapping[str, Knob]) -> Any:
    """The condition of a knob on others that are searched. (One on a fixed knob always holds; else it would be a fault.)"""
    return tuple((name, tuple(cast(knobs[name], value) for value in values)) for name, values in given.items() if name in search)


def _with_range(knob: Knob, wanted: Searched) -> Knob:
    if not isinstance(wanted, Range):
        # A λ keeps its scale, because a curve is drawn through its choices too.
        scale = knob.log and knob.is_lambda
        return replace(knob, choices=tuple(cast(knob, value) for value in wanted), low=None, high=None, log=scale)
    if knob.choices:
        return knob
    low, high, log = bounds(knob, wanted)
    return replace(knob, low=low, high=high, log=log)


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
