"""What a pilot found of the ranges of λ, as a sweep takes it over: before its first member, and in its catalogue before anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objectives.base import Knob
from search.asking.space import Space
from search.choosing.words import number
from search.running.working.work import RANGES
from search.running.writing.ledger import Ledger
from search.spec.keys import Range, Spec, condition

NOTHING_LEFT = "ranges: the spec gives the range of every searched λ, so there was nothing for a pilot to find"


def taken(spec: Spec, space: Space, found: Mapping[str, Mapping[str, Any]]) -> tuple[Spec, dict[str, dict[str, Any]]]:
    """The spec with the ranges that were found (the space takes them too), and the fact to keep of them: by λ a `note` in words."""
    search, facts = dict(spec.search or {}), {}
    for name in spec.ranges or ():
        knob = next(knob for knob in space.knobs if knob.name == name)
        one = found.get(name, {"low": None, "high": None, "said": "its worker looked for none"})
        own = f"{number(knob.low or 0.0)} to {number(knob.high or 0.0)}"
        if one["low"] is None or one["high"] is None:
            facts[name] = {**one, "note": f"{name}: {own}, its own range; a pilot found none: {one['said']}"}
            continue
        low, high = _with_points(knob, spec, float(one["low"]), float(one["high"]))
        search[name] = Range(low=low, high=high, log=knob.log, when=condition(search[name]) or None)
        said = f"{name}: {number(low)} to {number(high)} (from a pilot; its own range is {own}); {one['said']}"
        facts[name] = {"low": low, "high": high, "said": one["said"], "note": said}
    space.with_ranges({name: (one["low"], one["high"]) for name, one in facts.items() if one["low"] is not None})
    return spec.model_copy(update={"search": search, "ranges": ()}), facts


def written(spec: Spec, space: Space, ledger: Ledger, facts: Mapping[str, Any]) -> Spec:
    """Write down the facts of the preparation, and where its pilot looked for ranges, what was found. Returns the spec with it."""
    if not spec.ranges:
        ledger.facts(facts)
        return spec
    ranged, found = taken(spec, space, facts.get(RANGES, {}))
    ledger.facts({**facts, RANGES: found}, ranged)
    return ranged


def notes(spec: Spec, ledger: Ledger) -> list[str]:
    """What a user is told of the ranges, by the driver that had them found and by every later one."""
    known = ledger.fact(RANGES)
    return [] if spec.ranges is None else [one["note"] for one in known.values()] or [NOTHING_LEFT]


def _with_points(knob: Knob, spec: Spec, low: float, high: float) -> tuple[float, float]:
    """A range that holds the user's own first points."""
    own = [float(point[knob.name]) for point in spec.points if knob.name in point]
    return min([low, *own]), max([high, *own])
