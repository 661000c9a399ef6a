"""What a member prints, as a file that stays small whatever is printed."""

from __future__ import annotations

from pathlib import Path

LOG = "log.txt"
HEAD_BYTES = TAIL_BYTES = 256 * 1024


class Log:
    """The first and the last part of a stream of bytes, in two files: `log.txt` and, where it overflows, `log.txt.end`.

    A member that goes on after a kill goes on in the same log.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._end = path, path.with_name(f"{path.name}.end")
        self._head = path.stat().st_size if path.exists() else 0
        self._tail = self._end.read_bytes() if self._end.exists() else b""
        self._left_out = 0

    def write(self, data: bytes) -> None:
        """Add bytes."""
        room = max(0, HEAD_BYTES - self._head)
        if room:
            with self._path.open("ab") as file:
                file.write(data[:room])
            self._head += len(data[:room])
        if len(data) > room:
            before = len(self._tail)
            self._tail += data[room:]
            if len(self._tail) > 2 * TAIL_BYTES or not before:
                self.flush()

    def flush(self) -> None:
        """Write the last part as it is now."""
        if not self._tail:
            return
        self._left_out += max(0, len(self._tail) - TAIL_BYTES)
        self._tail = self._tail[-TAIL_BYTES:]
        self._end.write_bytes(self._tail)


def read(path: Path) -> str:
    """What a log holds; empty where nothing was printed."""
    if not path.exists():
        return ""
    text, end = path.read_bytes().decode(errors="replace"), path.with_name(f"{path.name}.end")
    return f"{text}\n… (what was printed between is not kept) …\n{end.read_bytes().decode(errors='replace')}" if end.exists() else text


def last_lines(path: Path, count: int) -> str:
    """The last lines of a log that are not empty."""
    return "\n".join([line for line in read(path).splitlines() if line.strip()][-count:])
