"""What is wrong with conditions: `when`, under a searched knob."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from objectives.base import Knob, Value
from objectives.registry import unknown
from search.asking.space import Space
from search.conditions import branches, gates, needed, without
from search.spec.keys import Range, Scalar, Searched, condition, plain

Searches = Mapping[str, Searched]


def condition_faults(objective: str, searched: Searches, fixed: Mapping[str, Scalar], knobs: Mapping[str, Knob]) -> list[str]:
    """Faults of each condition by itself, and circles."""
    found = []
    for name, wanted in searched.items():
        for gate, values in condition(wanted).items():
            where = f"search.{name}.when"
            if gate not in knobs:
                found.append(unknown(f"{where}: a knob of {objective!r}", gate, [one for one in knobs if one in searched or one in fixed]))
            elif gate == name:
                found.append(f"{where} must name another knob; got {gate} itself. Remove it.")
            elif not values:
                found.append(f"{where}.{gate} must be a value or a list of values; got an empty list. Give at least one.")
            elif gate in searched:
                found += _searched_gate(f"{where}.{gate}", knobs[gate], plain(searched[gate]), values)
            elif gate in fixed:
                found += _fixed_gate(f"{where}.{gate}", fixed[gate], values)
            else:
                found.append(
                    f"{where}: {gate} must be searched or fixed, so that the condition means something; it is neither. Add `{gate}: "
                    f"{list(knobs[gate].choices) or [*values]}` to search, or `{gate}: {values[0]}` to fixed."
                )
    return found + _circles(searched)


def _searched_gate(where: str, gate: Knob, wanted: Searched, values: Sequence[Scalar]) -> list[str]:
    choices = gate.choices if isinstance(wanted, Range) else wanted
    if not choices:
        what = "a λ" if gate.is_lambda else "a knob"
        return [
            f"{where}: a condition must be on a choice; {gate.name} is {what} with a range. Search it as a list of values, such as "
            f"`{gate.name}: {_instead(gate, values)}`, or remove the condition."
        ]
    strange = [value for value in values if value not in choices]
    return [f"{where} must be one of the searched choices {list(choices)}; got {value!r}. Choose one of them." for value in strange]


def _instead(gate: Knob, values: Sequence[Scalar]) -> list[Any]:
    """Values as which a range can be searched instead: where it is off, those that the condition asks for, and at least one other."""
    found = list(dict.fromkeys([gate.default if gate.off is None else gate.off, *values]))
    others = [one for one in (gate.default, gate.high, gate.low) if one is not None and one not in found]
    return found if len(found) > 1 else found + others[:1]


def _fixed_gate(where: str, value: Scalar, values: Sequence[Scalar]) -> list[str]:
    if value in values:
        return []
    return [
        f"{where} must hold somewhere; it asks for {_listed(values)}, and {where.rpartition('.')[2]} is fixed at {value!r}. "
        "Fix another value, search it, or remove the knob from search."
    ]


def _circles(searched: Searches) -> list[str]:
    """One fault for each circle of conditions of several knobs."""
    found = dict[frozenset[str], str]()
    for name in searched:
        for way in _ways(name, searched, [name]):
            if len(way) > 2:
                said = ", ".join(f"{a} depends on {b}" for a, b in itertools.pairwise(way))
                found.setdefault(frozenset(way), f"search: conditions must not run in a circle; {said}. Remove one `when` of them.")
    return list(found.values())


def _ways(at: str, searched: Searches, way: list[str]) -> list[list[str]]:
    """The ways along conditions from the first knob of `way` back to it."""
    found = []
    for gate in condition(searched[at]) if at in searched else ():
        if gate == way[0]:
            found.append([*way, gate])
        elif gate not in way:
            found += _ways(gate, searched, [*way, gate])
    return found


def never(space: Space) -> list[str]:
    """The knobs of a space without other faults that can never act."""
    found = []
    for knob in space.knobs:
        empty = [gate for gate, values in needed(knob, space.knobs).items() if not values]
        others = [one.name for one in space.lambdas if one is not knob]
        if empty:
            found.append(
                f"search.{knob.name}.when must hold somewhere; what it asks for switches {', '.join(empty)} to a value that it excludes. "
                "Remove one of the conditions."
            )
        elif space.alone and knob.is_lambda and all(one.name != knob.name for one in without(others, space.knobs)):
            found.append(
                f"search.{knob.name}.when must hold where the other λ are off, because each λ is searched alone; it needs another λ on. "
                "Set alone: false, or remove the condition."
            )
    return found


def point_faults(where: str, point: Mapping[str, Value], space: Space) -> list[str]:
    """Values of a user's first point that have no effect: of knobs that its choices switch off."""
    config: dict[str, Any] = space.arm_config(space.complete(point))
    idle = [knob.name for knob in space.knobs if knob.name in point and config[knob.name] != point[knob.name] and knob.when]
    found = [
        f"{where}.{name} must have an effect; the point's choices switch {name} off. Leave it out, or change the choices." for name in idle
    ]
    forks = [gate.name for gate in gates(space.knobs)]
    barred = [] if idle else [name for name in forks if name in point and config[name] != point[name]]
    return found + [
        f"{where}.{name} = {point[name]} switches every λ off, which the off arm tries in any case. Leave it out." for name in barred
    ]


def sets(knobs: Sequence[Knob]) -> list[tuple[frozenset[str], dict[str, tuple[Value, ...]]]]:
    """The knobs that may be on together, each set with the values that its gates then may have.

    A set holds the knobs that act in some branch. Its gates have the values of all branches in which at least these knobs act.
    """
    parts = [(setting, frozenset(setting) | {knob.name for knob in acting}) for setting, acting in branches(knobs)]
    parts = [(setting, names - {k.name for k in knobs if k.when and k.name in setting and not _on(k, setting)}) for setting, names in parts]
    found = []
    for names in dict.fromkeys(names for _, names in parts):
        within = [setting for setting, other in parts if names <= other]
        found.append((names, {gate: tuple(dict.fromkeys(one[gate] for one in within)) for gate in within[0]}))
    return found


def _on(knob: Knob, setting: Mapping[str, Value]) -> bool:
    return all(setting[name] in values for name, values in knob.when)


def _listed(values: Sequence[Scalar]) -> str:
    return " or ".join(repr(value) for value in values)
