"""What a sweep is to find out before it ends: `until: ["lambda within 0.5 decades", "effect ± 0.2"]`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from objectives.base import Knob

EFFECT, ANY = "effect", "lambda"
MOST = 4  # a search with a goal trains at most so many times `budget.trials`
GRAMMAR = '"effect ± 0.2" (in units of the metric), "lambda within 0.5 decades" or, with the name of one λ, "beta within 0.5 decades"'
_EFFECT = re.compile(r"effect\s*(?:±|\+-|\+/-)\s*(?P<size>\S+)(?:\s+(?P<unit>\S+))?")
_LAMBDA = re.compile(r"(?P<name>\w+)\s+within\s+(?P<size>\S+)(?:\s+(?P<unit>\S+))?")
_DECADES = ("decade", "decades")


@dataclass(frozen=True)
class Goal:
    """One goal. `about` is `effect`, `lambda` (each λ), or the name of one λ.

    For the effect `within` is half the length of its interval. For a λ it is the whole length from its lowest to its
    highest value, in decades or in the λ's own unit.
    """

    text: str
    about: str
    within: float
    unit: str = ""

    @property
    def decades(self) -> bool:
        """Whether `within` is a ratio of λ, as a power of ten."""
        return self.unit in _DECADES

    def covers(self, knob: Knob) -> bool:
        """Whether it is about this λ."""
        return self.about in (ANY, knob.name)

    def length(self, low: float, high: float) -> float:
        """How long an interval of λ is, in this goal's unit."""
        return (math.log10(high / low) if low > 0 else math.inf) if self.decades else high - low


def goal(text: str) -> Goal:
    """The goal that a text says.

    Raises:
        ValueError: the text is no goal; the message has the grammar.
    """
    found = _EFFECT.fullmatch(text.strip()) or _LAMBDA.fullmatch(text.strip())
    try:
        size = float(found["size"]) if found else math.nan
    except ValueError:
        size = math.nan
    if found is None or not 0 < size < math.inf:
        raise ValueError(f"until: a goal must be {GRAMMAR}, with a number above 0; got {text!r}.")
    return Goal(text.strip(), found.groupdict().get("name") or EFFECT, size, found["unit"] or "")


def goal_faults(
    texts: Sequence[str], lambdas: Mapping[str, tuple[Knob, bool, float]], metric: str, judged: bool, compared: bool = True
) -> list[str]:
    """What is wrong with the goals of a spec.

    Args:
        texts: the goals as they were given.
        lambdas: the searched λ, each with whether it is searched on a log scale, and its least value.
        metric: the name of the metric that decides.
        judged: whether there are final seeds, without which the effect has no interval.
        compared: whether there is an off value or a baseline, without which there is no effect.
    """
    faults, seen = [], set()
    for text in texts:
        try:
            one = goal(text)
        except ValueError as error:
            faults.append(str(error))
            continue
        if one.about in seen:
            faults.append(f"until: there must be one goal about {one.about}; got {text!r} beside another. Keep one of them.")
        seen.add(one.about)
        faults += _effect_faults(one, metric, judged, compared) if one.about == EFFECT else _lambda_faults(one, lambdas)
    return faults


def _effect_faults(one: Goal, metric: str, judged: bool, compared: bool) -> list[str]:
    faults = []
    if one.unit not in ("", metric):
        faults.append(f"until: the effect must be in the unit of the metric, {metric}; got {one.text!r}. Leave {one.unit} out.")
    if not compared:
        rule = f"until: {one.text!r} must have something to compare with; no searched knob has an off value, and there is no baseline"
        faults.append(f"{rule}. Give a baseline, or a knob its off value, or leave out this goal.")
    elif not judged:
        faults.append(f"until: {one.text!r} must have final seeds to judge the effect; confirm has none. Leave out confirm, or this goal.")
    return faults


def _lambda_faults(one: Goal, lambdas: Mapping[str, tuple[Knob, bool, float]]) -> list[str]:
    if one.about != ANY and one.about not in lambdas:
        known = ", ".join(lambdas) or "none has an off value"
        return [f"until: a goal must be about the effect or a searched λ ({known}); got {one.text!r}. The grammar: {GRAMMAR}."]
    faults = []
    for name, (knob, log, low) in lambdas.items():
        if not one.covers(knob):
            continue
        if log and not one.decades:
            faults.append(f"until: {name} is searched on a log scale, so its goal must be in decades; got {one.text!r}. Write: decades.")
        elif one.decades and low <= 0:
            faults.append(
                f"until: decades must be of a λ above 0; {name} is searched from {low:g}; got {one.text!r}. "
                f'Give its length in its own unit, such as "{name} within 0.1".'
            )
        elif not one.decades and one.unit not in ("", knob.unit):
            faults.append(f"until: the goal of {name} must be in its own unit, {knob.unit}; got {one.text!r}. Leave {one.unit} out.")
    return faults
