"""New members: which config and which seed, committed to the catalogue before anyone trains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from infra.catalogue import MemberRow, config_hash
from objectives.base import Phase, State, Value
from search import schedulers
from search.asking import samplers
from search.asking.seeds import derive
from search.asking.space import OFF_ARM, OFF_EVERY, Space
from search.asking.study import Study
from search.choosing.answer import Candidate
from search.choosing.missing import INSTEAD, not_its_own
from search.facts import MEMORY
from search.running.planning.prior import Prior, Proposal
from search.running.writing.ledger import Ledger, noted
from search.running.writing.tally import is_apart
from search.running.writing.told import PROPOSED
from search.spec.keys import Spec

SEEDS = 3  # seeds of searched members


class NewMembers:
    """The source of one sweep's members."""

    def __init__(self, spec: Spec, space: Space, study: Study, ledger: Ledger, prior: Prior) -> None:
        self._spec, self._space, self._study, self._ledger, self.prior = spec, space, study, ledger, prior
        # Where members start from each other, whoever stands in for one is that training again: others go on from it.
        evolving = schedulers.evolving(spec.scheduler)
        self._handed_on = evolving or samplers.hands_on(spec.sampler)
        self._milestones: tuple[int, ...] = tuple(schedulers.make(spec.scheduler, ledger.epochs).milestones) if evolving else ()
        filled = {row.facts.get(INSTEAD) for row in ledger.rows.values()}
        self.owed: list[int] = []  # members that are missing for reasons not their own, for each of which another one is to come
        for row in ledger.ordered():
            if row.number not in filled:
                self.ended(row)

    def ended(self, row: MemberRow) -> None:
        """A member of the search has ended. Another one stands in for it, once, where its end was not its own fault."""
        if row.phase == Phase.SEARCH and not_its_own(row) and INSTEAD not in row.facts:
            self.owed.append(row.number)

    def searched(self) -> MemberRow:
        """The next member of the search: a proposal of the prior, else the next member of the sweep without a prior.

        That is the off arm's where it is its turn, a point of the user's, or what the sampler draws. Proposals do not count there.

        A few seeds take turns. Members of one seed differ in their configs alone; but one seed alone would show its own curve. A config
        that was asked for before gets another seed: a replicate says something about the luck of seeds, and a copy nothing.
        """
        arm, index, point, searched = self._turn()
        number = self._ledger.next_number()
        if self.owed:
            lost = self._ledger.rows[self.owed.pop(0)]
            return self._again(number, lost) if self._handed_on or PROPOSED in lost.facts else self._instead(number, lost)
        if self.prior.sources and (proposal := self.prior.next(self._ledger.ordered(), self._ledger.curves)):
            return self._proposed(number, proposal)
        if self._study.full(arm):
            left = self._study.narrowed(arm, self._ledger.rows)
            noted(self._ledger, [], MEMORY, {**self._ledger.fact(MEMORY), arm: left})
        draw = number - self._ledger.tally.apart
        config = (
            self._study.ask(number, arm, index, draw) if point is None else self._study.enqueue(number, self._space.complete(point), arm)
        )
        digest, parent = config_hash(config), self._parent(arm, index)
        seed = self._seed(arm, index, digest, searched, parent)
        self._study.seeded(number, seed)
        row = MemberRow(number=number, phase=Phase.SEARCH.value, arm=arm, config=config, config_hash=digest, seed=seed)
        if parent is not None:
            row = replace(row, parent=parent.number, parent_epoch=parent.epochs)
        self._ledger.open([row])
        return row

    def _proposed(self, number: int, proposal: Proposal) -> MemberRow:
        """A member that a prior proposed. Its seed is its own: on the seeds of the members by which the source was judged, it would
        have their luck again."""
        config, seed = self._space.arm_config(proposal.config), derive(self._spec.seed, "prior", number)
        row = MemberRow(number, config, seed, Phase.SEARCH.value, proposal.arm, config_hash(config), facts={PROPOSED: proposal.source})
        self._ledger.open([row])
        return row

    def _instead(self, number: int, lost: MemberRow) -> MemberRow:
        """A member that stands in for another one, of its arm, with its seed where the config is a new one.

        A sampler that learns draws anew: the config itself may end its worker. A point of a sequence or of the user's is trained again
        with another seed. In all counts the lost member keeps its place, so the members after it are those of a sweep without a loss.
        """
        asked = set(self._space.asked_in(lost.arm, lost.config))
        point = {name: value for name, value in lost.config.items() if name in asked}
        before = [row for row in self._ledger.ordered() if row.phase == Phase.SEARCH and row.arm == lost.arm and not is_apart(row)]
        index = sum(row.number < lost.number for row in before)
        if any(all(point.get(name) == value for name, value in one.items()) for one in self._spec.points):
            config = self._study.enqueue(number, point, lost.arm)
        else:
            config = self._study.ask(number, lost.arm, index, -number)
        digest, seed = config_hash(config), lost.seed
        if any(row.config_hash == digest for row in self._ledger.rows.values()):
            seed = derive(lost.seed, "instead", number)
        self._study.seeded(number, seed)
        row = MemberRow(number, config, seed, Phase.SEARCH.value, lost.arm, digest, facts={INSTEAD: lost.number})
        self._ledger.open([row])
        return row

    def _again(self, number: int, lost: MemberRow) -> MemberRow:
        """A member that stands in for another one with its config, from where that one started, or from the last milestone that it passed.

        Its seed is another one; on a path it is the chain's, because the way up is compared with the way back by it.
        """
        path = samplers.hands_on(self._spec.sampler) and lost.arm != OFF_ARM
        config, seed = lost.config, lost.seed if path else derive(lost.seed, "instead", number)
        facts = {INSTEAD: lost.number} | {name: lost.facts[name] for name in (PROPOSED,) if name in lost.facts}
        row = MemberRow(number, config, seed, Phase.SEARCH.value, lost.arm, lost.config_hash, facts=facts)
        row = replace(row, parent=lost.parent, parent_epoch=lost.parent_epoch, start=lost.start, epochs=lost.start)
        if passed := [epoch for epoch in self._milestones if lost.start < epoch <= lost.epochs]:
            last = max(passed)
            row = replace(row, parent=lost.number, parent_epoch=last, start=last, epochs=last)
        if not row.start and PROPOSED not in lost.facts:
            self._study.enqueue(number, {name: config[name] for name in self._space.asked_in(lost.arm, config)}, lost.arm)
            self._study.seeded(number, seed)
        self._ledger.open([row])
        return row

    def some(self, most: int) -> list[MemberRow]:
        """At most so many next members of the search; fewer where members must wait for those from which they start.

        All are one commit: a driver that found a part of them would ask for as many again, before it heard of any.
        """
        found: list[MemberRow] = []
        with self._ledger.together():
            while len(found) < most and self.ready():
                found.append(self.searched())
        return found

    def ready(self) -> bool:
        """Whether the next member of the search can be asked for. One that starts from another waits for the end of that one."""
        if self.owed:
            return True
        arm, index, _, _ = self._turn()
        before = self._chain(arm, index)
        return not before or before[0].state is not None

    def _turn(self) -> tuple[str, int, Mapping[str, Value] | None, int]:
        """The arm whose turn it is, how many members it has, the user's own point if one is next, and how many members there are."""
        searched = self._ledger.tally
        # Where each λ is searched alone they take turns: the one with the fewest members is next.
        off = self._space.searches_off and searched.asked % OFF_EVERY == 0
        arm = OFF_ARM if off else min(self._space.arms, key=searched.arms.__getitem__)
        point = self._point(arm)
        arm = arm if point is None else self._space.arm_of(point)
        return arm, searched.arms[arm], point, searched.asked

    def _chain(self, arm: str, index: int) -> list[MemberRow]:
        """The members before this one in its chain, the last one first; none where members start from scratch."""
        if arm == OFF_ARM or not samplers.hands_on(self._spec.sampler):
            return []
        mine = [self._ledger.rows[number] for number in self._ledger.tally.of_arm.get(arm, [])]
        instead = {row.facts[INSTEAD]: row for row in mine if INSTEAD in row.facts}
        mine = [row for row in mine if not is_apart(row)]
        found, at = [], samplers.predecessor(self._spec.sampler, index)
        while at is not None:
            found.append(instead.get(mine[at].number, mine[at]))
            at = samplers.predecessor(self._spec.sampler, at)
        return found

    def _parent(self, arm: str, index: int) -> MemberRow | None:
        """The member from which the `index`-th of an arm starts: the last one of its chain that is complete."""
        return next((row for row in self._chain(arm, index) if row.state == State.COMPLETE), None)

    def _seed(self, arm: str, index: int, digest: str, searched: int, parent: MemberRow | None) -> int:
        """The seed of the `index`-th member of an arm, of which `searched` members come before it.

        No two members of the search are one training: the same config, seed and parent. Proposals of a prior have seeds of their own, and
        do not count: the members beside them are those of a sweep without a prior, with the same seeds.
        """
        if arm == OFF_ARM and not self._space.nuisances:
            return derive(self._spec.seed, "search", "off", index)  # one config only
        alike = [self._ledger.rows[number] for number in self._ledger.tally.alike.get((Phase.SEARCH, digest), ())]
        if arm != OFF_ARM and samplers.hands_on(self._spec.sampler):
            # Up and back a chain has one seed. But where a member was lost, the next one at its λ may have its parent, or none, too.
            chain = derive(self._spec.seed, "search", samplers.chain(self._spec.sampler, index))
            start = parent.number if parent is not None else None
            mine = {chain, *(derive(chain, "again", count) for count in range(1, len(alike)))}
            had = sum(row.parent == start and row.seed in mine for row in alike)
            return derive(chain, "again", had) if had else chain
        had = sum(PROPOSED not in row.facts for row in alike)
        return derive(self._spec.seed, "search", searched // 2 % SEEDS, *(("again", had) if had else ()))

    def confirmed(self, missing: Sequence[tuple[Candidate, int]]) -> list[MemberRow]:
        """Members for these configs and seeds, which no member of the search used."""
        first = self._ledger.next_number()
        rows = [
            MemberRow(
                number,
                one.config,
                seed,
                phase=Phase.CONFIRM.value,
                arm=one.arm,
                config_hash=config_hash(one.config, one.schedule),
                schedule=one.schedule,
            )
            for number, (one, seed) in enumerate(missing, first)
        ]
        self._ledger.open(rows)
        return rows

    def _point(self, arm: str) -> Mapping[str, Value] | None:
        """The user's own point that is next, if there is one and it is not the off arm's turn."""
        tried = self._ledger.tally.asked - self._ledger.tally.arms[OFF_ARM]
        return None if arm == OFF_ARM or tried >= len(self._spec.points) else self._spec.points[tried]
