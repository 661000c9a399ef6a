"""What other sweeps found, as first members of this one: proposals of sources that predict the members so far.

A source is an earlier sweep: its best config and its trainings, in the knobs that both sweeps search. It proposes its best config, then
configs out of the best part of its own surface. It is judged by the rank correlation of what it predicts with what the members scored. A
good prediction of the other knobs says nothing of λ, so a source is also judged by λ alone: the scores without what the other knobs
explain, against what the source says that λ costs. A source that predicts badly makes no more proposals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from objectives.base import Knob, Phase, Value
from search.asking.seeds import derive
from search.asking.space import OFF_ARM, Params, Space, at
from search.choosing.answer import Row, number
from search.choosing.trainings import trainings
from search.modelling.process import Array
from search.modelling.surface import Surface, Training
from search.spec.keys import Spec

SHARE = 1 / 3  # of the trials at most are proposals
FREE = 1 / 24  # of the trials are proposals before anything is known of how well the sources predict; at least one
FEWEST = 5  # members with a score, below which no source is judged
LEAST = 1.0  # a source goes on whose rank correlation is at least this many standard errors, 1/√n: one without meaning passes in 16 %
POOL, BEST = 256, 1 / 8  # how many configs a source looks at, and the part of them that it may propose


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

    def proposals(self, space: Space, arm: str, seed: int, most: int) -> list[dict[str, Value]]:
        """At most so many configs of an arm, the source's best one first; none where its λ are not searched in this arm or range."""
        asked = space.asked(arm)
        mine = {knob.name: self.best[knob.name] for knob in asked if knob in self.knobs}
        lambdas = {knob.name for knob in asked if knob.is_lambda and knob.name in mine}
        if not lambdas or any(space.clip({name: mine[name]})[name] != mine[name] for name in lambdas):
            return []
        rng = np.random.default_rng(derive(seed, "prior", self.name, arm))
        pool = [{knob.name: at(knob, float(rng.uniform())) for knob in asked} for _ in range(POOL)]
        first = space.complete({knob.name: pool[0][knob.name] for knob in asked if knob.is_lambda} | mine)
        if self.surface is None:
            return [first][:most]
        order = np.argsort(self.surface.level([{**self.best, **one} for one in pool]), kind="stable")
        chosen = rng.permutation(order[: int(POOL * BEST)])[: max(0, most - 1)]
        return [first, *(pool[int(index)] for index in chosen)][:most]

    def judged(self, seen: Sequence[Training]) -> tuple[float, float]:
        """The rank correlations of its predictions with these trainings: of all knobs, and of λ alone. NaN where there is nothing to rank.

        A lost training has the worst rank. For λ alone, both sides are taken without their regression on the rank of the other knobs.
        """
        if self.surface is None or len(seen) < FEWEST:
            return math.nan, math.nan
        configs = [{**self.best, **one.config} for one in seen]
        scores = _ranks([math.inf if one.score is None else one.score for one in seen])
        lambdas = {knob.name: self.best[knob.name] for knob in self.knobs if knob.is_lambda}
        level, others = self.surface.level(configs), self.surface.level([{**one, **lambdas} for one in configs])
        rest = _ranks(others)
        return _correlation(_ranks(level), scores), _correlation(_without(_ranks(level - others), rest), _without(scores, rest))


class Prior:
    """The sources of one sweep. It has no state that the catalogue does not have: which proposals were made is seen in the members."""

    def __init__(self, spec: Spec, space: Space, stored: Sequence[Mapping[str, Any]]) -> None:
        self._space, self._seed, self._trials = space, spec.seed, spec.budget.trials
        self.sources = [Source.of(one, space) for one in stored]
        self._proposals: dict[tuple[str, str], list[dict[str, Value]]] = {}

    def next(self, arm: str, rows: Sequence[Row]) -> Params | None:
        """The proposal that is next in an arm; None where it is the sampler's turn, or no source is trusted."""
        if not self.sources:
            return None
        searched = [row for row in rows if row.phase == Phase.SEARCH and row.arm != OFF_ARM]
        made = sum(len(self._made(one, searched)) for one in self.sources)
        free = max(1, int(self._trials * FREE))
        if made >= self._trials * SHARE or (made >= free and len(searched) % 2):
            return None
        seen = trainings(searched)
        if made >= free and len(seen) < FEWEST:
            return None
        for _, source in sorted(((self._weight(one, seen), one) for one in self.sources), key=lambda pair: -pair[0]):
            if self._weight(source, seen) < 0:
                return None
            done = self._made(source, searched)
            fresh = [one for index, one in enumerate(self._of(source, arm)) if (arm, index) not in done]
            if fresh and (made >= free or not done or len(self.sources) == 1):
                return fresh[0]
        return None

    def remarks(self, rows: Sequence[Row]) -> list[str]:
        """Which sources were used, and how well each predicted."""
        searched = [row for row in rows if row.phase == Phase.SEARCH and row.arm != OFF_ARM]
        seen, told = trainings(searched), []
        for one in self.sources:
            best = ", ".join(f"{knob.name} {number(float(one.best[knob.name]))}" for knob in one.knobs if knob.is_lambda)
            total, of_lambda = one.judged(seen)
            how = f"rank correlation {total:.2f} (of λ alone {of_lambda:.2f}) over {len(seen)} members" if total == total else "not judged"
            dropped = "; it was given up" if self._weight(one, seen) < 0 else ""
            told.append(f"prior {one.name}: best {best}; {how}; proposed {len(self._made(one, searched))} members{dropped}")
        return told

    @staticmethod
    def _weight(source: Source, seen: Sequence[Training]) -> float:
        """How far a source is trusted: its lower rank correlation; 0 while it cannot be judged, −1 where it predicts badly."""
        total, of_lambda = source.judged(seen)
        if math.isnan(total):
            return 0.0
        return -1.0 if min(total, of_lambda) < LEAST / math.sqrt(len(seen)) else min(total, of_lambda)

    def _of(self, source: Source, arm: str) -> list[dict[str, Value]]:
        key = source.name, arm
        if key not in self._proposals:
            self._proposals[key] = source.proposals(self._space, arm, self._seed, math.ceil(self._trials * SHARE))
        return self._proposals[key]

    def _made(self, source: Source, searched: Sequence[Row]) -> set[tuple[str, int]]:
        """The proposals of a source that are members: arm and place in its list."""
        values = [self._space.params(row.config) for row in searched]
        return {
            (arm, index)
            for arm in self._space.arms
            for index, one in enumerate(self._of(source, arm))
            if self._space.params(self._space.arm_config(one)) in values
        }


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
