"""Workers that are lost: which of their members are tried again, and what is said of those for which that ends.

A worker that dies, falls silent or leaves with its node says nothing of λ, so its members go on from their checkpoints. `limits.retries`
says how often in a row: a member that has come farther since its last loss begins to count anew. `limits.retries_total` is for the whole
sweep. All counts are in the catalogue before anything is tried again, so a new driver counts on.
"""

from __future__ import annotations

import math
import re
import socket
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from infra import machine
from infra.catalogue import MemberRow
from objectives.base import Report, State
from search.choosing.missing import INFRASTRUCTURE
from search.choosing.words import number as number_words
from search.facts import LOSSES, RETRIED
from search.running.writing.ledger import Ledger, noted
from search.spec.keys import Limits

TOTAL = "total"  # under the sweep's fact RETRIED: how many workers were lost; beside it how often each chore was, in a row
AT_LEAST = 100  # retries of a whole sweep where the spec does not say how many, and few members are planned
_NODE_LEFT = re.compile(r"node (it was running on|has died|is dead|was preempted|left)|its node|preempt|NODE_DIED|NodeDied", re.IGNORECASE)
_LONG = re.compile(r"Worker exit type|Some common causes|There are some potential root causes|Node Id", re.IGNORECASE)
_MEMORY = re.compile(r"running low on memory|OutOfMemoryError|oom-kill", re.IGNORECASE)


class Cause(StrEnum):
    """Why a worker does no more for its job."""

    DIED = "died"  # its process ended, and nobody of ours ended it
    SILENT = "silent"  # it said nothing for `limits.silence_seconds`, and we ended it
    PREEMPTED = "preempted"  # its node left the cluster
    MEMORY = "memory"  # the system ended it for lack of memory
    AROUND = "around"  # it lives, and something failed in it that is no training: a file that could not be written
    LATE = "late"  # its members had `limits.member_minutes`, and we ended it: their own fault


WORDS = {
    Cause.DIED: "its worker died ({said})",
    Cause.SILENT: "{said}",
    Cause.AROUND: "its worker failed around it ({said})",
    Cause.PREEMPTED: "its node left ({said})",
    Cause.MEMORY: "its worker was ended for lack of memory ({said}); with limits.memory_gb a member that takes too much ends alone",
}


def cause_of(said: str) -> Cause:
    """The cause, by what Ray says of a worker that is gone."""
    return Cause.PREEMPTED if _NODE_LEFT.search(said) else Cause.MEMORY if _MEMORY.search(said) else Cause.DIED


def briefly(said: str) -> str:
    """What Ray says of a worker, without its list of all that may have been the cause."""
    return _LONG.split(said)[0].strip().rstrip(".:") or said


def in_a_row(row: MemberRow) -> int:
    """How many workers were lost with a member since it last came farther."""
    return sum(epoch >= row.epochs for _, epoch in row.facts.get(LOSSES, ()))


