"""Scores on a scale on which one explosion does not hide all else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.modelling.process import Array


@dataclass(frozen=True)
class Squash:
    """A scale on which an explosion does not flatten the curve: z = log(1 + (s − best) / (q₂₅ − best)).

    It is strictly increasing, so no order changes. It is linear within a quartile of the best and logarithmic beyond. A large λ often costs
    ten times the minimum. On raw scores a Gaussian process would then spend all its length scale on that cliff. The unit is the lower
    quartile, not the median, because more than half of a wide range may lie on the cliff.
    """

    best: float
    unit: float

    @staticmethod
    def of(scores: Array) -> Squash:
        """The scale of these scores; unit 0 where all are equal."""
        best = float(np.min(scores))
        unit = float(np.quantile(scores, 0.25)) - best
        return Squash(best, unit if unit > 0.0 else float(np.mean(scores)) - best)

    def __call__(self, scores: Array) -> Array:
        """z of every score; all 0 where the unit is 0."""
        return np.log1p((scores - self.best) / self.unit) if self.unit > 0.0 else np.zeros_like(scores)

    def slope(self, scores: Array) -> Array:
        """dz/ds: the factor from a score's small standard deviation to the standard deviation of z."""
        return 1.0 / (self.unit + scores - self.best) if self.unit > 0.0 else np.zeros_like(scores)

    def inverse(self, z: Array) -> Array:
        """The score of every z."""
        return self.best + self.unit * np.expm1(z)
