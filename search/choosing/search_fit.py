"""The smooth fit over all members of a search: the scores that stopped members would have had, and a Gaussian process over configs.

scikit-learn and scipy are imported inside functions, so that importing this module costs numpy only.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.base import Knob, State, Value
from search.choosing.answer import Row
from search.choosing.confirm_fit import Array, Axis

NEIGHBOURS = 8  # how many members with a final score predict the final score of a stopped member
# A λ is searched because it may matter. A length scale much longer than the range of λ says that λ does not matter. It puts the minimum at
# an end of the range, and a few noisy members decide which end. A limit of half the range keeps the fit curved.
LONGEST_LAMBDA = 0.5
LONGEST = 20.0  # the longest length scale of another column, which may well not matter
SLOPE_SD = 0.5  # how far final scores are expected to follow rung scores other than one to one


class Encoder:
    """Configs as rows of numbers: u for a numeric knob, one column per value for a categorical one. Knows its knobs' order.

    A λ whose off value has no place on its axis (0 on a log range) gets a second column that says whether the λ is off. So the fit learns
    from the scores whether the low end of the range is as good as off.
    """

    def __init__(self, knobs: Sequence[Knob], configs: Sequence[Mapping[str, Value]]) -> None:
        self.knobs = list(knobs)
        self.levels: dict[str, list[Value]] = {}
        for knob in self.knobs:
            if not knob.is_lambda and (knob.choices or knob.low is None or knob.high is None):
                seen = {repr(config[knob.name]): config[knob.name] for config in configs}
                self.levels[knob.name] = list(knob.choices) or [seen[key] for key in sorted(seen)]
        numeric = [knob.name for knob in self.knobs if knob.name not in self.levels and Axis.of(knob).log]
        self.flags = {name for name in numeric if any(float(config[name]) <= 0.0 for config in configs)}

    def __call__(self, configs: Sequence[Mapping[str, Value]]) -> Array:
        """One row per config, shape (n, columns)."""
        rows = [[x for knob in self.knobs for x in self._columns(knob, config[knob.name])] for config in configs]
        return np.array(rows, dtype=np.float64)

    @property
    def longest(self) -> list[float]:
        """The longest length scale that a fit may give to each column."""
        found = []
        for knob in self.knobs:
            width = len(self.levels.get(knob.name, [0])) + (knob.name in self.flags)
            found += [LONGEST_LAMBDA if knob.is_lambda and knob.name not in self.levels else LONGEST] + [LONGEST] * (width - 1)
        return found

    def _columns(self, knob: Knob, value: Value) -> list[float]:
        if knob.name in self.levels:
            return [float(value == level) for level in self.levels[knob.name]]
        flag = [float(float(value) <= 0.0)] if knob.name in self.flags else []
        return [Axis.of(knob).u(value), *flag]


# ---------------------------------------------------------------------------------------------------------------- final scores


@dataclass(frozen=True)
class Final:
    """A member's final score. `variance` is 0 where the score was seen, else the variance of its prediction."""

    score: float
    variance: float = 0.0


def finals(rows: Sequence[Row]) -> dict[int, Final]:
    """The final scores of complete members, and the predicted final scores of stopped members, by member number.

    A stopped member is predicted from its last rung score. The donors are the members that have a rung score at the same epoch and a final
    score. Members that were stopped latest are predicted first; then they help to predict those that were stopped earlier. If only the
    survivors of every later rung were donors, their luck at those rungs would make everyone's prediction too good. A stopped member is left
    out if no donor has a score at its epoch.
    """
    known = {row.number: Final(row.score) for row in rows if row.ended == "ok" and row.score is not None}
    curves = {row.number: row.curve or ({row.epochs: row.rung_score} if row.rung_score is not None else {}) for row in rows}
    stopped = [row.number for row in rows if row.state == State.STOPPED and curves[row.number]]
    last = {number: max(curves[number]) for number in stopped}
    for epoch in sorted(set(last.values()), reverse=True):
        donors = [(curves[number][epoch], final) for number, final in sorted(known.items()) if epoch in curves[number]]
        found = {number: _predict(donors, curves[number][epoch]) for number in stopped if last[number] == epoch}
        known.update({number: final for number, final in found.items() if final is not None})
    return known


