"""The range of one numeric knob as the interval from 0 to 1, in which everything is fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from objectives.base import Knob, Value

FACTOR = 3.0  # a step on a log axis
FRACTION = 0.25  # a step on a linear axis, as a part of the range
FEW = 16  # a whole-numbered λ with fewer values (a switch, a number of cycles) is a list of choices
DIGITS = 3  # a λ is written with three significant digits, because no curve is known more exactly


@dataclass(frozen=True)
class Axis:
    """The range of one numeric knob, mapped to u in [0, 1]; logarithmic for log knobs. `more` is +1 where larger u regularizes more."""

    name: str
    low: float
    high: float
    log: bool
    integer: bool
    more: int
    choices: tuple[float, ...] = ()

    @staticmethod
    def of(knob: Knob) -> Axis:
        """The axis of a numeric knob: one with a range, or with numbers as choices."""
        more = -1 if knob.more == "low" else 1
        if knob.choices:
            choices = tuple(sorted(float(value) for value in knob.choices))
            log = knob.log and choices[0] > 0
            return Axis(knob.name, choices[0], choices[-1], log, knob.integer, more, choices)
        if knob.low is None or knob.high is None:
            raise ValueError(f"a λ must have a range to be fitted; {knob.name!r} has none")
        few = knob.integer and knob.high - knob.low < FEW
        whole = tuple(float(value) for value in range(int(knob.low), int(knob.high) + 1)) if few else ()
        return Axis(knob.name, float(knob.low), float(knob.high), knob.log, knob.integer, more, whole)

    @property
    def span(self) -> float:
        """The length of the range in natural coordinates: log(high/low), or high − low. 1 for a range of one point."""
        return (math.log(self.high / self.low) if self.log else self.high - self.low) or 1.0

    @property
    def step(self) -> float:
        """A factor 3 (log axis) or a quarter of the range (linear axis), in u."""
        return math.log(FACTOR) / self.span if self.log else FRACTION

    def u(self, value: Value) -> float:
        """Where a value lies on the axis. A value beyond the range lies outside [0, 1]. 0 lies one step below a log range."""
        return self.places([value])[0]

    def places(self, values: Sequence[Value]) -> list[float]:
        """Where many values lie: `u` of each, for less than one call a value costs."""
        low, span, step = self.low, self.span, self.step
        if not self.log:
            return [(float(value) - low) / span for value in values]
        return [math.log(x / low) / span if (x := float(value)) > 0.0 else -step for value in values]

    def holds(self, value: Value) -> bool:
        """Whether a value lies on the axis, so that a curve can pass through it."""
        slack = 1e-9 * (self.high - self.low)
        return self.low - slack <= float(value) <= self.high + slack

    def exact(self, u: float) -> float:
        """The value at u, not rounded. At the ends it is the bound itself, without the rounding error of an exponential."""
        if u in (0.0, 1.0):
            return self.high if u else self.low
        return self.low * math.exp(u * self.span) if self.log else self.low + u * self.span

    def value(self, u: float) -> float | int:
        """The value at u, clipped into the range and written with three significant digits."""
        exact = self.exact(min(max(u, 0.0), 1.0))
        if self.choices:
            exact = min(self.choices, key=lambda choice: abs(self.u(choice) - u))
        elif 0.0 < u < 1.0:
            exact = min(max(float(f"{exact:.{DIGITS}g}"), self.low), self.high)
        return round(exact) if self.integer else exact
