"""Population based bandits (Parker-Holder, Nguyen and Roberts 2020): as `pbt`, but λ moves where a model expects the most improvement.

Between two milestones a member with knobs x improves by y. A Gaussian process in x and time, in which what was learned grows old, is fitted
to all such changes of the arm:

    k((x, t), (x', t')) = exp(−‖x − x'‖² / 2ℓ²) · (1 − ε)^(|t − t'| / 2),    noise variance s²,

with x in units of the ranges (their logarithms on log ranges), t in milestones and y standardized. ℓ, ε and s² are those of a small grid
that make the changes likeliest. A new member takes the x, out of `draws` random ones, with the largest μ(x) + κσ(x). Members of one
milestone that are not trained yet count as seen without a score, so that they do not all go to the same place.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from objectives.base import Config, Knob, Value
from search.asking.space import at
from search.schedulers import Change, SchedulerInfo
from search.schedulers._evolving import IntervalShare, Quantile, Replacing, place

SCHEDULER = SchedulerInfo(
    name="pb2",
    summary="as pbt, but the knobs of a member that starts anew are those of which a Gaussian process expects the most improvement",
    formula="argmax μ(x) + κσ(x); k = exp(−‖x − x'‖²/2ℓ²)·(1 − ε)^(|t − t'|/2)",
    source="Parker-Holder, Nguyen and Roberts 2020, arXiv 2002.02518",
)
EXAMPLES = ({"interval_share": 0.1, "quantile": 0.5, "kappa": 0.5, "draws": 50},)
FEWEST = 4  # changes below which knobs are drawn at random
GRID = tuple(itertools.product((0.1, 0.2, 0.4, 0.8), (0.01, 0.1, 0.3), (0.05, 0.3, 1.0)))  # ℓ, ε, s²


class Scheduler(Replacing):
    """Knobs move to where a Gaussian process over the changes so far expects the most improvement."""

    def __init__(
        self,
        epochs: int,
        *,
        interval_share: IntervalShare = 0.2,
        quantile: Quantile = 0.25,
        kappa: Annotated[float, Field(ge=0, description="how much the unknown is worth")] = 1.0,
        draws: Annotated[int, Field(ge=1, description="how many configs are compared for each new member")] = 500,
    ) -> None:
        super().__init__(epochs, interval_share, quantile)
        self._kappa, self._draws = kappa, draws
        self._step = self.milestones[0] if self.milestones else 1

    def explored(self, knobs: Sequence[Knob], config: Config, draws: random.Random, told: Sequence[Change]) -> dict[str, Value]:
        """The knobs of which the most improvement is expected in the time that follows the last change."""
        del config
        tried = np.array([[draws.random() for _ in knobs] for _ in range(self._draws)])
        known = [one for one in told if one.gain is not None and math.isfinite(one.gain)]
        best = tried[0] if len(known) < FEWEST else tried[int(np.argmax(self._bound(knobs, tried, known, told)))]
        return {knob.name: at(knob, float(unit)) for knob, unit in zip(knobs, best, strict=True)}

    def _bound(self, knobs: Sequence[Knob], tried: Any, known: Sequence[Change], told: Sequence[Change]) -> Any:
        """μ + κσ of each config that is tried, (n,). μ comes from known changes; σ also from members that are not trained yet."""

        def points(changes: Sequence[Change]) -> Any:
            return np.array([[*(place(knob, one.config[knob.name]) for knob in knobs), one.epoch / self._step] for one in changes])

        y = np.array([one.gain for one in known])
        y = (y - y.mean()) / (y.std() or 1.0)
        seen, whole = points(known), points([*known, *(one for one in told if one.gain is None)])
        length, forgets, noise = max(GRID, key=lambda three: _likelihood(seen, y, *three))
        now = np.column_stack([tried, np.full(len(tried), max(one.epoch for one in told) / self._step)])
        mean = _kernel(now, seen, length, forgets) @ np.linalg.solve(_kernel(seen, seen, length, forgets) + noise * np.eye(len(seen)), y)
        cross = _kernel(now, whole, length, forgets)
        spent = np.linalg.solve(_kernel(whole, whole, length, forgets) + noise * np.eye(len(whole)), cross.T)
        return mean + self._kappa * np.sqrt(np.maximum(1.0 - np.sum(cross * spent.T, axis=1), 0.0))


def _kernel(one: Any, other: Any, length: float, forgets: float) -> Any:
    """The covariances of two sets of points (x, t), (n, m)."""
    apart = np.sum((one[:, None, :-1] - other[None, :, :-1]) ** 2, axis=-1)
    return np.exp(-apart / (2 * length**2)) * (1 - forgets) ** (np.abs(one[:, None, -1] - other[None, :, -1]) / 2)


def _likelihood(seen: Any, y: Any, length: float, forgets: float, noise: float) -> float:
    """The log likelihood of the changes, but for a constant."""
    covariance = _kernel(seen, seen, length, forgets) + noise * np.eye(len(seen))
    return float(-0.5 * y @ np.linalg.solve(covariance, y) - 0.5 * np.linalg.slogdet(covariance)[1])