def _predict(donors: Sequence[tuple[float, Final]], at: float) -> Final | None:
    """The final score at rung score `at`: a line through the eight nearest donors, its slope drawn to 1.

    Bayes with a flat prior on the level and slope ~ N(1, ½²). So two donors shift the prediction, and eight donors regress it. The variance
    is the variance of one new member, and it grows with the distance from the donors. The residual variance s² is that of the least-squares
    line; for two or three donors that of the shift alone; for one donor the squared shift. Predicted donors add their own variance.
    """
    near = sorted(donors, key=lambda donor: (abs(donor[0] - at), donor[0], donor[1].score))[:NEIGHBOURS]
    if not near:
        return None
    x, y = np.array([rung for rung, _ in near]), np.array([final.score for _, final in near])
    dx, dy, count = x - x.mean(), y - y.mean(), len(near)
    if count > 3 and dx.any():
        residual = float(np.sum((dy - dx * (dx @ dy) / (dx @ dx)) ** 2)) / (count - 2)
    else:
        residual = float(np.var(y - x, ddof=1)) if count > 1 else float(y[0] - x[0]) ** 2
    residual += float(np.mean([final.variance for _, final in near]))
    stiff = residual / SLOPE_SD**2
    denominator = float(dx @ dx) + stiff
    slope = max((float(dx @ dy) + stiff) / denominator, 0.0) if denominator > 0.0 else 1.0
    spread = residual / denominator if denominator > 0.0 else SLOPE_SD**2
    away = at - float(x.mean())
    return Final(float(y.mean()) + slope * away, residual * (1 + 1 / count) + spread * away**2)


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


# ---------------------------------------------------------------------------------------------------------------- the surface


@dataclass(frozen=True)
class Surface:
    """A fitted Gaussian process over encoded configs, in squashed scores."""

    process: Any
    shift: float
    scale: float
    noise: float

    def mean(self, points: Array) -> Array:
        """The fitted z at each row of `points`."""
        return self.shift + self.scale * np.asarray(self.process.predict(points), dtype=np.float64)

    def excess(self, points: Array, at: Array) -> tuple[Array, Array]:
        """f(x) − f(at) and its predictive sd, for each row x of `points`. The sd is without the observation noise."""
        mean, cov = self.process.predict(np.vstack([at, points]), return_cov=True)
        variance = np.diag(cov) - self.noise
        spread = variance[1:] + variance[0] - 2.0 * cov[0, 1:]
        same = np.all(np.isclose(points, at), axis=1)
        return self.scale * (mean[1:] - mean[0]), self.scale * np.sqrt(np.where(same, 0.0, np.maximum(spread, 0.0)))


def fit_surface(points: Array, z: Array, variance: Array, longest: Sequence[float]) -> Surface | None:
    """A Matérn-5/2 process with one length scale per column and white noise; None where fewer than three distinct points are known.

    Args:
        points: encoded configs, shape (n, columns).
        z: squashed scores, shape (n,).
        variance: the uncertainty of each z beyond the common white noise, shape (n,): 0 for a score that was seen.
        longest: the longest length scale of each column.
    """
    if len(np.unique(points, axis=0)) < 3:
        return None
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    shift, scale = float(np.mean(z)), float(np.std(z)) or 1.0
    lengths = [(0.15, most) for most in longest]
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * Matern([0.4] * len(lengths), lengths, nu=2.5) + WhiteKernel(0.1, (1e-3, 2.0))
    process = GaussianProcessRegressor(kernel, alpha=1e-10 + variance / scale**2, n_restarts_optimizer=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length scale at its bound means that a knob does not matter: no fault
        process.fit(points, (z - shift) / scale)
    return Surface(process, shift, scale, float(process.kernel_.k2.noise_level))


def minimum(surface: Surface, encoder: Encoder, axes: Sequence[Axis], nuisances: Sequence[dict[str, Value]]) -> dict[str, Value]:
    """The config with the lowest fitted mean: λ anywhere in the range, nuisance knobs one of the given combinations.

    First a Sobol sequence over the λs is crossed with the combinations; then one λ at a time is searched on a fine grid.
    """
    from scipy.stats.qmc import Sobol

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cover = Sobol(len(axes), scramble=False).random(64)
    settings = [{axis.name: axis.exact(float(u)) for axis, u in zip(axes, row, strict=True)} for row in cover]
    best = lowest(surface, encoder, [{**rest, **setting} for rest in nuisances for setting in settings])
    for _ in range(3):
        for axis in axes:
            best = lowest(surface, encoder, [best, *({**best, axis.name: axis.exact(float(u))} for u in np.linspace(0, 1, 101))])
        best = lowest(surface, encoder, [best, *({**best, **rest} for rest in nuisances)])
    return best


def lowest(surface: Surface, encoder: Encoder, configs: Sequence[dict[str, Value]]) -> dict[str, Value]:
    """The config with the lowest fitted mean; among equals the first."""
    return configs[int(np.argmin(surface.mean(encoder(configs))))]


def edge(surface: Surface, encoder: Encoder, axis: Axis, at: dict[str, Value], best: dict[str, Value]) -> float:
    """The 1-SE edge: the farthest u on the more regularized side of `at` with f(u) − f(best) within one predictive sd.

    Other knobs are as in `at`. All u between `at` and the edge must hold too, so that a poorly known far side does not hide a well known
    rise before it.
    """
    start = axis.u(at[axis.name])
    path = np.linspace(start, 1.0 if axis.more > 0 else 0.0, 61)
    points = encoder([{**at, axis.name: axis.exact(float(u))} for u in path])
    excess, sd = surface.excess(points, encoder([best]))
    outside = np.flatnonzero(excess > sd + 1e-9)
    return float(path[max(int(outside[0]) - 1, 0)] if len(outside) else path[-1])
