"""Watch a sweep that another process drives. Everything is read from the catalogue, so it may run on another machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.catalogue.lock import STALE_S
from infra.errors import InfraError
from infra.storage import Home, HomeLike
from infra.storage.hints import see_all
from objectives.base import ObjectiveError, Phase
from objectives.registry import untouched
from search.facts import PLANNED
from search.spec.keys import Spec
from search.spec.reading import kept
from search.telling.listener import Listener, introduction, of_the_objective

POLL_S = 1.0
REST = 10.0  # between two looks lie so many times the seconds that a look took: who watches a large sweep does not slow it down


def newest(home: Home) -> str:
    """The sweep that was begun last of those that have a living driver.

    Raises:
        InfraError: no sweep is running.
    """
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        living = [row.name for row in catalogue.sweeps() if row.status == "running" and catalogue.locked_by(row.name)]
        if not living:
            raise InfraError(f"A sweep must be running to be watched; none is. {see_all(home, catalogue)}")
    return living[-1]


def begun(name: str, home: Home) -> bool:
    """Whether a sweep has begun: its workers are up, and the catalogue has its row."""
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        return catalogue.has_sweep(name)


def watch(
    name: str,
    listener: Listener,
    *,
    home: HomeLike | None = None,
    poll_s: float = POLL_S,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepRow:
    """Tell a listener what happens in a sweep, as its own driver would, until the sweep has no driver any more. Returns its row.

    A database that goes away is waited for as long as the driver waits for it. Afterwards the driver has a moment to be heard again.

    Raises:
        InfraError: no such sweep, or the database stays away. SpecError: its row holds no spec.
    """
    home, quiet_until = Home.open(home), -math.inf
    with Catalogue(home.catalogue_url, create=False) as catalogue, catalogue.waits(lambda: False, listener.note):
        row, rows = catalogue.sweep(name), catalogue.members(name)
        spec, planned = kept(row.spec), row.facts.get(PLANNED, {})
        listener.started(introduction(name, spec, int(planned.get("workers", 1)), rows, _known(spec, planned)))
        seen = _Seen(listener, spec.budget.epochs or 1, {one.number for one in rows if one.state is not None})
        while True:
            began, waited_s = time.monotonic(), catalogue.waited_s
            driven = catalogue.locked_by(name) is not None  # asked first: what the driver wrote before it left is then in the rows
            seen.look(catalogue, name)
            if catalogue.waited_s > waited_s:  # no sign of life could arrive meanwhile
                quiet_until = time.monotonic() + STALE_S
            if not driven and (time.monotonic() >= quiet_until or catalogue.sweep(name).status != "running"):
                return catalogue.seen(name)
            sleep(max(poll_s, REST * (time.monotonic() - began)))


def _known(spec: Spec, planned: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a listener is told of the objective. A module that the row names is not imported: somebody else may have written it."""
    with untouched():
        try:
            return of_the_objective(spec)
        except ObjectiveError:
            return {"confirming": max(0, int(planned.get("members", 0)) - spec.budget.trials)}


class _Seen:
    """What a listener was told so far."""

    def __init__(self, listener: Listener, epochs: int, ended: set[int]) -> None:
        self._listener, self._epochs, self._ended = listener, epochs, ended
        self._living: dict[int, int] = {}  # member -> epochs that were told
        self._confirmed = -1

    def look(self, catalogue: Catalogue, name: str) -> None:
        """Tell what is new."""
        rows = catalogue.members(name)
        self._phase(rows)
        for row in rows:
            if row.number not in self._ended:
                self._member(row, catalogue, name)

    def _phase(self, rows: Sequence[MemberRow]) -> None:
        confirm = [row for row in rows if row.phase == Phase.CONFIRM]
        if confirm and len(confirm) != self._confirmed:
            self._confirmed = len(confirm)
            self._listener.phase(Phase.CONFIRM, sum(row.number in self._ended for row in confirm), len(confirm))

    def _member(self, row: MemberRow, catalogue: Catalogue, name: str) -> None:
        if row.number not in self._living:
            self._listener.member(row.number, row.phase, row.arm, row.config, row.start)
            self._living[row.number] = row.start
        for report in catalogue.reports(name, row.number):
            if report.epoch > self._living[row.number] and report.rung_score is not None:
                self._listener.report(row.number, report.epoch, self._epochs, report.rung_score)
                self._living[row.number] = report.epoch
        if row.state is not None:
            self._listener.ended(row.number, row.state, row.score, row.reason)
            self._ended.add(row.number)
            del self._living[row.number]
