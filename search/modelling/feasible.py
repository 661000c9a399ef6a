"""How likely a config keeps to what it must keep to: one Gaussian process for each constraint.

A constraint enters as excess: how far a metric lies beyond its bound, negative on the allowed side. The process sees asinh(excess/u), u the
median distance from the bound. This is linear near the bound, where precision counts, and logarithmic far away. The probability that a
config keeps to all constraints is the product over them (Gardner et al. 2014, Bayesian optimization with inequality constraints, ICML).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.modelling.encoder import Encoder
from search.modelling.process import Array, Process, Seen, fit
from search.modelling.rates import Rates

FEWEST = 3  # distinct configs with a value, below which no process is fitted
SURE = 0.95  # so likely a config must keep to everything to be taken where others do
SURE_OF_RATE = 0.8  # and to a share of losses, of which a sweep has too few trainings to be surer
BARRED = 1000.0  # what a config that is not so sure costs, in levels: more than any score


@dataclass(frozen=True)
class Excess:
    """What one training says about one constraint. `doubt` is the variance of a predicted excess, 0 where it was seen."""

    config: Mapping[str, float | int | str | bool]
    seed: int
    value: float
    doubt: float = 0.0


@dataclass(frozen=True)
class Bound:
    """A fitted constraint: a process over asinh(excess/unit), which is to lie below `limit`; without one, the share that kept to it."""

    process: Process | None
    limit: float
    share: float

    @staticmethod
    def of(seen: Sequence[Excess], encoder: Encoder) -> Bound:
        """The fit to these trainings."""
        share = (1 + sum(one.value <= 0 for one in seen)) / (2 + len(seen))
        points = encoder([one.config for one in seen])
        if not seen or len(np.unique(points, axis=0)) < FEWEST:
            return Bound(None, 0.0, share)
        values = np.array([one.value for one in seen], dtype=np.float64)
        unit = float(np.median(np.abs(values))) or float(np.mean(np.abs(values))) or 1.0
        z = np.arcsinh(values / unit)
        shift, scale = float(np.mean(z)), float(np.std(z)) or 1.0
        doubts = np.array([one.doubt for one in seen]) / (unit * unit + values * values) / scale**2
        known = Seen(points, (z - shift) / scale, np.array([one.seed for one in seen], dtype=np.int64), doubts)
        return Bound(fit(known, encoder.growing), -shift / scale, share)

    def beyond(self, points: Array) -> Array:
        """How far each row is expected beyond the bound, in standard deviations of what was seen, shape (n,)."""
        if self.process is None:
            return np.zeros(len(points))
        found: Array = self.process.seen_mean(points) - self.limit
        return found

    def probability(self, points: Array) -> Array:
        """How likely the expected value of each row lies within the bound, shape (n,)."""
        from scipy.special import ndtr

        if self.process is None:
            return np.full(len(points), self.share)
        found: Array = ndtr(-self.beyond(points) / self.process.sd(points))
        return found

    def drawn(self, points: Array, count: int, rng: np.random.Generator) -> Array:
        """Whether each row lies within the bound, in so many draws from the posterior distribution, shape (count, n)."""
        if self.process is None:
            return np.ones((count, len(points)), dtype=bool)
        values, vectors = np.linalg.eigh(self.process.covariance(points))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        found: Array = self.beyond(points) + rng.normal(size=(count, len(points))) @ root.T <= 0
        return found


@dataclass(frozen=True)
class Feasible:
    """All constraints of a sweep, over encoded configs. `most`: the upper bound of the share of losses, where there is one."""

    bounds: tuple[Bound, ...]
    losses: Rates | None = None
    most: float = 1.0
    sure: float = SURE

    def probability(self, points: Array) -> Array:
        """How likely each row keeps to every constraint, shape (n,)."""
        found: Array = self._metrics(points) * self._rates(points)
        return found

    def short(self, points: Array) -> Array:
        """How much each row falls short of being `sure` to keep to everything, shape (n,); 0 where it does not."""
        found = np.maximum(self.sure - self._metrics(points), 0.0)
        return found + np.maximum(min(self.sure, SURE_OF_RATE) - self._rates(points), 0.0)

    def _metrics(self, points: Array) -> Array:
        found: Array = np.prod([np.ones(len(points)), *(bound.probability(points) for bound in self.bounds)], axis=0)
        return found

    def _rates(self, points: Array) -> Array:
        return self.losses.below(points, self.most) if self.losses else np.ones(len(points))

    def beyond(self, points: Array) -> Array:
        """How far each row is expected beyond the constraint that it breaks most, in standard deviations; 0 at least, shape (n,)."""
        found = np.zeros(len(points))
        for bound in self.bounds:
            found = np.maximum(found, bound.beyond(points))
        return np.maximum(found, self.losses.likely(points) - self.most) if self.losses else found

    def cost(self, points: Array) -> Array:
        """What is added to the level of each row, shape (n,): nothing where it is `sure` to keep to everything.

        Where no config is, the least cost is that of the likeliest and nearest one.
        """
        short = self.short(points)
        found: Array = np.where(short > 0, BARRED * (1 + short + self.beyond(points)), 0.0)
        return found

    def drawn(self, points: Array, count: int, rng: np.random.Generator) -> Array:
        """Whether each row keeps to every constraint, in so many draws, shape (count, n). In a draw in which none does, all do."""
        found = np.ones((count, len(points)), dtype=bool)
        for bound in self.bounds:
            found &= bound.drawn(points, count, rng)
        found &= self._rates(points) >= 0.5
        found[~found.any(axis=1)] = True
        return found
