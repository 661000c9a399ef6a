"""Ctrl-C and SIGTERM end a command within five seconds, wherever it waits; a second one ends it at once.

Most waiting ends by itself when it is asked to. But a call into a library may not return for minutes: a Ray that still starts, a
database that does not answer, a disk that hangs. So a thread hears of each signal, too, and needs no help of the one that waits. A sweep
may end so at any time, for what it must know again is in the catalogue.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from search.exit_codes import INTERRUPTED

GRACE_SECONDS = 4.5
STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def in_time(words: Callable[[], str], grace_s: float = GRACE_SECONDS) -> Iterator[None]:
    """What runs in the block ends at most `grace_s` after it was asked to. Where it must be ended, `words` are printed.

    Raises:
        KeyboardInterrupt: SIGTERM came while nobody else listened to it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hears, tells = socket.socketpair()
    for end in (hears, tells):
        end.setblocking(False)
    hears.setblocking(True)
    before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    term = signal.signal(signal.SIGTERM, _interrupted)
    asked = threading.Event()
    thread = threading.Thread(target=_watch, args=(hears, asked, words, grace_s), name="lagrange-ending", daemon=True)
    thread.start()
    try:
        yield
    except SystemExit:  # Ray listens to SIGTERM in its own way while it starts
        if asked.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGTERM, term)
        tells.close()  # the thread reads the end
        thread.join()
        hears.close()


def _interrupted(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watch(hears: socket.socket, asked: threading.Event, words: Callable[[], str], grace_s: float) -> None:
    """Read the signals, one byte each. End the process by the second one, or a while after the first one."""
    while True:
        try:
            heard = hears.recv(64)
        except TimeoutError:
            _end(words())
            return
        if not heard:
            return
        for _ in (byte for byte in heard if byte in STOPPING):
            if asked.is_set():
                _end(words())
                return
            asked.set()
            hears.settimeout(grace_s)


def _end(words: str) -> None:
    """End this process, now, with all that it has started. (Ray's agents would notice by themselves, but only after a while.)"""
    with suppress(Exception):
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, f"\n{words}\n".encode())
    psutil = sys.modules.get("psutil")  # whoever started a Ray has loaded it; an import could wait for a thread that does not go on
    with suppress(Exception):
        for child in psutil.Process().children(recursive=True) if psutil else ():
            with suppress(Exception):
                child.kill()
    os._exit(INTERRUPTED)
