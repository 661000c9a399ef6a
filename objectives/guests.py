"""A user's module, run as a guest: whatever it does besides its work is told by name, and ends nothing.

What it prints goes to standard error, because standard output belongs to the command (a dry run's is a spec). If it ends the program, or
does not return, that is an error with its name.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
import threading
from collections.abc import Iterator

from objectives.base import ObjectiveError


class IgnoredError(ObjectiveError):
    """A knob that the user's model does not let act."""


NOTICE_SECONDS = 10.0  # after which a user is told what the program waits for
LONGEST_SECONDS = 120.0  # after which it is given up


@contextlib.contextmanager
def guest(name: str, doing: str) -> Iterator[None]:
    """Run a user's code.

    Args:
        name: what is run (`model 'mine:net'`). doing: what it does then (`while its module is imported`).

    Raises:
        ObjectiveError: it ended the program, or had not returned after two minutes (and is in Python, not in one long call of C).
    """
    watch = _Watch(f"{name} {doing}")
    try:
        with contextlib.redirect_stdout(_Named(name)), watch:
            yield
    except _OverdueError:
        rule = f"{name} must return {doing}; it has not for {LONGEST_SECONDS:g} s"
        raise ObjectiveError(f"{rule}. Does it loop, or train? Put what runs by itself under `if __name__ == '__main__':`.") from None
    except SystemExit as error:
        rule = f"{name} must not end the program; {doing} it raises SystemExit({error.code!r})"
        raise ObjectiveError(f"{rule}. Put what runs by itself under `if __name__ == '__main__':`.") from error


class _OverdueError(BaseException):
    """Raised inside a guest that took too long. It is no Exception, so that a guest does not catch it by chance."""


class _Watch:
    """Tells what is waited for, and raises in the waiting thread where it takes too long.

    A signal would do only in the main thread, and not where signals are ignored, as in a process in the background.
    """

    def __init__(self, what: str) -> None:
        self._what, self._thread = what, threading.get_ident()
        self._done, self._lock = threading.Event(), threading.Lock()

    def __enter__(self) -> None:
        threading.Thread(target=self._wait, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._done.set()

    def _wait(self) -> None:
        if self._done.wait(NOTICE_SECONDS):
            return
        print(f"{self._what}: has not returned for {NOTICE_SECONDS:g} s", file=sys.stderr, flush=True)
        if self._done.wait(LONGEST_SECONDS - NOTICE_SECONDS):
            return
        with self._lock:
            if not self._done.is_set():
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_OverdueError))


class _Named(io.TextIOBase):
    """Standard output of a guest: lines on standard error, with its name."""

    def __init__(self, name: str) -> None:
        self._name, self._fresh = name, True

    def write(self, text: str) -> int:
        """Each line begins with the guest's name."""
        for line in text.splitlines(keepends=True):
            sys.stderr.write(f"{self._name} prints: {line}" if self._fresh else line)
            self._fresh = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        """As standard error."""
        sys.stderr.flush()

    def isatty(self) -> bool:
        """No terminal: no colours, no progress bars."""
        return False
