"""Members that wait at a milestone until all of them are there; then some are replaced by members that start from others.

`schedulers/pbt.py` and `pb2.py` say who, and with which config. What is decided is a function of the rows and of the sweep's seed. All that
is decided at a milestone is one commit. So a driver that is resumed finds a milestone as it was before or after it, and never in between.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from infra.catalogue import MemberRow, config_hash
from objectives.base import Config, Phase, Report, State
from search import schedulers
from search.asking.seeds import derive
from search.asking.space import Space
from search.options import name_of
from search.running.writing.ledger import Ledger
from search.schedulers import Change
from search.schedulers._evolving import movable
from search.spec.keys import Spec


class Generations:
    """The milestones of one sweep. Without a scheduler that replaces members nobody ever waits."""

    def __init__(self, spec: Spec, space: Space, ledger: Ledger, bundle: Callable[[Config], Hashable]) -> None:
        self._seed, self._space, self._ledger, self._bundle = spec.seed, space, ledger, bundle
        evolving = schedulers.evolving(spec.scheduler)
        self._name = name_of(spec.scheduler)
        made = schedulers.make(spec.scheduler, ledger.epochs)
        self._scheduler: Any = made
        self._milestones = frozenset[int](made.milestones if evolving else ())
        searched = [row for row in ledger.rows.values() if row.phase == Phase.SEARCH]
        self._over = {epoch for epoch in self._milestones if any(row.start == epoch or row.epochs > epoch for row in searched)}
        self.waiting: list[int] = []

    def holds(self, row: MemberRow) -> bool:
        """Whether a member must wait for the others. If so, it is noted."""
        held = row.phase == Phase.SEARCH and row.epochs in self._milestones - self._over
        if held and row.number not in self.waiting:
            self.waiting.append(row.number)
        return held

    def reached(self, reports: Mapping[int, Sequence[Report]]) -> bool:
        """Whether some member of a pack has come to a milestone that is not over."""
        last = [mine[-1] for number, mine in reports.items() if mine and self._ledger.rows[number].phase == Phase.SEARCH]
        return any(report.state is None and report.epoch in self._milestones - self._over for report in last)

    def released(self) -> list[MemberRow]:
        """All that waited. Where the search has had its share of the time, their next report ends them."""
        going, self.waiting = [self._ledger.rows[number] for number in sorted(self.waiting)], []
        self._over |= {row.epochs for row in going}
        return going

    def next(self, ended: Callable[[int], None]) -> list[MemberRow]:
        """All that waited, without those that are replaced, and those that take their place. `ended` hears of those that are replaced."""
        waited, children = self.released(), list[MemberRow]()
        with self._ledger.together():
            for arm, epoch in dict.fromkeys((row.arm, row.epochs) for row in waited):
                children += self._replaced(arm, epoch, [row for row in waited if (row.arm, row.epochs) == (arm, epoch)])
        for epoch in {row.epochs for row in waited}:
            self._ledger.leftovers.milestone_is_over(self._ledger.rows.values(), epoch)
        replaced = [row.number for row in waited if self._ledger.rows[row.number].state is not None]
        for number in replaced:
            ended(number)
        return [row for row in waited if row.number not in replaced] + children

    def _replaced(self, arm: str, epoch: int, rows: Sequence[MemberRow]) -> list[MemberRow]:
        """The members that take the place of the worst of an arm."""
        knobs = [knob for knob in self._space.asked(arm) if movable(knob)]
        draws = random.Random(derive(self._seed, "generation", arm, epoch))
        scores = {row.number: self._ledger.curves[row.number][epoch] for row in rows if epoch in self._ledger.curves.get(row.number, {})}
        pairs: dict[int, int] = self._scheduler.replaced(scores, draws) if knobs else {}
        told, children = self.changes(arm), list[MemberRow]()
        for number, parent in sorted(pairs.items()):
            child = self._child(self._ledger.rows[parent], epoch, knobs, draws, told)
            told.append(Change(epoch, child.config, None))
            why = f"{self._name}: among the worst of arm {arm!r} at epoch {epoch}; member {child.number} goes on from member {parent}"
            self._ledger.record({number: [Report(number, epoch, math.nan, state=State.STOPPED, reason=why)]}, 0.0, {})
            self._ledger.open([child])
            children.append(child)
        return children

    def _child(self, parent: MemberRow, epoch: int, knobs: Sequence[Any], draws: random.Random, told: Sequence[Change]) -> MemberRow:
        config = {**parent.config, **self._scheduler.explored(knobs, parent.config, draws, told)}
        if self._bundle(config) != self._bundle(parent.config):  # a λ that was on would be off: another program, with other weights
            config = parent.config
        number = self._ledger.next_number()
        return MemberRow(
            number,
            config,
            derive(self._seed, "search", "heir", number),
            phase=parent.phase,
            arm=parent.arm,
            config_hash=config_hash(config),
            epochs=epoch,
            parent=parent.number,
            parent_epoch=epoch,
            start=epoch,
        )

    def changes(self, arm: str) -> list[Change]:
        """How much each member of an arm has improved between milestones, and with which config."""
        found = []
        for row in self._ledger.ordered():
            if row.phase != Phase.SEARCH or row.arm != arm:
                continue
            curve = dict(self._ledger.curves.get(row.number, {}))
            if row.parent is not None and row.start in self._ledger.curves.get(row.parent, {}):
                curve[row.start] = self._ledger.curves[row.parent][row.start]
            steps = [epoch for epoch in sorted(curve) if epoch in self._milestones]
            found += [Change(a, row.config, curve[a] - curve[b]) for a, b in itertools.pairwise(steps)]
        return found
