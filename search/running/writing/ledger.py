"""What the driver writes down: every member before its dispatch, every report, every end. First to the catalogue, then to those who listen.

The catalogue is the truth. The tracker (MLflow) and the listener (the live display) are told the same afterwards and may lag behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Any

from infra.catalogue import Catalogue, MemberRow, ReportRow, each_report
from infra.catalogue.open_members import note_members
from infra.storage import HOME, STORAGE, whole
from objectives.base import Phase, Report, State
from search.choosing.answer import Candidate
from search.choosing.missing import INSTEAD
from search.choosing.watched import Watched
from search.choosing.words import listed
from search.facts import ADDRESS, ASKED, CHORES, FOLDER, LOOKS, MEMORY, PLANNED, PRIOR, RETRIED, SOURCES, TOOK, WAITING
from search.running.working.work import RANGES
from search.running.writing.leftovers import Leftovers
from search.running.writing.tally import Seen, Tally
from search.running.writing.told import Told, ends, told
from search.schedulers import SchedulerProtocol
from search.spec.keys import Spec
from search.telling.listener import Listener
from search.telling.mlflow import shown
from search.telling.mlflow.mirror import Mirror

SHOWN_MEMBERS = 8  # members that a note about bad ends names
SHOWN_REASONS = 3  # such notes in the reason why a sweep has no answer

# facts that stay when the data is prepared anew
KEPT = (ASKED, FOLDER, HOME, STORAGE, SOURCES, LOOKS, PRIOR, PLANNED, ADDRESS, TOOK, RANGES, WAITING, RETRIED, MEMORY, CHORES)


@dataclass(frozen=True)
class _Entry:
    """A member's row after the new reports, and the new reports."""

    row: MemberRow
    curve: list[Report]

    def reports(self) -> list[ReportRow]:
        """The new reports as the catalogue stores them."""
        return [ReportRow(report.number, report.epoch, report.rung_score, dict(report.metrics)) for report in self.curve]

    def end(self) -> dict[str, Any]:
        """How the member ended, as the catalogue takes it."""
        names = ("reason", "score", "rung_score", "metrics", "epochs", "seconds", "traceback", "facts")
        return {"state": self.row.state or "", **{name: getattr(self.row, name) for name in names}, "reports": self.reports()}


