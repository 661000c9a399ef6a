"""When a sweep must stop although members are left: a disk takes no more. It says so in one sentence, and it can go on later."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from infra.storage import Home, disk, folder
from infra.tracking import Tracker
from search.exit_codes import UNREACHABLE

CLOSE_SECONDS = 30.0  # how long MLflow may take for records that it has not been told yet
HURRIED_SECONDS = 1.0  # the same where somebody waits for the end


def places(home: Home) -> list[Path]:
    """Where a sweep writes: its home with the spool and the cache, the storage of its members, and the folder of temporary files."""
    return [home.root, home.storage, home.cache, Path(tempfile.gettempdir())]


def refuse_full(home: Home) -> None:
    """Raise StorageError where a sweep could not write. It is called before a worker is started."""
    at_home = "--home, or LAGRANGE_HOME"
    named = {home.root: at_home, home.storage: "" if home.storage_url else "--storage, or LAGRANGE_STORAGE"}
    inside = (home.cache, home.spool, home.root / "reports")
    disk.refuse_full({**named, **dict.fromkeys(inside, at_home), Path(tempfile.gettempdir()): "TMPDIR"})


def why(error: BaseException, home: Home) -> str:
    """The sentence, where a disk, or a folder that was removed, is why a driver ends by this error; else nothing.

    Ray may keep only the words of what was raised.
    """
    full = disk.fault(error, places(home)) or disk.fault_of_words(str(error), places(home))
    return full or (folder.gone() if isinstance(error, Exception) else "")


def told(status: str, problem: str) -> str:
    """How a sweep ended, as its outcome says it: one that is interrupted for a problem cannot go on before that is mended."""
    return UNREACHABLE if status == "interrupted" and problem else status


def closed(tracker: Tracker, interrupted: Callable[[], bool]) -> str:
    """Wait for MLflow until it has all, or somebody asks for the end. What it lacks then, in words; nothing where it has all."""
    found = []
    waiting = threading.Thread(target=lambda: found.append(tracker.close(CLOSE_SECONDS)), name="lagrange-closing", daemon=True)
    if not interrupted():
        waiting.start()
        while waiting.is_alive() and not interrupted():
            waiting.join(0.1)
    return str(found[0] if found else tracker.close(HURRIED_SECONDS))
