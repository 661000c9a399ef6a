"""What a score would be at every config: the process over all trainings in the scale of `Squash`, and how likely a loss is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from objectives.base import Knob, Value
from search.modelling.encoder import Encoder
from search.modelling.feasible import Feasible
from search.modelling.losses import Losses
from search.modelling.process import Array, Process, Seen, fit
from search.modelling.squash import Squash

Config = Mapping[str, Value]
FEWEST = 3  # distinct configs with a score, below which nothing is fitted
LOSS = 5.0  # what a certain loss costs, in standard deviations of one training
BARRED, FAR = 0.5, 100.0  # likelier losses than this are out of the question: they cost so many standard deviations of all scores


@dataclass(frozen=True)
class Training:
    """A training as the surface sees it: `score` None where it was lost to its config, `doubt` the variance of a predicted score.

    `stopped`: it did not run to its end, so its score is predicted from its first epochs.
    """

    config: Config
    seed: int
    score: float | None
    doubt: float = 0.0
    stopped: bool = False


@dataclass(frozen=True)
class Surface:
    """A fitted surface. Levels are in squashed, standardized units; only differences of levels mean something.

    `stopped` says of each row of `losses.points`, which are all trainings, whether that training was stopped early.
    """

    encoder: Encoder
    process: Process
    losses: Losses
    squash: Squash
    shift: float
    scale: float
    stopped: NDArray[np.bool_]
    feasible: Feasible | None = None  # what its configs must keep to; None: nothing

    @staticmethod
    def of(trainings: Sequence[Training], knobs: Sequence[Knob], start: Array | None = None) -> Surface | None:
        """The surface of these trainings; None where fewer than three distinct configs have a score."""
        seen = [one for one in trainings if one.score is not None]
        encoder = Encoder(knobs, [one.config for one in trainings])
        if not seen or len(np.unique(encoder([one.config for one in seen]), axis=0)) < FEWEST:
            return None
        scores = np.array([one.score for one in seen], dtype=np.float64)
        squash = Squash.of(scores)
        z = squash(scores)
        shift, scale = float(np.mean(z)), float(np.std(z)) or 1.0
        doubts = np.array([one.doubt for one in seen]) * (squash.slope(scores) / scale) ** 2
        known = Seen(
            encoder([one.config for one in seen]), (z - shift) / scale, np.array([one.seed for one in seen], dtype=np.int64), doubts
        )
        losses = Losses(encoder([one.config for one in trainings]), np.array([float(one.score is None) for one in trainings]))
        stopped = np.array([one.stopped for one in trainings], dtype=bool)
        return Surface(encoder, fit(known, encoder.growing, start), losses, squash, shift, scale, stopped)

    def level(self, configs: Sequence[Config]) -> Array:
        """The expected level of each config, with what its losses and broken constraints cost, shape (n,)."""
        points = self.encoder(configs)
        found = self._level(points)
        return found if self.feasible is None else found + self.feasible.cost(points)

    def _level(self, points: Array) -> Array:
        if not self.losses.lost.any():
            return self.process.seen_mean(points)
        lost = self.losses.probability(points)
        cost = np.where(lost > max(BARRED, self.usual_loss), FAR, LOSS * self.noise)
        found: Array = self.process.seen_mean(points) + cost * np.maximum(lost - self.usual_loss, 0.0)
        return found

    def lost(self, configs: Sequence[Config]) -> Array:
        """How likely each config is lost, shape (n,)."""
        return self.losses.probability(self.encoder(configs))

    def keeps(self, configs: Sequence[Config]) -> Array:
        """How likely each config keeps to every constraint, shape (n,); 1 where there is none."""
        return np.ones(len(configs)) if self.feasible is None else self.feasible.probability(self.encoder(configs))

    def allowed(self, configs: Sequence[Config]) -> NDArray[np.bool_]:
        """Whether each config is likely enough to keep to every constraint, shape (n,)."""
        return np.ones(len(configs), dtype=bool) if self.feasible is None else self.feasible.short(self.encoder(configs)) <= 0

    def with_sure(self, sure: float) -> Surface:
        """The same surface, whose configs need only be as likely as this to keep to every constraint."""
        return self if self.feasible is None else replace(self, feasible=replace(self.feasible, sure=sure))

    def score(self, levels: Array) -> Array:
        """The scores that belong to these levels."""
        return self.squash.inverse(self.shift + self.scale * levels)

    @cached_property
    def usual_loss(self) -> float:
        """How likely a loss is where it is rarest."""
        return float(self.losses.probability(self.losses.points).min())

    @cached_property
    def noise(self) -> float:
        """The standard deviation of one training at the best config that was trained."""
        points = self.process.seen.points
        return float(self.process.noise(points[[int(np.argmin(self.process.mean(points)))]])[0])

    def excess(self, configs: Sequence[Config], at: Config) -> tuple[Array, Array]:
        """How much worse each config is expected to be than `at`, and the posterior sd of that, both shape (n,); without losses."""
        points = self.encoder([at, *configs])
        mean, covariance = self.process.mean(points), self.process.covariance(points)
        spread = np.diag(covariance)[1:] + covariance[0, 0] - 2.0 * covariance[0, 1:]
        return mean[1:] - mean[0], np.sqrt(np.maximum(spread, 0.0))