class Faults:
    """The lost workers of one sweep. `planned` members are planned in all."""

    def __init__(self, ledger: Ledger, limits: Limits, planned: int) -> None:
        self._ledger, self._limits = ledger, limits
        self._most = limits.retries_total if limits.retries_total is not None else max(AT_LEAST, 2 * planned)
        self.counts: dict[str, int] = ledger.fact(RETRIED)
        self._killed = machine.killed_for_memory()

    def suspect(self, row: MemberRow) -> bool:
        """Whether a member has its last try. It is then trained alone, because one that ends its worker must not take others with it."""
        return in_a_row(row) >= max(1, self._limits.retries)

    def late(self, numbers: Sequence[int], seconds: float) -> dict[int, str]:
        """The open members of a pack that have had their time, when it has trained for so many seconds more; each with its reason."""
        rows = [row for number in numbers if (row := self._ledger.rows[number]).state is None]
        most, each = self._limits.member_minutes, seconds / max(1, len(numbers))
        if most is None:
            return {}
        return {
            row.number: f"time limit: {number_words((row.seconds + each) / 60)} min of training (limits.member_minutes: {most:g})"
            for row in rows
            if row.seconds + each > 60 * most
        }

    def left_s(self, numbers: Sequence[int]) -> float:
        """How many seconds a pack may go on before the first of its members has had its time."""
        most, rows = self._limits.member_minutes, [self._ledger.rows[number] for number in numbers]
        return math.inf if most is None else min((60 * most - row.seconds for row in rows if row.state is None), default=0.0) * len(rows)

    def lost(self, numbers: Sequence[int], said: str, cause: Cause, seconds: float = 0.0) -> set[int]:
        """Write down that the worker of these open members is lost, after so many seconds without a report.

        Returns those that end by it; the others are to be tried again.
        """
        if cause is Cause.LATE:
            return self._late(numbers, seconds)
        rows = [self._ledger.rows[number] for number in numbers]
        rows = [replace(row, seconds=row.seconds + seconds / len(rows)) for row in rows]
        cause = self._seen_through(cause, rows[0].facts.get("host")) if rows else cause
        total, news, ends = self.counts.get(TOTAL, 0) + 1, list[MemberRow](), list[Report]()
        for row in rows:
            tried = in_a_row(row)
            row = replace(row, facts={**row.facts, LOSSES: [*row.facts.get(LOSSES, ()), [str(cause), row.epochs]]})
            news.append(row)
            if tried >= self._limits.retries or total > self._most:
                state = State.PREEMPTED if cause is Cause.PREEMPTED else State.FAILED
                ends.append(Report(row.number, row.epochs, math.nan, state=state, reason=self._reason(said, cause, tried)))
        with self._ledger.together():
            noted(self._ledger, news, RETRIED, {**self.counts, TOTAL: total})
            self._ledger.record({end.number: [end] for end in ends}, 0.0, {INFRASTRUCTURE: True})
        self.counts[TOTAL] = total
        ended = {end.number for end in ends}
        if again := [number for number in numbers if number not in ended]:
            who = f"member{'s' if len(again) > 1 else ''} {', '.join(map(str, again))}"
            goes_on = "each resumes" if len(again) > 1 else "it resumes"
            self._ledger.note(f"{who}: {WORDS[cause].format(said=briefly(said))}; {goes_on} from its last checkpoint")
        return ended

    def _late(self, numbers: Sequence[int], seconds: float) -> set[int]:
        """End the members that had their time, which is their own fault. The others of their pack go on, and nothing is counted."""
        late = self.late(numbers, seconds)
        rows = [self._ledger.rows[number] for number in numbers]
        noted(self._ledger, [replace(row, seconds=row.seconds + seconds / len(rows)) for row in rows], RETRIED, self.counts)
        ends = [Report(number, self._ledger.rows[number].epochs, math.nan, state=State.FAILED, reason=why) for number, why in late.items()]
        self._ledger.record({end.number: [end] for end in ends}, 0.0, {})
        return set(late)

    def chore(self, kind: str, said: str, cause: Cause) -> str:
        """Write down that the worker of a step of the sweep is lost. Returns why the step is not tried again; empty where it is."""
        cause = self._seen_through(cause, None)
        tried, total = self.counts.get(kind, 0), self.counts.get(TOTAL, 0) + 1
        self.counts |= {kind: tried + 1, TOTAL: total}
        noted(self._ledger, [], RETRIED, self.counts)
        words = f"the sweep's {kind} step: {self._reason(said, cause, tried)}"
        if tried >= self._limits.retries or total > self._most:
            return words
        self._ledger.note(f"the sweep's {kind} step: {WORDS[cause].format(said=briefly(said))}; it is tried again")
        return ""

    def done(self, kind: str) -> None:
        """A step of the sweep has come to its end: the next loss of such a step is the first in a row."""
        if self.counts.pop(kind, 0):
            noted(self._ledger, [], RETRIED, self.counts)

    def _reason(self, said: str, cause: Cause, tried: int) -> str:
        words = WORDS[cause].format(said=briefly(said))
        if tried >= self._limits.retries:
            return f"{words}; {tried + 1} workers in a row (limits.retries: {self._limits.retries})"
        return f"{words}; the sweep's {self._most} retries are used up (limits.retries_total)"

    def _seen_through(self, cause: Cause, host: Any) -> Cause:
        """A death that the system's own count says was for lack of memory: it counts on this machine only."""
        before, self._killed = self._killed, machine.killed_for_memory()
        here = host in (None, socket.gethostname())
        return Cause.MEMORY if cause is Cause.DIED and here and self._killed > before else cause
