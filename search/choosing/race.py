"""Who is trained on fresh seeds, how often, and when enough is known: a race in two rounds.

1. *Screening*: every candidate on the same few seeds. The surface is fitted again, and says which off arm and which λ arm are the best.
2. *Final*: these two (and, where several λ are on, the λ arm without each of them) on seeds that nobody used before. Only these seeds
   make the effect, the verdict and the promise. So the choice, which used other seeds, does not bias them, and their intervals need no
   correction for the number of candidates.

The verdict is looked at at fixed times: after half of the final seeds, with a share of `EARLY` of the error, and at the end. If the first
look decides, the other half is saved (Haybittle 1971, British J. of Radiology 44; Peto et al. 1976, British J. of Cancer 34). A sweep that
goes on with more trials races again on new seeds. Its further looks share `LATER` (alpha spending: DeMets and Lan 1994, Statistics in
Medicine 13). All looks of a sweep together err with a probability of at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from objectives.base import Knob, Phase
from search.asking.space import OFF_ARM
from search.choosing.answer import Candidate, Row
from search.choosing.candidates import off_value
from search.choosing.trainings import trainings
from search.modelling.axis import Axis
from search.modelling.surface import Surface

FIRST, EARLY, LATER = 0.04, 0.001, 0.009
WITHOUT = "without:"


@dataclass(frozen=True)
class Look:
    """One run of the race: `number` counts from 1; seeds up to number `used` were used by the earlier ones."""

    number: int = 1
    used: int = 0

    @property
    def error(self) -> float:
        """The probability of error that the verdict of this look may have."""
        return FIRST * self._share

    @property
    def early(self) -> float:
        """The probability of error that the verdict after half of this look's seeds may have."""
        return EARLY * self._share

    @property
    def _share(self) -> float:
        """Both errors, as a part of the first look's: those of all later looks add up to `LATER`."""
        return 1.0 if self.number == 1 else LATER / (FIRST + EARLY) / 2 ** (self.number - 1)


def is_off(one: Candidate) -> bool:
    """Whether every λ is off in this candidate."""
    return one.arm.partition(":")[0] == OFF_ARM


def decided(found: Sequence[Candidate]) -> bool:
    """Whether the finalists are known."""
    return any(one.final for one in found)


def has_rivals(found: Sequence[Candidate], alone: bool) -> bool:
    """Whether a first round has something to choose: more than one off arm, or more than one arm of the same λ."""
    sides = [OFF_ARM if is_off(one) else one.arm.partition(":")[2] if alone else "" for one in found]
    return len(set(sides)) < len(sides)


def early(seeds: int) -> int:
    """After how many final seeds the verdict is looked at for the first time."""
    return math.ceil(seeds / 2)


def finalists(
    found: Sequence[Candidate],
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    lambdas: Sequence[Knob],
    *,
    alone: bool = False,
    simpler: bool = False,
) -> list[Candidate]:
    """The candidates with their finalists marked. The arms `without:<λ>` are those of the λ arm that was chosen.

    Args:
        found: the candidates, `off` first.
        rows: every member so far.
        knobs: the searched knobs.
        lambdas: the searched λ, in the order in which they are simplified.
        alone: whether each λ has arms of its own.
        simpler: take the most regularized arm within one standard error of the best.
    """
    surface = Surface.of(trainings(rows), knobs)
    lost = _lost(found, rows)
    offs = [one for one in found if is_off(one)]
    chosen = [_best(offs, surface, lost)]
    for knob in lambdas if alone else [None]:
        tail = f":{knob.name}" if knob is not None else ""
        mine = [one for one in found if one not in offs and one.arm.endswith(tail)]
        if mine:
            chosen.append(_simplest(mine, surface, lost, lambdas) if simpler else _best(mine, surface, lost))
    more = [] if alone or len(chosen) < 2 else _without(chosen[1], lambdas)
    names = {one.arm for one in more}
    return [*(replace(one, final=one in chosen) for one in found if one.arm not in names), *more]


def _best(arms: Sequence[Candidate], surface: Surface | None, lost: Mapping[str, int]) -> Candidate:
    """The arm with the lowest level; an arm that lost more seeds than another in the screening is taken only if it stands alone."""
    fewest = min(lost.get(one.arm, 0) for one in arms)
    sound = [one for one in arms if lost.get(one.arm, 0) == fewest]
    if surface is None:
        return sound[0]
    levels = surface.level([one.config for one in sound])
    return min(zip(sound, levels, strict=True), key=lambda pair: float(pair[1]))[0]


def _simplest(arms: Sequence[Candidate], surface: Surface | None, lost: Mapping[str, int], lambdas: Sequence[Knob]) -> Candidate:
    """The most regularized arm within one posterior sd of the best."""
    best = _best(arms, surface, lost)
    if surface is None:
        return best
    excess, sd = surface.excess([one.config for one in arms], best.config)
    within = [one for one, more, error in zip(arms, excess, sd, strict=True) if more <= error and lost.get(one.arm, 0) == 0]

    def regularized(one: Candidate) -> list[float]:
        return [Axis.of(knob).more * float(one.config[knob.name]) for knob in lambdas]

    return max([best, *within], key=regularized)


def _without(chosen: Candidate, lambdas: Sequence[Knob]) -> list[Candidate]:
    """The chosen arm without each of the λ that are on in it, where more than one is."""
    on = [knob for knob in lambdas if chosen.config[knob.name] != off_value(knob)]
    if len(on) < 2:
        return []
    why = f"{chosen.arm} without"
    return [Candidate(WITHOUT + k.name, {**chosen.config, k.name: off_value(k)}, f"{why} {k.name}", final=True) for k in on]


def _lost(found: Sequence[Candidate], rows: Sequence[Row]) -> dict[str, int]:
    """How many seeds each candidate lost to its config."""
    configs = {one.arm: one.config for one in found}
    confirmed = [row for row in rows if row.phase == Phase.CONFIRM and row.ended == "bad"]
    return {arm: sum(row.config == config for row in confirmed) for arm, config in configs.items()}
