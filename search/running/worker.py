"""What a worker does: one piece of work after another, step by step. It knows nothing of Ray, and this process itself may drive it.

One `step` trains until the driver has to decide who goes on, or for one second, so that a short epoch does not cost a round trip. Whatever
a member raises becomes a report with a state.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from infra import machine
from objectives.base import OUT_OF_MEMORY, Objective, ObjectiveError, Report, State, out_of_memory
from objectives.checks.alive import check
from objectives.checks.device import ACCELERATOR, device_of
from objectives.checks.pilot import find
from objectives.registry import load
from search.running.pack import Pack
from search.running.showing import Shown
from search.running.work import (
    RANGES,
    Prepare,
    Prepared,
    Progress,
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

    def begin(self, work: Work) -> None:
        """Take over a piece of work. Costly things wait for `step`, where a failure is a result."""
        self.close()
        self._work, self._saved_at = work, time.monotonic()

    def close(self) -> None:
        """Leave the members in training as they are. What runs in a process of its own ends."""
        if self._pack is not None:
            self._pack.close()
        self._pack = None

    def step(self) -> Result:
        """Do the work, or train until the next decision. A training is over when its `Progress` is done."""
        work = self._work
        if isinstance(work, Train):
            return self._trained(work)
        try:
            return self._chore(work)
        except Exception as error:
            said, told = str(error) or type(error).__name__, traceback.format_exc()
            if isinstance(work, ReadTest):
                return TestRead((), said, told)
            return Prepared({}, said, told, refused=isinstance(error, ObjectiveError))

    # Chores -----------------------------------------------------------------------------------------------------------------------------

    def _chore(self, work: Prepare | Warm | ReadTest) -> Result:
        objective = self._objective(work.setting)
        if isinstance(work, ReadTest):
            return TestRead(tuple(Scored(one, objective.read_test(one.config, one.weights)) for one in work.readings))
        if isinstance(work, Warm):
            objective.load_data()
            if work.packs:
                objective.rehearse()
            return Warmed()
        facts = {**objective.prepare(), "check": _checked(objective, work.check)}
        facts |= {RANGES: find(objective, work.ranges)} if work.ranges else {}
        return Prepared({**facts, "pack": _pack_of(objective, work)})

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
            self._objectives.clear()
            self._objectives[key] = load(setting.objective, setting.program)(setting.settings)
        return self._objectives[key]

    # Training ---------------------------------------------------------------------------------------------------------------------------

    def _trained(self, work: Train) -> Progress:
        started = time.monotonic()
        try:
            reports = self._reports(work)
        except (Exception, SystemExit) as error:
            living = self._pack.living if self._pack else [one.member.number for one in work.assigned]
            reports, self._pack = [failure(number, error) for number in living], None
        return Progress(
            reports=tuple(reports),
            done=self._pack is None or not self._pack.living,
            remark="; ".join(said for said in (self._pack.remark(), self._shown.remark()) if said) if self._pack else "",
            seconds=time.monotonic() - started,
            worker=self._place,
        )

    def _reports(self, work: Train) -> list[Report]:
        reports: list[Report] = []
        if self._pack is None:
            self._pack = Pack(self._objective(work.setting), work.assigned)
            reports = self._pack.history()  # the driver may not have heard the reports before the checkpoint
            self._shown = Shown(work.assigned, self._pack.run_of)
            told = {report.number for report in reports}
            self._shown.before(number for number in self._pack.living if number not in told)
            if _at_rung(reports, work):
                return reports
        pack, started, at_rung = self._pack, time.monotonic(), False
        while pack.living and not at_rung and time.monotonic() - started <= self._report_seconds:
            news = pack.step()
            self._shown.after(news)
            reports += news
            at_rung = _at_rung(news, work)
        self._keep(work, reports)
        if pack.living and (at_rung or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS):
            pack.save()
            self._saved_at = time.monotonic()
        return reports

    def _keep(self, work: Train, reports: Sequence[Report]) -> None:
        """Write weights and a picture, for members that must leave them and that ended well."""
        assert self._pack is not None
        complete = {report.number for report in reports if report.state is State.COMPLETE}
        for one in work.assigned:
            if one.member.number in complete and one.weights is not None:
                run = self._pack.run_of(one.member.number)
                one.weights.parent.mkdir(parents=True, exist_ok=True)
                run.save_weights(one.member.number, one.weights)
                if one.picture is not None and not self._shown.picture(one.member.number):
                    run.save_picture(one.member.number, one.picture)


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


def _checked(objective: Objective, searched: Sequence[str]) -> dict[str, str]:
    """What the check of each searched λ found. If a λ does nothing, or the wrong thing, the sweep ends before it has cost anything."""
    lambdas = [name for name in searched if name in objective.knobs and objective.knobs[name].off is not None]
    found = check(objective, lambdas) if searched else []
    dead = [f"{one.knob}: {one.fault}: {one.message}" for one in found if not one.passed]
    if dead:
        raise ObjectiveError("\n".join([*dead, "`lagrange check` repeats this; `--set check=false` searches all the same."]))
    return {one.knob: one.message for one in found}


def failure(number: int, error: BaseException) -> Report:
    """The report of a member that raised an error. Out of memory has a name of its own. The driver knows how far the member had come."""
    text = f"{type(error).__name__}: {error}"
    reason = f"{OUT_OF_MEMORY}: {text}" if out_of_memory(error) else text
    return Report(number, 0, float("nan"), state=State.FAILED, reason=reason[:500], traceback=traceback.format_exc())
