"""Members that are processes, as `base.Run`: one epoch of a member is the next report of its process."""

from __future__ import annotations

import json
import math
import shutil
import signal
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from objectives._files import replaced
from objectives.base import Member, Report, State, lowered
from objectives.pictures import Sheet, read
from objectives.programs.declared import Declared
from objectives.programs.journal import REPORTS, tell, told
from objectives.programs.keeping import BEYOND_NUMBER, save_numbers, show_picture
from objectives.programs.log import LOG, last_lines
from objectives.programs.process import Event, MemberProcess
from objectives.programs.trial import FILES, PICTURE, WEIGHTS

TOLD_LINES = 30  # lines of its output that a failed member shows
ATTEMPTS = 2  # a process that somebody else killed is started once more
KILLED = ("SIGKILL", "SIGTERM", "SIGHUP")  # signals that come from somebody else
MEMBER = "member.json"

Starts = Callable[[Member, Path, bool], MemberProcess]  # a member, its folder, and whether it goes on in it


@dataclass
class _One:
    """A member, and how far it has come."""

    member: Member
    folder: Path
    process: MemberProcess | None = None
    waits: bool = False  # whether its function waits for the word that it may go on
    epoch: int = 0
    told: int = 0  # reports up to this epoch were told before, by another run
    metrics: dict[str, float] = field(default_factory=dict)
    best: float = math.inf  # the best score so far, lower being better
    journal: list[Event] = field(default_factory=list)  # reports of an earlier process that must be told again
    finish: dict[str, float] | None = None
    moved: list[float] = field(default_factory=list)
    read: frozenset[str] = frozenset()
    end: Event | None = None
    beyond: bool = False  # whether its function reported once more after its last epoch, and was ended there
    starts: int = 0


