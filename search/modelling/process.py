"""A Gaussian process over configs, with the noise of trainings in it. Numbers go in and numbers come out.

A training of config x with seed s ends with

    y = m + f(x) + h(x) + g_s(x) + ε,        all independent and normal, with mean 0

- m ~ N(0, 1) is the level, and f the score that the seeds have in common: Matérn-5/2 with variance a² and a length scale for each column;
- h is what no smooth f explains of a config: independent from config to config with variance d², and the same for each of its trainings;
- g_s is what seed s adds: a shift of all configs, and a part that is alike for neighbours only. Its covariance within a seed is
  s² + c(x) c(x') exp(−½ |x − x'|² / REACH²), and 0 between two seeds;
- ε is what no seed explains, with standard deviation e(x).

The noise may grow along λ: c(x) = c·exp(b·x), e(x) = e·exp(b·x), x counted from the middle of the range. All parameters are those with
the greatest posterior density under weak priors (`_PRIORS`); a few trainings say too little to do without. Then trainings that lie far
from what the others say get a larger variance, as if ε had Student's t distribution with five degrees of freedom (expectation
maximization: Lange, Little and Taylor 1989, JASA 84).

scikit-learn's processes have no noise that a seed shares and no noise that grows; libraries that have both load torch, which costs the
driver of a sweep seconds. Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, ch. 2 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
REACH = 0.3
TAILS = 5.0  # degrees of freedom of ε
JITTER = 1e-8
# Mean and standard deviation of each parameter's logarithm (of b itself); scores have variance 1, and each column a range of 1.
_PRIORS = {
    "a": (0.0, 0.7),
    "length": (math.log(0.5), 0.6),
    "d": (math.log(0.1), 1.0),
    "s": (math.log(0.1), 1.0),
    "c": (math.log(0.2), 1.0),
    "e": (math.log(0.2), 1.0),
    "b": (0.0, 0.7),
}
EVALUATIONS = 60
REACHES = 4.0  # parameters stay within so many prior standard deviations


@dataclass(frozen=True)
class Seen:
    """Trainings that ended with a score: encoded configs (n, columns), standardized scores (n,), seeds (n,), and the variance of each score
    beyond the noise (n,): 0 where it was seen, not predicted."""

    points: Array
    scores: Array
    seeds: NDArray[np.int64]
    doubts: Array


@dataclass(frozen=True)
class Process:
    """A fitted process. All values are in the units of the scores that it was given."""

    seen: Seen
    parameters: Array
    growing: tuple[int, ...]
    _inverse: Array
    _weights: Array

    def mean(self, points: Array) -> Array:
        """The posterior mean of m + f at each row, shape (n,)."""
        found: Array = self._prior(points, self.seen.points) @ self._weights
        return found

    def seen_mean(self, points: Array) -> Array:
        """The posterior mean of m + f + h at each row, shape (n,): beside the curve, what a config's own trainings say of it."""
        found: Array = (self._prior(points, self.seen.points) + self._own(points, self.seen.points)) @ self._weights
        return found

    def covariance(self, points: Array) -> Array:
        """The posterior covariance of m + f between the rows, shape (n, n)."""
        across = self._prior(points, self.seen.points)
        found: Array = self._prior(points, points) - across @ self._inverse @ across.T
        return found

    def sd(self, points: Array) -> Array:
        """The posterior standard deviation of m + f at each row, shape (n,)."""
        across = self._prior(points, self.seen.points)
        prior = 1.0 + math.exp(2 * self.parameters[0])
        found: Array = np.sqrt(np.maximum(prior - np.einsum("ij,ij->i", across @ self._inverse, across), 1e-12))
        return found

    def noise(self, points: Array) -> Array:
        """The standard deviation of one training with a new seed around m + f at each row, shape (n,)."""
        found: Array = np.hypot(math.exp(self.parameters[2 + points.shape[1]]), self.own_noise(points))
        return found

    def own_noise(self, points: Array) -> Array:
        """The same without the shift that a seed gives to all configs: what does not cancel between two configs far apart, shape (n,)."""
        _, c, e, b = _noise_parameters(self.parameters, points.shape[1], self.growing)
        found: Array = math.hypot(c, e) * np.exp((points[:, list(self.growing)] - 0.5) @ b)
        return found

    def drawn(self, count: int, rng: np.random.Generator) -> list[Process]:
        """Processes with parameters drawn from their posterior distribution, near its mode (Laplace's approximation).

        Intervals that take the likeliest parameters as known are too narrow where few trainings tell of them.
        """
        fixed, (means, sds) = _Fixed.of(self.seen), _priors(self.seen.points.shape[1], len(self.growing))

        def gradient(at: Array) -> Array:
            return _objective(at, self.seen, fixed, means, sds, self.growing)[1]

        steps = 1e-3 * np.eye(len(self.parameters))
        curvature = np.array([(gradient(self.parameters + step) - gradient(self.parameters - step)) / 2e-3 for step in steps])
        values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
        # Nothing is less certain than the priors say.
        root = vectors / np.sqrt(np.maximum(values, 1 / sds.max() ** 2))
        draws = self.parameters + rng.normal(size=(count, len(values))) @ root.T
        inside = np.clip(draws, means - REACHES * sds, means + REACHES * sds)
        return [_solved(self.seen, one, self.growing) for one in inside]

    def told(self, point: Array, score: float, noise: float) -> Process:
        """The process after one more training at `point` that ended with `score`, its parameters as they are."""
        more = Seen(
            np.vstack([self.seen.points, point]),
            np.append(self.seen.scores, score),
            np.append(self.seen.seeds, self.seen.seeds.min(initial=0) - 1),
            np.append(self.seen.doubts, noise**2),
        )
        return _solved(more, self.parameters, self.growing)

    def _own(self, left: Array, right: Array) -> Array:
        d = math.exp(self.parameters[1 + left.shape[1]])
        found: Array = d * d * (left[:, None, :] == right[None, :, :]).all(axis=2)
        return found

    def _prior(self, left: Array, right: Array) -> Array:
        columns = left.shape[1]
        return 1.0 + matern(left, right, math.exp(self.parameters[0]), np.exp(self.parameters[1 : 1 + columns]))[0]


