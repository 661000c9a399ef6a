"""An Optuna sampler that draws where the surface of what was told promises most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import TrialState

from objectives.base import Knob, Value
from search.asking.space import SEED, at, distributions
from search.conditions import rest
from search.modelling.axis import Axis
from search.modelling.encoder import Encoder
from search.modelling.feasible import Bound, Excess, Feasible
from search.modelling.process import Array
from search.modelling.surface import Surface, Training

EVEN = 0.5  # likelier than this a config is taken to keep to the constraints
RHO = 0.05  # how much the sum of all metrics counts beside the worst of them
MOST = 200  # ended trials that a surface is fitted to at an ask, which takes time with their third power
COVER, NEAR, CENTRES, SPREAD = 256, 32, 4, 0.08  # draws over the whole space; draws near each of the best tried; how near


class Expected(BaseSampler):  # type: ignore[misc]  # optuna is untyped to mypy here
    """Augmented expected improvement; with several metrics that of their augmented Chebyshev function, with new weights at each ask."""

    def __init__(self, seed: int, knobs: Sequence[Knob], first: int) -> None:
        self._rng, self._knobs, self._first = np.random.default_rng(seed), list(knobs), first
        self._apart, self._space = RandomSampler(seed=seed), list(knobs)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """The knobs of the sweep; without them, what all trials so far have in common."""
        if self._knobs:
            return distributions(self._knobs)
        common = IntersectionSearchSpace().calculate(study)
        return {name: one for name, one in common.items() if not one.single()}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """A random draw: for a parameter that is not among those that are drawn together."""
        return self._apart.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Draw from another stream."""
        self._rng = np.random.default_rng()
        self._apart.reseed_rng()

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        """The draw that promises most."""
        if not search_space:
            return {}
        self._space = self._knobs or [_knob(name, one) for name, one in search_space.items()]
        at_rest = {knob.name: rest(knob) for knob in self._space if knob.when}
        needed = set(search_space) - set(at_rest)
        trials = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number and needed <= set(one.params)]
        params = {one.number: {**at_rest, **one.params} for one in trials}
        told = _few([one for one in trials if one.state == TrialState.COMPLETE])
        open_ = [params[one.number] for one in trials if one.state in (TrialState.RUNNING, TrialState.PRUNED)][-MOST:]
        scores = self._scores(study, told)
        trainings = [Training(params[one.number], one.user_attrs.get(SEED, 0), score) for one, score in zip(told, scores, strict=True)]
        sound = [one for one, score in zip(told, scores, strict=True) if score is not None]
        drawn = [{knob.name: at(knob, float(u)) for knob, u in zip(self._space, row, strict=True)} for row in self._cover()]
        surface = Surface.of(trainings, self._space) if len(trials) >= self._first else None
        if surface is not None:
            surface = _constrained(surface, sound)
        if surface is None:
            best = self._farthest(drawn, list(params.values()))
        else:
            drawn += self._near(surface, [one.config for one in trainings])
            best = drawn[int(np.argmax(_promise(surface, surface.encoder(drawn), surface.encoder(open_) if open_ else None)))]
        return {name: _on_the_grid(one, best[name]) for name, one in search_space.items()}

    def _scores(self, study: Any, told: Sequence[Any]) -> list[float | None]:
        """What is to be made small, of each trial; None where it was lost. Several metrics become one, in random proportions (ParEGO).

        max_m w_m f_m + ρ Σ_m w_m f_m, f_m from 0 to 1 among the trials, w uniform on the simplex. Knowles 2006, IEEE Trans. Evol. Comp. 10.
        """
        signs = np.array([1.0 if one == StudyDirection.MINIMIZE else -1.0 for one in study.directions])
        values = np.array([one.values for one in told], dtype=np.float64).reshape(len(told), len(signs)) * signs
        sound = np.isfinite(values).all(axis=1)
        found = values[:, 0]
        if len(signs) > 1 and sound.any():
            low, width = values[sound].min(axis=0), np.maximum(np.ptp(values[sound], axis=0), 1e-12)
            weighted = self._rng.dirichlet(np.ones(len(signs))) * np.where(sound[:, None], values - low, 0.0) / width
            found = weighted.max(axis=1) + RHO * weighted.sum(axis=1)
        return [float(score) if fine else None for score, fine in zip(found, sound, strict=True)]

    def _cover(self) -> Array:
        from scipy.stats.qmc import Sobol

        return np.asarray(Sobol(len(self._space), scramble=True, rng=self._rng).random(COVER))

    def _farthest(self, drawn: list[dict[str, Value]], tried: list[dict[str, Value]]) -> dict[str, Value]:
        """The draw that lies farthest from all that was tried."""
        if not tried:
            return drawn[0]
        encoder = Encoder(self._space, [*drawn, *tried])
        apart = ((encoder(drawn)[:, None, :] - encoder(tried)[None, :, :]) ** 2).sum(axis=2).min(axis=1)
        return drawn[int(np.argmax(apart))]

    def _near(self, surface: Surface, tried: Sequence[Any]) -> list[dict[str, Value]]:
        """Draws around the configs that are expected to be the best, two in three with one knob changed."""
        best = [tried[place] for place in np.argsort(surface.level(tried))[:CENTRES]]
        found = []
        for config in best:
            for _ in range(NEAR):
                only = None if self._rng.uniform() < 1 / 3 else self._rng.integers(len(self._space))
                found.append(
                    {
                        knob.name: self._moved(knob, config[knob.name]) if only in (None, place) else config[knob.name]
                        for place, knob in enumerate(self._space)
                    }
                )
        return found

    def _moved(self, knob: Knob, value: Value) -> Value:
        if knob.choices and (isinstance(value, str) or not knob.is_lambda):
            return at(knob, float(self._rng.uniform()))
        return at(knob, float(np.clip(Axis.of(knob).u(value) + SPREAD * self._rng.normal(), 0.0, 1.0)))


