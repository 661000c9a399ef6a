"""Constraints in choosing: which members and configs keep to them, how surely, and by how much the nearest misses."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from objectives.base import Knob, Value
from search.choosing.answer import Row
from search.choosing.arms import CONFIDENCE, Arm, spread, t_quantile
from search.choosing.findings import Held
from search.choosing.fitted import surface_of_all, thinned
from search.choosing.trainings import finals
from search.choosing.words import number
from search.modelling.feasible import Bound, Excess, Feasible
from search.modelling.rates import Rates
from search.modelling.surface import Surface
from search.spec.constraints import Constraint

LIKELY = 0.9  # arms that are at least so likely to keep to everything are compared by their scores
CANNOT = 0.05  # a candidate that keeps to everything less likely than this is not trained where another may


def surface_of(rows: Sequence[Row], knobs: Sequence[Knob], constraints: Sequence[Constraint]) -> Surface | None:
    """The surface of these members, with what its configs must keep to; None where too few completed. Many are thinned (`fitted`)."""
    rows = thinned(rows, knobs)
    found = surface_of_all(rows, knobs)
    if found is None or not constraints:
        return found
    bounds = tuple(Bound.of(excesses(rows, one), found.encoder) for one in constraints if not one.of_losses)
    most = min((one.bound for one in constraints if one.of_losses), default=None)
    if most is None:
        return replace(found, feasible=Feasible(bounds))
    return replace(found, feasible=Feasible(bounds, Rates.of(found.losses.points, found.losses.lost), most))


def excesses(rows: Sequence[Row], constraint: Constraint) -> list[Excess]:
    """What each member says about one constraint: its final value, or the value that a stopped member would have come to."""
    own = [replace(row, score=_final(row, constraint), curve=row.tracks.get(constraint.metric, {}), rung_score=None) for row in rows]
    scale = abs(constraint.bound) or 1.0
    known, by_number = finals(own), {row.number: row for row in own}
    return [
        Excess(by_number[number].config, by_number[number].seed, constraint.excess(final.score), final.variance / scale**2)
        for number, final in sorted(known.items())
    ]


def _final(row: Row, constraint: Constraint) -> float | None:
    value = row.metrics.get(constraint.metric) if row.ended == "ok" else None
    return value if value is not None and math.isfinite(value) else None


def keeps(row: Row, constraints: Sequence[Constraint]) -> bool:
    """Whether a complete member keeps to every constraint on a metric. One that lacks the metric does not."""
    return all(one.of_losses or one.holds(row.metrics.get(one.metric, math.nan)) for one in constraints)


# Configs, by the means of their members ----------------------------------------------------------------------------------------------


def missed_by(rows: Sequence[Row], constraints: Sequence[Constraint]) -> list[tuple[float, Constraint, Mapping[str, Value], float, int]]:
    """For every config with a complete member what it breaks most: by how much, which constraint, the config, its mean, its members.

    A miss is counted in standard deviations of the metric over complete members, 0 where nothing is broken.
    """
    spreads = {one.metric: _spread(rows, one) for one in constraints}
    configs: dict[str, list[Row]] = {}
    for row in rows:
        if row.ended in ("ok", "bad"):
            configs.setdefault(repr(sorted(row.config.items())), []).append(row)
    found = []
    for mine in configs.values():
        if not any(row.ended == "ok" for row in mine):
            continue
        worst = max(((_miss(mine, one, spreads[one.metric]), one) for one in constraints), key=lambda pair: pair[0])
        found.append((*worst, mine[0].config, _mean(mine, worst[1]), len(mine)))
    return found


def _miss(mine: Sequence[Row], constraint: Constraint, spread: float) -> float:
    value = _mean(mine, constraint)
    if constraint.holds(value):
        return 0.0
    return math.inf if math.isnan(value) else max(abs(value - constraint.bound) / spread, 1e-12)


def _mean(mine: Iterable[Row], constraint: Constraint) -> float:
    """The mean of the metric over members of one config; the share of lost ones for `nan_rate`; NaN where nothing is known."""
    if constraint.of_losses:
        return float(np.mean([row.ended == "bad" for row in mine]))
    values = [value for row in mine if (value := _final(row, constraint)) is not None]
    return float(np.mean(values)) if values else math.nan


def _spread(rows: Sequence[Row], constraint: Constraint) -> float:
    values = [value for row in rows if (value := _final(row, constraint)) is not None]
    return (float(np.std(values)) if not constraint.of_losses and values else 0.0) or 1.0


def nearest_miss(rows: Sequence[Row], constraints: Sequence[Constraint], knobs: Sequence[Knob], exported: Arm | None = None) -> str:
    """Which trained config comes nearest to keeping to everything, where none does; an empty string where one does.

    Where another config is `exported`, it says which, and why.
    """
    found = missed_by(rows, constraints) if constraints else []
    if not found or min(miss for miss, *_ in found) == 0.0:
        return ""
    miss, constraint, config, mean, members = min(found, key=lambda one: one[0])
    where = _where(config, knobs)
    whole = sum(row.ended in ("ok", "bad") for row in rows)
    of = f"of {len(found)} configs with {whole} members no config meets {' and '.join(one.text for one in constraints)}"
    if math.isinf(miss):
        return f"{of}; {constraint.metric} was not measured on any of them"
    by = (
        f"{constraint.metric} {number(mean)}, beyond {constraint.sign} {number(constraint.bound)} by {number(abs(mean - constraint.bound))}"
    )
    unit = "" if constraint.of_losses else f" ({number(miss)} sd of all members)"
    nearest = f"{of}; the nearest is {where} with {by}{unit}, on {members} member{'s' if members > 1 else ''}"
    if exported is None or all(exported.config[knob.name] == config[knob.name] for knob in knobs):
        return nearest
    why = "the nearest of the confirmed ones" if exported.seeds else "the nearest by the fit to all members, on no seed of its own"
    return f"{nearest}; exported is {_where(exported.config, knobs)}, {why}"


def _where(config: Mapping[str, Value], knobs: Sequence[Knob]) -> str:
    return ", ".join(f"{knob.name} = {_shown(config[knob.name])}" for knob in knobs)


def _shown(value: Value) -> str:
    return str(value) if isinstance(value, bool | str) else number(float(value))


# Arms, on their final seeds ----------------------------------------------------------------------------------------------------------


def held(arm: Arm, rows: Sequence[Row], constraints: Sequence[Constraint], seeds: Collection[int] | None, name: str) -> list[Held]:
    """What an arm's confirmed seeds say of each constraint: the mean, its one-sided 95 % bound, and whether the constraint holds.

    The bound is mean ± t(0.95, S−1) · s / √S; for the share of losses it is exact (Clopper and Pearson 1934, Biometrika 26).
    """
    mine = {row.seed: row for row in rows if row.phase == "confirm" and row.arm == arm.name and row.ended != "missing"}
    mine = {seed: row for seed, row in mine.items() if seeds is None or seed in seeds}
    found = []
    for one in constraints:
        if one.of_losses:
            lost, count = sum(row.ended == "bad" for row in mine.values()), len(mine)
            mean, low, high = (lost / count if count else math.nan), *_exact(lost, count)
        else:
            values = [value for row in mine.values() if (value := _final(row, one)) is not None]
            count, mean = len(values), float(np.mean(values)) if values else math.nan
            half = t_quantile(1 - CONFIDENCE, count - 1) * spread(values) / math.sqrt(count) if count > 1 else math.inf
            low, high = mean - half, mean + half
        limit, other = (high, low) if one.is_upper else (low, high)
        sure = one.holds(limit) if count else False
        broken = bool(count) and not one.holds(mean) and not one.holds(other)
        found.append(Held(one.text, name, mean, limit, count, "met" if sure else "broken" if broken else "unsure", one.holds(mean)))
    return found


def _exact(lost: int, count: int) -> tuple[float, float]:
    """One-sided 95 % bounds of a share, each by itself."""
    from scipy.stats import beta

    low = float(beta.ppf(CONFIDENCE, lost, count - lost + 1)) if lost else 0.0
    high = float(beta.ppf(1 - CONFIDENCE, lost + 1, count - lost)) if lost < count else 1.0
    return low, high


def miss_of(arm: Arm, judged: Sequence[Held], rows: Sequence[Row], constraints: Sequence[Constraint], surface: Surface | None) -> float:
    """How far an arm misses, in standard deviations of all members; 0 where it keeps to everything.

    Metrics are judged by the means of its seeds. Seeds that were not lost say little of a small share of losses: there the surface of all
    members judges, where it has one.
    """
    worst = 0.0
    for one, said in zip(constraints, judged, strict=True):
        if one.of_losses and surface is not None and surface.feasible is not None and surface.feasible.losses is not None:
            worst = max(worst, float(surface.feasible.losses.likely(surface.encoder([arm.config]))[0]) - one.bound)
        elif said.seeds and not said.within:
            worst = max(worst, abs(said.mean - one.bound) / _spread(rows, one), 1e-12)
        elif not said.seeds and surface is not None:
            worst = max(worst, float(surface.keeps([arm.config])[0] < 0.5))
    return worst