def fit(seen: Seen, growing: Sequence[int] = (), start: Array | None = None) -> Process:
    """The process with the most likely parameters.

    Args:
        seen: at least one training.
        growing: the columns along which the noise may grow.
        start: parameters to begin with beside the usual ones, such as those of a fit to one training less.
    """
    from scipy.optimize import minimize

    columns, growing = seen.points.shape[1], tuple(growing)
    means, sds = _priors(columns, len(growing))
    fixed = _Fixed.of(seen)
    starts = [means] if start is None else [start, means]
    found = [
        minimize(
            _objective,
            one,
            args=(seen, fixed, means, sds, growing),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(means - REACHES * sds, means + REACHES * sds, strict=True)),
            options={"maxfun": EVALUATIONS},
        )
        for one in starts
    ]
    parameters = min(found, key=lambda one: float(one.fun)).x
    process = _solved(seen, parameters, growing)
    for _ in range(3):
        process = _without_outliers(process, seen)
    return process


def _priors(columns: int, growing: int) -> tuple[Array, Array]:
    names = ["a", *["length"] * columns, "d", "s", "c", "e", *["b"] * growing]
    return np.array([_PRIORS[name][0] for name in names]), np.array([_PRIORS[name][1] for name in names])


def _noise_parameters(parameters: Array, columns: int, growing: Sequence[int]) -> tuple[float, float, float, Array]:
    s, c, e = np.exp(parameters[2 + columns : 5 + columns])
    return float(s), float(c), float(e), parameters[5 + columns : 5 + columns + len(growing)]


def matern(left: Array, right: Array, a: float, lengths: Array) -> tuple[Array, Array, list[Array]]:
    """a² (1 + √5 r + 5 r²/3) exp(−√5 r); what its derivative by the logarithm of a length shares; and the squared differences by column."""
    squares = []
    for column, length in enumerate(lengths):
        one = left[:, None, column] - right[None, :, column]
        one /= length
        one *= one
        squares.append(one)
    r = np.sqrt(_total(squares))
    r *= math.sqrt(5.0)
    decay = np.exp(-r)
    decay *= a * a
    more = 1.0 + r
    shared = decay * more
    shared *= 5.0 / 3.0
    r *= r
    r /= 3.0
    more += r
    more *= decay
    return more, shared, squares


def _total(parts: Sequence[Array]) -> Array:
    """The sum of arrays, one after the other: a sum along a last axis of two or three takes three times as long."""
    found: Array = parts[0].copy()
    for one in parts[1:]:
        found += one
    return found


@dataclass(frozen=True)
class _Fixed:
    """What no parameter changes: who has one seed, how alike neighbours of a seed are, who has one config; places from the middle."""

    same: Array
    shared: Array
    equal: Array
    middle: Array

    @staticmethod
    def of(seen: Seen) -> _Fixed:
        squares = ((seen.points[:, None, :] - seen.points[None, :, :]) ** 2).sum(axis=2)
        same = seen.seeds[:, None] == seen.seeds[None, :]
        return _Fixed(
            same.astype(np.float64), same * np.exp(-0.5 * squares / REACH**2), (squares == 0.0).astype(np.float64), seen.points - 0.5
        )


