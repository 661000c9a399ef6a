"""A store that says nothing is given up: nothing that is asked of a store or a disk waits without an end.

What is bounded is the silence and not the time that something takes, for nobody knows how large a checkpoint is. A question is asked in a
thread of its own, because a call into a library, or into a file system that hangs (NFS), may not return. Who waits counts for how long
nothing was heard: no part that was sent or came, no file that grew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

ANSWER_S = 15.0
"""How long a store may take to say that it can be used."""
SILENT_S = 120.0
"""How long a store may say nothing later."""
SLOWEST: Final = 1e6
"""Bytes a second: what is sent without any word between gets so much more time, at most as much again as the silence itself."""
PART: Final = 8 * 2**20
"""Bytes of a part that is sent or asked for at once, where a store takes parts: each is a word."""
LOOK_S: Final = 1.0  # how often growing files are looked at

Found = TypeVar("Found")


class SilentError(Exception):
    """Nothing was heard for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


class Heard:
    """What was heard of a question: a word for each part of a transfer, and files that grow where a store tells nothing."""

    def __init__(self) -> None:
        self.words = 0
        self.growing: Sequence[Path] = ()

    def word(self, *given: Any, **more: Any) -> None:
        """Something was heard."""
        self.words += 1

    def news(self) -> tuple[int, int]:
        """What changes whenever something was heard."""
        size = 0
        for path in self.growing:
            with suppress(OSError):
                size += path.stat().st_size
        return self.words, size


def in_time(ask: Callable[[Heard], Found], silent_s: float) -> Found:
    """What `ask` returns or raises.

    The waiting is counted, and not read off a clock: of a process that was frozen meanwhile only little of that time counts.

    Raises:
        SilentError: it said nothing for `silent_s`. Its thread may go on, and what it finds is lost.
    """
    heard = Heard()
    found: list[Found] = []
    failed: list[BaseException] = []

    def answer() -> None:
        try:
            found.append(ask(heard))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=answer, name="lagrange-storage", daemon=True)
    thread.start()
    silent, last = 0.0, heard.news()
    while thread.is_alive() and silent < silent_s:
        before, slice_s = time.monotonic(), min(LOOK_S, silent_s - silent)
        thread.join(slice_s)
        silent += min(time.monotonic() - before, 2 * slice_s)
        if (now := heard.news()) != last:
            silent, last = 0.0, now
    if failed:
        raise failed[0]
    if not found:
        raise SilentError(silent_s)
    return found[0]


def longest_s(silent_s: float, files: Iterable[Path]) -> float:
    """The silence for sending these files: a store may say nothing before it has taken a whole file, or several that are sent at once."""
    size = 0
    for path in files:
        with suppress(OSError):
            size += path.stat().st_size
    return silent_s + min(size / SLOWEST, silent_s)
