"""Configs as rows of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from objectives.base import Knob, Value
from search.conditions import settled
from search.modelling.axis import Axis
from search.modelling.process import Array


class Encoder:
    """Configs as rows of numbers: u for a numeric knob, one column per value for a categorical one. Knows its knobs' order.

    A λ whose off value has no place on its axis (0 on a log range) gets a second column that says whether the λ is off. So the fit learns
    from the scores whether the low end of the range is as good as off. A knob that does not act where a config lies is at rest there,
    whatever value the config gives it: two configs that are one training are one row.
    """

    def __init__(self, knobs: Sequence[Knob], configs: Sequence[Mapping[str, Value]]) -> None:
        self.knobs = list(knobs)
        self.levels: dict[str, list[Value]] = {}
        for knob in self.knobs:
            if not knob.is_lambda and (knob.choices or knob.low is None or knob.high is None):
                seen = {repr(config[knob.name]): config[knob.name] for config in configs}
                self.levels[knob.name] = list(knob.choices) or [seen[key] for key in sorted(seen)]
        self._axes = {knob.name: Axis.of(knob) for knob in self.knobs if knob.name not in self.levels}
        logs = [name for name, axis in self._axes.items() if axis.log]
        self.flags = {name for name in logs if any(float(config[name]) <= 0.0 for config in configs)}

    def __call__(self, configs: Sequence[Mapping[str, Value]]) -> Array:
        """One row per config, shape (n, columns)."""
        at_rest = [settled(config, self.knobs) for config in configs] if any(knob.when for knob in self.knobs) else configs
        columns = [one for knob in self.knobs for one in self._columns(knob, [config[knob.name] for config in at_rest])]
        return np.ascontiguousarray(np.array(columns, dtype=np.float64).T)

    def column(self, knob: Knob) -> int:
        """Where the column of a numeric knob is."""
        before = self.knobs[: [one.name for one in self.knobs].index(knob.name)]
        return sum(len(self.levels.get(one.name, [0])) + (one.name in self.flags) for one in before)

    @property
    def growing(self) -> list[int]:
        """The columns along which the noise may grow: those of the λ."""
        return [self.column(knob) for knob in self.knobs if knob.is_lambda and knob.name not in self.levels]

    def _columns(self, knob: Knob, values: Sequence[Value]) -> list[list[float]]:
        if knob.name in self.levels:
            return [[float(value == level) for value in values] for level in self.levels[knob.name]]
        flag = [[float(float(value) <= 0.0) for value in values]] if knob.name in self.flags else []
        return [self._axes[knob.name].places(values), *flag]
