"""MLflow shows people what the catalogue holds. A background thread writes to it.

What is said to a tracker is first appended to a file, the spool (`spool`). The thread sends the new records in batches (`mlflow`). So
training never waits for a server, and memory does not grow. What a dead server or a killed process left unsent is sent later.

Nothing is written twice. Runs are found again by the tags lagrange.sweep and lagrange.member. An epoch that a run holds is left out. A
batch that is sent again after an uncertain failure has its first time stamps, so MLflow sees the same rows. A sweep that resumes may
therefore repeat its whole catalogue: what is missing is written, the rest is ignored.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from infra.storage import disk, hidden_in, strip_password, strip_passwords, sweep_name
from infra.tracking.client import quiet_environment
from infra.tracking.files import FilesWaitError
from infra.tracking.mlflow import (
    MAX_METRICS,
    Writer,
    as_metrics,
    as_params,
    as_tags,
    forget,
)
from infra.tracking.notes import view_key
from infra.tracking.spool import SWEEP_RUN, Spool
from infra.tracking.ui import Place, find, ui_command, ui_environment, why, why_files

__all__ = [
    "MAX_METRICS",
    "MlflowTracker",
    "NullTracker",
    "Place",
    "Tracker",
    "Unsent",
    "find",
    "forget",
    "quiet_environment",
    "ui_command",
    "ui_environment",
]

INTERVAL_S: Final = 5.0
"""Pause between two rounds, so that a short member is one batch: calls cost far more than points."""
BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses after one failure, two failures in a row, …"""
AWAY: Final = 4
"""So many failures in a row are told of a server that has answered before: it may only be started again."""
GIVE_UP_S: Final = 10.0
"""How long `close` goes on when every attempt fails: since it was asked, or since the last one that did not."""


