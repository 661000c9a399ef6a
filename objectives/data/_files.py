"""Files that torchvision can fetch, in the place where torchvision keeps them. They are looked for, and downloaded if that is asked for.

We read the files ourselves, not through torchvision. That needs no import, works on a read-only disk, and accepts a subset in the same
layout.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from objectives.base import ObjectiveError
from objectives.data._kinds import Dataset
from objectives.data._options import faults_of


@dataclass(frozen=True)
class Layout:
    """`files` (or folders) below `<root>/<folder>`; `fetch(root)` downloads them. A file may also have its name followed by .gz."""

    folder: str
    files: tuple[str, ...]
    fetch: Callable[[str], object]

    def at(self, root: Any) -> Path:
        """The folder that holds the files."""
        return Path(root).expanduser() / self.folder

    def path(self, root: Any, name: str) -> Path:
        """One of the files, plain or with .gz."""
        plain = self.at(root) / name
        return plain if plain.exists() else plain.with_name(f"{name}.gz")

    def missing(self, root: Any) -> list[str]:
        """Files that are not there."""
        return [name for name in self.files if not self.path(root, name).exists()]

    def __str__(self) -> str:
        inside = f"{self.folder} with " if self.folder else ""
        return f"{inside}{', '.join(self.files)}"


def check(dataset: Dataset, layout: Layout, options: Mapping[str, Any], sizes: Callable[[Any], Mapping[str, int]]) -> list[str]:
    """Every fault of the options. Files are looked for, unless they will be downloaded. `sizes(root)` reads their headers."""
    root = options.get("root")
    if not isinstance(root, str | os.PathLike) or not str(root):
        rule = f"root must be the folder that holds {layout.folder or ', '.join(layout.files)} (torchvision's layout)"
        remedy = "Set root, and download: true if the files are not there yet."
        return [*faults_of(dataset, options), f"dataset {dataset.name!r}: {rule}; got {root!r}. {remedy}"]
    if missing := layout.missing(root):
        if options.get("download") is True:
            return faults_of(dataset, options)
        lacks = f"root must hold {layout}; got root {str(root)!r}, {_lacks(layout, root, missing)}"
        return [*faults_of(dataset, options), f"dataset {dataset.name!r}: {lacks}"]
    try:
        found = sizes(root)
    except ObjectiveError as error:
        return [*faults_of(dataset, options), f"dataset {dataset.name!r}: {error}"]
    return faults_of(dataset, options, found["train"])


def _lacks(layout: Layout, root: str | os.PathLike[str], missing: list[str]) -> str:
    """What a root lacks of files that were just named, and what to do."""
    given = Path(root).expanduser()
    for above in given.resolve().parents[: len(Path(layout.folder).parts)]:
        if not layout.missing(above):
            return f"which lies inside. Set root to {str(above)!r}."
    if not given.is_dir():
        lack = "which is no folder"
    else:
        lack = "which holds none of them" if len(missing) == len(layout.files) else f"which lacks {', '.join(missing)}"
    return f"{lack}. Correct root, or set download: true to fetch them."


def fetched(dataset: Dataset, layout: Layout, root: Any) -> None:
    """Download missing files through torchvision, which checks their md5, into a folder of this process. Then rename them into place.

    Several workers may start at once. Each renames whole files, so no worker reads a torn file.

    Raises:
        ObjectiveError: the files cannot be fetched.
    """
    if not layout.missing(root):
        return
    home, place = Path(root).expanduser(), layout.at(root)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".download-") as temporary:
            layout.fetch(temporary)
            place.mkdir(parents=True, exist_ok=True)
            for name in layout.missing(root):
                _move(layout.path(temporary, name), place)
    except (OSError, RuntimeError) as error:
        remedy = f"Copy the files to {place} by hand, or try again where the network reaches torchvision's mirrors."
        raise ObjectiveError(f"{dataset.name} must be downloadable when download is true; {error} {remedy}") from error


def _move(source: Path, folder: Path) -> None:
    """Rename a file or folder. If another process has put one there in the meantime, that one stays."""
    try:
        source.replace(folder / source.name)
    except OSError:
        if not (folder / source.name).exists():
            raise