def _few(told: Sequence[Any]) -> list[Any]:
    """At most `MOST` trials: the newest half, which were drawn where most is expected, and the others evenly over their order."""
    if len(told) <= MOST:
        return list(told)
    old = told[: len(told) - MOST // 2]
    places = np.linspace(0, len(old) - 1, MOST - MOST // 2).round().astype(int)
    return [*(old[place] for place in places), *told[len(told) - MOST // 2 :]]


def _constrained(surface: Surface, sound: Sequence[Any]) -> Surface:
    """The surface with the constraints that complete trials were told of. A constraint on the share of losses is that of the losses."""
    names = list(dict.fromkeys(name for one in sound for name in one.constraints))
    if not names:
        return surface
    told = {name: [one for one in sound if name in one.constraints] for name in names}
    excesses = {name: [Excess(one.params, one.user_attrs.get(SEED, 0), one.constraints[name]) for one in told[name]] for name in names}
    bounds = tuple(Bound.of(seen, surface.encoder) for seen in excesses.values())
    return replace(surface, feasible=Feasible(bounds))


def _promise(surface: Surface, points: Array, open_: Array | None) -> Array:
    """The augmented expected improvement of each row over the best expected score of what was tried and likely keeps to the constraints.

    It is multiplied by the probability that the row keeps to them (Gardner et al. 2014). Where nothing did so far, that probability alone
    counts.
    """
    from scipy.special import ndtr

    process = surface.process
    for point in open_ if open_ is not None else ():
        process = process.told(point, float(process.mean(point[None, :])[0]), float(process.noise(point[None, :])[0]))
    kept = np.ones(len(points)) if surface.feasible is None else surface.feasible.probability(points)
    tried = process.seen.points
    if surface.feasible is not None:
        tried = tried[surface.feasible.probability(tried) >= EVEN]
        if not len(tried):
            return kept * (1 - surface.losses.probability(points))
    best = float(process.mean(tried).min())
    sd, noise = process.sd(points), process.noise(points)
    gain = best - process.mean(points)
    z = gain / sd
    improvement = gain * ndtr(z) + sd * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    found: Array = improvement * (1 - noise / np.hypot(sd, noise)) * (1 - surface.losses.probability(points))
    return found if surface.feasible is None else found * kept


def _knob(name: str, one: Any) -> Knob:
    """The knob that has this distribution, for a study without a sweep."""
    if isinstance(one, CategoricalDistribution):
        return Knob(name, "", "", "1", one.choices[0], choices=tuple(one.choices))
    return Knob(name, "", "", "1", one.low, low=one.low, high=one.high, log=one.log, integer=isinstance(one, IntDistribution))


def _on_the_grid(one: Any, value: Value) -> Value:
    """The nearest value that a distribution with a step has."""
    step = getattr(one, "step", None)
    if step is None or isinstance(value, str) or one.log:
        return value
    near = one.low + round((float(value) - one.low) / step) * step
    return int(near) if isinstance(one, IntDistribution) else float(min(near, one.high))
