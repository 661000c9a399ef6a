"""Search between the rounds of a race: where one more training is expected to lower the least expected score most.

The first round shows the surface its own minimum on fresh seeds, and often it lies elsewhere afterwards. So a few configs more are trained
on the seeds of that round. Only then the finalists are chosen, and they are judged on other seeds.

The configs are those with the greatest knowledge gradient, one after the other:

    KG(x) = min_i m_i − E_z [ min_i (m_i + z Σ_ix / √(Σ_xx + e²(x))) ],    z ~ N(0, 1)

m and Σ are the posterior mean and covariance of the score at the configs i of a pool; m has in it what losses and broken constraints cost.
e(x) is the noise of one training. When the next config is chosen, those before it count as trained, with the scores that were expected
of them (kriging believer). Sources: Frazier, Powell and Dayanik 2009, INFORMS J. Computing 21; Ginsbourger, Le Riche and Carraro 2010.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from objectives.base import Knob, Value
from search.choosing.answer import Candidate, Row
from search.choosing.candidates import off_value, same
from search.choosing.feasibility import LIKELY, surface_of
from search.choosing.race import is_off
from search.choosing.words import number
from search.conditions import settled, with_a_lambda, without
from search.modelling.axis import Axis
from search.modelling.minimum import cover, numeric, rounded
from search.modelling.process import Array
from search.modelling.surface import Surface
from search.spec.constraints import Constraint

ARM = "between"
NEAR, SPREAD = 256, 0.1  # configs of the pool around the best candidate, and how far they lie from it, as a part of each range
OUTCOMES = 6  # equally likely outcomes of a training, over which the expectation is taken
WORTH = 0.01  # the least gain that is worth the round, in standard deviations of one training
NOTHING = 1e-9  # a gain, in standard deviations of all scores, that is rounding
WHY = "searched between the rounds: by the fit, one more training here tells most about the minimum"


def is_between(arm: str) -> bool:
    """Whether an arm was searched between the rounds."""
    return arm.startswith(ARM)


def proposals(
    found: Sequence[Candidate],
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    lambdas: Sequence[Knob],
    count: int,
    *,
    alone: bool = False,
    constraints: Sequence[Constraint] = (),
) -> list[Candidate]:
    """At most `count` new configs, each of which is no candidate yet; none where less than `WORTH` is expected of the first of them.

    Args:
        found: the candidates, which the first round has trained.
        rows: every member so far.
        knobs: the searched knobs.
        lambdas: the searched λ.
        count: how many configs at most. Where each λ is searched `alone`, they take turns.
        alone: whether each λ was searched alone.
        constraints: what a config must keep to.
    """
    sure = surface_of(rows, knobs, constraints)
    if sure is None:
        return []
    surface, new = sure.with_sure(LIKELY), list[Candidate]()
    sides = [(f":{knob.name}", [knob]) for knob in lambdas] if alone else [("", list(lambdas))]
    for turn, (tail, mine) in enumerate(sides):
        arms = [one for one in found if not is_off(one) and one.arm.endswith(tail)]
        share = len(range(turn, count, len(sides)))
        if arms and share:
            others = [knob.name for knob in lambdas if knob not in mine]
            free = with_a_lambda(without(others, knobs)) if others else list(knobs)
            for config in _chosen(surface, _pool(surface, arms, free), found, knobs, mine, share):
                new.append(Candidate(f"{ARM}{len(new) + 1}{tail}", config, WHY))
    return new


def said(cands: Sequence[Candidate], lambdas: Sequence[Knob]) -> list[str]:
    """What was searched between the rounds, and whether it came to the final, for a reader of the answer; empty where nothing was."""
    mine = [one for one in cands if is_between(one.arm)]
    if not mine:
        return []
    on = [[knob for knob in lambdas if one.config[knob.name] != off_value(knob)] for one in mine]
    places = [", ".join(f"{k.name} {number(float(one.config[k.name]))}" for k in acting) for one, acting in zip(mine, on, strict=True)]
    finals = " and ".join(one.arm for one in mine if one.final) or "none"
    return [f"configs that were searched between the rounds: {'; '.join(places)}; of them came to the final round: {finals}"]


def _pool(surface: Surface, arms: Sequence[Candidate], free: Sequence[Knob]) -> list[dict[str, Value]]:
    """The configs of the arms, configs that cover the ranges of the free knobs, and configs around the best arm."""
    best = arms[int(np.argmin(surface.level([one.config for one in arms])))].config
    moving, rng = [knob for knob in free if numeric(knob)], np.random.default_rng(0)
    drawn = [*cover(free), *(_moved(best, moving, row) for row in rng.normal(0.0, SPREAD, (NEAR, len(moving))))]
    return [dict(one.config) for one in arms] + [settled({**best, **rounded({**best, **one}, free)}, free) for one in drawn]


def _moved(config: Mapping[str, Value], knobs: Sequence[Knob], steps: Array) -> dict[str, Value]:
    """The config with each of these knobs moved by its step; each stays in its range."""
    found = dict(config)
    for knob, step in zip(knobs, steps, strict=True):
        axis = Axis.of(knob)
        found[knob.name] = axis.value(float(np.clip(axis.u(config[knob.name]) + step, 0.0, 1.0)))
    return found


def _chosen(
    surface: Surface,
    pool: Sequence[dict[str, Value]],
    found: Sequence[Candidate],
    knobs: Sequence[Knob],
    lambdas: Sequence[Knob],
    count: int,
) -> list[dict[str, Value]]:
    """Of the pool, the configs that tell most, one after the other."""
    points, process, taken = surface.encoder(pool), surface.process, [one.config for one in found]
    cost = surface.level(pool) - process.seen_mean(points)
    noise, fit = process.noise(points), _fit(surface, pool, points, lambdas)
    chosen: list[dict[str, Value]] = []
    while len(chosen) < count:
        gains = np.where(fit, _gains(process.mean(points) + cost, process.covariance(points), noise), 0.0)
        for place in np.argsort(-gains):
            if gains[place] <= (NOTHING if chosen else max(NOTHING, WORTH * surface.noise)):
                return chosen
            if not any(same(pool[place], one, knobs) for one in taken):
                break
        else:
            return chosen
        chosen.append(pool[place])
        taken.append(pool[place])
        at = points[[place]]
        process = process.told(at, float(process.mean(at)[0]), float(noise[place]))
    return chosen


def _fit(surface: Surface, pool: Sequence[Mapping[str, Value]], points: Array, lambdas: Sequence[Knob]) -> NDArray[np.bool_]:
    """Which configs of a pool may be trained: a λ is on, the constraints are likely kept to, and no lost training is near."""
    on = [any(one[knob.name] != off_value(knob) for knob in lambdas) for one in pool]
    far = [surface.losses.far(point) for point in points]
    fit: NDArray[np.bool_] = np.array(on) & np.array(far) & surface.allowed(pool)
    return fit


def _gains(mean: Array, covariance: Array, noise: Array) -> Array:
    """The knowledge gradient of each config, shape (n,)."""
    from scipy.special import ndtri

    moves = covariance / np.sqrt(np.diag(covariance) + noise**2)  # column x: how the means move with one sd of a training at x
    outcomes = ndtri((np.arange(OUTCOMES) + 0.5) / OUTCOMES)
    least = np.mean([(mean[:, None] + z * moves).min(axis=0) for z in outcomes], axis=0)
    gains: Array = mean.min() - least
    return gains
