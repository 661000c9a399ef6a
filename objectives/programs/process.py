"""The process of one member, as the worker sees it: events one after another, and the ways to let it go on, to stop it and to kill it."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from objectives.programs.host import Host
from objectives.programs.log import Log

CHUNK_BYTES = 1 << 16
GRACE_SECONDS = 5.0  # how long a function that was told to stop may take
LAST_WORDS_SECONDS = 5.0  # how long output is read after the process has ended
POLL_SECONDS = 0.2

Event = Mapping[str, Any]


class Reader(Protocol):
    """Finds the numbers that a program reports."""

    def feed(self, data: bytes) -> list[Event]:
        """The reports in what was printed."""
        ...

    def poll(self) -> list[Event]:
        """The reports in the files that the program has written since."""
        ...

    def end(self) -> list[Event]:
        """The reports that are known only when the program has ended."""
        ...


class MemberProcess:
    """A running process.

    Args:
        host: what starts it.
        request: what `member.run` takes.
        log: where its output goes.
        reader: finds the reports of a program; None for a function, which tells events itself.
    """

    def __init__(self, host: Host, request: Mapping[str, Any], log: Log, reader: Reader | None = None) -> None:
        self._host, self._log, self._reader = host, log, reader
        self._events: queue.Queue[Event] = queue.Queue()
        self._answers: int | None = None
        output, printed = os.pipe()
        readers = [threading.Thread(target=self._pump, args=(output,), daemon=True)]
        fds = [printed]
        if reader is None:
            answers, self._answers = os.pipe()
            events, told = os.pipe()
            fds += [answers, told]
            readers.append(threading.Thread(target=self._listen, args=(events,), daemon=True))
        self._number = host.start(request, fds)
        self._ended = threading.Event()
        for thread in readers:
            thread.start()
        threading.Thread(target=self._wait, args=(readers,), daemon=True).start()

    def next(self, timeout_s: float) -> Event | None:
        """The next event: `report`, `finish`, `end` (how a function ended), `status` (the process is gone); None after this time."""
        limit = time.monotonic() + timeout_s
        while True:
            with suppress(queue.Empty):
                return self._events.get(timeout=min(POLL_SECONDS, max(0.0, limit - time.monotonic())))
            if self._reader is not None and not self._ended.is_set():
                self._put(self._reader.poll())
            if self._events.empty() and time.monotonic() >= limit:
                return None

    def go(self) -> None:
        """Let a function that has reported go on."""
        self._say("go")

    def stop(self) -> None:
        """End it: a function at its next report, with a moment to clean up; a program at once. Returns when it has ended."""
        if self._answers is not None:
            self._say("stop")
            self._ended.wait(GRACE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kill it with all its children. Returns when it has ended."""
        if not self._ended.is_set():
            self._host.kill(self._number)
            self._ended.wait(GRACE_SECONDS)
        if self._answers is not None:
            os.close(self._answers)
            self._answers = None

    def _say(self, word: str) -> None:
        if self._answers is not None:
            with suppress(OSError):  # it has ended; `status` says how
                os.write(self._answers, f"{word}\n".encode())

    def _put(self, events: list[Event]) -> None:
        for event in events:
            self._events.put(event)

    def _pump(self, output: int) -> None:
        """Keep what is printed, and look for reports in it."""
        while data := os.read(output, CHUNK_BYTES):  # whatever happens here: a full pipe would stop the program
            with suppress(OSError):
                self._log.write(data)
            if self._reader is not None:
                self._put(self._reader.feed(data))
        os.close(output)
        with suppress(OSError):
            self._log.flush()

    def _listen(self, events: int) -> None:
        with os.fdopen(events) as lines:
            for line in lines:
                with suppress(ValueError):  # half a line: the process was killed
                    self._events.put(json.loads(line))

    def _wait(self, readers: list[threading.Thread]) -> None:
        """Wait for the end of the process, and for all that it has still said."""
        status = None
        while status is None:
            status = self._host.status(self._number, 3600.0)
        for thread in readers:
            thread.join(LAST_WORDS_SECONDS)
        if self._reader is not None:
            self._put([*self._reader.poll(), *self._reader.end()])
        self._events.put({"status": status})
        self._ended.set()
