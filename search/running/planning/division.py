"""How a phase is divided into packs: equally many equal packs for every worker, as wide as trains well."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

from infra.catalogue import MemberRow
from objectives.base import Config, Phase
from search.asking import samplers
from search.running.writing.ledger import Ledger
from search.spec.keys import Spec


class Division:
    """The packs of one sweep. `width` is how many members train well as one program; it is measured when the data is prepared."""

    def __init__(self, spec: Spec, ledger: Ledger, bundle: Callable[[Config], Hashable], workers: int) -> None:
        self._spec, self._ledger, self.bundle, self.workers = spec, ledger, bundle, workers
        self.width = 1

    def size(self, phase: str) -> int:
        """How many members of a phase make a pack. Every worker then gets equally many packs of one size."""
        rows = self._ledger.tally.phases[phase]
        members = max(rows, self._spec.budget.trials) if phase == Phase.SEARCH else rows
        rounds = math.ceil(members / (self.widest(phase) * self.workers))
        return max(1, math.ceil(members / (rounds * self.workers)))

    def next(self, queue: Sequence[MemberRow], to_come: int, busy: int) -> list[MemberRow]:
        """The members of the queue that are the next pack: of one phase, trained equally long, and of one bundle of the objective.

        Args:
            queue: members that wait, in the order of asking; at least one.
            to_come: how many more will be asked for.
            busy: how many workers train now.
        """
        if self.width == 1:  # then every pack is one member, and nobody needs to know what goes with it
            return list(queue[:1])
        kinds: dict[tuple[object, ...], list[MemberRow]] = {}
        for row in queue:
            kinds.setdefault((row.phase, row.epochs, self.bundle(row.config)), []).append(row)
        # The fullest pack goes first. The few members that passed a rung wait until others pass it too.
        found = max(kinds.values(), key=len)
        # A worker with nothing to do gets a part of the members that are left.
        share = math.ceil((len(queue) + to_come) / max(1, self.workers - busy))
        alone = self.bundle(found[0].config) is None
        return found[: 1 if alone else min(self.size(found[0].phase), share)]

    def widest(self, phase: str) -> int:
        """How many members of a phase a pack may have.

        An adaptive sampler learns from the ends that it was told of between asks. So at most a quarter of the trials is asked for at once.
        """
        asks = phase == Phase.SEARCH and samplers.adaptive(self._spec.sampler)
        return min(self.width, max(1, self._spec.budget.trials // 4)) if asks else self.width
