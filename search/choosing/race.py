"""Who is trained on fresh seeds, how often, and when enough is known: a race in two rounds.

1. *Screening*: every candidate on the same few seeds. The surface is fitted again, and asks for a few more configs on these seeds
   (`between.py`). Then it says which off arm and which λ arm are the best.
2. *Final*: these two (and, where several λ are on, the λ arm without each of them) on seeds that nobody used before. Only these seeds
   make the effect, the verdict and the promise. So the choice, which used other seeds, does not bias them, and their intervals need no
   correction for the number of candidates.

Both sides of the final have the nuisance knobs that the surface holds for their best. It may err, and where seeds tell little apart from
each other its error would be read as an effect of λ: a learning rate that is a tenth too low may cost more than any λ gains. So the off arm
gets the nuisance knobs of the λ arm where the surface holds them for as good. Else the ablated λ arm (every λ off, all else as it is) is a
finalist, too, and λ is judged by both (`Side.guarded` in `verdict.py`).

How many final seeds are needed is decided before the first of them is trained: the surface says how large the effect is, how well it knows
it, and how noisy a training is (`seeds_needed`). So nobody looks at the verdict before its end, and nothing must be paid for looking. A
goal such as "effect ± 0.2" is the exception: then seeds go on until the interval is short enough (Chow and Robbins 1965, Annals of
Mathematical Statistics 36). What is looked at does not depend on the effect. But an interval is short by luck where one stops, so a quarter
of the error is kept for that (`WATCHED`). A sweep that goes on with more trials races again on new seeds. Its further looks share `LATER`
(alpha spending: DeMets and Lan 1994, Statistics in Medicine 13). All looks of a sweep together err with a probability of at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from objectives.base import Knob, Phase, Value
from search.asking.space import OFF_ARM
from search.choosing.answer import Candidate, Row
from search.choosing.arms import t_quantile
from search.choosing.candidates import RISKY, minima, off_value, same
from search.choosing.feasibility import LIKELY, surface_of
from search.conditions import settled
from search.modelling.axis import Axis
from search.modelling.surface import Surface
from search.spec.constraints import Constraint

FIRST, LATER = 0.045, 0.005
FEWEST = 4  # final seeds where the effect is expected to be plain
POWER = 0.98  # how likely fewer seeds than were asked for must be to settle the verdict
WATCHED = 0.75  # the part of its error that a verdict may have whose number of seeds depends on the length of its interval
WATCHED_FROM = 8  # final seeds before that length is looked at
MOST_SEEDS = 64  # final seeds at most, where a goal asks for more than `confirm.seeds`
EQUAL = 0.25  # standard errors of a comparison that are next to nothing: an error of 2.25 % on one side becomes one of 4 % by them
WITHOUT, ABLATED = "without:", "ablated:"


@dataclass(frozen=True)
class Look:
    """One run of the race: `number` counts from 1; seeds up to number `used` were used by the earlier ones."""

    number: int = 1
    used: int = 0

    @property
    def error(self) -> float:
        """The probability of error that the verdict of this look may have."""
        return FIRST if self.number == 1 else LATER / 2 ** (self.number - 1)


def is_off(one: Candidate) -> bool:
    """Whether every λ is off in this candidate."""
    return one.arm.partition(":")[0] == OFF_ARM


def decided(found: Sequence[Candidate]) -> bool:
    """Whether the finalists are known."""
    return any(one.final for one in found)


def has_rivals(found: Sequence[Candidate], alone: bool) -> bool:
    """Whether a first round has something to choose: more than one off arm, or more than one arm of the same λ."""
    sides = [OFF_ARM if is_off(one) else one.arm.partition(":")[2] if alone else "" for one in found if not one.apart]
    return len(set(sides)) < len(sides)


def seeds_needed(off: Candidate, arms: Sequence[Candidate], surface: Surface | None, most: int, error: float) -> int:
    """How many final seeds settle the verdict of each arm with probability `POWER`; `most` where fewer do not.

    The smallest S ≥ FEWEST with d ≥ (t(1 − error/2, S−1) + t(POWER, S−1)) · s / √S. d is the expected effect less one posterior sd, and
    s² the sum of the noise variances of both arms, without what a seed gives to both. (The rest is hardly correlated far apart.)
    """
    if surface is None or any(surface.lost([one.config for one in (off, *arms)]) > RISKY):
        return most
    effects, doubts = surface.excess([one.config for one in arms], off.config)
    noise = surface.process.own_noise(surface.encoder([one.config for one in (off, *arms)]))
    plain = (np.abs(effects) - doubts) / np.hypot(noise[0], noise[1:])
    least = float(plain.min(initial=np.inf))
    enough = (count for count in range(min(FEWEST, most), most) if least >= _detectable(count, error / len(arms)))
    return next(enough, most)


def _detectable(seeds: int, error: float) -> float:
    """The effect, in sd of one paired difference, that so many seeds find with probability `POWER`."""
    return (t_quantile(1 - error / 2, seeds - 1) + t_quantile(POWER, seeds - 1)) / math.sqrt(seeds)


def next_seeds(seeds: int) -> int:
    """How many final seeds come after so many, where the effect is not yet known to what was asked."""
    return min(MOST_SEEDS, seeds + max(2, math.ceil(seeds / 4)))


def finalists(
    found: Sequence[Candidate],
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    lambdas: Sequence[Knob],
    *,
    alone: bool = False,
    simpler: bool = False,
    refine: bool = True,
    most: int = 8,
    error: float = FIRST,
    fewer: bool = True,
    constraints: Sequence[Constraint] = (),
) -> list[Candidate]:
    """The candidates, their finalists with the number of their final seeds. The arms `without:<λ>` are those of the λ arm that was chosen.

    Args:
        found: the candidates, `off` first; without one where nothing is compared with.
        rows: every member so far.
        knobs: the searched knobs.
        lambdas: the searched λ, in the order in which they are simplified.
        alone: whether each λ has arms of its own.
        simpler: take the most regularized arm within one standard error of the best.
        refine: whether a finalist may be what nobody trained yet: the minimum of the surface anew, an ablated arm.
        most: how many final seeds were asked for.
        error: the probability of error that the verdict may have.
        fewer: whether fewer final seeds do where they settle the verdict. Where the length of the interval is to be known they do not.
        constraints: what a config must keep to.
    """
    sure = surface_of(rows, knobs, constraints)
    surface = sure.with_sure(LIKELY) if sure is not None else None
    lost = lost_seeds(found, rows)
    offs = [one for one in found if is_off(one)]
    chosen = [_best(offs, surface, lost)] if offs else []
    screened = any(row.phase == Phase.CONFIRM for row in rows)
    moves = minima(rows, knobs, lambdas, sure, alone=alone) if refine and screened else {}
    for knob in lambdas if alone else [None]:
        tail = f":{knob.name}" if knob is not None else ""
        mine = [one for one in found if one not in offs and one.arm.endswith(tail)]
        if not mine:
            continue
        best = _simplest(mine, surface, lost, lambdas) if simpler else _best(mine, surface, lost)
        moved = None if simpler else moves.get(knob.name if knob is not None else "")
        near = [one for one in found if not is_off(one) and _allowed(one, surface)]
        trusted = moved is not None and _trusted({**best.config, **moved}, best, rows, lambdas, surface)
        chosen.append(_moved(best, moved, tail, near, knobs) if moved is not None and trusted else best)
    bare = [ablated(one, lambdas, knobs) for one in chosen[1:]] if offs and refine else []
    if len(bare) == 1 and (same(bare[0].config, chosen[0].config, knobs) or _as_good(bare[0], chosen[0], surface, most)):
        chosen[0] = _shared(chosen[1], bare[0], offs)
    bare = [one for one in bare if one.config != chosen[0].config]
    new = [one for one in chosen if one not in found]
    first, more = [one for one in new if is_off(one)], [one for one in new if not is_off(one)]  # off arms stand first
    # The arms without one λ come after the first λ arm, which is the one that is judged.
    more += bare if alone or len(chosen) < 2 else [*_without(chosen[1], lambdas, knobs), *bare]
    seeds = seeds_needed(chosen[0], chosen[1:], surface, most, error) if fewer and offs and chosen[1:] else most
    names, finals = {one.arm for one in (*first, *more)}, {one.arm for one in (*chosen, *more)}
    # Two candidates with one config would be one arm.
    old = [one for one in found if one.arm not in names and one.config not in [each.config for each in bare]]
    whole = [*first, *old, *more]
    return [replace(one, seeds=seeds if one.arm in finals else 0) for one in whole]


def _moved(best: Candidate, config: Mapping[str, Value], tail: str, found: Sequence[Candidate], knobs: Sequence[Knob]) -> Candidate:
    """The minimum of the surface after the screening: an arm of its own where no candidate is the same."""
    moved = Candidate(f"refined{tail}", {**best.config, **config}, "minimum of the surface after the first round")
    return next((one for one in found if same(one.config, moved.config, knobs)), moved)


def _trusted(config: Mapping[str, Value], best: Candidate, rows: Sequence[Row], lambdas: Sequence[Knob], surface: Surface | None) -> bool:
    """Whether a minimum of the surface may take the place of an arm that was trained.

    It may lie between λ that were trained to the end. Beyond them the surface rests on stopped members alone: there it must be better than
    the arm by more than one posterior standard deviation.
    """
    whole = [row.config for row in rows if row.ended == "ok"]
    tried = {knob.name: [float(one[knob.name]) for one in whole if one[knob.name] != off_value(knob)] for knob in lambdas}
    if all(values and min(values) <= float(config[name]) <= max(values) for name, values in tried.items()) or surface is None:
        return True
    excess, sd = surface.excess([config], best.config)
    return bool(excess[0] + sd[0] < 0)


def _allowed(one: Candidate, surface: Surface | None) -> bool:
    """Whether a candidate is likely enough to keep to the constraints to stand for a minimum near it."""
    return surface is None or bool(surface.allowed([one.config])[0])


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
    near = (excess <= sd) & surface.allowed([one.config for one in arms])
    within = [one for one, good in zip(arms, near, strict=True) if good and lost.get(one.arm, 0) == 0]

    def regularized(one: Candidate) -> list[float]:
        return [Axis.of(knob).more * float(one.config[knob.name]) for knob in lambdas if knob.more is not None]

    return max([best, *within], key=regularized)


def ablated(arm: Candidate, lambdas: Sequence[Knob], knobs: Sequence[Knob]) -> Candidate:
    """A λ arm with every λ off, all else as it is."""
    off = settled({**arm.config, **{knob.name: off_value(knob) for knob in lambdas}}, knobs)
    return Candidate(ABLATED + arm.arm, off, f"every λ off, with the nuisance knobs of {arm.arm}: the best ones for off are others")


def _as_good(bare: Candidate, off: Candidate, surface: Surface | None, seeds: int) -> bool:
    """Whether the first may stand for the off arm: what it is expected to be worse by is next to nothing beside the verdict's error.

    That is `EQUAL` standard errors of a comparison on so many seeds. Losses and constraints must not speak against it either.
    """
    if surface is None:
        return False
    configs = [bare.config, off.config]
    excess, noise = surface.excess([bare.config], off.config)[0], surface.process.own_noise(surface.encoder(configs))
    risk, usual = surface.lost(configs)
    nothing = EQUAL * math.hypot(*noise) / math.sqrt(max(seeds, 1))
    return bool(excess[0] <= nothing and risk <= max(RISKY, usual) and (_allowed(bare, surface) or not _allowed(off, surface)))


def _shared(arm: Candidate, bare: Candidate, offs: Sequence[Candidate]) -> Candidate:
    """The off arm with the very nuisance knobs of the λ arm: one that was trained already, where there is one."""
    mine = Candidate(f"{OFF_ARM}:{arm.arm}", bare.config, f"off with the nuisance knobs of {arm.arm}")
    return next((one for one in offs if one.config == bare.config), mine)


def _without(chosen: Candidate, lambdas: Sequence[Knob], knobs: Sequence[Knob]) -> list[Candidate]:
    """The chosen arm without each of the λ that are on in it, where more than one is."""
    on = [knob for knob in lambdas if chosen.config[knob.name] != off_value(knob) and knob.more is not None]
    if len(on) < 2:
        return []
    why = f"{chosen.arm} without"
    return [Candidate(WITHOUT + k.name, settled({**chosen.config, k.name: off_value(k)}, knobs), f"{why} {k.name}") for k in on]


def lost_seeds(found: Sequence[Candidate], rows: Sequence[Row]) -> dict[str, int]:
    """How many seeds each candidate lost to its config."""
    configs = {one.arm: one.config for one in found}
    confirmed = [row for row in rows if row.phase == Phase.CONFIRM and row.ended == "bad"]
    return {arm: sum(row.config == config for row in confirmed) for arm, config in configs.items()}