class ProcessRun:
    """Members in training, each in a process of its own.

    Args:
        members: they have folders, or get temporary ones.
        declared: what is reported, and for how many epochs.
        epochs: how many epochs a member trains.
        starts: starts the process of a member.
        best_epoch: whether a member's score is that of its best epoch, not of its last.
        silence_s: a process that reports nothing for so long is killed; None: it may be silent for ever.
        explain: says why a program may have reported nothing; empty for a function.
        how_to_end: what a training lacks that ends before its last epoch.
    """

    def __init__(
        self,
        members: Sequence[Member],
        declared: Declared,
        epochs: int,
        starts: Starts,
        *,
        best_epoch: bool = False,
        silence_s: float | None = None,
        explain: Callable[[Member], str] = lambda member: "",
        how_to_end: str = "",
    ) -> None:
        self._declared, self._epochs, self._starts = declared, epochs, starts
        self._best_epoch, self._silence_s, self._explain, self._how_to_end = best_epoch, silence_s, explain, how_to_end
        self._temporary = None if all(one.folder for one in members) else Path(tempfile.mkdtemp(prefix="lagrange-"))
        self._ones = {member.number: _taken_up(member, self._folder(member), epochs) for member in members}
        self._living = list(self._ones)
        self.close = weakref.finalize(self, _close, list(self._ones.values()), self._temporary)

    def _folder(self, member: Member) -> Path:
        if member.folder is not None:
            return member.folder
        assert self._temporary is not None
        return self._temporary / str(member.number)

    def step(self) -> list[Report]:
        """One report of every living member."""
        reports = [self._stepped(self._ones[number]) for number in self._living]
        self._living = [report.number for report in reports if report.state is None]
        return reports

    def stop(self, number: int) -> None:
        """Take a member out."""
        self._living = [other for other in self._living if other != number]
        if (process := self._ones[number].process) is not None:
            process.stop()

    def save(self, path: Path) -> None:
        """Write how far the members were told. What they go on from is what they keep themselves, in their folders."""
        with replaced(path) as beside:
            beside.write_text(json.dumps({str(number): self._ones[number].epoch for number in self._living}))

    def restore(self, path: Path) -> None:
        """Go on: what was told before is not told again."""
        told = json.loads(path.read_text())
        for number, one in self._ones.items():
            one.told = int(told.get(str(number), 0))

    def save_weights(self, number: int, path: Path) -> None:
        """Write what the member handed over, with its final numbers beside it."""
        one = self._ones[number]
        if (one.folder / WEIGHTS).exists():
            _copy(one.folder / WEIGHTS, path)
        else:
            save_numbers(one.finish or ({BEYOND_NUMBER: float(self._epochs)} if one.beyond else {}), path)

    def save_picture(self, number: int, path: Path) -> bool:
        """Write the picture that the member handed over, if there is one: images large and labelled, a picture as it is."""
        return show_picture(self._ones[number].folder / PICTURE, path)

    def sheet(self, number: int) -> Sheet | None:
        """The images that the member handed over; None before its end, and where it has handed over another picture, or none."""
        return read(self._ones[number].folder / PICTURE)

    def seen(self, number: int) -> tuple[frozenset[str], list[float], bool]:
        """What is known of a function: the knobs that it has read so far, its scores at the configs that were asked for, and `beyond`."""
        return self._ones[number].read, self._ones[number].moved, self._ones[number].beyond

    # One member -------------------------------------------------------------------------------------------------------------------------

    def _stepped(self, one: _One) -> Report:
        if one.process is None and not one.journal:
            self._start(one, again=one.folder.joinpath(REPORTS).exists())
        while True:
            while one.journal:
                if (report := self._heard(one, one.journal.pop(0))) is not None:
                    return report
            if one.process is None:
                self._start(one, again=True)
            if one.waits:
                assert one.process is not None
                one.waits = False
                one.process.go()
            event = self._next(one)
            if "report" in event:
                one.waits = True
                if (report := self._heard(one, event)) is not None:
                    return report
            elif "beyond" in event:
                one.beyond = True
            elif "finish" in event:
                one.finish, one.moved = event["finish"], event["score_at"]
            elif "end" in event:
                one.end = event
            elif not self._again(one, event["status"]):
                return self._ended(one, event["status"])

    def _start(self, one: _One, *, again: bool) -> None:
        one.starts += 1
        one.end, one.waits = None, False
        one.process = self._starts(one.member, one.folder, again)

    def _next(self, one: _One) -> Event:
        """The next event of a member; its death where it is silent for too long."""
        assert one.process is not None
        event = one.process.next(self._silence_s or 3600.0)
        while event is None:
            if self._silence_s is not None:
                one.process.kill()
                return {"status": None}
            event = one.process.next(3600.0)
        return event

    def _again(self, one: _One, status: int | None) -> bool:
        """Start a process again that somebody else has killed, once: it goes on from what it has kept."""
        if not _killed(one, status) or one.starts >= ATTEMPTS:
            return False
        self._kill(one)  # it has ended: what it still holds here is given back
        # It may have written down what it could not tell any more.
        one.journal = [{"report": metrics, "epoch": epoch, "old": True} for epoch, metrics in told(one.folder) if epoch > one.epoch]
        self._start(one, again=True)
        return True

    def _heard(self, one: _One, event: Event) -> Report | None:
        """A report of a process as one of a run. None for what was told before, and for the last one, which is told with the end."""
        epoch, metrics = int(event["epoch"]), {name: float(value) for name, value in event["report"].items()}
        one.read |= frozenset(event.get("read", ()))
        if epoch <= one.epoch:
            return None
        if epoch > self._epochs:
            self._kill(one)
            reason = f"it reported epoch {epoch} of {self._epochs}: it must report once an epoch, or say with each report which epoch it is"
            return Report(one.member.number, one.epoch, math.nan, one.metrics, State.FAILED, reason)
        one.epoch, one.metrics = epoch, metrics
        if not event.get("old") and one.process is not None and event.get("read") is None:
            tell(one.folder, epoch, metrics)  # a function writes its own journal, before it tells
        score = lowered(metrics[self._declared.score], self._declared.better)
        if unsound := _unsound(self._declared, metrics[self._declared.score], epoch):
            self._kill(one)
            state, reason = unsound
            return Report(one.member.number, epoch, score if state is State.DIVERGED else math.nan, metrics, state, reason)
        one.best = min(one.best, score)
        if epoch >= self._epochs or epoch <= one.told:
            return None
        return Report(one.member.number, epoch, score, metrics)

    def _kill(self, one: _One) -> None:
        if one.process is not None:
            one.process.kill()

    def _ended(self, one: _One, status: int | None) -> Report:
        """The last report of a member."""
        number, epoch = one.member.number, one.epoch
        reason = self._why_failed(one, status)
        if reason:
            trace = (one.end or {}).get("traceback", "") or last_lines(one.folder / LOG, TOLD_LINES)
            lost = "silent" if status is None else "died" if _killed(one, status) else ""
            return Report(number, epoch, math.nan, one.metrics, State.FAILED, reason[:500], traceback=trace, lost=lost)
        score = lowered(one.metrics[self._declared.score], self._declared.better)
        return Report(number, epoch, score, one.metrics, State.COMPLETE, score=one.best if self._best_epoch else score)

    def _why_failed(self, one: _One, status: int | None) -> str:
        """Why a member did not complete; empty where it did."""
        end, come = one.end or {}, f"after {one.epoch} of {self._epochs} epochs"
        if status is None:
            return f"time limit: no report for {self._silence_s:g} s (limits.silence_seconds), {come}{self._last(one)}"
        if end.get("end") == "raised":
            return str(end["reason"])
        if end.get("end") == "exited" and end["code"] not in (None, 0):
            return f"SystemExit: {end['code']}, {come}"
        if status < 0:
            return f"the process was ended by {signal.Signals(-status).name} {come} (SIGKILL without a sender: memory was short)"
        if status > 0:
            return f"exit status {status} {come}{self._last(one)}"
        well = "SystemExit: 0: it ended well" if end.get("end") == "exited" else "it ended well"
        if not one.epoch:
            return f"{well} and reported no {self._declared.score!r}{self._explain(one.member)}{self._last(one)}"
        if one.epoch < self._epochs and one.finish is None:
            return f"{well} {come}; it must report each of them{self._how_to_end}{self._last(one)}"
        return ""

    def _last(self, one: _One) -> str:
        said = last_lines(one.folder / LOG, 1)
        return f"; it last printed: {said[:200]}" if said else "; it printed nothing"


