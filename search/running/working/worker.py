"""What a worker does: one piece of work after another, step by step. It knows nothing of Ray, and this process itself may drive it.

One `step` trains until the driver has to decide who goes on, or for one second, so that a short epoch does not cost a round trip. Whatever
a member raises becomes a report with a state.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from infra import machine
from infra.storage import disk, folder
from objectives.base import OUT_OF_MEMORY, Objective, ObjectiveError, Report, State
from objectives.checks.alive import check
from objectives.checks.device import ACCELERATOR, device_of, occupied
from objectives.checks.pilot import find
from objectives.registry import load, shown
from search.facts import UNPROVEN
from search.running.working import copies
from search.running.working.pack import Pack, failure
from search.running.working.showing import Shown
from search.running.working.work import (
    RANGES,
    Fault,
    Prepare,
    Prepared,
    Progress,
    Reading,
    ReadTest,
    Result,
    Scored,
    Setting,
    TestRead,
    Train,
    Warm,
    Warmed,
    Work,
)

REPORT_SECONDS = 1.0
CHECKPOINT_SECONDS = 30.0
WEIGHTS = "*.safetensors"  # a model's weights and what is kept beside them


class Worker:
    """Does work in this process. One objective, with its data on the device, serves all members of a sweep.

    Args:
        place: where the worker is, for the record of every member that it trains.
        report_seconds: how long a step trains, at most, before it reports.
    """

    def __init__(self, place: Mapping[str, str | int] | None = None, report_seconds: float = REPORT_SECONDS) -> None:
        self._place = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "cores": machine.cores(),
            "processor": platform.machine(),
            **(place or {}),
        }
        self._report_seconds = report_seconds
        self._objectives: dict[str, Objective] = {}
        self._pack: Pack | None = None
        self._copies: Path | None = None
        self._forget: Callable[[], object] = lambda: None

    def begin(self, work: Work) -> None:
        """Take over a piece of work. Costly things wait for `step`, where a failure is a result."""
        self.close()
        if isinstance(work, Train) and work.setting.depot.url:
            work = copies.moved(work, self._scratch())
        self._work, self._saved_at = work, time.monotonic()
        self._kept = set[int]()  # members whose weights are written

    def close(self) -> None:
        """Leave the members in training as they are. What runs in a process of its own ends."""
        if self._pack is not None:
            self._pack.close()
        self._pack = None
        self._forget()
        self._copies = None

    def _scratch(self) -> Path:
        """A folder for copies of files, until the end of the work, or of this worker."""
        if self._copies is None:
            self._copies = copies.scratch()
            self._forget = weakref.finalize(self, shutil.rmtree, self._copies, ignore_errors=True)
        return self._copies

    def step(self) -> Result:
        """Do the work, or train until the next decision. A training is over when its `Progress` is done."""
        work = self._work
        if isinstance(work, Train):
            return self._trained(work)
        started = time.monotonic()
        result = self._chored(work)
        return result if isinstance(result, Warmed) else replace(result, seconds=time.monotonic() - started)

    # Chores -----------------------------------------------------------------------------------------------------------------------------

    def _chored(self, work: Prepare | Warm | ReadTest) -> Prepared | Warmed | TestRead:
        """What came of a step of the sweep; where it raises, why."""
        try:
            return self._chore(work)
        except Exception as error:
            said, told = str(error) or type(error).__name__, shown(error)
            full = disk.fault(error, _places(work)) or folder.gone(work.setting.folder)
            fault = Fault(full, told, disk=True) if full else None
            if isinstance(work, ReadTest):
                return TestRead((), said, told, fault)
            return Prepared({}, said, told, refused=isinstance(error, ObjectiveError), fault=fault)

    def _chore(self, work: Prepare | Warm | ReadTest) -> Prepared | Warmed | TestRead:
        objective = self._objective(work.setting)
        if isinstance(work, ReadTest):
            return TestRead(tuple(Scored(one, objective.read_test(one.config, self._fetched(work, one))) for one in work.readings))
        if isinstance(work, Warm):
            objective.load_data()
            if work.packs:
                objective.rehearse()
            return Warmed()
        facts = {**objective.prepare(), **_checked(objective, work.check)}
        facts |= {RANGES: find(objective, work.ranges)} if work.ranges else {}
        return Prepared({**facts, "pack": _pack_of(objective, work)})

    def _fetched(self, work: ReadTest, reading: Reading) -> Path:
        """The weights of a reading, with what lies beside them, in this worker's folder where they are kept behind a URL."""
        depot = work.setting.depot
        if not depot.url:
            return reading.weights
        own = replace(depot, here=self._scratch())
        weights = own.here / reading.weights.relative_to(depot.here)
        own.fetch(weights, *own.names(weights.parent, WEIGHTS))
        return weights

    def _objective(self, setting: Setting) -> Objective:
        """The objective of a piece of work. It is made once for each setting.

        Raises:
            ObjectiveError: torch does not find the device that the spec names. A user's objective need not ask for itself.
        """
        folder = str(setting.folder) if setting.folder else ""
        if folder and folder not in sys.path:
            sys.path.insert(0, folder)
        key = json.dumps([setting.objective, setting.program, asdict(setting.settings)], sort_keys=True, default=str)
        if key not in self._objectives:
            if setting.settings.device != ACCELERATOR:  # whichever there is, an objective that needs one finds it
                device_of(setting.settings.device)
            self._place |= occupied(setting.settings.device, setting.gpu) if setting.gpu else {}
            self._objectives.clear()
            self._objectives[key] = load(setting.objective, setting.program)(setting.settings)
        return self._objectives[key]

    # Training ---------------------------------------------------------------------------------------------------------------------------

    def _trained(self, work: Train) -> Progress:
        started = time.monotonic()
        reports: list[Report] = []
        fault: Fault | None = None
        try:
            self._train(work, reports)
        except Around as error:
            fault = error.fault
        except (Exception, SystemExit) as error:
            fault = self._failed(work, reports, error)
        reports = [report for report in reports if self._is_whole(work, report)]
        if fault is not None:
            self.close()
            # Those that go on from their checkpoints say it again. A rung that is told twice would not judge the second time.
            ended = {report.number for report in reports if report.state is not None}
            reports = [report for report in reports if report.number in ended]
        return Progress(
            reports=tuple(_with_limit(report, work.setting) for report in reports),
            done=self._pack is None or not self._pack.living,
            fault=fault,
            remark="; ".join(said for said in (self._pack.remark(), self._shown.remark()) if said) if self._pack else "",
            seconds=time.monotonic() - started,
            worker=self._place,
        )

    def _failed(self, work: Train, reports: list[Report], error: BaseException) -> Fault | None:
        """What follows from what was raised: the members that live have failed, unless a disk is the reason, or no member lives."""
        living = self._pack.living if self._pack else [one.member.number for one in work.assigned]
        told = shown(error)
        if full := disk.fault(error, _places(work)) or folder.gone(work.setting.folder):
            return Fault(full, told, disk=True)
        reports += [failure(number, error) for number in living]
        self.close()
        return None if living else Fault(f"{type(error).__name__}: {error}", told)

    def _is_whole(self, work: Train, report: Report) -> bool:
        """Whether a report may be told: a member that must leave weights is not complete before they are written."""
        must = {one.member.number for one in work.assigned if one.weights is not None}
        return report.state is not State.COMPLETE or report.number not in must or report.number in self._kept

    def _train(self, work: Train, reports: list[Report]) -> None:
        """Train until the next decision. What the driver is to hear is added to `reports` at once, so that no error takes it away.

        Raises:
            Around: something failed that is no member's training.
        """
        if self._pack is None:
            with _around("the objective", work):
                objective = self._objective(work.setting)
            self._pack = Pack(objective, work.assigned, work.setting.depot)
            reports += self._pack.history()  # the driver may not have heard the reports before the checkpoint
            self._shown = Shown(work.assigned, self._pack.run_of, work.setting.depot)
            told = {report.number for report in reports}
            self._shown.before(number for number in self._pack.living if number not in told)
            if _at_rung(reports, work):
                return
        pack, started, at_rung = self._pack, time.monotonic(), False
        while pack.living and not at_rung and time.monotonic() - started <= self._report_seconds:
            news = pack.step()
            faults = {report.number: full for report in news if (full := _full(report, work)) is not None}
            reports += [report for report in news if report.number not in faults]
            if faults:
                raise Around(next(iter(faults.values())))
            self._shown.after(news)
            self._keep(work, news)
            at_rung = _at_rung(news, work)
        if pack.living and (at_rung or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS):
            with _around("a checkpoint", work):
                pack.save()
            self._saved_at = time.monotonic()

    def _keep(self, work: Train, reports: Sequence[Report]) -> None:
        """Write weights and a picture, for members that must leave them and that ended well."""
        assert self._pack is not None
        complete = {report.number for report in reports if report.state is State.COMPLETE}
        for one in work.assigned:
            number = one.member.number
            if number in complete and one.weights is not None:
                run = self._pack.run_of(number)
                with _around(f"the weights of member {number}", work):
                    one.weights.parent.mkdir(parents=True, exist_ok=True)
                    run.save_weights(number, one.weights)
                    work.setting.depot.put(*one.weights.parent.glob(WEIGHTS))
                self._shown.picture(number)
                self._kept.add(number)


