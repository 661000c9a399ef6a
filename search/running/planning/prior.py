"""What other sweeps found, as a few members of this one. What a wrong source costs is bounded by construction.

A sweep with a prior has the members of the sweep without one, in the same order, with the same seeds, and told to the same sampler.
Proposals of sources come in between. The sampler and the scheduler hear nothing of them; the surface does. At most one in eleven of
all members is a proposal, so at its end a sweep of 1.1 n trials has the n members of the sweep without a prior. Its answer rests on what
that one would know, and on the proposals.

A source is an earlier sweep: its best config and its trainings, in the knobs that both sweeps search. It is judged by the members that are
no proposals, and proposes nothing before: by the rank correlation of what it predicts with their scores. Where that is better than chance,
it may make its proposals at once. Where it is likely to be (at one in ten), at most one in eleven of the members so far is a proposal. A
good prediction of the other knobs says nothing of λ, so a source is also judged by λ alone: the scores without what the other knobs
explain, against what the source says that λ costs. Several sources share the proposals in proportion to their correlations (d'Hondt).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from infra.catalogue import MemberRow
from objectives.base import Knob, Phase, Value
from search.asking.seeds import derive
from search.asking.space import OFF_ARM, Space, at
from search.choosing.fitted import surface_of_all
from search.choosing.from_members import table
from search.choosing.missing import INSTEAD
from search.choosing.trainings import trainings
from search.choosing.words import number
from search.modelling.process import Array
from search.modelling.surface import Surface, Training
from search.running.writing.told import PROPOSED
from search.spec.keys import Spec
from search.spec.priors import ONE_IN

FEWEST = 5  # members with a score, below which no source is judged
# Rank correlations are better than chance that would come by chance at most so often, one-sided; and they are likely to be.
PROVEN, LIKELY = 0.05, 0.1
POOL, BEST = 256, 1 / 8  # how many configs a source looks at, and the part of them that it may propose


@dataclass(frozen=True)
class Proposal:
    """A config that a source proposes for an arm."""

    source: str
    arm: str
    config: Mapping[str, Value]


@dataclass(frozen=True)
class Judgement:
    """Rank correlations of what a source predicts with scores: of all knobs, and of λ alone. NaN where there is nothing to rank."""

    members: int
    total: float = math.nan
    of_lambda: float = math.nan

    @property
    def weight(self) -> float:
        """The lower one of the two; 0 where it is negative or unknown."""
        return 0.0 if math.isnan(self.total) else max(0.0, min(self.total, self.of_lambda))

    @property
    def by_chance(self) -> float:
        """How often the less certain one of the two would come by chance; 1 where it is unknown."""
        return max(_by_chance(self.total, self.members - 2), _by_chance(self.of_lambda, self.members - 3))


@dataclass(frozen=True)
class Source:
    """An earlier sweep, as it is stored with the sweep that uses it. `knobs` are those that both sweeps search, of today's ranges."""

    name: str
    best: Mapping[str, Value]
    trainings: tuple[Training, ...]
    knobs: tuple[Knob, ...]

    @staticmethod
    def of(stored: Mapping[str, Any], space: Space) -> Source:
        """What `search.prior` stored."""
        knobs = tuple(knob for knob in space.knobs if knob.name in stored["best"])
        return Source(stored["name"], stored["best"], tuple(Training(*one) for one in stored["trainings"]), knobs)

    @cached_property
    def surface(self) -> Surface | None:
        """What the source knows; None where it has too few trainings."""
        return Surface.of(self.trainings, self.knobs)

    def first(self, space: Space, arm: str) -> dict[str, Value] | None:
        """Its best config, for an arm; None where its λ are not searched in this arm or range."""
        mine = {knob.name: self.best[knob.name] for knob in space.asked(arm) if knob in self.knobs}
        lambdas = {knob.name for knob in self.knobs if knob.is_lambda and knob.name in mine}
        if not lambdas or any(space.clip({name: mine[name]})[name] != mine[name] for name in lambdas):
            return None
        searched = {knob.name: at(knob, 0.5) for knob in space.asked(arm) if knob.is_lambda}  # a λ that the source did not search
        return space.complete(searched | mine)

    def further(self, space: Space, arm: str, seed: int, here: Surface | None) -> dict[str, Value] | None:
        """Of its good configs, the one that the sweep's own surface `here` expects most of; a random one where there is no surface."""
        if self.surface is None or self.first(space, arm) is None:
            return None
        rng = np.random.default_rng(seed)
        pool = [{knob.name: at(knob, float(rng.uniform())) for knob in space.asked(arm)} for _ in range(POOL)]
        good = np.argsort(self.surface.level([{**self.best, **one} for one in pool]), kind="stable")[: int(POOL * BEST)]
        configs = [pool[int(index)] for index in good]
        return configs[int(np.argmin(here.level([space.arm_config(one) for one in configs])))] if here else configs[0]

    def judged(self, seen: Sequence[Training]) -> Judgement:
        """How well it predicts these trainings. A lost training has the worst rank.

        For λ alone, both sides are taken without their regression on the rank of the other knobs.
        """
        if self.surface is None or len(seen) < FEWEST:
            return Judgement(len(seen))
        configs = [{**self.best, **one.config} for one in seen]
        scores = _ranks([math.inf if one.score is None else one.score for one in seen])
        lambdas = {knob.name: self.best[knob.name] for knob in self.knobs if knob.is_lambda}
        level, others = self.surface.level(configs), self.surface.level([{**one, **lambdas} for one in configs])
        rest = _ranks(others)
        of_lambda = _correlation(_without(_ranks(level - others), rest), _without(scores, rest))
        return Judgement(len(seen), _correlation(_ranks(level), scores), of_lambda)