def _unsound(declared: Declared, value: float, epoch: int) -> tuple[State, str] | None:
    """How a member ends by a score that is none, and why."""
    if not math.isfinite(value):
        return State.DIVERGED, f"{declared.score} was not finite in epoch {epoch}"
    beyond = declared.beyond(value)
    return (State.FAILED, f"{beyond} in epoch {epoch}") if beyond else None


def _killed(one: _One, status: int | None) -> bool:
    """Whether somebody else has ended the process of a member."""
    return status is not None and status < 0 and one.end is None and signal.Signals(-status).name in KILLED


def _taken_up(member: Member, folder: Path, epochs: int) -> _One:
    """A member in its folder. What another training has left there is removed; what this one has left is gone on with."""
    mine = {"config": dict(member.config), "seed": member.seed, "epochs": epochs}
    note = folder / MEMBER
    try:
        same = json.loads(note.read_text()) == mine
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / FILES).mkdir(parents=True)
        with replaced(note) as beside:
            beside.write_text(json.dumps(mine))
    return _One(member, folder, journal=[{"report": metrics, "epoch": epoch, "old": True} for epoch, metrics in told(folder)])


def _copy(source: Path, path: Path) -> None:
    with replaced(path) as beside:
        shutil.copyfile(source, beside)


def _close(ones: list[_One], temporary: Path | None) -> None:
    """Kill what still runs. What members keep in folders of their own stays, so that they can go on."""
    for one in ones:
        if one.process is not None:
            one.process.kill()
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)
