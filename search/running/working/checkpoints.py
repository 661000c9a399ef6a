"""The files of a pack's members: their checkpoints, the records beside them, and what they leave for those who start from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.storage import replaced
from infra.storage.depot import Depot
from objectives.base import Report, Run, State
from search.running.working.copies import OwnFolders
from search.running.working.work import Assigned


class Checkpoints:
    """The checkpoints of these members, each with the record of what the member had reported when it was written.

    They are brought from where the depot keeps them, and kept there again.
    """

    def __init__(self, assigned: Sequence[Assigned], depot: Depot) -> None:
        self._depot, self._own = depot, OwnFolders(depot, assigned)
        self.paths = {one.member.number: one.checkpoint for one in assigned}
        self._heirlooms = {one.member.number: one.heirlooms for one in assigned}
        depot.fetch(*self.paths.values(), *map(_record_of, self.paths.values()))

    def places(self) -> list[Path]:
        """The folder of the members' folders."""
        return list({path.parent.parent for path in self.paths.values()})

    def keep_logs(self) -> None:
        """Keep what the members have printed."""
        self._own.keep_logs()

    def heirloom(self, number: int, epoch: int) -> Path | None:
        """Where a member leaves what others start from after this epoch; None where nobody does."""
        return self._heirlooms[number].get(epoch)

    def record(self, number: int) -> list[Report] | None:
        """What a member had reported when its checkpoint was written; None without a checkpoint."""
        path = self.paths[number]
        record = _record_of(path)
        if not (path.exists() and record.exists()):
            return None
        try:
            return [from_plain(fields) for fields in json.loads(record.read_text())]
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, told: Mapping[int, Sequence[Report]], written: Callable[[Mapping[int, Path]], None]) -> None:
        """Write the checkpoint and the record of these members. A record without its checkpoint is ignored.

        Both are written beside the earlier ones first. So where a disk takes no more, every member still has a checkpoint. `told` is what
        each has reported; `written` writes the checkpoints to paths that it is given.
        """
        fresh = {number: newer(self.paths[number]) for number in told}
        try:
            for number, path in fresh.items():
                with replaced(_record_of(path)) as beside:
                    beside.write_text(json.dumps([plain(report) for report in told[number]]))
            written(fresh)
            for number, path in fresh.items():
                self.paths[number].unlink(missing_ok=True)
                _record_of(path).replace(_record_of(self.paths[number]))
                path.replace(self.paths[number])
        finally:
            for path in fresh.values():
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                    _record_of(path).unlink(missing_ok=True)
        left = {number: self.heirloom(number, reports[-1].epoch if reports else 0) for number, reports in told.items()}
        for number, heirloom in left.items():
            if heirloom is not None:
                with replaced(heirloom) as copy:
                    shutil.copyfile(self.paths[number], copy)
        self._keep(list(told))
        self._depot.put(*(path for path in left.values() if path is not None))

    def first(self, number: int, run: Run) -> list[Report]:
        """Write the checkpoint of a member at its start, with an empty record."""
        path = self.paths[number]
        run.save(path)
        with replaced(_record_of(path)) as beside:
            beside.write_text("[]")
        self._keep([number])
        return []

    def _keep(self, numbers: Sequence[int]) -> None:
        """Keep what was written, in an order in which no record stands beside another checkpoint than its own."""
        paths = [self.paths[number] for number in numbers]
        self._own.keep(numbers)
        self._depot.withdraw(*paths)
        self._depot.put(*map(_record_of, paths))
        self._depot.put(*paths)

    def ended(self, reports: Sequence[Report]) -> None:
        """Keep what members that have ended leave: to those who start from them, and in their own folders."""
        self._own.keep([report.number for report in reports if report.state is not None])
        for report in reports:
            left = self.heirloom(report.number, report.epoch)
            if report.state is State.COMPLETE and left is not None and left.exists():
                self._depot.put(left)


def newer(checkpoint: Path) -> Path:
    """Where a checkpoint is written before it takes the place of the one before."""
    return checkpoint.with_stem(f"{checkpoint.stem}-new")


def _record_of(checkpoint: Path) -> Path:
    """The record of what a member had reported, beside its checkpoint."""
    return checkpoint.with_suffix(".json")


def plain(report: Report) -> dict[str, Any]:
    """A report as plain data."""
    return {**asdict(report), "state": report.state and report.state.value, "metrics": dict(report.metrics)}


def from_plain(fields: dict[str, Any]) -> Report:
    """The inverse of `plain`."""
    return Report(**{**fields, "state": fields["state"] and State(fields["state"])})
