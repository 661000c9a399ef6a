"""Arrays that stay in their file: they are mapped, and their pages are read when rows of them are asked for.

All processes of a machine share these pages. Each gives them back after a while, so that none of them seems to hold the whole file.
"""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from objectives.data._arrays import Raw

PAGES = 2**20  # bytes that the system maps around each byte that is read, at most (measured on Linux 6.18)
HELD = 2**26  # bytes of pages that a process holds of one file, about


def npy_file(path: Path, start: int = 0) -> NDArray[Any]:
    """The array of an .npy file, or of one that begins at the byte `start` of a file: mapped, and read-only."""
    with path.open("rb") as file:
        file.seek(start)
        version = npy.read_magic(file)
        shape, fortran, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def member(path: Path, name: str) -> NDArray[Any] | None:
    """An array of an .npz file, mapped; None where it is compressed, and must be read whole."""
    with zipfile.ZipFile(path) as packed, path.open("rb") as file:
        entry = packed.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            return None
        file.seek(entry.header_offset + 26)  # the lengths of the name and of what follows it, in the header before the content
        lengths = np.frombuffer(file.read(4), "<u2")
        return npy_file(path, entry.header_offset + 30 + int(lengths.sum()))


def rows_of(array: NDArray[Any]) -> Raw:
    """Takes rows of an array, as a new array. Where it is mapped, pages that were read are given back in between."""
    pages, not_needed = _pages(array), getattr(mmap, "MADV_DONTNEED", None)  # Windows has no such advice
    if pages is None or not_needed is None:
        return np.asarray(array).__getitem__
    plain, read = np.asarray(array), 0
    most = max(1, HELD // max(PAGES, array.nbytes // max(1, len(array))))  # rows

    def take(rows: NDArray[np.int64]) -> NDArray[Any]:
        nonlocal read
        found = np.empty((len(rows), *plain.shape[1:]), plain.dtype)
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            if read + len(part) > most:
                pages.madvise(not_needed)
                read = 0
            found[start : start + most] = plain[part]
            read += len(part)
        return found

    return take


def _pages(array: NDArray[Any]) -> Any:
    """The map below an array, or below the array that it is a view of; None if there is none."""
    below: Any = array
    while below is not None and not isinstance(below, mmap.mmap):
        below = getattr(below, "base", None)
    return below
