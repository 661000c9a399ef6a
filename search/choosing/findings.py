"""The parts of an answer: an effect, a goal, a constraint, a promise, and the front of several metrics. Plain values with their words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from objectives.base import Value
from search.choosing.words import interval, number


@dataclass(frozen=True)
class Effect:
    """A paired improvement (positive is better) with its 95 % interval. The interval is simultaneous over `comparisons` arms."""

    mean: float
    low: float
    high: float
    seeds: int
    comparisons: int = 1

    @property
    def measured(self) -> bool:
        """Whether at least one seed trained both arms."""
        return math.isfinite(self.mean)

    def words(self) -> str:
        """Mean and interval. Without a pair of seeds there is neither."""
        if not self.seeds and not math.isfinite(self.mean):
            return "not measured"
        return f"{number(self.mean)} [{number(self.low)}, {number(self.high)}]"


@dataclass(frozen=True)
class Reached:
    """How far a goal of the sweep was reached: its text, what was asked for, and what is known (the length, or half of it, see `Goal`).

    `why`: what ended the sweep before it was reached.
    """

    goal: str
    within: float
    known: float
    why: str = ""

    @property
    def reached(self) -> bool:
        """Whether as much is known as was asked for."""
        return self.known <= self.within

    def words(self) -> str:
        """`effect ± 0.2: reached (0.18)`, or `effect ± 0.2: not reached (0.3), because 64 final seeds are the most`."""
        if self.reached:
            return f"{self.goal}: reached ({number(self.known)})"
        return f"{self.goal}: not reached ({number(self.known)}){f', because {self.why}' if self.why else ''}"


@dataclass(frozen=True)
class Held:
    """What the confirmed seeds of an arm (`chosen` or `off`) say of one constraint.

    `mean` of the metric (for `nan_rate` the share of lost seeds) over `seeds` seeds, and its one-sided 95 % bound on the side of the
    constraint. `state`: `met` where this bound keeps to it, `broken` where the opposite one does not, else `unsure`. `within`: whether the
    mean keeps to it.
    """

    constraint: str
    arm: str
    mean: float
    limit: float
    seeds: int
    state: str
    within: bool

    def words(self) -> str:
        """`val_kl_nats >= 5: met, 5.4 (at least 5.2 with 95 %, 8 seeds)`."""
        if not self.seeds:
            return f"{self.constraint}: not judged, no confirmed seed has it"
        side = "at least" if ">" in self.constraint else "at most"
        said = self.state if self.state != "unsure" else "likely met, unproven" if self.within else "likely broken, unproven"
        return f"{self.constraint}: {said}, {number(self.mean)} ({side} {number(self.limit)} with 95 %, {self.seeds} seeds)"


@dataclass(frozen=True)
class Interval:
    """A mean with a 95 % interval, from so many seeds."""

    mean: float
    low: float
    high: float
    seeds: int

    def within(self, least: float, most: float) -> Self:
        """The same, without what lies beyond the values that a score can have."""
        return replace(self, low=min(max(self.low, least), most), high=max(min(self.high, most), least))

    def words(self) -> str:
        """Mean and interval, with enough digits to tell the ends apart; `unknown` where nothing was measured."""
        if math.isnan(self.mean):
            return "unknown"
        return interval(self.mean, self.low, self.high)


@dataclass(frozen=True)
class Promise(Interval):
    """The score to expect of one new seed: a 95 % prediction interval."""


@dataclass(frozen=True)
class FrontPoint:
    """A confirmed arm in all metrics, each in its own unit and direction.

    `values` are means with t intervals, each for itself. `effects` are gains over the off arm (positive is better), simultaneous over all
    arms and metrics; the off arm has none. `front`: no other arm is at least as good in every mean and better in one. `undominated` is the
    probability of that. `lost` counts seeds that the arm lost to its config. `broken` are the constraints that the mean of its seeds
    breaks: then it is no point of the front.
    """

    arm: str
    config: dict[str, Value]
    values: dict[str, Interval]
    effects: dict[str, Effect]
    front: bool
    undominated: float
    lost: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Front:
    """What the confirmed arms say of several metrics together, from `seeds` paired seeds.

    `metrics` says which way each is better. `hypervolume` is the volume between the front and `reference`. `beside` is the arm that is best
    in the second metric among those within one standard error of the best in the first.
    """

    metrics: dict[str, str]
    points: list[FrontPoint]
    seeds: int
    hypervolume: Interval
    reference: dict[str, float]
    beside: str

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Front:
        """What `asdict` made of it."""
        points = []
        for one in plain["points"]:
            values = {name: Interval(**value) for name, value in one["values"].items()}
            effects = {name: Effect(**effect) for name, effect in one["effects"].items()}
            points.append(FrontPoint(**{**one, "values": values, "effects": effects}))
        return Front(**{**plain, "points": points, "hypervolume": Interval(**plain["hypervolume"])})

    def words(self) -> str:
        """The front in one sentence."""
        kept = [one.arm for one in self.points if one.front]
        if not kept:
            return f"The front of {' and '.join(self.metrics)} is empty: no confirmed arm keeps to the constraints."
        first, second = list(self.metrics)[:2]
        smallest = f"{self.beside} is best in {second} within one standard error of the best {first}"
        return f"On the front of {' and '.join(self.metrics)}: {', '.join(kept)} of {len(self.points)} confirmed arms; {smallest}."

    @property
    def bought(self) -> list[str]:
        """The metrics beside the score in which a point of the front is surely better than off."""
        kept = [one for one in self.points if one.front]
        return [name for name in list(self.metrics)[1:] if any(one.effects[name].low > 0 for one in kept if name in one.effects)]

    def point(self, arm: str) -> FrontPoint | None:
        """The point of an arm."""
        return next((one for one in self.points if one.arm == arm), None)