@dataclass(frozen=True)
class _Parts:
    """What the covariance of all scores is the sum of, beside m: see the top of this file."""

    smooth: Array  # of f
    shared: Array  # what its derivatives by the logarithms of the lengths share
    squares: list[Array]  # and what they do not, a column each
    configs: Array  # of h
    shifts: Array  # of g, alike for all configs
    seeds: Array  # of g, alike for neighbours
    own: Array  # of ε, its diagonal

    def gradient(self, slope: Array, fixed: _Fixed, growing: tuple[int, ...]) -> Array:
        """Half the sum of `slope` times the derivative of the covariance, by each parameter. All of these matrices are symmetric."""
        lengths, seeds, own = slope * self.shared, slope * self.seeds, np.diag(slope) * self.own
        found = [_dot(slope, self.smooth), *(0.5 * _dot(lengths, one) for one in self.squares)]
        found += [_dot(slope, self.configs), _dot(slope, self.shifts), float(seeds.sum()), float(own.sum())]
        # Σ_ij w_ij (x_i + x_j) / 2 = Σ_i x_i Σ_j w_ij
        grown = seeds.sum(axis=1) + own
        return np.array([*found, *(fixed.middle[:, at] @ grown for at in growing)])


def _dot(left: Array, right: Array) -> float:
    """The sum of the products of two symmetric matrices. No matter in which order either lies in memory."""
    return float(np.einsum("i,i->", left.ravel(order="K"), right.ravel(order="K")))


def _covariance(parameters: Array, seen: Seen, fixed: _Fixed, growing: tuple[int, ...]) -> tuple[Array, _Parts]:
    """The covariance of all scores, and its parts."""
    columns = seen.points.shape[1]
    smooth, shared, squares = matern(seen.points, seen.points, math.exp(parameters[0]), np.exp(parameters[1 : 1 + columns]))
    s, c, e, b = _noise_parameters(parameters, columns, growing)
    grown = np.exp(fixed.middle[:, list(growing)] @ b)
    seeds = c * c * fixed.shared
    seeds *= np.outer(grown, grown)
    parts = _Parts(
        smooth, shared, squares, math.exp(2 * parameters[1 + columns]) * fixed.equal, s * s * fixed.same, seeds, e * e * grown**2
    )
    whole = 1.0 + smooth
    for one in (parts.configs, parts.shifts, parts.seeds):
        whole += one
    for each in (parts.own, seen.doubts + JITTER):
        np.einsum("ii->i", whole)[...] += each
    return whole, parts


def _objective(parameters: Array, seen: Seen, fixed: _Fixed, means: Array, sds: Array, growing: tuple[int, ...]) -> tuple[float, Array]:
    """The negative log posterior density up to a constant, and its gradient."""
    covariance, parts = _covariance(parameters, seen, fixed, growing)
    off = (parameters - means) / sds
    inverse, log_root = _inverted(covariance)
    weights = inverse @ seen.scores
    value = 0.5 * float(seen.scores @ weights) + log_root + 0.5 * float(off @ off)
    slope: Array = inverse - np.outer(weights, weights)
    return value, parts.gradient(slope, fixed, growing) + off / sds


def _solved(seen: Seen, parameters: Array, growing: tuple[int, ...]) -> Process:
    inverse, _ = _inverted(_covariance(parameters, seen, _Fixed.of(seen), growing)[0])
    return Process(seen, parameters, growing, inverse, inverse @ seen.scores)


def _inverted(covariance: Array) -> tuple[Array, float]:
    """The inverse of a covariance, and half the logarithm of its determinant; both from one Cholesky factor, in half of `inv`'s time."""
    from scipy.linalg import lapack

    factor, wrong = lapack.dpotrf(covariance, lower=1)
    if wrong:
        raise np.linalg.LinAlgError("a covariance must be positive definite")
    half, _ = lapack.dpotri(factor, lower=1)  # its lower triangle; above it the factor is 0
    inverse: Array = half + half.T
    np.einsum("ii->i", inverse)[...] *= 0.5
    return inverse, float(np.log(np.diag(factor)).sum())


def _without_outliers(process: Process, seen: Seen) -> Process:
    """The process with a larger variance for scores that lie far from what the other scores say of them (leave-one-out residuals)."""
    variance = 1.0 / np.diag(process._inverse)  # of a residual; it has what an earlier pass added to it
    usual = np.maximum(variance - (process.seen.doubts - seen.doubts), JITTER)
    surprise = (process._weights * variance) ** 2 / usual
    heavier = np.maximum((TAILS + surprise) / (TAILS + 1.0) - 1.0, 0.0)
    columns = seen.points.shape[1]
    _, _, e, b = _noise_parameters(process.parameters, columns, process.growing)
    own = (e * np.exp((seen.points[:, list(process.growing)] - 0.5) @ b)) ** 2
    doubts = seen.doubts + np.where(heavier > 0.5, heavier, 0.0) * own
    return _solved(Seen(seen.points, seen.scores, seen.seeds, doubts), process.parameters, process.growing)
