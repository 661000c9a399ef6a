"""What a worker draws of members while it trains them: small sheets of pictures, after the epochs that the driver has named.

A sheet is written before the report of its epoch is told, and before the checkpoint. So a member that goes on from a checkpoint has all
sheets up to there, and trains to the same ones again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from infra.storage import disk
from infra.storage.depot import NOWHERE, Depot
from objectives.base import Report, Run, State
from objectives.pictures import Sheet, Showing, captioned, drawn, save, write
from search.running.working.work import Assigned


class Shown:
    """The pictures of one pack's members. `run_of` says who trains a member. `depot` keeps them."""

    def __init__(self, assigned: Sequence[Assigned], run_of: Callable[[int], Run], depot: Depot = NOWHERE) -> None:
        self._assigned = {one.member.number: one for one in assigned}
        self._run_of, self._depot = run_of, depot
        self._last: dict[int, Sheet] = {}
        self._remarks: list[str] = []

    def before(self, numbers: Iterable[int]) -> None:
        """Draw members that have not been trained at all."""
        for number in numbers:
            self._draw(number, 0)

    def after(self, reports: Sequence[Report]) -> None:
        """Draw the members that have just reported. Of several reports of a member only the last is about its present weights."""
        for number, report in {report.number: report for report in reports}.items():
            if report.state in (None, State.COMPLETE):
                self._draw(number, report.epoch)

    def picture(self, number: int) -> None:
        """Write the picture of a member that is complete, large and labelled; what it has shown last, or else what its run shows."""
        one = self._assigned[number]
        if one.picture is not None:
            with self._remarked(number, "at its end"):
                sheet = self._last.get(number)
                if sheet is None:
                    self._run_of(number).save_picture(number, one.picture)
                else:
                    save(drawn(sheet), one.picture)
                if one.picture.exists():
                    self._depot.put(one.picture)

    def remark(self) -> str:
        """What could not be drawn since the last call; empty if there is nothing to say."""
        said, self._remarks = "; ".join(self._remarks), []
        return said

    def _draw(self, number: int, epoch: int) -> None:
        """Write one sheet."""
        shown = self._assigned[number].shown
        if shown is None or epoch not in shown.epochs:
            return
        with self._remarked(number, f"after epoch {epoch}"):
            run = self._run_of(number)
            sheet = run.sheet(number) if isinstance(run, Showing) else None
            if sheet is not None:
                self._last[number] = captioned(sheet, epoch, shown.caption)
                write(self._last[number], shown.file(epoch))
                self._depot.put(shown.file(epoch))

    @contextmanager
    def _remarked(self, number: int, when: str) -> Iterator[None]:
        """A picture that fails is a remark: a training does not end for its sake. But a disk that takes no picture takes no weights."""
        try:
            yield
        except Exception as error:
            if disk.fault(error, [self._assigned[number].checkpoint.parent.parent]):
                raise
            self._remarks.append(f"member {number} has no picture {when}: {type(error).__name__}: {error}")
