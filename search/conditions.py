"""Conditions: a knob with `when` acts only where other knobs have certain values. Elsewhere a λ is off, and a nuisance knob at its default.

Two configs that differ only in a knob that does not act are one config. So every config is *settled* before anybody trains or compares it:
each knob that does not act has its value of rest. A *gate* is a knob that a condition names. Gates have choices, so a space falls into
finitely many *branches*: settings of the gates, with the knobs that act there.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from objectives.base import Knob, Value

Params = Mapping[str, Value]
Needed = dict[str, tuple[Value, ...]]  # by gate: the values that it may have


def active(knob: Knob, config: Params) -> bool:
    """Whether a knob acts in a settled config, or in one whose gates are settled."""
    return all(config[name] in values for name, values in knob.when)


def rest(knob: Knob) -> Value:
    """The value of a knob where it does not act."""
    return cast(knob, knob.off if knob.off is not None else knob.default)


def settled(config: Params, knobs: Sequence[Knob]) -> dict[str, Value]:
    """The config with every knob that does not act at its value of rest. `knobs` hold all gates."""
    found = dict(config)
    for knob in conditional(knobs):
        if not active(knob, found):
            found[knob.name] = rest(knob)
    return found


def conditional(knobs: Sequence[Knob]) -> list[Knob]:
    """The knobs with a condition, each after the gates that it depends on."""
    waiting, found = [knob for knob in knobs if knob.when], list[Knob]()
    while waiting:
        names = {knob.name for knob in waiting}
        ready = [knob for knob in waiting if not names & {name for name, _ in knob.when}]
        if not ready:
            raise ValueError(f"conditions must not run in a circle; {', '.join(sorted(names))} do")
        found += ready
        waiting = [knob for knob in waiting if knob not in ready]
    return found


def gates(knobs: Sequence[Knob]) -> list[Knob]:
    """The knobs that some condition names."""
    named = {name for knob in knobs for name, _ in knob.when}
    return [knob for knob in knobs if knob.name in named]


def branches(knobs: Sequence[Knob]) -> list[tuple[dict[str, Value], list[Knob]]]:
    """The distinct settled settings of the gates, each with the other knobs that act there. Without a condition: one, with all knobs."""
    asked = gates(knobs)
    found: list[tuple[dict[str, Value], list[Knob]]] = []
    for values in itertools.product(*(gate.choices for gate in asked)):
        setting = settled(dict(zip((gate.name for gate in asked), values, strict=True)), asked)
        if all(setting != known for known, _ in found):
            found.append((setting, [knob for knob in knobs if knob not in asked and active(knob, setting)]))
    return found


def needed(knob: Knob, knobs: Sequence[Knob]) -> Needed:
    """The values that each gate must have for a knob to act, gates of gates included. An empty tuple: the knob can never act."""
    by_name = {one.name: one for one in knobs}
    found: Needed = {}
    for name, values in knob.when:
        gate = by_name[name]
        _narrow(found, {name: values})
        if gate.when and rest(gate) not in values:
            _narrow(found, needed(gate, knobs))
    return found


def _narrow(found: Needed, more: Needed) -> None:
    for name, values in more.items():
        found[name] = tuple(value for value in found.get(name, values) if value in values)


def with_a_lambda(knobs: Sequence[Knob]) -> list[Knob]:
    """The knobs, their gates without the choices at which no λ among them can be on. So no member is spent on a second off arm."""
    wants = [needed(knob, knobs) for knob in knobs if knob.is_lambda]
    common = set.intersection(*(set(one) for one in wants)) if wants else set[str]()
    allowed = {name: {value for one in wants for value in one[name]} for name in common}
    return [
        replace(knob, choices=tuple(value for value in knob.choices if value in allowed[knob.name])) if knob.name in allowed else knob
        for knob in knobs
    ]


def without(names: Sequence[str], knobs: Sequence[Knob]) -> list[Knob]:
    """The knobs without those of these names, which are at rest: what depends on them acts always, or is left out too."""
    at_rest = {knob.name: rest(knob) for knob in knobs if knob.name in names}
    found = list[Knob]()
    for knob in (one for one in knobs if one.name not in names):
        if all(at_rest[name] in values for name, values in knob.when if name in at_rest):
            found.append(replace(knob, when=tuple((name, values) for name, values in knob.when if name not in at_rest)))
    gone = [knob.name for knob in knobs if knob.name not in names and all(knob.name != one.name for one in found)]
    return without(gone, [*found, *(knob for knob in knobs if knob.name in gone)]) if gone else found


def why_off(knob: Knob, config: Params) -> str:
    """`loss = wasserstein`: what switches a knob off in a config; empty where nothing does."""
    return ", ".join(f"{name} = {config[name]}" for name, values in knob.when if config[name] not in values)


def cast(knob: Knob, value: Value) -> Value:
    """Integers for integer knobs and floats for the others, so that equal configs hash alike."""
    if isinstance(value, bool | str) or (knob.choices and not isinstance(value, int | float)):
        return value
    if knob.integer:
        return int(value)
    return value if knob.choices else float(value)
