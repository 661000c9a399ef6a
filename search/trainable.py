"""The Ray Tune trainable: start a run, step it, report, save, restore; nothing else.

What it trains is a pack (`pack.py`), of one member or many. It runs in a worker process that serves many trials one after another. One
`step` trains until the scheduler has to decide, or for a second, so that a short epoch does not cost a round trip to the driver.
Whatever goes wrong becomes a report with a state: Ray never sees an exception of a member.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from objectives.base import OUT_OF_MEMORY, Member, Objective, ObjectiveError, Phase, Report, Settings, State, out_of_memory
from objectives.registry import load
from search.pack import Pack, plain

REPORT_SECONDS = 1.0
CHECKPOINT_SECONDS = 30.0
# glibc's names for two of its options, from malloc.h.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1

# One objective, with its data on the device, serves all members of a worker process.
_objectives: dict[str, Objective] = {}


class MemberTrainable(tune.Trainable):  # type: ignore[misc]
    """One Tune trial: trains one pack of members, or does one chore of the sweep (`prepare`, `warm`, `read_test`)."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take over a job. Costly work waits for `step`, where failing is a report and not a dead worker."""
        return_memory()
        self._job = config["job"]
        self._pack: Pack | None = None
        self._prepared: dict[str, Any] | None = None
        self._saved_at = time.monotonic()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial in the same process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Do the job, or train until the next decision; returns plain data for the ledger."""
        job = self._job
        started = time.monotonic()
        _limit_memory(job.get("memory_gb"))
        if job["kind"] == "prepare":
            return {"done": False, **self._prepare(job)}  # the scheduler ends it
        if job["kind"] != "train":
            return {"done": True, **_chore(job)}
        try:
            reports = self._train(job)
        except (Exception, SystemExit) as error:
            living = self._pack.living if self._pack else [fields["number"] for fields in job["members"]]
            reports = [failure(number, error) for number in living]
            self._pack = None
        return {
            "done": self._pack is None or not self._pack.living,
            "reports": [plain(report) for report in reports],
            "note": self._pack.remark() if self._pack else "",
            "seconds": time.monotonic() - started,
            "worker": {"host": socket.gethostname(), "node": ray.get_runtime_context().get_node_id(), "pid": os.getpid()},
        }

    def _prepare(self, job: dict[str, Any]) -> dict[str, Any]:
        """Facts of the data; asked again, the same, after a moment."""
        if self._prepared is None:
            self._prepared = _chore(job)
        else:
            time.sleep(0.1)
        return self._prepared

    def _train(self, job: dict[str, Any]) -> list[Report]:
        reports: list[Report] = []
        if self._pack is None:
            paths = {int(number): Path(path) for number, path in job["checkpoints"].items()}
            self._pack = Pack(objective_for(job), [_member(fields) for fields in job["members"]], paths, job["fused"])
            reports = self._pack.history()  # the driver may not have heard what was reported before the checkpoint
            if _at_rung(reports, job):
                return reports
        started = time.monotonic()
        while True:
            news = self._pack.step()
            reports += news
            at_rung = _at_rung(news, job)
            if not self._pack.living or at_rung or time.monotonic() - started > REPORT_SECONDS:
                break
        self._keep(job, reports)
        if self._pack.living and (at_rung or time.monotonic() - self._saved_at > CHECKPOINT_SECONDS):
            self._pack.save()
            self._saved_at = time.monotonic()
        return reports

    def _keep(self, job: dict[str, Any], reports: list[Report]) -> None:
        """Weights and a picture, for confirmed members that ended well."""
        assert self._pack is not None
        for report in reports:
            if report.state is State.COMPLETE and str(report.number) in job.get("weights", {}):
                path, run = Path(job["weights"][str(report.number)]), self._pack.run_of(report.number)
                path.parent.mkdir(parents=True, exist_ok=True)
                run.save_weights(report.number, path)
                run.save_picture(report.number, Path(job["pictures"][str(report.number)]))


def _at_rung(reports: Sequence[Report], job: dict[str, Any]) -> bool:
    """Whether the last of these reports reach an epoch at which the driver decides who goes on."""
    last = {report.number: report for report in reports}
    return any(report.epoch in job["milestones"] and report.state is None for report in last.values())


def _chore(job: dict[str, Any]) -> dict[str, Any]:
    """`prepare` loads the data and trains what is cached, `warm` only loads; `read_test` scores saved weights on the test split."""
    try:
        objective = objective_for(job)
        if job["kind"] == "warm":
            # Not part of the protocol: an objective without them is as warm as it can be. What is wrong with the data `prepare` will say.
            for name in ("load_data", *(("rehearse",) if job["pack"] != 1 else ())):
                getattr(objective, name, dict)()
            return {}
        if job["kind"] == "prepare":
            facts = objective.prepare()
            checked = _alive(objective, job.get("check", ()))
            return {"facts": facts | {"check": checked, "pack": _pack(objective, job)}}
        return {"test": [{**item, "scores": objective.read_test(item["config"], Path(item["weights"]))} for item in job["items"]]}
    except Exception as error:
        return {"error": str(error) or type(error).__name__, "traceback": traceback.format_exc()}


def _pack(objective: Objective, job: dict[str, Any]) -> dict[str, Any]:
    """How many members make a pack: what the spec says, or what trains fastest on this worker."""
    wanted, widest, measure = job.get("pack", 1), job.get("widest", 1), getattr(objective, "calibrate", None)
    if wanted != "auto":
        return {"members": min(int(wanted), widest), "why": "as the spec says"}
    if measure is None or widest < 2:
        return {"members": 1, "why": "the objective trains one member at a time" if measure is None else "there is no second member"}
    found: dict[str, Any] = measure(job.get("searched", ()), widest, job["to_train"])
    return found


def _alive(objective: Objective, searched: Sequence[str]) -> dict[str, str]:
    """What the check of each searched λ found. A λ that does nothing, or something else, ends the sweep before it has cost anything."""
    lambdas = [name for name in searched if name in objective.knobs and objective.knobs[name].off is not None]
    from objectives.checks.alive import check

    found = check(objective, lambdas) if lambdas else []
    dead = [f"{one.knob}: {one.fault}: {one.message}" for one in found if not one.passed]
    if dead:
        raise ObjectiveError("\n".join([*dead, "`lagrange check` repeats this; `--set check=false` searches all the same."]))
    return {one.knob: one.message for one in found}


def objective_for(job: dict[str, Any]) -> Objective:
    """The objective of a job, made once per process and settings."""
    folder = job.get("folder")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    key = json.dumps([job["objective"], job["settings"]], sort_keys=True)
    if key not in _objectives:
        _objectives.clear()
        _objectives[key] = load(job["objective"])(Settings(**job["settings"]))
    return _objectives[key]


def failure(number: int, error: BaseException) -> Report:
    """The report of a member that raised: out of memory is named as such. The driver knows how far it had come."""
    text = f"{type(error).__name__}: {error}"
    reason = f"{OUT_OF_MEMORY}: {text}" if out_of_memory(error) else text
    return Report(number, 0, float("nan"), state=State.FAILED, reason=reason[:500], traceback=traceback.format_exc())


def _member(fields: dict[str, Any]) -> Member:
    return Member(fields["number"], fields["config"], fields["seed"], Phase(fields["phase"]))


def _limit_memory(gigabytes: float | None) -> None:
    """A member that asks for more fails by itself; without this the kernel or Ray would kill a neighbour."""
    if gigabytes:
        limit = int(gigabytes * 2**30)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def return_memory() -> None:
    """Have glibc give large tensors back when they are freed.

    By itself it moves the limit above which it does so up to 32 MB, and keeps what is smaller in a heap that tears: the heap of a worker on
    MNIST then grows by several hundred megabytes. Other allocators have no such function.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 8 * 2**20)
        mallopt(_TRIM_THRESHOLD, 64 * 2**20)
