"""A disk that takes no more: whether it is why something failed, and the one sentence that says so.

The sentence names the path, how much is free there, how much is needed where that is known, and what to do.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from infra.errors import StorageError
from infra.storage import silence
from infra.storage.silence import SilentError

PROBE_BYTES: Final = 256 * 1024
"""What a place must take before a sweep begins: less than any sweep needs, more than a full disk has."""

_NO_ROOM: Final = {errno.ENOSPC: "no space is left there", errno.EDQUOT: "the quota there is used up"}
_CLOSED: Final = {
    errno.EROFS: "it is read-only",
    errno.EACCES: "it may not be written to",
    errno.EPERM: "it may not be written to",
    errno.EIO: "the disk reports an error",
    errno.ESTALE: "it is not mounted any more",
}
_BLOCKED: Final = {errno.ENOTDIR, errno.EEXIST, errno.ENOENT}  # what is said where a file has taken the place of a folder
_OUR_DEPTH: Final = 2  # so many folders below a place are ours: a sweep's, a member's. What lies deeper may be a program's own doing
_SQLITE: Final = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS, sqlite3.SQLITE_IOERR: errno.EIO}
# How Python, torch and Rust write an error of the system in words.
_WORDS: Final = re.compile(
    r"(?:\[Errno (?P<python>\d+)\]|\(os error (?P<rust>\d+)\)|(?P<text>No space left on device|Disk quota exceeded|Read-only file system))"
    r"(?:.*?'(?P<path>/[^'\n]*)')?"
)
_TEXT: Final = {"No space": errno.ENOSPC, "Disk quo": errno.EDQUOT, "Read-onl": errno.EROFS}


def fault(error: BaseException, places: Sequence[Path]) -> str:
    """The sentence, where a disk is why this error was raised; else nothing.

    No room is always a reason. That a file may not be written is one where the file lies in one of `places`: a program may also ask for a
    file that is not its own.
    """
    for one in _chain(error):
        if isinstance(one, StorageError):  # it has its sentence: the files of members may be behind a URL
            return str(one)
        number, path = _read(one)
        if number in _BLOCKED and path is not None and (said := _blocked(number, path, places)):
            return said
        if number in _NO_ROOM or (number in _CLOSED and places and _is_ours(one, number, path, places)):
            return sentence(number, path if path is not None else places[0] if places else None, getattr(one, "needed", 0))
    return ""


def _blocked(number: int, path: Path, places: Sequence[Path]) -> str:
    """The sentence, where something that is no folder stands in the place of one of our folders, of which `path` is one or lies in one."""
    found = _standing(path)
    if _is_folder(found) or (found == path and number != errno.EEXIST):  # a file that is there already may be anybody's
        return ""
    for place in places:
        if place.is_relative_to(found) or (found.is_relative_to(place) and len(found.relative_to(place).parts) <= _OUR_DEPTH):
            return no_folder(found, found)
    return ""


def _is_ours(error: BaseException, number: int, path: Path | None, places: Sequence[Path]) -> bool:
    """Whether what may not be written lies in our places. An error that names no file may be about a signal or a terminal: then we try."""
    if path is not None:
        return any(path.is_relative_to(place) for place in places)
    return isinstance(error, sqlite3.Error) or bool(probed(places[0]))


def fault_of_words(text: str, places: Sequence[Path]) -> str:
    """The same for an error that is known by its words only, such as that of another process."""
    for found in _WORDS.finditer(text):
        number = int(found["python"] or found["rust"] or 0) or _TEXT[str(found["text"])[:8]]
        error = OSError(number, "")
        error.filename = found["path"]
        if said := fault(error, places):
            return said
    return ""


def probed(place: Path, size: int = PROBE_BYTES) -> str:
    """The sentence, where a folder does not take a file of this size; else nothing. It need not exist. Nothing of the probe stays."""
    try:
        return silence.in_time(lambda heard: _probed(place, size), silence.ANSWER_S)
    except SilentError as error:
        return f"{place} must take new files, but nothing was heard of it for {error.seconds:g} s: see whether its file system is mounted"


def _probed(place: Path, size: int) -> str:
    folder = _standing(place)
    if not _is_folder(folder):
        return no_folder(place, folder)
    try:
        with suppress(FileNotFoundError):
            place.lstat()  # a name that is too long, or a circle of links
        handle, name = tempfile.mkstemp(prefix=".lagrange-probe-", dir=folder)
        try:
            os.write(handle, bytes(1))
            if os.write(handle, bytes(size)) < size:
                raise OSError(errno.ENOSPC, "")
            os.fsync(handle)
        finally:
            os.close(handle)
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        if error.errno in _NO_ROOM or error.errno in _CLOSED:
            return sentence(error.errno, place, size)
        return f"{place} must take new files, but it does not ({error.strerror}): name another place"
    return ""


def refuse_full(places: Sequence[Path] | Mapping[Path, str]) -> None:
    """Raise StorageError where one of these places does not take new files. All that do not are named, and how to name another one.

    Args:
        places: in a mapping, each with the option that names it. Of places in one that takes no files nothing is said.
    """
    found: dict[Path, str] = {}
    for place in places:
        if not any(place.is_relative_to(one) for one in found) and (said := probed(place)):
            found[place] = f"{said} ({places[place]})" if isinstance(places, Mapping) and places[place] else said
    if found:
        raise StorageError("; ".join(dict.fromkeys(found.values())))


def no_folder(place: Path, found: Path) -> str:
    """What is said of a place where something stands that is no folder."""
    what = "a link to nothing" if found.is_symlink() and not found.exists() else "a file" if found.is_file() else "no folder"
    return f"{place} must be a folder, but {'it' if found == place else found} is {what}: put a folder there or name another place"


def sentence(number: int, path: Path | None, needed: int = 0) -> str:
    """What must hold, what was found, and what to do; `number` is an errno, `needed` in bytes where it is known."""
    room = number in _NO_ROOM
    why, do = {**_NO_ROOM, **_CLOSED}[number], "make room there" if room else "make it writable or name another place"
    if path is None:
        return f"a disk must be writable, but {why}: {do}"
    parts = []
    with suppress(OSError):
        usage = shutil.disk_usage(_existing(path))
        parts = [f"{size_words(usage.free)} of {size_words(usage.total)} are free"] if room else []
    parts += [f"at least {size_words(needed)} are needed"] if needed else []
    return f"{path} must be writable, but {why}{' (' + ', '.join(parts) + ')' if parts else ''}: {do}"


def size_words(size: int) -> str:
    """A size in bytes for people to read."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those from which it was made."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = getattr(one, "orig", None)  # SQLAlchemy keeps the driver's own error there
            waiting += [inner if isinstance(inner, BaseException) else None, one.__cause__, one.__context__]


def _read(error: BaseException) -> tuple[int, Path | None]:
    """The errno of one error, 0 where it has none, and the file that it names."""
    if isinstance(error, OSError):
        named = error.filename if isinstance(error.filename, str | os.PathLike) else None
        return error.errno or 0, Path(named) if named else None
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, 0), None
    return 0, None


def _standing(path: Path) -> Path:
    """The path itself, or the nearest one above it at which anything is."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _is_folder(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir()
    return False


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    while not _is_folder(path) and path != path.parent:
        path = path.parent
    return path
