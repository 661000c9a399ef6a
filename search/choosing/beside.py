"""What stands beside the answer: statements that help to read it and that change nothing in it. Plain values, kept with the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from objectives.base import Value


@dataclass(frozen=True)
class Expected:
    """A difference of two expected scores by the surface, in units of the score; positive is worse. Infinite where trainings are lost."""

    mean: float
    sd: float


@dataclass(frozen=True)
class Importance:
    """What scores over the searched ranges vary by, as shares of 1 (`insight.importance` has the equations).

    `shares`: each knob by itself. `together`: what only several knobs together explain. `luck`: the noise of seeds, and what is not told.
    `alone`: the λ that was on, where each is searched alone. `ped_anova`: the same knobs by Watanabe et al. 2023, which sum to 1; empty
    where too few members tell.
    """

    shares: dict[str, float]
    together: float
    luck: float
    alone: str = ""
    ped_anova: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Interaction:
    """How much more two λ gain together than the sum of what each gains alone (negative: less), in units of the score.

    `low`, `high`: its 95 % interval. `seeds`: the paired seeds that say so; 0: the surface says so. `share`: which part of the variance of
    scores over the ranges only the two together explain, by the surface.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    seeds: int
    share: float


@dataclass(frozen=True)
class Simpler:
    """The most regularized λ that are as good as the best within one standard error, and what they are expected to lose."""

    lambdas: dict[str, Value]
    loss: Expected


@dataclass(frozen=True)
class Beside:
    """Everything that stands beside an answer. A part that is not known is empty or None."""

    importance: list[Importance] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    last_third: Expected | None = None  # how much worse the config is that the first two thirds of the search would have chosen
    simpler: Simpler | None = None
    # What was planned before the first member and what came: members, epochs (at most), seconds, width of the effect's interval, its unit.
    plan: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(stored: Mapping[str, Any] | None) -> Beside:
        """What was stored; nothing where an earlier version stored nothing."""
        if not stored:
            return Beside()
        simpler, third = stored.get("simpler"), stored.get("last_third")
        return Beside(
            [Importance(**one) for one in stored.get("importance", [])],
            [Interaction(**one) for one in stored.get("interactions", [])],
            Expected(**third) if third else None,
            Simpler(simpler["lambdas"], Expected(**simpler["loss"])) if simpler else None,
            dict(stored.get("plan") or {}),
        )
