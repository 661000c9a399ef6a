"""What the driver writes down: every member before its dispatch, every report, every end; the catalogue first, then whoever listens.

The catalogue is the truth; the tracker (MLflow) and the listener (the live display) are told the same afterwards and may lag.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue, MemberRow, ReportRow
from infra.tracking import Tracker
from objectives.base import Phase, Report, State
from search.choosing.answer import Candidate
from search.schedulers import SchedulerProtocol
from search.telling.listener import Listener
from search.telling.mirror import final_metrics, final_tags, tracked_params, tracked_tags


@dataclass(frozen=True)
class _Entry:
    """A member's row as it will stand, and its new reports."""

    row: MemberRow
    curve: list[Report]

    def reports(self) -> list[ReportRow]:
        """The new reports as the catalogue stores them."""
        return [ReportRow(report.number, report.epoch, report.rung_score, dict(report.metrics)) for report in self.curve]


class Ledger:
    """The books of one sweep. `rows` mirrors the catalogue's members, `curves` their finite rung scores by epoch."""

    def __init__(
        self,
        sweep: str,
        catalogue: Catalogue,
        tracker: Tracker,
        listener: Listener,
        scheduler: SchedulerProtocol,
        *,
        epochs: int,
        checkpoint: Callable[[int], Path],
    ) -> None:
        self.sweep, self.epochs = sweep, epochs
        self._catalogue, self._tracker, self._listener, self._scheduler = catalogue, tracker, listener, scheduler
        self._checkpoint = checkpoint
        self.rows: dict[int, MemberRow] = {row.number: row for row in catalogue.members(sweep)}
        self._seen: dict[int, set[int]] = {}
        self.curves: dict[int, dict[int, float]] = {}
        for report in catalogue.reports(sweep):
            self._seen.setdefault(report.number, set()).add(report.epoch)
            self._plot(report)
            if self.rows[report.number].phase == Phase.SEARCH:
                score = math.nan if report.rung_score is None else report.rung_score
                scheduler.hear([(report.number, self.rows[report.number].arm, report.epoch, score)])
        # What an open member has reported is how long it was trained, whoever asks; members that go on together must agree in it.
        for number, seen in self._seen.items():
            if self.rows[number].state is None:
                self.rows[number] = replace(self.rows[number], epochs=max(seen))
        self.labels: dict[str, str] = {}  # the full names of metrics
        self._doomed: dict[int, str] = {}
        self._introduced: set[int] = set()

    def ordered(self) -> list[MemberRow]:
        """Members in the order in which they were asked for."""
        return [self.rows[number] for number in sorted(self.rows)]

    def next_number(self) -> int:
        """The number of the next member."""
        return max(self.rows, default=-1) + 1

    def open(self, rows: Sequence[MemberRow]) -> None:
        """Commit members before anyone trains them."""
        self._catalogue.add_members(self.sweep, rows)
        self.rows.update({row.number: row for row in rows})

    def dispatched(self, rows: Sequence[MemberRow]) -> None:
        """Members go to a worker now."""
        for row in rows:
            if row.number not in self._introduced:
                self._introduced.add(row.number)
                self._tracker.start_member(row.number, tracked_params(row), tracked_tags(self.sweep, row) | self._label_tags())
            self._listener.member(row.number, row.phase, row.arm, row.config)

    def decide(self, reports: Mapping[int, Sequence[Report]]) -> set[int]:
        """The members to stop after these reports of a pack. Confirmations are never stopped by a rung.

        All of a pack are known to a rung before it judges any of them: who was reported first must not matter.
        """
        news = [
            (number, self.rows[number].arm, report.epoch, report.rung_score)
            for number, mine in reports.items()
            if self.rows[number].phase == Phase.SEARCH and self.rows[number].state is None
            for report in mine
            # A report that an earlier driver saw was decided by it: the member is open, so it went on.
            if report.state is None and report.epoch not in self._seen.get(number, ())
        ]
        self._scheduler.hear(news)
        stopped: set[int] = set()
        for number, arm, epoch, score in news:
            if number not in stopped and (reason := self._scheduler.decide(number, arm, epoch, score)):
                self.doom(number, reason)
                stopped.add(number)
        return stopped

    def doom(self, number: int, reason: str) -> None:
        """Remember why a member is stopped until its reports are in."""
        self._doomed[number] = reason

    def record(self, reports: Mapping[int, Sequence[Report]], seconds: float, worker: Mapping[str, Any]) -> set[int]:
        """Write down what a pack reported, by member, and the ends that this brings; the members that have ended by it.

        One commit for all of it, so that a kill between a rung's reports and its decision leaves neither or both. `seconds` is what the
        pack took.
        """
        entries = [
            self._entry(number, mine, seconds / len(reports), worker) for number, mine in reports.items() if self.rows[number].state is None
        ]
        self._write(entries)
        for entry in entries:
            self._tell(entry)
        return {entry.row.number for entry in entries if entry.row.state is not None}

    def _entry(self, number: int, reports: Sequence[Report], seconds: float, worker: Mapping[str, Any]) -> _Entry:
        """A member's row after these reports, and those of them that are news."""
        row = self.rows[number]
        news = [report for report in reports if report.epoch not in self._seen.get(number, ())]
        curve = [report for report in news if math.isfinite(report.rung_score) or report.state is None]
        end = next((report for report in reports if report.state is not None), None)
        last = reports[-1] if reports else None
        row = replace(row, seconds=row.seconds + seconds, facts=dict(worker) or row.facts)
        if last is not None:
            finite = [report.rung_score for report in reports if math.isfinite(report.rung_score)]
            row = replace(
                row,
                epochs=max(row.epochs, last.epoch),
                rung_score=finite[-1] if finite else row.rung_score,
                metrics=dict(last.metrics) or row.metrics,
            )
        if end is None and number in self._doomed:
            end = Report(number, row.epochs, float("nan"), state=State.STOPPED, reason=self._doomed.pop(number))
        if end is not None:
            row = replace(row, state=str(end.state), reason=end.reason, score=end.score, traceback=end.traceback)
        return _Entry(row, curve)

    def _plot(self, report: Report | ReportRow) -> None:
        if report.rung_score is not None and math.isfinite(report.rung_score):
            self.curves.setdefault(report.number, {})[report.epoch] = report.rung_score

    def _write(self, entries: Sequence[_Entry]) -> None:
        with self._catalogue.together():
            self._catalogue.add_reports(self.sweep, [row for entry in entries if entry.row.state is None for row in entry.reports()])
            for entry in entries:
                if entry.row.state is not None:
                    self._end(entry.row, entry.reports())

    def _end(self, row: MemberRow, curve: Sequence[ReportRow]) -> None:
        self._catalogue.end_member(
            self.sweep,
            row.number,
            state=row.state or "",
            reason=row.reason,
            score=row.score,
            rung_score=row.rung_score,
            metrics=row.metrics,
            epochs=row.epochs,
            seconds=row.seconds,
            traceback=row.traceback,
            facts=row.facts,
            reports=curve,
        )

    def _tell(self, entry: _Entry) -> None:
        """What is written is said: to the mirror of the catalogue, to MLflow, to whoever listens."""
        row = entry.row
        self.rows[row.number] = row
        self._seen.setdefault(row.number, set()).update(report.epoch for report in entry.curve)
        for report in entry.curve:
            self._plot(report)
            self._tracker.log(row.number, report.epoch, report.metrics)
            self._listener.report(row.number, report.epoch, self.epochs, report.rung_score)
        if row.state is not None:
            path = self._checkpoint(row.number)
            for leftover in (path, path.with_suffix(".json")):
                leftover.unlink(missing_ok=True)
            self._tell_end(row)

    def _tell_end(self, row: MemberRow) -> None:
        self._tracker.end_member(row.number, row.state or "", final_metrics(row), final_tags(row))
        self._listener.ended(row.number, row.state or "", row.score, row.reason)

    def chose(self, candidates: Sequence[Candidate]) -> None:
        """The configs to confirm, with the reason of each."""
        plain = [{"arm": candidate.arm, "config": candidate.config, "why": candidate.why} for candidate in candidates]
        self._catalogue.update_sweep(self.sweep, candidates=plain)
        self._listener.phase("confirm", 0, len(candidates))

    def facts(self, facts: Mapping[str, Any]) -> None:
        """What `prepare` said of the data."""
        self.labels = {str(name): str(label) for name, label in facts.get("labels", {}).items()}
        self._catalogue.update_sweep(self.sweep, facts=dict(facts))

    def pack_members(self) -> int | None:
        """How many members make a pack, as an earlier driver of the sweep was told; None if none was."""
        found: int | None = (self._catalogue.sweep(self.sweep).facts or {}).get("pack", {}).get("members")
        return found

    def _label_tags(self) -> dict[str, str]:
        """What a member's numbers are called in full, for MLflow: `label.val_kid` and the like."""
        return {f"label.{name}": label for name, label in self.labels.items()}

    def note(self, text: str) -> None:
        """Pass a remark on."""
        self._listener.note(text)


def failures(rows: Sequence[MemberRow]) -> list[str]:
    """A note for every way in which members ended badly."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.state in (State.FAILED, State.DIVERGED, State.COLLAPSED, State.PREEMPTED):
            # The evidence of a collapse differs from member to member; what stands before the colon is what it was.
            reason = row.reason.partition(":")[0] if row.state == State.COLLAPSED else row.reason
            reasons.setdefault((row.state, reason), []).append(row.number)
    return [f"{len(numbers)} {state} (member {', '.join(map(str, numbers[:8]))}): {reason}" for (state, reason), numbers in reasons.items()]


def why_no_answer(rows: Sequence[MemberRow]) -> str:
    """Why a sweep that did all it could has none."""
    notes = failures(rows)
    return "no member ended well" + (": " + "; ".join(notes[:3]) if notes else "; the sweep's time may have been too short")