class Around(Exception):  # noqa: N818 - it carries the fault
    """Something failed in the worker that is no member's training."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


@contextmanager
def _around(what: str, work: Work) -> Iterator[None]:
    """What is raised here is no member's failure. A library may hide why it could not write, so the places are tried."""
    try:
        yield
    except (Exception, SystemExit) as error:
        told, places = shown(error), _places(work)
        full = disk.fault(error, places) or next(filter(None, map(disk.probed, places)), "") or folder.gone(work.setting.folder)
        words = full or f"{what} could not be made: {type(error).__name__}: {error}"
        raise Around(Fault(words, told, disk=bool(full))) from error


def _full(report: Report, work: Train) -> Fault | None:
    """The fault, where a member failed because a disk takes no more or a folder is gone: it goes on from its checkpoint afterwards."""
    if report.state is not State.FAILED:
        return None
    words = disk.fault_of_words(f"{report.reason}\n{report.traceback}", _places(work)) or folder.gone(work.setting.folder)
    return Fault(words, report.traceback, disk=True) if words else None


def _places(work: Work) -> list[Path]:
    """The folders of a piece of work: that of the sweep's members, and that of what is computed once."""
    members = [one.checkpoint for one in work.assigned] if isinstance(work, Train) else []
    members += [one.weights for one in work.readings] if isinstance(work, ReadTest) else []
    found = list(dict.fromkeys(path.parent.parent for path in members))
    cache = work.setting.settings.cache
    return [*found, *([Path(cache)] if cache else [])]


