"""The numbers that a program says: in lines that it prints, or in a file that it writes.

    lines   a regular expression with named groups: the score and other metrics, and `epoch` if the lines say it
    json    a file: `.jsonl` with an object in each line, or one object that is there at the end, or is written again after every epoch
    csv     a file with the names in its first line
    (none)  JSON objects, one in a line, on standard output

Without `epoch` reports are counted. A count of epochs that begins with 0 is taken as such.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from objectives.programs.process import Event

KINDS = ("lines", "json", "csv")
LONGEST_LINE = 1 << 16  # bytes; a longer line is looked at in parts
_NEWLINE = re.compile(rb"[\r\n]+")


def read_faults(read: Any, score: str) -> list[str]:
    """What is wrong with the key `read` of a spec."""
    if read is None:
        return []
    if not isinstance(read, Mapping) or len(read) != 1 or next(iter(read)) not in KINDS or not isinstance(next(iter(read.values())), str):
        return [f"read must have one of {', '.join(KINDS)}, with a text; got {read!r}. Leave it out for JSON lines on standard output."]
    kind, text = next(iter(read.items()))
    if kind != "lines":
        return [] if "{folder}" in text else [f"read.{kind} must be a file of the member's own: {{folder}}/NAME; got {text!r}."]
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        return [f"read.lines must be a regular expression; {error}: {text!r}."]
    if score not in groups:
        return [f"read.lines must have a group with the score's name, (?P<{score}>…); it has {', '.join(groups) or 'none'}."]
    return []


class Numbers:
    """Finds reports in what a program prints or writes.

    Args:
        read: how: one of `KINDS` with its text; empty for JSON lines on standard output.
        score: the metric without which nothing is a report.
        folder: what `{folder}` stands for.
        epochs: the epoch of a number that is known only at the end.
        count: the reports that an earlier process of the member has made, where this one goes on behind them.
        note: a file that keeps whether epochs are counted from 0, for a process that goes on later.
    """

    def __init__(self, read: Mapping[str, str], score: str, folder: Path, epochs: int, *, count: int = 0, note: Path | None = None) -> None:
        kind, text = next(iter(read.items()), ("", ""))
        self._pattern = re.compile(text) if kind == "lines" else None
        self._file = Path(text.replace("{folder}", str(folder))) if kind in ("json", "csv") else None
        self._whole = kind == "json" and not text.endswith(".jsonl")
        self._score, self._epochs = score, epochs
        self._rest = b""  # a line that has not ended yet
        self._divided = ","
        self._at, self._names = 0, list[str]()  # how far a file has been read, and the names in its first line
        self._last: dict[str, float] | None = None  # what a file held that is written anew
        self._note, self._lock = note, threading.RLock()
        self._from_zero = note.read_text() == "0" if note is not None and note.exists() else None
        self._count, self._kind, self._inode = count, kind, 0
        self.odd: Any = None  # what stood where the score is, and is no number
        self.others: set[str] = set()  # the names of numbers that came without the score
        self._numbers: dict[str, float] = {}  # numbers that came without a score: they are final

    def feed(self, data: bytes) -> list[Event]:
        """The reports in what was printed."""
        if self._file is not None:
            return []
        with self._lock:
            return self._events(self._line, data)

    def poll(self) -> list[Event]:
        """The reports in what was written since."""
        if self._file is None or not self._file.exists():
            return []
        with self._lock:
            return self._again(last=False) if self._whole else self._events(self._reads, self._news(self._file))

    @property
    def _reads(self) -> Callable[[str], dict[str, float] | None]:
        return self._row if self._kind == "csv" else self._object

    def _news(self, path: Path) -> bytes:
        """What was written since. A file that is another, or shorter than before, is read from its start."""
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._inode or found.st_size < self._at:
                self._inode, self._at, self._rest, self._names = found.st_ino, 0, b"", []
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        return data

    def _events(self, read: Callable[[str], dict[str, float] | None], data: bytes) -> list[Event]:
        found = [read(line) for line in self._lines(data)]
        return [event for fields in found if fields is not None for event in self._event(fields)]

    def end(self) -> list[Event]:
        """A last line without an end; and the object that a file holds at the end."""
        with self._lock:
            left = self._events(self._line if self._file is None else self._reads, b"\n") if not self._whole else []
            if self._file is not None and self._whole and self._file.exists():
                left += self._again(last=True)
        return [*left, {"finish": self._numbers, "score_at": []}] if self._numbers else left

    def _lines(self, data: bytes) -> Iterator[str]:
        """The whole lines so far. A carriage return ends a line too: progress bars end theirs so."""
        *lines, self._rest = _NEWLINE.split(self._rest + data)
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        yield from (line.decode(errors="replace") for line in lines if line)

    def _line(self, line: str) -> dict[str, float] | None:
        if self._pattern is None:
            return self._object(line)
        match = self._pattern.search(line)
        return None if match is None else self._numeric(match.groupdict())

    def _object(self, line: str) -> dict[str, float] | None:
        try:
            found = json.loads(line) if line.lstrip().startswith("{") else None
        except (ValueError, RecursionError):
            return None
        return self._numeric(found) if isinstance(found, dict) else None

    def _row(self, line: str) -> dict[str, float] | None:
        if not self._names:
            line = line.removeprefix("\ufeff")
            self._divided = max(",;\t", key=line.count)
            self._names = [cell.strip() for cell in next(csv.reader(io.StringIO(line), delimiter=self._divided), [])]
            return None
        cells = next(csv.reader(io.StringIO(line), delimiter=self._divided), [])
        return self._numeric(dict(zip(self._names, cells, strict=False)))

    def _numeric(self, given: Mapping[str, Any]) -> dict[str, float]:
        """The fields that are numbers. `nan` and `inf` are numbers too."""
        fields = {str(name).strip(): value for name, value in given.items()}
        found = {name: number for name, value in fields.items() if (number := _number(value)) is not None}
        if self._score not in found:
            self.odd = fields.get(self._score) if self.odd is None else self.odd
            self.others |= found.keys()
        return found

    def _again(self, *, last: bool) -> list[Event]:
        """A file that is written as a whole: a report where it has changed and says its epoch, or at the end."""
        assert self._file is not None
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError, RecursionError):
            return []  # it is being written
        fields = self._numeric(found) if isinstance(found, dict) else {}
        if fields == self._last or (not last and "epoch" not in fields):
            return []
        self._last = dict(fields)
        return self._event(fields if "epoch" in fields else {**fields, "epoch": float(self._epochs)})

    def _event(self, fields: dict[str, float]) -> list[Event]:
        """A report, if the fields have the score. Numbers of the test split that come without it are final."""
        final = {name: value for name, value in fields.items() if name.startswith("test_") and name != self._score}
        self._numbers |= final
        fields = {name: value for name, value in fields.items() if name not in final}
        if self._score not in fields:
            return []
        epoch = fields.pop("epoch", None)
        if epoch is None or not math.isfinite(epoch):
            self._count += 1
            return [{"report": fields, "epoch": self._count}]
        if self._from_zero is None:
            self._from_zero = epoch == 0
            if self._note is not None:
                self._note.write_text("0" if self._from_zero else "1")
        self._count = int(epoch) + self._from_zero
        return [{"report": fields, "epoch": self._count}]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
