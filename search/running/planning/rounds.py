"""From the end of a search to its answer: the rounds of the race, as members that are missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from infra.machine import without_collections
from objectives.base import Phase, State
from search.asking.space import Space
from search.choosing import from_members, race
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.quick_facts import quick_facts
from search.choosing.table import Table
from search.running.writing.ledger import Ledger
from search.spec.keys import Spec

Missing = list[tuple[Candidate, int]]  # each candidate with a seed


class Rounds:
    """The race of one sweep. It has no state that the catalogue does not have."""

    def __init__(
        self,
        spec: Spec,
        space: Space,
        ledger: Ledger,
        candidates: Sequence[Candidate] = (),
        look: race.Look = race.Look(),
        room: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.spec, self.space, self.ledger, self.look = spec, space, ledger, look
        self._room = room  # how many members can still be trained
        self._table = Table(ledger.curves, ledger.watched)
        self.candidates = list(candidates)
        self._chosen = bool(self.candidates)  # kept beside the list, because the list stays empty where nothing is to be confirmed

    def next(self) -> Missing:
        """What the next round trains; empty where nothing is left to train.

        Raises:
            SelectionError: there is nothing to choose from.
        """
        if not self._chosen:
            self._choose(from_members.to_confirm(self.spec, self.space, self.table()))
        if not self.candidates:
            return []
        if not race.decided(self.candidates):
            rivals = [one for one in self.candidates if not one.apart]
            screening = self._missing(rivals, from_members.screened(rivals, self.table(), self.spec)) if self._has_rivals() else []
            final = self._finalists()
            # Where time is short, the first round is left out before seeds of the final one are.
            if screening and self._room() >= len(screening) + race.FEWEST * final:
                return screening
            if not screening and (more := self._between(race.FEWEST * final)):
                return more
            asked = from_members.seeds_asked(self.spec)
            most = min(asked, max(2, int(min(asked, self._room() / final))))
            if most < asked:
                self.ledger.note(f"the budget has room for {most} final seeds; {asked} were asked for")
            self._choose(from_members.finalists(self.spec, self.space, self.table(), self.candidates, self.look, most))
        missing = self._final()
        if not missing and self._room() >= self._finalists():
            others = from_members.with_others(self.candidates, self.table(), self.spec, self.look)
            if others != self.candidates:
                self._choose(others)
                return self._final()
        if not missing and self._room() >= 2 * self._finalists():
            longer = from_members.longer(self.spec, self.table(), self.candidates, self.look)
            if longer != self.candidates:
                self._choose(longer)
                return self._final()
        return missing

    def _between(self, kept: int) -> Missing:
        """Members of configs that the surface asks for after the first round. So many of the wall time's members are kept for the final.

        The configs are candidates, in the catalogue, before their first member is. A new driver finds them there, and adds no others.
        """
        if not self._has_rivals() or not self.spec.confirm.screen:
            return []
        more = from_members.searched_between(self.spec, self.space, self.table(), self.candidates)
        seeds = from_members.screening_seeds(self.spec)
        if not more or self._room() < len(more) * len(seeds) + kept:
            return []
        self._choose([*self.candidates, *more])
        return self._missing(more, seeds)

    def seeds(self) -> list[int]:
        """The seeds of the final round."""
        count = max((one.seeds for one in self.candidates), default=0)
        return from_members.final_seeds(self.spec, self.look, count)

    def _finalists(self) -> int:
        """How many configs the final round trains; at most, where they are not chosen yet."""
        known = sum(one.final for one in self.candidates)
        return known or from_members.finalists_planned(self.spec) + from_members.ablated_planned(self.spec)

    def _final(self) -> Missing:
        finalists = [one for one in self.candidates if one.final]
        return self._missing(finalists, self.seeds()[: finalists[0].seeds])

    def _has_rivals(self) -> bool:
        return race.has_rivals(self.candidates, self.space.alone)

    def _missing(self, candidates: Sequence[Candidate], seeds: Sequence[int]) -> Missing:
        """The confirmations that are missing: each candidate on each seed. What the wall time stopped in an earlier run is missing, too."""
        members = [row for row in self.ledger.ordered() if row.phase == Phase.CONFIRM and row.state != State.STOPPED]
        have = {(row.arm, row.seed) for row in from_members.table(members, {}, self.candidates)}
        return [(one, seed) for seed in seeds for one in candidates if (one.arm, seed) not in have]

    def _choose(self, candidates: Sequence[Candidate]) -> None:
        self.candidates, self._chosen = list(candidates), True
        self.ledger.chose(self.candidates, self.members())

    def members(self) -> int:
        """How many members the race has at most, by what is known of it."""
        if not self.candidates:
            return 0
        confirm = self.spec.confirm
        final = sum(one.seeds for one in self.candidates) or self._finalists() * confirm.seeds
        return (len(self.candidates) * confirm.screen if self._has_rivals() else 0) + final

    def table(self) -> list[Row]:
        """The members, as rows for the choice."""
        return self._table.of(self.ledger.ordered(), self.candidates)

    @without_collections()
    def answer(self) -> Answer:
        """The answer by what is known now."""
        members, labels = self.ledger.ordered(), self.ledger.mirror.portrait.labels
        found = from_members.answer(self.spec, self.space, members, self.table(), self.candidates, labels, self.look)
        first = quick_facts(found, members, self.candidates, self.ledger.curves, self.ledger.fact("constant"))
        return replace(found, first=first)
