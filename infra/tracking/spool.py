"""The spool: a file of records that MLflow has not taken yet, one JSON object a line. It outlives the process that wrote it.

A record has a `kind` (start, log, end, artifact, image), the `run` it speaks of (a member's number, or `SWEEP_RUN`), the moment it was said
in `ms` since 1970, and what belongs to its kind.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.storage import ready, replaced

SWEEP_RUN: Final = -1
"""Stands for the sweep's own run where members have their numbers."""
MAX_RECORDS: Final = 5000
"""Records taken from the spool in one round; bounds memory after an outage."""
FILES: Final = ("artifact", "image")
"""The kinds of records that speak of a file."""
WAITING: Final = "waiting"  # the key of the progress that holds them
KEPT: Final = 16 << 20
"""Bytes of sent records, above which the file begins anew when all is sent: a large sweep says some hundred megabytes."""


def left_of(folder: Path, sweep: str) -> int:
    """How many records of a sweep MLflow has not taken. Nothing is made for the look."""
    path = folder / f"{sweep}.jsonl"
    if not path.exists():
        return 0
    progress = _read_progress(path.with_suffix(".progress"))
    with path.open("rb") as file:
        file.seek(progress.get("sent", 0))
        return sum(1 for _ in file) + len(progress.get(WAITING, []))


class Spool:
    """An append-only file of records and a small file of progress: how much of it was sent, and to which experiment.

    `sent` is the offset in bytes up to which all records were sent. Several threads may append; one reads and confirms.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._progress = ready(path), path.with_suffix(".progress")
        self._lock = threading.Lock()
        self.progress = _read_progress(self._progress)
        self._file = _append_to(path)
        self._end: int = self._file.tell()
        if self._end and not self._ends_whole():
            self._end += self._file.write(b"\n")  # a killed process left half a record: it becomes a line that is skipped
        self.sent = min(int(self.progress.get("sent", 0)), self._end)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record. It survives the process from here on (not a power cut: the catalogue repairs that)."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._file.closed:
                return
            written = self._file.write(line)
            if written < len(line):  # a disk that is nearly full takes a part, which would spoil the next record
                self._file.truncate(self._end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._end += written

    def read(self) -> tuple[list[dict[str, Any]], int]:
        """The next unsent records, and the offset after them."""
        records: list[dict[str, Any]] = []
        with self.path.open("rb") as file:
            file.seek(self.sent)
            offset = self.sent
            for line in file:
                if not line.endswith(b"\n"):
                    break
                offset += len(line)
                with suppress(ValueError, RecursionError):  # half a line of a killed process, or what another has written
                    record = json.loads(line)
                    if isinstance(record, dict) and isinstance(record.get("kind"), str):
                        records.append(record)
                if len(records) >= MAX_RECORDS:
                    break
        return records, offset

    @property
    def waiting(self) -> list[dict[str, Any]]:
        """The records before `sent` whose files MLflow has not taken."""
        return list(self.progress.get(WAITING, []))

    def confirm(self, offset: int, facts: Mapping[str, Any], waiting: Sequence[Mapping[str, Any]] = ()) -> None:
        """Everything before `offset` was sent, but the files of the records that are `waiting`; `facts` are kept with that."""
        with self._lock:
            again = offset == self._end and offset > KEPT and not self._file.closed
            self.progress = {**facts, "sent": 0 if again else offset} | ({WAITING: list(waiting)} if waiting else {})
            with replaced(self._progress) as beside:
                beside.write_text(json.dumps(self.progress))
            self.sent = offset
            if again:  # who dies in between sends all of it again, which changes nothing
                self._file.truncate(0)
                self._end = self.sent = 0

    def unsent_bytes(self) -> int:
        """How much of the file was not sent."""
        with self._lock:
            return self._end - self.sent

    def unsent(self) -> bool:
        """Whether something was not sent."""
        return self.unsent_bytes() > 0 or bool(self.waiting)

    def unsent_records(self) -> int:
        """How many records were not sent."""
        if not self.unsent():
            return 0
        with self.path.open("rb") as file:
            file.seek(self.sent)
            return sum(1 for _ in file) + len(self.waiting)

    def remove(self) -> None:
        """All was sent: leave nothing behind."""
        with self._lock:
            self._file.close()
            self.path.unlink(missing_ok=True)
            self._progress.unlink(missing_ok=True)
        with suppress(OSError):  # another sweep's spool is in there
            self.path.parent.rmdir()

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _read_progress(path: Path) -> dict[str, Any]:
    """What the small file beside a spool holds, as far as it can be believed."""
    try:
        found = dict(json.loads(path.read_text()))
        waiting = [one for one in found.pop(WAITING, []) if isinstance(one, dict) and one.get("kind") in FILES]
        return {**found, "sent": max(0, int(found.get("sent", 0)))} | ({WAITING: waiting} if waiting else {})
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _append_to(path: Path) -> Any:
    """Open for appending, though another process may be removing the empty folder right now; Windows then says PermissionError."""
    for _ in range(10):
        with suppress(FileNotFoundError, PermissionError):
            return ready(path).open("ab", buffering=0)
    raise InfraError(f"The spool {path} must be writable; it cannot be opened. Choose another home or set LAGRANGE_HOME.")
