"""The files that members leave for a while: the checkpoints of open members, and what a member has become, for others to start from."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from infra.catalogue import MemberRow
from infra.errors import StorageError
from infra.storage import AFTER, OWN, Home
from objectives.base import Phase, State
from objectives.programs.log import LOG
from search.choosing.missing import not_its_own
from search.running.working.checkpoints import newer
from search.telling.mlflow.shown import Exemplars

SCRATCH = ".tune"  # Ray Tune's own files; nothing in them is needed again
NEWER = newer(Path("checkpoint.pt"))


class Leftovers:
    """The files of one sweep's members that must not stay."""

    def __init__(self, home: Home, sweep: str) -> None:
        self.home, self._sweep = home, sweep
        self.exemplars = Exemplars()

    def resumed(self, rows: Collection[MemberRow]) -> None:
        """Hear of the members that an earlier driver has trained. What it could not remove any more is removed."""
        shutil.rmtree(self.home.storage / self._sweep / SCRATCH, ignore_errors=True)
        self._remove_sheets([one for row in rows for one in self._unseen(row)])
        self.half_written(rows)

    def half_written(self, rows: Iterable[MemberRow]) -> None:
        """Remove what killed workers had begun to write for open members. All files are written beside their places first."""
        for row in rows:
            for file in self.home.member(self._sweep, row.number).glob("*") if row.state is None else ():
                if file.is_file() and (file.name.startswith(".") or file.stem == NEWER.stem):
                    with suppress(OSError):
                        file.unlink()

    def _unseen(self, row: MemberRow) -> list[MemberRow]:
        """Of a search few members keep the pictures that all have left, so that thousands of members stay light. Returns the others."""
        return self.exemplars.add(row) if row.phase == Phase.SEARCH and row.state is not None else []

    def _remove_sheets(self, rows: Sequence[MemberRow]) -> None:
        folders = {self.home.sheets(self._sweep, row.number) for row in rows}
        if self.home.storage_url and len(folders) > 2:  # to ask for the sheets of each member would take a request for each
            self.home.depot.remove(*(path for path in self.home.depot.tree(self.home.files(self._sweep)) if path.parent in folders))
            return
        if len(folders) > 2:  # most members of a large sweep have left nothing at all
            with suppress(StorageError):
                kept = set(self.home.depot.names(self.home.files(self._sweep), "*"))
                folders = {folder for folder in folders if folder.parent in kept}
        for folder in folders:
            self.home.depot.remove_folder(folder)

    def ended(self, row: MemberRow) -> None:
        """A member has ended: nobody goes on with it. Where a member of a path is complete, nobody else will start from its parent.

        What a member left that is missing for reasons not its own stays: `lagrange resume --retry-failed` goes on with it.
        """
        if not_its_own(row):
            return
        self._remove(self.home.checkpoint(self._sweep, row.number))
        self._remove_sheets(self._unseen(row))
        if row.phase == Phase.SEARCH and row.state != State.STOPPED:  # the process of one that was stopped may still run
            self._files(row.number)
        # A member that was lost may have another one in its place, which starts from the same parent.
        if row.state == State.COMPLETE and row.parent is not None and row.parent_epoch is not None and not row.start:
            self._remove(self.home.handed_on(self._sweep, row.parent, row.parent_epoch))

    def logs(self, number: int) -> list[Path]:
        """The files of what a member has printed."""
        depot = self.home.depot
        return [depot.fetch(path) for path in depot.names(self.home.own(self._sweep, number), f"{LOG}*")]

    def _files(self, number: int) -> None:
        """Remove what a member of the search has kept by itself. What it has printed stays."""
        own = self.home.own(self._sweep, number)
        if self.home.storage_url:
            self._remove_own(self.home.depot.tree(own))
            return
        for kept in own.iterdir() if own.exists() else ():
            if kept.is_dir():
                shutil.rmtree(kept, ignore_errors=True)
            elif not kept.name.startswith(LOG):
                kept.unlink(missing_ok=True)

    def _remove_own(self, files: Iterable[Path]) -> None:
        self.home.depot.remove(*(path for path in files if path.parent.name != OWN or not path.name.startswith(LOG)))

    def search_is_over(self, rows: Iterable[MemberRow]) -> None:
        """Nobody will start from another member any more."""
        searched = [row for row in rows if row.phase == Phase.SEARCH and not not_its_own(row)]
        if self.home.storage_url:  # to ask for the files of each member would take a request for each
            folders = {self.home.member(self._sweep, row.number) for row in searched}
            left = [path for path in self.home.depot.tree(self.home.files(self._sweep)) if not folders.isdisjoint(path.parents)]
            self._remove_own(path for path in left if any(folder.name == OWN for folder in path.parents))
            self.home.depot.remove(*(path for path in left if path.match(AFTER) and path.parent in folders))
            return
        there = self.home.files(self._sweep)
        left_something = {int(one.name) for one in there.iterdir() if one.name.isdecimal()} if there.is_dir() else set()
        for row in searched:
            if row.number not in left_something:
                continue  # of a hundred thousand members few are left to look at
            self._files(row.number)
            for path in self.home.all_handed_on(self._sweep, row.number):
                self._remove(path)

    def milestone_is_over(self, rows: Iterable[MemberRow], epoch: int) -> None:
        """All members have come to this epoch: who started from what others were before has a checkpoint of its own."""
        for row in rows:
            if row.phase == Phase.SEARCH and row.state in (None, State.STOPPED):
                for path in self.home.all_handed_on(self._sweep, row.number):
                    if path != self.home.handed_on(self._sweep, row.number, epoch):
                        self._remove(path)

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint, with the record beside it if there is one."""
        self.home.depot.remove(path, path.with_suffix(".json"))
