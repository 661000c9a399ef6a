"""What the confirmed arms say about one λ: its curve, its interval, and where one of them ends at an edge of the range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.base import Knob
from search.choosing.answer import LambdaAnswer, number
from search.choosing.arms import Arm, differences, paired, shared_seeds
from search.choosing.candidates import off_value
from search.choosing.confirm_fit import Array, Axis, LambdaCurve, lambda_curve


@dataclass(frozen=True)
class Curve:
    """A λ curve with its arms; None where fewer than two arms share two seeds."""

    arms: list[Arm]
    seeds: list[int]
    line: LambdaCurve | None
    level: float  # the score of the best arm: the line is relative to it, so it must be added to the line


def curve_of(knob: Knob, arms: Mapping[str, Arm], chosen: Arm, off: Arm | None) -> Curve:
    """The curve through the arms that differ from `min` in this λ alone. The off arm belongs to them if it lies on the axis and apart."""
    axis = Axis.of(knob)
    centre = arms.get("min", chosen)
    sound = [arm for arm in arms.values() if arm.scores and not arm.bad and axis.holds(arm.config[knob.name])]
    line = [arm for arm in sound if all(arm.config[name] == centre.config[name] for name in centre.config if name != knob.name)]
    line = sorted({arm.config[knob.name]: arm for arm in reversed(line)}.values(), key=lambda arm: axis.u(arm.config[knob.name]))
    if off in line and len(line) > 2:
        near = min(abs(axis.u(arm.config[knob.name]) - axis.u(off.config[knob.name])) for arm in line if arm is not off)
        if near < axis.step / 3 - 1e-9:  # between two close nodes noise would be drawn as a slope
            line.remove(off)
    paired_off = off if off is not None and off.scores and not off.bad else None
    seeds = shared_seeds([*line, paired_off] if paired_off else line) if line else []
    if len(line) < 2 or not seeds:
        return Curve(line, seeds, None, math.nan)
    scores: Array = np.array([[arm.scores[seed] for arm in line] for seed in seeds])
    reference = np.array([paired_off.scores[seed] for seed in seeds]) if paired_off else None
    nodes = np.array([axis.u(arm.config[knob.name]) for arm in line])
    return Curve(line, seeds, lambda_curve(nodes, scores, reference), float(scores.mean(axis=0).min()))


def lambda_answer(knob: Knob, chosen: Arm, curve: Curve, arms: Mapping[str, Arm]) -> LambdaAnswer:
    """The chosen value of a λ with its interval, and the cost of leaving it out where that was tried."""
    axis = Axis.of(knob)
    value = float(chosen.config[knob.name])
    without = arms.get(f"without:{knob.name}")
    centre = arms.get("min")
    cost = None
    if without is not None and centre is not None and not without.bad and not centre.bad and without.scores:
        cost = paired(differences(without, centre))
    low, high, open_low, open_high = math.nan, math.nan, True, True
    if curve.line is not None:
        line = curve.line
        low, high = axis.value(float(line.grid[line.first])), axis.value(float(line.grid[line.last]))
        if axis.holds(value):  # the interval must hold the chosen value itself
            low, high = min(low, value), max(high, value)
        open_low, open_high = line.first == 0, line.last == len(line.grid) - 1
    warning = _edge_warning(axis, knob, value, (low, high), (open_low, open_high), curve)
    ends = (axis.low, axis.high)
    return LambdaAnswer(knob.name, value, float(off_value(knob)), low, high, open_low, open_high, warning, cost, knob.unit, knob.log, ends)


def _edge_warning(axis: Axis, knob: Knob, value: float, interval: tuple[float, float], is_open: tuple[bool, bool], curve: Curve) -> str:
    """What to do where the interval is open: widen the range if the interval ends at its edge. A bound at the off value is natural."""
    if curve.line is None:
        return f"{axis.name}: no interval, for fewer than two of its values were confirmed on the same seeds"
    said = [] if axis.holds(value) else [f"the best arm has it at {number(value)}, off the range; the interval is that of the range"]
    for end, bound, confirmed, still_open in zip(("low", "high"), (axis.low, axis.high), interval, is_open, strict=True):
        near_bound = axis.holds(value) and abs(axis.u(value) - axis.u(bound)) < 0.01
        at_bound = near_bound or (still_open and abs(axis.u(confirmed) - axis.u(bound)) < 0.01)
        if bound == knob.off:
            continue
        if at_bound:
            what = "the best value lies" if near_bound else "the interval runs past"
            said.append(f"{what}{' at' if near_bound else ''} the {end} end of the range: widen {end} beyond {number(bound)}")
        elif still_open:
            said.append(f"{number(confirmed)}, the {end}est confirmed value, is not worse than the best: the interval is open there")
    return f"{axis.name}: {'; '.join(said)}" if said else ""


def picture(knob: Knob, curve: Curve, off: Arm | None) -> dict[str, Any]:
    """The curve in absolute scores. Bands and bars are intervals of the difference from the off arm, drawn at the off arm's level."""
    points = []
    for arm in curve.arms:
        gain = paired(differences(off, arm)) if off and off.scores and not off.bad else None
        half = (gain.high - gain.low) / 2 if gain else math.nan
        at = {"arm": arm.name, "value": float(arm.config[knob.name])}
        points.append({**at, "mean": arm.mean, "low": arm.mean - half, "high": arm.mean + half})
    if curve.line is None:
        return {"grid": [], "mean": [], "low": [], "high": [], "points": points}
    axis, line = Axis.of(knob), curve.line
    lines = {name: [float(y) + curve.level for y in getattr(line, name)] for name in ("mean", "low", "high")}
    return {"grid": [axis.exact(float(u)) for u in line.grid], **lines, "points": points}
