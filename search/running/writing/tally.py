"""What is counted of a sweep's members, so that nobody counts all of them again for each one that is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from infra.catalogue import MemberRow
from objectives.base import Phase, State
from search.choosing.missing import INSTEAD
from search.running.writing.told import PROPOSED


class Tally:
    """Counts that follow the rows of a ledger: a member is counted when it is opened, and its end when it ends.

    The *search* here are the members of the search phase that started from scratch or from a member of a path: whoever takes another
    member's place at a milestone was not asked for, nor was who stands in for one that was lost. The *asked* are those of the search that
    no prior proposed.
    """

    def __init__(self, rows: Iterable[MemberRow]) -> None:
        self.searched, self.apart, self.complete, self.last = 0, 0, 0, -1  # apart: without a place of their own among those asked for
        self.phases: Counter[str] = Counter()  # members by phase, without those that took another's place
        self.arms: Counter[str] = Counter()  # the asked ones by arm
        self.of_arm: dict[str, list[int]] = {}  # the numbers of all members of the search phase by arm
        self.alike: dict[tuple[str, str], list[int]] = {}  # the numbers of members by phase and config
        self.opened(rows)

    def opened(self, rows: Iterable[MemberRow]) -> None:
        """Members are there now; some of an earlier driver may have ended."""
        for row in rows:
            self.last = max(self.last, row.number)
            self.alike.setdefault((row.phase, row.config_hash), []).append(row.number)
            self.apart += is_apart(row)
            self.phases[row.phase] += not row.start
            if row.phase == Phase.SEARCH:
                self.of_arm.setdefault(row.arm, []).append(row.number)
                if not row.start:
                    self.searched += INSTEAD not in row.facts
                    self.arms[row.arm] += not is_apart(row)
            if row.state is not None:
                self.ended(row)

    def ended(self, row: MemberRow) -> None:
        """A member has its state."""
        self.complete += row.phase == Phase.SEARCH and row.state == State.COMPLETE

    @property
    def asked(self) -> int:
        """How many members of the search were asked for by the sampler or the user."""
        return self.arms.total()


def is_apart(row: MemberRow) -> bool:
    """Whether a member has no place of its own among those that are asked for: a prior proposed it, or it stands in for a lost one."""
    return PROPOSED in row.facts or INSTEAD in row.facts


class Seen:
    """The epochs that each member has reported, each a bit of one number: sets of thousands of members would take much memory."""

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}

    def add(self, number: int, epoch: int) -> None:
        """A member has reported an epoch."""
        self._bits[number] = self._bits.get(number, 0) | 1 << epoch

    def has(self, number: int, epoch: int) -> bool:
        """Whether it has."""
        return bool(self._bits.get(number, 0) >> epoch & 1)