class Ledger:
    """The books of one sweep. `rows` mirrors the catalogue's members; `curves` holds their finite rung scores by epoch.

    `watched` are the metrics beside the score that are asked for or constrained. In the books lower is better, always; `mirror` tells the
    others of a score in its own sign.
    """

    def __init__(
        self,
        sweep: str,
        catalogue: Catalogue,
        mirror: Mirror,
        listener: Listener,
        scheduler: SchedulerProtocol,
        *,
        epochs: int,
        leftovers: Leftovers,
        watched: Watched | None = None,
    ) -> None:
        self.sweep, self.epochs, self.mirror, self.tracker = sweep, epochs, mirror, mirror.tracker
        self.catalogue, self._listener, self._scheduler = catalogue, listener, scheduler
        self.waited_s: Callable[[], float] = lambda: catalogue.waited_s  # for how long this driver has waited, and so heard of nobody
        self.leftovers, self.watched = leftovers, watched or Watched()
        self.rows: dict[int, MemberRow] = {row.number: row for row in catalogue.members(sweep)}
        self.leftovers.resumed(self.rows.values())
        self._seen, self.curves = Seen(), dict[int, dict[int, float]]()
        for report in each_report(catalogue, sweep, sorted(self.rows)):
            self._plot(report)
            row = self.rows[report.number]
            # The report with which a member was lost was no report of a member that might go on; nobody was compared with it.
            lost = row.state in (State.DIVERGED, State.COLLAPSED) and report.epoch == row.epochs
            if row.phase == Phase.SEARCH and not lost:
                scheduler.hear([self._told(report)])
            # How far an open member has come is what it has reported. Members that go on together must agree in it.
            if row.state is None:
                value, metrics = report.rung_score, dict(report.metrics) or row.metrics
                known = value if value is not None and math.isfinite(value) else row.rung_score
                self.rows[report.number] = replace(row, epochs=max(row.epochs, report.epoch), rung_score=known, metrics=metrics)
        scheduler.hear(ends(self.rows.values(), self.watched, epochs))
        self._waiting = set[int]((catalogue.sweep(sweep).facts or {}).get(WAITING, ()))
        mirror.portrait.know(self.ordered())
        self.tally, self.metered = Tally(self.ordered()), False  # metered: whether the seconds of open members must survive the driver
        self._doomed, self._introduced = dict[int, tuple[str, State]](), set[int]()

    def ordered(self) -> list[MemberRow]:
        """Members in the order in which they were asked for."""
        return sorted(self.rows.values(), key=attrgetter("number"))

    def next_number(self) -> int:
        """The number of the next member."""
        return self.tally.last + 1

    def open(self, rows: Sequence[MemberRow]) -> None:
        """Commit members to the catalogue before anybody trains them."""
        self.catalogue.add_members(self.sweep, rows)
        self.rows.update({row.number: row for row in rows})
        self.tally.opened(rows)
        self.mirror.portrait.know(rows)

    def dispatched(self, rows: Sequence[MemberRow]) -> None:
        """Note that these members now go to a worker."""
        for row in rows:
            if row.number not in self._introduced:
                self._introduced.add(row.number)
                self.mirror.begin(row)
            self._listener.member(row.number, row.phase, row.arm, row.config, row.start - (INSTEAD in row.facts))

    def decide(self, reports: Mapping[int, Sequence[Report]]) -> set[int]:
        """The members to stop after these reports of a pack. A rung never stops a confirmation.

        A rung hears of all members of a pack before it judges any of them, so the order of the reports does not matter.
        """
        fresh = [
            report
            for number, mine in reports.items()
            if self.rows[number].phase == Phase.SEARCH and self.rows[number].state is None
            for report in mine
            # An earlier driver has already decided after this report. The member is open, so the decision was to go on.
            if report.state in (None, State.COMPLETE) and not self._seen.has(report.number, report.epoch)
        ]
        self._scheduler.hear([self._told(report) for report in fresh])
        stopped: set[int] = set()
        for number, arm, epoch, score in (self._told(report) for report in fresh if report.state is None):
            if number not in stopped and (reason := self._scheduler.decide(number, arm, epoch, score)):
                self.doom(number, reason)
                stopped.add(number)
        return stopped

    def _told(self, report: Report | ReportRow) -> Told:
        """A report as a scheduler hears it."""
        return told(report, self.rows[report.number], self.watched)

    def together(self) -> AbstractContextManager[None]:
        """What is written in the block is one commit."""
        return self.catalogue.together()

    def doom(self, number: int, reason: str, state: State = State.STOPPED) -> None:
        """Keep the reason why a member is stopped, until its reports have been written."""
        self._doomed[number] = reason, state

    def record(self, reports: Mapping[int, Sequence[Report]], seconds: float, worker: Mapping[str, Any], *, wait: bool = False) -> set[int]:
        """Write down what a pack reported, by member, and which members end by it. Returns the members that have ended.

        All is one commit: a kill between a rung's reports and its decision leaves neither or both. `seconds` is the time that the pack
        took. `wait`: those that do not end wait for another pack.
        """
        told = {number: [_written(one) for one in mine] for number, mine in reports.items() if self.rows[number].state is None}
        entries = [self._entry(number, mine, seconds / len(reports), worker) for number, mine in told.items()]
        going = {entry.row.number for entry in entries if entry.row.state is None}
        waiting = (self._waiting - set(reports)) | (going if wait else set())
        with self.together():
            self.catalogue.add_reports(self.sweep, [row for entry in entries if entry.row.state is None for row in entry.reports()])
            for entry in entries:
                if entry.row.state is not None:
                    self.catalogue.end_member(self.sweep, entry.row.number, **entry.end())
            note_members(self.catalogue, self.sweep, [entry.row for entry in entries if self.metered and entry.row.state is None])
            if waiting != self._waiting:
                self.catalogue.update_sweep(self.sweep, facts=(self.catalogue.sweep(self.sweep).facts or {}) | {WAITING: sorted(waiting)})
        self._waiting = waiting
        for entry in entries:
            self._tell(entry)
        return {entry.row.number for entry in entries if entry.row.state is not None}

    def _entry(self, number: int, reports: Sequence[Report], seconds: float, worker: Mapping[str, Any]) -> _Entry:
        """A member's row after these reports, and those of the reports that are new."""
        row = self.rows[number]
        news = [report for report in reports if not self._seen.has(number, report.epoch)]
        curve = [report for report in news if math.isfinite(report.rung_score) or report.state is None]
        end = next((report for report in reports if report.state is not None), None)
        last = reports[-1] if reports else None
        row = replace(row, seconds=row.seconds + seconds, facts={**row.facts, **worker})
        if last is not None:
            finite = [report.rung_score for report in reports if math.isfinite(report.rung_score)]
            row = replace(
                row,
                epochs=max(row.epochs, last.epoch),
                rung_score=finite[-1] if finite else row.rung_score,
                metrics=dict(last.metrics) or row.metrics,
            )
        doomed = self._doomed.pop(number, None)
        if end is None and doomed is not None:
            end = Report(number, row.epochs, float("nan"), state=doomed[1], reason=doomed[0])
        if end is not None:
            row = replace(row, state=str(end.state), reason=end.reason, score=end.score, traceback=end.traceback)
        return _Entry(row, curve)

    def _plot(self, report: Report | ReportRow) -> None:
        self._seen.add(report.number, report.epoch)
        if report.rung_score is not None and math.isfinite(report.rung_score):
            self.curves.setdefault(report.number, {})[report.epoch] = report.rung_score
        self.watched.plot(report)

    def under_way(self, row: MemberRow) -> bool:
        """Whether an open member was in training when an earlier driver last heard of it: it has reported, and does not wait for others."""
        return row.epochs > row.start and row.number not in self._waiting

    def _tell(self, entry: _Entry) -> None:
        """Tell what was written: to the mirror of the catalogue, to MLflow, to the listeners."""
        row = entry.row
        self.rows[row.number] = row
        for report in entry.curve:
            self._plot(report)
            self.mirror.report(row.number, report)
            self._listener.report(row.number, report.epoch, self.epochs, report.rung_score)
        self._scheduler.hear(ends([row], self.watched, self.epochs))
        if row.state is not None:
            self.tally.ended(row)
            self.leftovers.ended(row)
            self.mirror.end(row)
            self.mirror.progress(self.rows)
            for log in self.leftovers.logs(row.number) if row.state == State.FAILED else ():
                self.tracker.artifact(log, number=row.number)
            shown.members(self.tracker, self.leftovers.home, self.sweep, [row])
            self._listener.ended(row.number, row.state, row.score, row.reason)

    def chose(self, candidates: Sequence[Candidate], members: int) -> None:
        """Write down the configs to confirm, with the reason of each; and say how many members that makes."""
        plain = [asdict(candidate) for candidate in candidates]
        self.catalogue.update_sweep(self.sweep, candidates=plain)
        self._listener.phase(Phase.CONFIRM, 0, members)

    def facts(self, facts: Mapping[str, Any], spec: Spec | None = None) -> None:
        """Write down what `prepare` found out about the data; and where it found ranges, the spec that has them, at once."""
        self.mirror.prepared(facts)
        row = self.catalogue.sweep(self.sweep)
        kept = {key: value for key, value in row.facts.items() if key in KEPT}
        news: dict[str, Any] = {"facts": {**facts, **kept}}
        if spec is not None:
            plain = spec.model_dump(mode="json", exclude_none=True)
            news["spec"] = {**row.spec, "search": plain["search"], "ranges": plain["ranges"]}
        self.catalogue.update_sweep(self.sweep, **news)

    def fact(self, name: str) -> dict[str, Any]:
        """What an earlier driver wrote down of the sweep under this name; empty if it wrote nothing."""
        return dict((self.catalogue.sweep(self.sweep).facts or {}).get(name, {}))

    def note(self, text: str) -> None:
        """Pass a remark on."""
        self._listener.note(text)


