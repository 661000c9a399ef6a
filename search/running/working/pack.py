"""The members that one Ray Tune trial trains: as one program where the objective can do that, else one after another.

A member's checkpoint is its own file; it is the same whatever trained it. So members can be regrouped at every rung. A pack that failed as
one program goes on in halves or member by member. And what one worker leaves behind, any other worker can continue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.storage import disk, folder
from infra.storage.depot import NOWHERE, Depot
from objectives.base import OUT_OF_MEMORY, SPOILED, ClosingRun, HeirRun, Objective, PackedRun, Report, Run, State, out_of_memory
from objectives.registry import shown
from search.running.working.checkpoints import Checkpoints
from search.running.working.work import Assigned


class Pack:
    """Members in training, with what each has reported so far.

    Args:
        objective: what they train.
        assigned: the members, with their files; they agree in the objective's `bundle`.
        depot: keeps these files.
    """

    def __init__(self, objective: Objective, assigned: Sequence[Assigned], depot: Depot = NOWHERE) -> None:
        self._objective, self._depot = objective, depot
        self._files = Checkpoints(assigned, depot)
        self._members = members = {one.member.number: one.member for one in assigned}
        self._origins = {one.member.number: one.origin for one in assigned if one.origin is not None}
        self._told: dict[int, list[Report]] = {number: [] for number in members}
        # The last epoch that each member has ever reported. A member that goes back to its checkpoint catches up to this epoch.
        self._reached = dict.fromkeys(members, 0)
        self._runs: dict[tuple[int, ...], Run] = {}
        self._remarks: list[str] = []
        self._begin(list(self._members))

    @property
    def living(self) -> list[int]:
        """The numbers of the members that have not ended."""
        return [number for number, told in self._told.items() if not (told and told[-1].state is not None)]

    def history(self) -> list[Report]:
        """Everything that has been reported, member by member."""
        return [report for told in self._told.values() for report in told]

    def step(self) -> list[Report]:
        """One epoch of every living member."""
        living = set(self.living)
        return [report for numbers in list(self._runs) if living & set(numbers) for report in self._stepped(numbers)]

    def save(self) -> None:
        """Write the checkpoint and the record of every living member."""
        self._files.write({number: self._told[number] for number in self.living}, self._write)

    def _write(self, paths: Mapping[int, Path]) -> None:
        for numbers, run in self._runs.items():
            mine = {number: paths[number] for number in numbers if number in paths}
            if len(numbers) > 1 and isinstance(run, PackedRun):
                run.save_each(mine)
            else:
                for path in mine.values():
                    run.save(path)

    def close(self) -> None:
        """End what trains outside of this process."""
        for run in self._runs.values():
            if isinstance(run, ClosingRun):
                run.close()
        self._files.keep_logs()

    def remark(self) -> str:
        """What happened to the pack since the last call, in words; empty if there is nothing to say."""
        said, self._remarks = "; ".join(self._remarks), []
        return said

    def run_of(self, number: int) -> Run:
        """The run that trains a member."""
        return next(run for numbers, run in self._runs.items() if number in numbers)

    def _stepped(self, numbers: tuple[int, ...]) -> list[Report]:
        """One epoch of one run. A run in which all members failed at once is taken apart."""
        try:
            found = self._runs[numbers].step()
        except (Exception, SystemExit) as error:
            if disk.fault(error, self._files.places()) or folder.gone():
                raise
            # What one run raises ends its members, and no others: those may have ended in this very epoch.
            found = [failure(number, error) for number in numbers if number in self.living]
        reason = found[0].reason if len(numbers) > 1 and found and all(report.state is State.FAILED for report in found) else ""
        if reason and not reason.startswith(SPOILED):
            return self._apart(numbers, reason)
        for report in found:
            self._told[report.number].append(report)
            self._reached[report.number] = max(self._reached[report.number], report.epoch)
        self._files.ended(found)
        return found

    def _begin(self, numbers: Sequence[int]) -> None:
        """Start these members or continue them. Members with checkpoints of the same epoch go on together."""
        alike: dict[tuple[int, bool], list[int]] = {}
        for number in numbers:
            record = self._files.record(number) if len(numbers) > 1 else None
            if record is None and len(numbers) > 1 and number in self._origins:
                record = self._files.first(number, self._fresh(number))
            epoch = record[-1].epoch if record else self._origins[number].start if number in self._origins else 0
            alike.setdefault((epoch, record is not None), []).append(number)
        for (_, taken_up), group in alike.items():
            if len(group) > 1:
                self._begin_together(group, taken_up=taken_up)
            else:
                for number in group:
                    self._begin_alone(number)

    def _begin_together(self, numbers: list[int], *, taken_up: bool) -> None:
        """Begin them as one program; as two programs where memory is too short; one after another where they cannot be one program."""
        try:
            run = self._objective.start([self._members[number] for number in numbers])
            if taken_up and isinstance(run, PackedRun):
                run.restore_each({number: self._files.paths[number] for number in numbers})
        except Exception as error:  # a fault of one member alone, such as a torn checkpoint, will be reported for that member
            run, failed, starved = None, f"{type(error).__name__}: {error}", out_of_memory(error)
        # Outside of `except`: the error object holds what was begun, and that memory is needed now.
        if run is None:
            parts = _parts(numbers, starved)
            self._remarks.append(f"{len(numbers)} members could not be one program ({failed}); {_how(parts)}")
            for part in parts:
                self._begin(part)
        elif isinstance(run, PackedRun):
            for number in numbers:
                self._told[number] = list(self._files.record(number) or []) if taken_up else []
            self._settle(tuple(numbers), run)
        else:
            del run
            for number in numbers:
                self._begin_alone(number)

    def _begin_alone(self, number: int) -> None:
        """Continue a member from its checkpoint if there is a readable one. Else it starts again, with the same numbers."""
        self._told[number] = []
        run: Run | None = None
        if (record := self._files.record(number)) is not None:
            run = self._objective.start([self._members[number]])
            try:
                run.restore(self._files.paths[number])
                self._told[number] = record
            except Exception as error:
                if out_of_memory(error):
                    raise  # the checkpoint is sound, so the fault lies elsewhere
                self._depot.remove(self._files.paths[number])
                run = None
        # What another member has become is read only here: later it is gone.
        run = run or self._fresh(number)
        self._settle((number,), run)

    def _fresh(self, number: int) -> Run:
        """A member at its start: from scratch, or with what another member has become."""
        run = self._objective.start([self._members[number]])
        if (origin := self._origins.get(number)) is not None:
            if not isinstance(run, HeirRun):
                raise TypeError(f"member {number} starts from another member, and a run of this objective cannot `inherit`")
            run.inherit(self._depot.fetch(origin.checkpoint), origin.start)
        return run

    def _settle(self, numbers: tuple[int, ...], run: Run) -> None:
        """These members are trained by this run."""
        if isinstance(run, HeirRun):
            last = self._objective.settings.epochs
            run.bequeath({number: left for number in numbers if (left := self._files.heirloom(number, last)) is not None})
        self._runs[numbers] = run

    def _apart(self, numbers: tuple[int, ...], reason: str) -> list[Report]:
        """Repeat the epoch in parts, from the last checkpoints: when all members fail at once, it need not be the fault of each.

        The parts are two programs where memory was too short for one, else single members.
        """
        open_ones = [number for number in numbers if number in self.living]
        parts = _parts(open_ones, reason.startswith(OUT_OF_MEMORY))
        self._remarks.append(f"{len(open_ones)} members in one program failed ({reason}); {_how(parts)}")
        del self._runs[numbers]  # before anything else, to free its memory
        before = set(self._runs)
        for part in parts:
            self._begin(part)
        return [report for mine in list(self._runs) if mine not in before for report in self._caught_up(mine)]

    def _caught_up(self, numbers: tuple[int, ...]) -> list[Report]:
        """Repeat the reports after the checkpoint, and train one epoch more. Of each epoch the driver keeps the first report."""
        reached, news = max(self._reached[number] for number in numbers), list[Report]()
        while numbers in self._runs and not (news and news[-1].epoch > reached):
            found = self._stepped(numbers)
            news += found
            if all(report.state is not None for report in found):
                break
        return news


def _parts(numbers: Sequence[int], starved: bool) -> list[list[int]]:
    """Two halves of the members where memory was too short, else each member by itself."""
    middle = (len(numbers) + 1) // 2
    return [list(numbers[:middle]), list(numbers[middle:])] if starved and len(numbers) > 2 else [[number] for number in numbers]


def _how(parts: Sequence[Sequence[int]]) -> str:
    return "they go on one after another" if all(len(part) == 1 for part in parts) else "they go on in halves"


def failure(number: int, error: BaseException) -> Report:
    """The report of a member that raised an error. Out of memory has a name of its own. The driver knows how far the member had come."""
    text = f"{type(error).__name__}: {error}"
    reason = f"{OUT_OF_MEMORY}: {text}" if out_of_memory(error) else text
    return Report(number, 0, float("nan"), state=State.FAILED, reason=reason[:500], traceback=shown(error))
