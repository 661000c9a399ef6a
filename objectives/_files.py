"""Files that are written completely or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROBE_BYTES = 1 << 16


class UnwrittenError(OSError):
    """A disk did not take a file. `needed`: the file has at least so many bytes."""

    needed = 0


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, for writing. If the block ends well, the file becomes `path`; if not, it is removed.

    Whoever wrote it, others may read it as they may read any new file there: as the umask says.

    Raises:
        OSError: the disk did not take it. Libraries say so in their own words (torch: `unexpected pos 64 vs 0`); here it has its errno and
            its path, always.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _follow_umask(temporary)
        temporary.replace(path)
    except Exception as error:
        if (number := _refused(error, path.parent)) == 0:
            raise
        found = UnwrittenError(number, os.strerror(number), str(path))
        found.needed = _size(temporary) if number in (errno.ENOSPC, errno.EDQUOT) else 0
        raise found from error
    finally:
        with suppress(OSError):  # it was never made: the disk takes nothing
            temporary.unlink(missing_ok=True)


def _follow_umask(file: Path) -> None:
    """Give a file that its owner alone may read the mode of a new one. safetensors writes by way of such a file of its own."""
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        return
    fresh = file.with_name(f"{file.name}.mode")
    try:
        fresh.touch()  # the umask itself can be read only by changing it, which other threads would notice
        file.chmod(stat.S_IMODE(fresh.stat().st_mode))
    finally:
        fresh.unlink(missing_ok=True)


def _refused(error: Exception, folder: Path) -> int:
    """The errno with which the disk refuses new files; 0 where it takes them. What was written of the file is still there."""
    for one in (error, error.__cause__, error.__context__):
        if isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE):
            return int(one.errno)
    probe = folder / f".probe.{os.getpid()}"
    try:
        with probe.open("wb", buffering=0) as file:
            return 0 if (file.write(bytes(PROBE_BYTES)) or 0) == PROBE_BYTES else errno.ENOSPC
    except FileNotFoundError:
        return 0
    except OSError as found:
        return int(found.errno or 0)
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