def _written(report: Report) -> Report:
    """A report whose texts every store takes: an error may name a file whose name is no UTF-8."""
    if all(text.isascii() for text in (report.reason, report.traceback, *report.metrics)):
        return report
    metrics = {whole(name): value for name, value in report.metrics.items()}
    return replace(report, reason=whole(report.reason), traceback=whole(report.traceback), metrics=metrics)


def noted(ledger: Ledger, rows: Sequence[MemberRow], name: str, fact: Mapping[str, Any]) -> None:
    """Write down facts and seconds of open members, and a fact of the sweep, in one commit."""
    with ledger.together():
        note_members(ledger.catalogue, ledger.sweep, rows)
        facts = ledger.catalogue.sweep(ledger.sweep).facts or {}
        ledger.catalogue.update_sweep(ledger.sweep, facts={**facts, name: dict(fact)})
    ledger.rows.update({row.number: row for row in rows})


def told_of_workers(ledger: Ledger) -> Callable[[int, int], object]:
    """Who is told how many workers train, of how many that are there or start: the listener, unless it is older than this."""
    return getattr(ledger._listener, "workers", lambda up, there: None)


def failures(rows: Sequence[MemberRow]) -> list[str]:
    """One note for every way in which members ended badly."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.state in (State.FAILED, State.DIVERGED, State.COLLAPSED, State.PREEMPTED):
            # The evidence of a collapse differs from member to member. The text before the colon names the kind of collapse.
            reason = row.reason.partition(":")[0] if row.state == State.COLLAPSED else row.reason
            reasons.setdefault((row.state, reason), []).append(row.number)
    return [f"{len(numbers)} {state} (member {listed(numbers, SHOWN_MEMBERS)}): {reason}" for (state, reason), numbers in reasons.items()]


def why_no_answer(rows: Sequence[MemberRow]) -> str:
    """Why a sweep that did all it could has no answer."""
    notes = failures(rows)
    return "no member ended well" + (f": {listed(notes, SHOWN_REASONS, '; ')}" if notes else "; the sweep's time may have been too short")
