"""The share of trainings that are lost at each config, as a function that is not known exactly: a Gaussian process for yes and no.

    a training of config x is lost with probability 1/(1 + exp(−f(x))),   f ~ N(logit 0.05, 1.5²) + GP(0, 3² Matérn-5/2)

The posterior distribution of f is taken as normal around its mode (Laplace's approximation: Rasmussen and Williams 2006, Gaussian Processes
for Machine Learning, algorithms 3.1 and 3.2). The length for each column is the likeliest one of a small grid. `Losses` says how
likely one training is lost, from its neighbours alone; here it is asked how surely a share lies below a bound, which takes more.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.modelling.process import Array, matern

LEVEL, LEVEL_SD = math.log(0.05 / 0.95), 1.5
SIZE, LENGTHS, EACH = 3.0, (0.2, 0.5, 1.5), 4  # with more columns than EACH all have one length
USUAL, DOUBT = math.log(0.5), 0.6  # mean and standard deviation of the logarithm of a length, before anything is seen
STEPS, TINY = 50, 1e-9


@dataclass(frozen=True)
class Rates:
    """A fitted share of losses over encoded configs."""

    points: Array
    lengths: Array
    _gradient: Array
    _root: Array
    _cholesky: NDArray[np.floating[Any]]
    evidence: float

    @staticmethod
    def of(points: Array, lost: Array) -> Rates:
        """The fit to trainings (n, columns), each with 1 where it was lost and else 0, shape (n,)."""
        columns = points.shape[1]
        grid = itertools.product(LENGTHS, repeat=columns) if columns <= EACH else ((one,) * columns for one in LENGTHS)
        fits = [_mode(points, lost, np.array(lengths)) for lengths in grid]
        return max(fits, key=lambda one: one.evidence)

    def log_odds(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of f at each row, both shape (n,)."""
        across = _covariance(points, self.points, self.lengths)
        left = np.linalg.solve(self._cholesky, (across * self._root).T)
        variance = LEVEL_SD**2 + SIZE**2 - (left**2).sum(axis=0)
        return LEVEL + across @ self._gradient, np.sqrt(np.maximum(variance, 1e-9))

    def below(self, points: Array, rate: float) -> Array:
        """How likely the share of losses at each row is at most `rate`, shape (n,)."""
        from scipy.special import ndtr

        if rate <= 0:
            return np.zeros(len(points))
        mean, sd = self.log_odds(points)
        found: Array = ndtr((math.log(rate / (1 - rate)) - mean) / sd)
        return found

    def likely(self, points: Array) -> Array:
        """The share of losses at the mean of f at each row, shape (n,)."""
        found: Array = _share(self.log_odds(points)[0])
        return found


def _mode(points: Array, lost: Array, lengths: Array) -> Rates:
    """The fit with these lengths: Newton's method for the mode of f, with shorter steps where a whole one leads downhill."""
    covariance, whole = _covariance(points, points, lengths), np.eye(len(points))
    weights, height = np.zeros(len(points)), -math.inf  # f = LEVEL + covariance · weights
    for _ in range(STEPS):
        f = LEVEL + covariance @ weights
        share = _share(f)
        root = np.sqrt(share * (1 - share))
        cholesky = np.linalg.cholesky(whole + root[:, None] * covariance * root)
        pull = root**2 * (f - LEVEL) + lost - share
        step = pull - root * np.linalg.solve(cholesky.T, np.linalg.solve(cholesky, root * (covariance @ pull))) - weights
        before, height = height, _height(weights, covariance, lost)
        while (reached := _height(weights + step, covariance, lost)) < height and np.abs(step).max() > TINY:
            step = step / 2
        weights = weights + step if reached >= height else weights
        if height - before < TINY:
            break
    prior = -0.5 * float(np.sum(((np.log(lengths) - USUAL) / DOUBT) ** 2))
    evidence = height - float(np.log(np.diag(cholesky)).sum()) + prior
    return Rates(points, lengths, lost - share, root, cholesky, evidence)


def _height(weights: Array, covariance: Array, lost: Array) -> float:
    """The logarithm of the posterior density of f, but for a constant."""
    f = covariance @ weights
    return float(np.sum(lost * (LEVEL + f) - np.logaddexp(0.0, LEVEL + f)) - 0.5 * weights @ f)


def _share(f: Array) -> Array:
    found: Array = np.exp(-np.logaddexp(0.0, -f))
    return found


def _covariance(left: Array, right: Array, lengths: Array) -> Array:
    found: Array = LEVEL_SD**2 + matern(left, right, SIZE, lengths)[0]
    return found
