"""The interval of a λ and the curve of the score over it, both read off the surface of all members."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.base import Knob, Value
from search.choosing.answer import LambdaAnswer
from search.choosing.arms import Arm
from search.choosing.candidates import off_value
from search.choosing.unfinished import RISKY, Unfinished
from search.choosing.words import number
from search.conditions import active, gates, why_off
from search.modelling.axis import Axis
from search.modelling.minimum import cover, numeric
from search.modelling.process import Array
from search.modelling.surface import Surface

GRID, FINE = 61, 301  # values of λ at which minima are counted, and at which the curve is drawn
PROCESSES, DRAWS = 16, 250  # how many surfaces are drawn, and how many curves from each
TIMES = {"a tenth": 0.1, "a third": 1 / 3, "3 times": 3.0, "10 times": 10.0}
LEVEL = 0.95
GAPS = 0.01  # the gaps of an interval hold so many of the minima at most
NEAR = 0.05  # an arm is a point of the curve if its other knobs differ by less than this part of their ranges


def lambda_answer(
    knob: Knob, config: Mapping[str, Value], surface: Surface | None, *, proven: bool = True, off_worse: bool = False
) -> LambdaAnswer:
    """The chosen value of a λ with its interval. The other knobs are as in `config`.

    The interval holds the λ with the least expected score with probability 0.95: curves are drawn from the posterior distribution of the
    surface, and their minima are counted. It is open at an end of the range where more than 2.5 % of the minima lie. Values in between that
    are proven worse than the chosen one are no part of it: then it has pieces (`_gaps`). Nor is the off value, where the final seeds prove
    that it is worse (`off_worse`). Nor are the values at which every training was stopped early (`unfinished`): nothing is said of them but
    a warning, and an end of the interval that lies beside them is open.

    Where no gain is `proven`, the surface is mostly its prior, and its minima lie too close together: simulated intervals held the best λ
    in 81 of 100 such sweeps (docs/certainty.md). There the interval also has each value that is as good as the chosen one in more than
    2.5 % of the curves.
    """
    axis, value = Axis.of(knob), float(config[knob.name])
    off, ends = float(off_value(knob)), (axis.low, axis.high)
    if why := why_off(knob, config):
        unknown = LambdaAnswer(knob.name, off, off, math.nan, math.nan, False, False, "", None, knob.unit, knob.log, ends)
        return replace(unknown, switched_off=why)
    if surface is None:
        warning = f"{knob.name}: no interval, for too few members completed"
        return LambdaAnswer(knob.name, value, off, math.nan, math.nan, True, True, warning, None, knob.unit, knob.log, ends)
    path = _path(axis)
    blind = Unfinished.of(surface, knob, path)
    minima, rivals = _minima(surface, knob, _ridge(surface, knob, [axis.exact(float(u)) for u in path], config), config)
    share, tail = np.bincount(minima, minlength=len(path)) / len(minima), (1 - LEVEL) / 2
    tied = (rivals > tail) & (not proven)
    inside = _between(minima, len(path), tail) | tied
    kept = inside & ~_gaps(share, rivals, tail)
    if off_worse and axis.holds(off) and (place := _nearest(path, axis, off)) != _nearest(path, axis, value):
        kept[place] = False
    kept, cut = blind.taken_from(kept if kept.any() else inside)
    pieces = _pieces(path, kept, 0.0 if axis.choices else 0.5 / (len(path) - 1))
    beyond = [bool(kept[end]) and (float(share[end]) > tail or bool(tied[end])) for end in (0, -1)]
    if axis.holds(value):
        pieces = _with(pieces, axis.u(value))
    ends_of = tuple((axis.value(low), axis.value(high)) for low, high in pieces)
    low, high = ends_of[0][0], ends_of[-1][1]
    told = blind.words() if float(share[blind.places].sum()) > GAPS else ""
    warning = "; ".join(filter(None, [_warning(knob, axis, value, (beyond[0], beyond[1]), proven), f"{knob.name}: {told}" if told else ""]))
    is_open = [one or other for one, other in zip(beyond, cut, strict=True)]
    found = LambdaAnswer(knob.name, value, off, low, high, is_open[0], is_open[1], warning, None, knob.unit, knob.log, ends)
    found = replace(found, pieces=ends_of if len(ends_of) > 1 else (), unfinished=blind.parts())
    return replace(found, sensitivity=_sensitivity(knob, axis, config, surface, found))


def _between(minima: Any, count: int, tail: float) -> NDArray[np.bool_]:
    """The values between the two tails of the minima, shape (count,)."""
    ordered, last = np.sort(minima), len(minima) - 1
    inside = np.zeros(count, dtype=bool)
    inside[int(ordered[math.floor(tail * last)]) : int(ordered[math.ceil((1 - tail) * last)]) + 1] = True
    return inside


def _sensitivity(knob: Knob, axis: Axis, config: Mapping[str, Value], surface: Surface, told: LambdaAnswer) -> dict[str, float]:
    """How much worse the score is expected to be at λ/10, λ/3, 3λ and 10λ, as far as the range goes.

    Infinite where a loss is likely, NaN where every training was stopped early.
    """
    value = float(config[knob.name])
    if not axis.log or axis.choices or axis.integer or not axis.holds(value):
        return {}
    inside = {where: value * factor for where, factor in TIMES.items() if axis.holds(value * factor)}
    points = surface.encoder([config, *({**config, knob.name: at} for at in inside.values())])
    column = surface.encoder.column(knob)
    lost = surface.losses.along(column).beyond(points[:, [column]]) > RISKY
    scores = np.where(lost, math.inf, surface.score(surface.process.mean(points)))
    blind = np.array([any(low <= at <= high for low, high in told.unfinished) for at in inside.values()], dtype=bool)
    scores[1:] = np.where(~lost[1:] & blind, math.nan, scores[1:])
    return {where: float(score) - float(scores[0]) for where, score in zip(inside, scores[1:], strict=True)}


def shortest(knob: Knob) -> list[tuple[float, float]]:
    """The shortest intervals that a λ with a range can have, however much is trained: half a step of the grid, at either end of the range.

    Empty for a list of choices and for whole numbers, of which an interval may hold one only.
    """
    axis, half = Axis.of(knob), 0.5 / (GRID - 1)
    if axis.choices or axis.integer:
        return []
    return [(axis.exact(low), axis.exact(high)) for low, high in ((0.0, half), (1 - half, 1.0))]


def _path(axis: Axis) -> Array:
    return np.array([axis.u(choice) for choice in axis.choices]) if axis.choices else np.linspace(0.0, 1.0, GRID)


def _minima(surface: Surface, knob: Knob, configs: Sequence[Mapping[str, Value]], chosen: Mapping[str, Value]) -> tuple[Any, Array]:
    """Where each of many curves that the posterior distribution allows has its minimum, as an index into `configs`, shape (draws,).

    And in which share of the curves each config is as good as the chosen one, or better, shape (n,).
    """
    points, rng, luck = surface.encoder([*configs, chosen]), np.random.default_rng(0), np.random.default_rng(1)
    at = surface.encoder.column(knob)
    lost = surface.losses.along(at).beyond(points[:, [at]])
    barred = np.where(lost > max(RISKY, float(lost[:-1].min())), np.inf, 0.0)
    barred[-1] = 0.0
    found, better = [], []
    for process in surface.process.drawn(PROCESSES, rng):
        values, vectors = np.linalg.eigh(process.covariance(points))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        drawn = process.mean(points) + barred + rng.normal(size=(DRAWS, len(points))) @ root.T
        if surface.feasible is not None:
            drawn = np.where(surface.feasible.drawn(points, DRAWS, luck), drawn, np.inf)
        found.append(np.argmin(drawn[:, :-1], axis=1))
        better.append(np.mean(drawn[:, :-1] <= drawn[:, -1:], axis=0))
    return np.concatenate(found), np.mean(better, axis=0)


def _gaps(share: Array, rivals: Array, error: float) -> NDArray[np.bool_]:
    """The values of λ that are proven worse than the chosen one: they are as good in at most this share of the curves, shape (n,).

    The worst are taken first, as long as all of them together hold at most `GAPS` of the minima. So what an interval loses by its gaps is
    bounded, however many values are looked at.

    Args:
        share: of the minima, where each lies.
        rivals: in which share of the curves each value is as good as the chosen one.
        error: the probability of error with which one value is proven worse.
    """
    order = np.argsort(rivals, kind="stable")
    gaps = np.zeros(len(share), dtype=bool)
    gaps[order] = (np.cumsum(share[order]) <= GAPS) & (rivals[order] <= error)
    return gaps


def _nearest(path: Array, axis: Axis, value: float) -> int:
    return int(np.argmin(np.abs(path - axis.u(value))))


def _pieces(path: Array, kept: NDArray[np.bool_], half: float) -> list[tuple[float, float]]:
    """The runs of values that are kept, as parts of [0, 1]. A minimum that was counted lies within half a step of its point."""
    places = np.flatnonzero(kept)
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [(max(0.0, float(path[run[0]]) - half), min(1.0, float(path[run[-1]]) + half)) for run in runs]


def _with(pieces: list[tuple[float, float]], u: float) -> list[tuple[float, float]]:
    """The pieces, the nearest of them reaching to u."""
    near = min(range(len(pieces)), key=lambda index: max(pieces[index][0] - u, u - pieces[index][1]))
    low, high = pieces[near]
    return [*pieces[:near], (min(low, u), max(high, u)), *pieces[near + 1 :]]


def _ridge(surface: Surface, knob: Knob, values: Sequence[float], config: Mapping[str, Value]) -> list[dict[str, Value]]:
    """For each value of the λ the config whose other searched knobs are best for it: where two knobs interact, they move together.

    A λ that is off stays off. A knob on which others depend keeps its value: the interval is that of the config's branch.
    """
    knobs = surface.encoder.knobs
    fixed = [gate.name for gate in gates(knobs)]
    acting = [replace(one, when=()) for one in knobs if one.name not in fixed and active(one, config)]
    on = [one for one in acting if not one.is_lambda or config[one.name] != off_value(one)]
    others = [other for other in on if other.name != knob.name]
    tried = [{other.name: config[other.name] for other in others}, *cover(others)[:64]] if others else [{}]
    found = []
    for value in values:
        configs = [{**config, **one, knob.name: value} for one in tried]
        best = configs[int(np.argmin(surface.level(configs)))]
        found.append(best)
    return found


def _warning(knob: Knob, axis: Axis, value: float, is_open: tuple[bool, bool], proven: bool = True) -> str:
    """What to do where the interval is open: widen the range. A range that ends at the off value ends there by nature.

    Beyond an end on the side of the off value λ only comes nearer to being off. Where no gain is `proven`, nothing is to be found there.
    """
    said = [] if axis.holds(value) else [f"the chosen value {number(value)} lies off the range; the interval is that of the range"]
    off = off_value(knob)
    for end, bound, still_open in zip(("low", "high"), (axis.low, axis.high), is_open, strict=True):
        if not still_open or bound == knob.off or axis.choices:
            continue
        at = axis.holds(value) and abs(axis.u(value) - axis.u(bound)) < 0.01
        what = f"the best value lies at the {end} end of the range" if at else f"the best value may lie beyond the {end} end of the range"
        towards = float(off) < bound if end == "low" else float(off) > bound
        rest = f", towards {number(float(off))}, which is off and is not shown to be worse"
        said.append(what + (rest if towards and not proven else f": widen {end} beyond {number(bound)}"))
    if all(is_open) and len(said) == 2:
        return f"{knob.name}: the interval is the whole range: too little is known to say where the best value lies"
    return f"{knob.name}: {'; '.join(said)}" if said else ""


def picture(knob: Knob, config: Mapping[str, Value], surface: Surface | None, arms: Sequence[Arm], knobs: Sequence[Knob]) -> dict[str, Any]:
    """The curve over λ in scores, with the other knobs as in `config`: expected score, its 95 % band, and the arms that lie on it."""
    points = [_point(knob, arm) for arm in arms if (arm.scores or arm.bad) and _beside(arm.config, config, knob, knobs)]
    if surface is None or not active(knob, config):
        return {"grid": [], "mean": [], "low": [], "high": [], "points": points}
    axis = Axis.of(knob)
    path = _path(axis) if axis.choices else np.linspace(0.0, 1.0, FINE)
    configs = [{**config, knob.name: axis.exact(float(u))} for u in path]
    encoded = surface.encoder(configs)
    mean, sd = surface.process.mean(encoded), surface.process.sd(encoded)
    lines = {"mean": mean, "low": mean - 1.96 * sd, "high": mean + 1.96 * sd}
    found = {name: [float(y) for y in surface.score(line)] for name, line in lines.items()}
    return {"grid": [float(one[knob.name]) for one in configs], **found, "points": points}


def _point(knob: Knob, arm: Arm) -> dict[str, Any]:
    """An arm on the curve. Where it was lost on every seed, its mean is NaN."""
    half = 1.96 * arm.error if len(arm.scores) > 1 else math.nan
    lost = {"lost": len(arm.bad), "seeds": arm.seeds} if arm.bad else {}
    return {
        "arm": arm.name,
        "value": float(arm.config[knob.name]),
        "mean": arm.mean,
        "low": arm.mean - half,
        "high": arm.mean + half,
        **lost,
    }


def _beside(left: Mapping[str, Value], right: Mapping[str, Value], knob: Knob, knobs: Sequence[Knob]) -> bool:
    """Whether two configs differ in this λ alone, or nearly so. λ off, where it has no place on the axis, is no point of the curve."""
    if not Axis.of(knob).holds(left[knob.name]):
        return False
    for other in knobs:
        a, b = left[other.name], right[other.name]
        if other is knob or a == b:
            continue
        if not numeric(other) or abs(Axis.of(other).u(a) - Axis.of(other).u(b)) > NEAR:
            return False
    return True
