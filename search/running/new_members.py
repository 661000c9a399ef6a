"""NewMembers members: which config and which seed, committed to the catalogue before anyone trains them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.catalogue import MemberRow, config_hash
from objectives.base import Phase, State, Value
from search.asking.seeds import derive
from search.asking.space import OFF_ARM, Space
from search.asking.study import OFF_EVERY, Study
from search.choosing.answer import Candidate
from search.running.ledger import Ledger
from search.spec.keys import Spec


SEEDS = 3  # seeds of searched members: one seed alone would show its own curve


class NewMembers:
    """The source of one sweep's members."""

    def __init__(self, spec: Spec, space: Space, study: Study, ledger: Ledger) -> None:
        self._spec, self._space, self._study, self._ledger = spec, space, study, ledger

    def searched(self) -> MemberRow:
        """The next member of the search: the off arm's where it is its turn, a point of the user's, or what the sampler draws."""
        searched = [row.arm for row in self._ledger.ordered() if row.phase == Phase.SEARCH]
        number = self._ledger.next_number()
        # Where each λ is searched alone they take turns: the one with the fewest members is next.
        arm = OFF_ARM if len(searched) % OFF_EVERY == 0 else min(self._space.arms, key=searched.count)
        point = self._point(arm, searched)
        arm = arm if point is None else self._space.arm_of(point)
        index = searched.count(arm)
        seed = derive(self._spec.seed, "search", len(searched) // 2 % SEEDS)
        if point is not None:
            config = self._study.enqueue(number, self._space.complete(point), arm)
        else:
            config = self._study.ask(number, arm, index)
            if arm == OFF_ARM and not self._space.nuisances:
                seed = derive(self._spec.seed, "search", "off", index)  # one config only: replicates say more than copies
        row = MemberRow(number=number, phase=Phase.SEARCH.value, arm=arm, config=config, config_hash=config_hash(config), seed=seed)
        self._ledger.open([row])
        return row

    def missing(self, candidates: Sequence[Candidate], seeds: Sequence[int]) -> list[tuple[Candidate, int]]:
        """The confirmations that are missing: each candidate on each seed. What the wall time stopped in an earlier run is missing, too."""
        rows = (row for row in self._ledger.rows.values() if row.phase == Phase.CONFIRM and row.state != State.STOPPED)
        have = {(row.config_hash, row.seed) for row in rows}
        return [(one, seed) for seed in seeds for one in candidates if (config_hash(one.config), seed) not in have]

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
        """The user's own point that is next, if one is left and it is not the off arm's turn."""
        tried = len(searched) - searched.count(OFF_ARM)
        return self._spec.points[tried] if arm != OFF_ARM and tried < len(self._spec.points) else None
