"""Where an error was raised, for whoever wrote the code: a traceback begins at the user's own line, not at Lagrange's."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_OURS = tuple(f"{Path(__file__).parents[1] / room}/" for room in ("objectives", "search", "infra"))
_PYTHONS = tuple(f"{sysconfig.get_path(which)}/" for which in ("stdlib", "platstdlib", "purelib", "platlib"))


def whose(filename: str) -> str:
    """Whose a file is: `ours`, `library` (Python's or an installed one), or `user`."""
    if filename.replace("\\", "/").startswith(_OURS):
        return "ours"
    library = filename.startswith(_PYTHONS) or any(part in filename for part in ("site-packages", "dist-packages", "<frozen "))
    return "library" if library else "user"


def shown(error: BaseException) -> str:
    """The traceback of an error and of those that led to it, each from the first frame that is the user's; whole where none is."""
    whole = traceback.TracebackException.from_exception(error)
    for one in _chain(whole):
        one.stack = _from_user(one.stack)
    return "".join(whole.format())


def last_line(error: BaseException) -> str:
    """The user's line at which an error was raised, as a traceback shows it; empty where no frame is the user's or a library's."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if whose(one.filename) != "ours"]
    own = [one for one in frames if whose(one.filename) == "user"] or frames
    return "".join(traceback.format_list(own[-1:]))


def _chain(one: traceback.TracebackException) -> list[traceback.TracebackException]:
    """An error with its causes and contexts, and the errors of a group."""
    left, found = [one], list[traceback.TracebackException]()
    while left:
        here = left.pop()
        found.append(here)
        left += [other for other in (here.__cause__, here.__context__, *(here.exceptions or ())) if other is not None]
    return found


def _from_user(stack: traceback.StackSummary) -> traceback.StackSummary:
    """What of a stack comes from the user's first frame on."""
    first = next((place for place, frame in enumerate(stack) if whose(frame.filename) == "user"), 0)
    return traceback.StackSummary.from_list(list(stack)[first:])
