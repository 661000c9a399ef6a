"""New members: which config and which seed, committed to the catalogue before anyone trains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.catalogue import MemberRow, config_hash
from objectives.base import Phase, Value
from search.asking.seeds import derive
from search.asking.space import OFF_ARM, OFF_EVERY, Space
from search.asking.study import Study
from search.choosing.answer import Candidate
from search.choosing.from_members import table
from search.running.ledger import Ledger
from search.running.prior import Prior
from search.spec.keys import Spec

SEEDS = 3  # seeds of searched members


class NewMembers:
    """The source of one sweep's members."""

    def __init__(self, spec: Spec, space: Space, study: Study, ledger: Ledger, prior: Prior) -> None:
        self._spec, self._space, self._study, self._ledger, self.prior = spec, space, study, ledger, prior

    def searched(self) -> MemberRow:
        """The next member of the search: the off arm's where it is its turn, a point of the user's, a proposal of the
        prior, or what the sampler draws.

        A few seeds take turns. Members of one seed differ in their configs alone; but one seed alone would show its own curve. A config
        that was asked for before gets another seed: a replicate says something about the luck of seeds, and a copy nothing.
        """
        searched = [row.arm for row in self._ledger.ordered() if row.phase == Phase.SEARCH]
        number = self._ledger.next_number()
        # Where each λ is searched alone they take turns: the one with the fewest members is next.
        arm = OFF_ARM if len(searched) % OFF_EVERY == 0 else min(self._space.arms, key=searched.count)
        point = self._point(arm, searched)
        arm = arm if point is None else self._space.arm_of(point)
        index = searched.count(arm)
        config = self._study.ask(number, arm, index) if point is None else self._study.enqueue(number, self._space.complete(point), arm)
        digest = config_hash(config)
        seed = self._seed(arm, index, digest, len(searched))
        self._study.seeded(number, seed)
        row = MemberRow(number=number, phase=Phase.SEARCH.value, arm=arm, config=config, config_hash=digest, seed=seed)
        self._ledger.open([row])
        return row

    def _seed(self, arm: str, index: int, digest: str, searched: int) -> int:
        """The seed of the `index`-th member of an arm, of which `searched` members come before it."""
        if arm == OFF_ARM and not self._space.nuisances:
            return derive(self._spec.seed, "search", "off", index)  # one config only
        had = sum(row.config_hash == digest for row in self._ledger.rows.values() if row.phase == Phase.SEARCH)
        return derive(self._spec.seed, "search", searched // 2 % SEEDS, *(("again", had) if had else ()))

    def confirmed(self, missing: Sequence[tuple[Candidate, int]]) -> list[MemberRow]:
        """Members for these configs and seeds, which no member of the search used."""
        first = self._ledger.next_number()
        rows = [
            MemberRow(number, one.config, seed, phase=Phase.CONFIRM.value, arm=one.arm, config_hash=config_hash(one.config))
            for number, (one, seed) in enumerate(missing, first)
        ]
        self._ledger.open(rows)
        return rows

    def _point(self, arm: str, searched: Sequence[str]) -> Mapping[str, Value] | None:
        """The user's own point that is next, then what the prior proposes, if there is one and it is not the off arm's turn."""
        tried = len(searched) - searched.count(OFF_ARM)
        if arm == OFF_ARM or tried < len(self._spec.points):
            return None if arm == OFF_ARM else self._spec.points[tried]
        return self.prior.next(arm, table(self._ledger.ordered(), self._ledger.curves, [])) if self.prior.sources else None