class Prior:
    """The sources of one sweep. It has no state that the catalogue does not have: a member that was proposed says so in its facts."""

    def __init__(self, spec: Spec, space: Space, stored: Sequence[Mapping[str, Any]]) -> None:
        self._space, self._seed, self._trials = space, spec.seed, spec.budget.trials
        self.sources = [Source.of(one, space) for one in stored]

    def next(self, rows: Sequence[MemberRow], curves: Mapping[int, Mapping[int, float]]) -> Proposal | None:
        """The proposal that is next; None where it is the sampler's turn, or no source is trusted."""
        if not self.sources:
            return None
        searched = [row for row in rows if row.phase == Phase.SEARCH and not row.start]
        made = [row for row in searched if PROPOSED in row.facts and INSTEAD not in row.facts]
        now = len(searched) + 1
        if len(made) >= max(self._trials, now) // ONE_IN or not searched or searched[-1] in made:
            return None
        seen = self._seen(rows, curves)
        judged = [(one.judged(seen), one) for one in self.sources]
        limit = LIKELY if len(made) < now // ONE_IN else PROVEN
        judged = [(how, one) for how, one in judged if how.by_chance <= limit]
        for _, source in sorted(judged, key=lambda pair: -pair[0].weight / (1 + len(self._by(pair[1], made)))):
            if found := self._of(source, made, rows, curves):
                return found
        return None

    def remarks(self, rows: Sequence[MemberRow], curves: Mapping[int, Mapping[int, float]]) -> list[str]:
        """How well each source predicted, and what it proposed."""
        seen, told = self._seen(rows, curves) if self.sources else [], []
        for one in self.sources:
            best = ", ".join(f"{knob.name} {number(float(one.best[knob.name]))}" for knob in one.knobs if knob.is_lambda)
            judged, mine = one.judged(seen), len(self._by(one, rows))
            how = f"rank correlation {judged.total:.2f} (of λ alone {judged.of_lambda:.2f}) over {judged.members} members"
            if math.isnan(judged.total):
                how = "not judged: too few members have a score"
            did = f"it proposed {mine} member{'s' * (mine != 1)}" if mine else "it proposed nothing"
            told.append(f"prior {one.name}: best {best}; {how}; {did}")
        return told

    def _seen(self, rows: Sequence[MemberRow], curves: Mapping[int, Mapping[int, float]]) -> list[Training]:
        """The trainings by which sources are judged: those with λ on that nobody proposed."""
        judges = [row for row in rows if row.phase == Phase.SEARCH and row.arm != OFF_ARM and PROPOSED not in row.facts]
        return trainings(table(judges, curves, []))

    def _of(
        self, source: Source, made: Sequence[MemberRow], rows: Sequence[MemberRow], curves: Mapping[int, Mapping[int, float]]
    ) -> Proposal | None:
        """The next proposal of a source, for the arm that has the fewest of them."""
        mine = self._by(source, made)
        for arm in sorted(self._space.arms, key=[row.arm for row in mine].count):
            if not any(row.arm == arm for row in mine):
                config = source.first(self._space, arm)
            else:
                here = surface_of_all(table(rows, curves, []), self._space.knobs)
                config = source.further(self._space, arm, derive(self._seed, "prior", source.name, len(mine)), here)
            if config is not None:
                return Proposal(source.name, arm, config)
        return None

    @staticmethod
    def _by(source: Source, rows: Sequence[MemberRow]) -> list[MemberRow]:
        return [row for row in rows if row.facts.get(PROPOSED) == source.name]


def _by_chance(correlation: float, freedom: int) -> float:
    """How often ranks without a relation have at least this correlation (Student's t of a rank correlation; Zar 1972)."""
    from scipy.stats import t

    if freedom < 1 or not correlation > 0:
        return 1.0
    return float(t.sf(correlation * math.sqrt(freedom / max(1 - correlation**2, 1e-12)), freedom))


def _ranks(values: Any) -> Array:
    from scipy.stats import rankdata

    found: Array = rankdata(np.round(values, 9))
    return found


def _without(values: Array, other: Array) -> Array:
    """The residuals of a regression on the other one."""
    x, y = other - other.mean(), values - values.mean()
    return np.asarray(y - x * (x @ y) / (x @ x)) if x.any() else y


def _correlation(one: Array, other: Array) -> float:
    x, y = one - one.mean(), other - other.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size > 1e-9 else 0.0