def _with_limit(report: Report, setting: Setting) -> Report:
    """A report whose reason names the limit that the member ran into."""
    if not setting.memory_gb or report.state is not State.FAILED or not report.reason.startswith(OUT_OF_MEMORY):
        return report
    return replace(report, reason=f"{report.reason[:450]} (limits.memory_gb: {setting.memory_gb:g})")


def _at_rung(reports: Sequence[Report], work: Train) -> bool:
    """Whether the last report of some member is of an epoch at which the driver decides who goes on."""
    last = {report.number: report for report in reports}
    return any(report.epoch in work.milestones and report.state is None for report in last.values())


def _pack_of(objective: Objective, work: Prepare) -> dict[str, Any]:
    """How many members make a pack: the number in the spec, or the number that trains fastest here."""
    if work.pack != "auto":
        return {"members": min(work.pack, work.widest), "why": "as the spec says"}
    if work.widest < 2:
        return {"members": 1, "why": "there is no second member"}
    return objective.calibrate(work.searched, work.widest, work.to_train)


def _checked(objective: Objective, searched: Sequence[str]) -> dict[str, Any]:
    """What the check of each searched λ found, and what it could not prove.

    Raises:
        ObjectiveError: a λ does nothing, or the wrong thing. The sweep ends before it has cost anything.
    """
    lambdas = [name for name in searched if name in objective.knobs and objective.knobs[name].off is not None]
    found = check(objective, lambdas) if searched else []
    dead = [f"{one.knob}: {one.fault}: {one.message}" for one in found if not one.passed]
    if dead:
        raise ObjectiveError("\n".join([*dead, "`lagrange check` repeats this; `--set check=false` searches all the same."]))
    doubted = [one.knob for one in found if not one.free]
    how = getattr(objective, "how_to_prove", "") or "an objective's `probes` show it"
    doubt = f"that the score contains no {' and no '.join(doubted)} is not proven ({how}); if it does, the weakest λ always wins"
    return {"check": {one.knob: one.message for one in found}, **({UNPROVEN: [doubt]} if doubted else {})}
