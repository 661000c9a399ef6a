"""A worker's own copies of the files that are kept behind a URL.

Work names files as the driver names them. Where they are kept behind a URL, the worker has a folder of its own for them, and removes it at
the end of the work. In a shared folder nothing is copied.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil

from infra.storage.depot import Depot
from objectives.programs.journal import REPORTS
from objectives.programs.log import LOG
from search.running.working.work import Assigned, Train


def scratch() -> Path:
    """A new folder of this process. Folders of processes of this machine that were killed are removed."""
    stem = f"lagrange-files-{socket.gethostname()}-"
    for left in Path(tempfile.gettempdir()).glob(f"{stem}*"):
        pid = left.name.removeprefix(stem).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)  # those of other users stay: they cannot be removed
    return Path(tempfile.mkdtemp(prefix=f"{stem}{os.getpid()}-"))


def moved(work: Train, folder: Path) -> Train:
    """The work with all its files in a folder of this worker."""
    depot = work.setting.depot

    def own(path: Path) -> Path:
        return folder / path.relative_to(depot.here)

    def assigned(one: Assigned) -> Assigned:
        return replace(
            one,
            member=replace(one.member, folder=one.member.folder and own(one.member.folder)),
            checkpoint=own(one.checkpoint),
            weights=one.weights and own(one.weights),
            picture=one.picture and own(one.picture),
            origin=one.origin and replace(one.origin, checkpoint=own(one.origin.checkpoint)),
            heirlooms={epoch: own(path) for epoch, path in one.heirlooms.items()},
            shown=one.shown and replace(one.shown, folder=own(one.shown.folder)),
        )

    setting = replace(work.setting, depot=replace(depot, here=folder))
    return replace(work, setting=setting, assigned=tuple(assigned(one) for one in work.assigned))


class OwnFolders:
    """What members that are processes keep by themselves: brought here at their start, and kept when they are saved and when they end.

    A worker that dies takes with it what came after the last save. Then the member goes on from there, as from a checkpoint.
    """

    def __init__(self, depot: Depot, assigned: Sequence[Assigned]) -> None:
        self._depot = depot
        folders = {one.member.number: one.member.folder for one in assigned if one.member.folder is not None}
        self._folders = folders if depot.url else {}
        for folder in self._folders.values():
            depot.fetch(folder)
        self._kept = {number: _states(folder) for number, folder in self._folders.items()}

    def keep(self, numbers: Sequence[int]) -> None:
        """Keep what has changed in the folders of these members. The process may be writing: a file that goes away is no error."""
        for number in numbers:
            if number not in self._folders:
                continue
            before, now = self._kept[number], _states(self._folders[number])
            changed = [path for path, state in now.items() if before.get(path) != state]
            # The journal goes last: a checkpoint whose report is not in it would lose this report.
            for group in ([path for path in changed if path.name != REPORTS], [path for path in changed if path.name == REPORTS]):
                with suppress(FileNotFoundError):
                    self._depot.put(*group)
            self._depot.remove(*(path for path in before if path not in now))
            self._kept[number] = now

    def keep_logs(self) -> None:
        """Keep what members have printed: who is stopped is saved no more. Other files may be a new worker's."""
        for folder in self._folders.values():
            with suppress(FileNotFoundError):
                self._depot.put(*(path for path in folder.glob(f"{LOG}*") if path.is_file()))


def _states(folder: Path) -> dict[Path, tuple[int, int]]:
    """The files of a folder, each with what changes when it is written."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                found[path] = (path.stat().st_mtime_ns, path.stat().st_size)
    return found
