"""The folder in which a program was started: code of a user's own is imported from it, so a sweep cannot go on where it is gone."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from infra.storage.hints import here

_AT_FIRST: Final = here()
_OF_RAY: Final = "runtime_resources"  # in the path of the folder of a job


def gone(folder: Path | None = None) -> str:
    """The sentence, where the current folder, or `folder` from which code is imported, was removed; else nothing. It ends in what to do."""
    if here() is None:
        lost = _name()
    elif folder is not None and not folder.is_dir():
        lost = str(folder)
    else:
        return ""
    if _OF_RAY in lost:
        remedy = "see that no second node of Ray's on this machine shares the head's --temp-dir"
    else:
        remedy = "put it back, and go there again (cd)"
    return f"{lost}, the folder that the sweep was started in, must exist as long as it runs, but it was removed: {remedy}"


def _name() -> str:
    """The current folder, which was removed, as Linux knows it; elsewhere the one at the start."""
    with suppress(OSError):
        return str(Path("/proc/self/cwd").readlink()).removesuffix(" (deleted)")
    return str(_AT_FIRST or "the current folder")