class Tracker(Protocol):
    """Where a sweep is shown while it runs. No method but `close` and `run_id` waits, and none raises for what a server does.

    `missed`: how many records were lost, because the disk of the spool took no more.
    """

    missed: int

    def start_sweep(self, sweep: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """The sweep begins, or resumes. `objective` and `dataset` among the params name the experiment."""
        ...

    def data(self, name: str, digest: str, source: Mapping[str, Any], profile: Mapping[str, Any]) -> None:
        """Which data the sweep and its members train on: its name, its hash, where it is from, and what is in it."""
        ...

    def experiment(self, tags: Mapping[str, str], keep: bool = False) -> None:
        """Tags of the experiment, which other sweeps may share. `keep`: a tag that is there stays as it is."""
        ...

    def start_member(
        self, number: int, params: Mapping[str, Any], tags: Mapping[str, str], name: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """A member begins; saying so again changes nothing. `metrics` are numbers that are known before its first epoch."""
        ...

    def log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """What a member measured after an epoch; epochs come in ascending order, and one that is there already is ignored."""
        ...

    def end_member(self, number: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """How a member ended; saying so again changes nothing."""
        ...

    def add(self, metrics: Mapping[str, float], tags: Mapping[str, str], number: int = SWEEP_RUN, epoch: int = 0) -> None:
        """What is known of the sweep, or of one of its members, whether it has ended or not, after so many epochs. A tag is replaced."""
        ...

    def artifact(self, path: Path, folder: str = "", number: int = SWEEP_RUN) -> None:
        """Show a file with the sweep, or with one of its members."""
        ...

    def image(self, path: Path, key: str, step: int, number: int = SWEEP_RUN) -> None:
        """Show a picture under a name, as the one of a step; one that is there already is left as it is."""
        ...

    def run_id(self, number: int, timeout_s: float) -> str:
        """MLflow's id of a member that has begun; empty where it is not known within this time. It waits."""
        ...

    def end_sweep(self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """The sweep ends with this status."""
        ...

    def trouble(self) -> str:
        """That MLflow takes nothing, and why, in one line: at the start and once later. Empty where there is nothing new to be said."""
        ...

    def place(self) -> Place:
        """Where MLflow shows the sweep; nothing where it has not answered yet."""
        ...

    def close(self, timeout_s: float) -> Unsent:
        """Wait at most `timeout_s` for what is not written yet; the answer is false if all is."""
        ...


@dataclass(frozen=True)
class Unsent:
    """What MLflow lacks after `close`. False if nothing."""

    uri: str = ""
    records: int = 0
    error: str = ""
    refused: tuple[str, ...] = ()
    missed: int = 0
    why_missed: str = ""

    def __bool__(self) -> bool:
        return bool(self.records or self.refused or self.missed)

    def __str__(self) -> str:
        parts = []
        if self.records:
            why = f" ({self.error})" if self.error else ""
            parts.append(
                f"MLflow at {self.uri} has not taken {self.records} records yet{why}; they are kept, and sent when the sweep resumes"
            )
        if self.refused:
            parts.append(f"MLflow at {self.uri} refused {len(self.refused)} entries for good, the first: {self.refused[0]}")
        if self.missed:
            parts.append(
                f"{self.missed} records could not be kept for MLflow, because {self.why_missed}. "
                "When the sweep resumes, they are made again from the catalogue"
            )
        return ". ".join(parts)


class NullTracker:
    """Shows nothing."""

    missed = 0

    def start_sweep(self, sweep: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def data(self, name: str, digest: str, source: Mapping[str, Any], profile: Mapping[str, Any]) -> None:
        """Do nothing."""

    def experiment(self, tags: Mapping[str, str], keep: bool = False) -> None:
        """Do nothing."""

    def start_member(
        self, number: int, params: Mapping[str, Any], tags: Mapping[str, str], name: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Do nothing."""

    def log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Do nothing."""

    def end_member(self, number: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def add(self, metrics: Mapping[str, float], tags: Mapping[str, str], number: int = SWEEP_RUN, epoch: int = 0) -> None:
        """Do nothing."""

    def artifact(self, path: Path, folder: str = "", number: int = SWEEP_RUN) -> None:
        """Do nothing."""

    def image(self, path: Path, key: str, step: int, number: int = SWEEP_RUN) -> None:
        """Do nothing."""

    def run_id(self, number: int, timeout_s: float) -> str:
        """There is none."""
        return ""

    def end_sweep(self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def trouble(self) -> str:
        """There is none."""
        return ""

    def place(self) -> Place:
        """Nowhere."""
        return Place()

    def close(self, timeout_s: float) -> Unsent:
        """Nothing was left unsent."""
        return Unsent()


class MlflowTracker:
    """One sweep in MLflow: a parent run for the sweep, a child run for each member.

    `tracking_uri` is a server or a database; `artifact_root` is used only for a database. `spool` is a folder on a local disk. `created`
    tells sweeps apart that had the same name one after the other. The process must be the sweep's only driver. Without `at_once` MLflow
    hears nothing before the first member: a sweep that has none is not shown. `drawn` makes a Pillow image of the file of an `image`.
    Nothing is sent while `allowed` says no: another driver may have the sweep.
    """

    def __init__(
        self,
        tracking_uri: str,
        artifact_root: Path,
        spool: Path,
        sweep: str,
        *,
        created: str = "",
        interval_s: float = INTERVAL_S,
        at_once: bool = True,
        drawn: Callable[[Path], Any] | None = None,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        quiet_environment()
        self._sweep = sweep
        self._spool = Spool(spool / f"{sweep_name(sweep)}.jsonl")
        self._left_over = self._spool.unsent()
        self._writer = Writer(tracking_uri, Path(artifact_root), self._spool, sweep, created, drawn, allowed)
        self._interval_s, self._home = interval_s, Path(artifact_root).absolute().parent
        self._said, self._hurry, self._closing, self._idle = threading.Event(), threading.Event(), threading.Event(), threading.Condition()
        self._error, self._asked_to_close, self._deadline, self._worked = "", 0.0, 0.0, 0.0
        self.missed, self._why_missed = 0, ""
        self._failures, self._told = 0, set[bool]()
        self._thread = threading.Thread(target=self._work, name="lagrange-mlflow", daemon=True)
        if at_once:
            self._thread.start()

    def start_sweep(self, sweep: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """See Tracker."""
        self._say("start", SWEEP_RUN, params=as_params(params), tags=as_tags(tags))

    def data(self, name: str, digest: str, source: Mapping[str, Any], profile: Mapping[str, Any]) -> None:
        """See Tracker."""
        plain = {key: json.dumps(strip_passwords(dict(value)), default=str) for key, value in (("source", source), ("profile", profile))}
        self._say("data", SWEEP_RUN, data={"name": name, "digest": digest, **plain})

    def experiment(self, tags: Mapping[str, str], keep: bool = False) -> None:
        """See Tracker."""
        self._say("experiment", SWEEP_RUN, tags={key: strip_password(value) for key, value in tags.items()}, keep=keep)

    def start_member(
        self, number: int, params: Mapping[str, Any], tags: Mapping[str, str], name: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """See Tracker."""
        self._say("start", number, params=as_params(params), tags=as_tags(tags), name=name[:250], metrics=as_metrics(metrics or {}))

    def log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """See Tracker. Costs tens of microseconds, whatever the server does."""
        self._say("log", number, epoch=epoch, metrics=as_metrics(metrics))

    def end_member(self, number: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """See Tracker."""
        self._say("end", number, state=str(state), metrics=as_metrics(metrics), tags=as_tags(tags))

    def run_id(self, number: int, timeout_s: float) -> str:
        """See Tracker. Where MLflow does not answer, nobody waits a second time."""
        if self._error or not self.flush(timeout_s):
            return ""
        return self._writer.run_id(number)

    def add(self, metrics: Mapping[str, float], tags: Mapping[str, str], number: int = SWEEP_RUN, epoch: int = 0) -> None:
        """See Tracker."""
        self._say("add", number, epoch=epoch, metrics=as_metrics(metrics), tags=as_tags(tags))

    def artifact(self, path: Path, folder: str = "", number: int = SWEEP_RUN) -> None:
        """See Tracker. The file is read when it is sent."""
        self._say("artifact", number, path=_within(self._home, path), folder=folder)

    def image(self, path: Path, key: str, step: int, number: int = SWEEP_RUN) -> None:
        """See Tracker. The file is read, and drawn, when it is sent."""
        self._say("image", number, path=_within(self._home, path), key=key, step=step)

    def end_sweep(self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """See Tracker."""
        self._say("end", SWEEP_RUN, state=str(status), metrics=as_metrics(metrics), tags=as_tags(tags))

    def trouble(self) -> str:
        """See Tracker. It only looks at what the thread has met."""
        before = self._worked > 0
        if not self._error or self._failures < (AWAY if before else 1) or before in self._told:
            return ""
        self._told.add(before)
        where = strip_password(self._writer.uri)
        kept = "Training goes on; what it misses is kept, and sent when it answers"
        return f"MLflow at {where} does not take what is sent now: {self._error}. {kept}"

    def place(self) -> Place:
        """See Tracker."""
        return Place(*self._writer.page(), self._sweep, view_key(self._sweep))

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written; False if it took longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        self._hurried()
        with self._idle:
            while self._spool.unsent() and self._thread.is_alive():
                self._hurried()  # what was said since, too
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._idle.wait(min(left, 0.5))
        return not self._spool.unsent()

    def close(self, timeout_s: float) -> Unsent:
        """See Tracker. May be called again."""
        if self._thread.ident is None:  # it was never started
            if not self._left_over:
                self._spool.remove()
            return Unsent()
        self._asked_to_close = time.monotonic()
        self._deadline = self._asked_to_close + timeout_s
        self._closing.set()
        written = self.flush(timeout_s)
        self._thread.join(max(0.1, self._deadline - time.monotonic()))
        left = Unsent(
            strip_password(self._writer.uri),
            self._spool.unsent_records(),
            self._error,
            tuple(self._writer.refused),
            self.missed,
            self._why_missed,
        )
        if written and not self._thread.is_alive() and not self.missed:  # a spool that stays says that MLflow lacks something
            self._spool.remove()
        return left

    def _say(self, kind: str, number: int, **rest: Any) -> None:
        try:
            self._spool.append({"kind": kind, "run": number, "ms": time.time_ns() // 1_000_000, **rest})
        except OSError as error:  # a full disk must not end a training for the sake of its picture
            self.missed += 1
            self._why_missed = disk.fault(error, [self._spool.path.parent]) or str(error.strerror)
        if self._thread.ident is None and number != SWEEP_RUN:
            self._thread.start()
        self._said.set()

    def _work(self) -> None:
        """Send the spool's tail, round by round, until closed and empty."""
        while True:
            try:
                more = self._writer.round()
                if self._closing.is_set() and not self._spool.unsent():
                    self._writer.settle()
                self._failures, self._error, self._worked = 0, "", time.monotonic()
            except FilesWaitError as error:  # nothing is doubtful: the numbers were written
                more, self._error = False, why_files(error.__cause__ or error)
                self._failures += 1
            except Exception as error:  # whatever a server or its client does, training goes on
                more, self._error = False, hidden_in(why(error), self._writer.uri)
                self._writer.look_again()
                self._failures += 1
            with self._idle:
                self._idle.notify_all()
            if self._finished(self._failures):
                return
            if self._failures:
                if self._closing.wait(BACKOFF_S[min(self._failures, len(BACKOFF_S)) - 1]):
                    time.sleep(0.5)
            elif not more:
                self._wait_for_records()

    def _finished(self, failures: int) -> bool:
        if not self._closing.is_set():
            return False
        now = time.monotonic()
        return (
            not self._spool.unsent() or now > self._deadline or (failures > 0 and now > max(self._asked_to_close, self._worked) + GIVE_UP_S)
        )

    def _hurried(self) -> None:
        self._hurry.set()
        self._said.set()

    def _wait_for_records(self) -> None:
        self._said.wait()
        self._hurry.wait(self._interval_s)  # for more of it
        if not self._closing.is_set():
            self._hurry.clear()
        self._said.clear()


def _within(home: Path, path: Path) -> str:
    """A path as the spool keeps it: relative where it lies in the home, which may be moved."""
    inside = Path(path).absolute()
    return str(inside.relative_to(home) if inside.is_relative_to(home) else inside)
