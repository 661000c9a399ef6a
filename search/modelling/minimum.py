"""The config with the lowest level of a surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from objectives.base import Knob, Value
from search.conditions import gates, settled
from search.modelling.axis import Axis
from search.modelling.process import Array

COVER, GRID, ROUNDS = 256, 101, 3
Level = Callable[[Sequence[Mapping[str, Value]]], Array]


def lowest(level: Level, free: Sequence[Knob], at: Mapping[str, Value], starts: Sequence[Mapping[str, Value]] = ()) -> dict[str, Value]:
    """The config with the lowest level where the knobs in `free` take any value of their ranges and all others stay as in `at`.

    First a Sobol sequence over the free knobs and the values of `starts`; then one knob at a time on a fine grid. Where knobs have
    conditions, the second step is taken in every branch, from the best that was found there. Values are not rounded.
    """
    names = [knob.name for knob in free]
    best = dict(at)
    if not free:
        return best
    settings = [*cover(free), *({name: one[name] for name in names} for one in starts)]
    tried = [settled({**best, **setting}, free) for setting in settings]
    forks = [knob.name for knob in gates(free)]
    branches: dict[tuple[Value, ...], list[dict[str, Value]]] = {}
    for config in tried:
        branches.setdefault(tuple(config[name] for name in forks), []).append(config)
    within = [knob for knob in free if knob.name not in forks]
    return _first(level, [_descended(level, within, _first(level, mine)) for mine in branches.values()])


def _descended(level: Level, free: Sequence[Knob], best: dict[str, Value]) -> dict[str, Value]:
    """One knob at a time, each to where the level is lowest."""
    for _ in range(ROUNDS):
        before = dict(best)
        for knob in free:
            best = _first(level, [best, *(settled({**best, knob.name: value}, free) for value in grid(knob))])
        if best == before:
            break
    return best


def _first(level: Level, configs: Sequence[dict[str, Value]]) -> dict[str, Value]:
    """The config with the lowest level; among equals the first."""
    return configs[int(np.argmin(level(configs)))]


def grid(knob: Knob) -> list[Value]:
    """The values of a knob that are tried: its choices, or values that cover its range evenly."""
    if (knob.choices and not numeric(knob)) or (knob.low is None and not knob.choices):
        return list(knob.choices)
    axis = Axis.of(knob)
    if axis.choices:
        return [round(value) if knob.integer else value for value in axis.choices]
    values = [axis.exact(float(u)) for u in np.linspace(0.0, 1.0, GRID)]
    return list(dict.fromkeys(round(value) if knob.integer else value for value in values))


def cover(free: Sequence[Knob]) -> list[dict[str, Value]]:
    """Configs that cover the ranges of these knobs evenly."""
    from scipy.stats.qmc import Sobol

    names, grids = [knob.name for knob in free], [grid(knob) for knob in free]
    rows: Any = Sobol(len(free), scramble=True, rng=0).random(COVER)
    return [{name: _at(values, u) for name, values, u in zip(names, grids, row, strict=True)} for row in rows]


def _at(values: Sequence[Value], u: float) -> Value:
    return values[min(int(u * len(values)), len(values) - 1)]


def numeric(knob: Knob) -> bool:
    """Whether a knob has a place on an axis: a range, or a λ whose choices are numbers."""
    return knob.is_lambda if knob.choices else knob.low is not None


def rounded(config: Mapping[str, Value], knobs: Sequence[Knob]) -> dict[str, Value]:
    """The config with its searched numbers written in three significant digits, and within their ranges."""
    found = dict(config)
    for knob in knobs:
        if numeric(knob) and Axis.of(knob).holds(config[knob.name]):
            axis = Axis.of(knob)
            found[knob.name] = axis.value(axis.u(config[knob.name]))
    return found
