"""Who works for a sweep now: the workers that are up, what each of them does, and who gets the next job. Nothing here knows Ray.

A worker lives for the whole sweep. It gets its first work when it is up and has said so. So no worker that still starts is ever given
work, and none that is free can take it away. The plan says what is next; how workers come and go is the carrier's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from search.running.planning.dispatch import Dispatch
from search.running.planning.faults import Cause, cause_of
from search.running.planning.plan import Job, Kind, Pause, Plan
from search.running.working.work import Progress, Result, Work

# A chore gives one report, at its end. Preparing may train a classifier, reading the test split scores many weights: so they get more time.
CHORE_PATIENCE = 10
ASK_SECONDS = 1.0  # a plan that waits is asked again when something has happened, and so often in between: its wall time may be over
FAILED_STARTS = 3  # so many workers may die before one of them is up; then none will be
NO_START = "no further worker starts on the cluster"


@dataclass
class Worker:
    """One worker: what it does (None: nothing, or a warm-up), on which node it is (empty while it starts), and when it was last heard."""

    job: Job | None = None
    node: str = ""
    busy: bool = True
    warmed: bool = False
    heard: float | None = None  # None: nothing is expected of it
    verdict: tuple[str, Cause, float] | None = None  # why we end it, and for how many seconds it had been silent


@dataclass
class Crew:
    """The workers of one sweep, by the key that their carrier gives them.

    Args:
        admitted: whether workers on this node may train.
        told: is told how many workers train, of how many that are there or start.
    """

    plan: Plan
    dispatch: Dispatch
    silence_seconds: float
    admitted: Callable[[str], bool] = lambda node: True
    told: Callable[[int, int], object] = lambda up, there: None
    clock: Callable[[], float] = time.monotonic
    workers: dict[str, Worker] = field(default_factory=dict)
    done: bool = False
    _free: list[str] = field(default_factory=list)
    _asked: float | None = None  # when the plan last said that it waits; None: it is worth asking
    _failed_starts: int = 0

    @property
    def up(self) -> int:
        """How many workers are up."""
        return sum(bool(worker.node) for worker in self.workers.values())

    def starts(self, key: str) -> None:
        """A worker is asked for."""
        self.workers[key] = Worker()

    def is_up(self, key: str, node: str) -> None:
        """A worker says that it is ready for work."""
        self._failed_starts = 0
        self.workers[key].node = node
        self._frees(key)
        self.told(self.up, len(self.workers))

    def assigned(self) -> list[tuple[str, Work]]:
        """Work for those who are free, those who have been free for longest first."""
        given = []
        for key in [key for key in self._free if self.admitted(self.workers[key].node)]:
            worker = self.workers[key]
            found = self._job(worker)
            work = self.dispatch.work(found) if found else self._warm_up(worker)
            if work is not None:
                self._free.remove(key)
                worker.job, worker.busy, worker.heard = found, True, self.clock()
                given.append((key, work))
        return given

    @property
    def starting(self) -> bool:
        """Whether it is worth asking for another worker: not after several that died before they were up, unless there is none."""
        return self._failed_starts < FAILED_STARTS or not self.workers

    def again(self) -> None:
        """There is a new node: perhaps workers start there."""
        self._failed_starts = 0

    @property
    def idle(self) -> bool:
        """Whether the plan has nothing for those who are free now."""
        return self._asked is not None

    def free(self) -> list[str]:
        """The workers with nothing to do, those who have been free for longest first."""
        return list(self._free)

    def heard(self, key: str, result: Result) -> bool:
        """A worker has reported. Returns whether it goes on with its job."""
        worker = self.workers[key]
        worker.heard = self.clock()
        if worker.job is None:
            self._frees(key)
            return False
        stopped = self.plan.stops(worker.job, result)
        over = stopped or not isinstance(result, Progress) or result.done
        self.plan.heard(worker.job, result, stopped)
        self._asked = None
        if over:
            self._frees(key)
        return not over

    def lost(self, key: str, said: str) -> None:
        """A worker is gone, with what it did. Its members are the plan's to care for. `said`: its last words, or Ray's."""
        worker = self.workers[key]
        self.leaves(key)
        self._asked = None
        if worker.job is not None:
            silent_s = 0.0 if worker.heard is None else self.clock() - worker.heard
            self.plan.lost(worker.job, *(worker.verdict or (said, cause_of(said), silent_s)))
        elif not worker.node:
            self._not_started(said)

    def _not_started(self, died: str) -> None:
        self._failed_starts += 1
        said = f"{NO_START}; the last of {self._failed_starts} said: {died}"
        if self._failed_starts >= FAILED_STARTS and not self.up:
            self.plan.problem, self.done = self.plan.problem or said, True
        elif self._failed_starts == FAILED_STARTS:
            self.dispatch.ledger.note(f"{said}. The sweep goes on with those that are up")

    def leaves(self, key: str) -> None:
        """A worker is no longer counted on."""
        worker = self.workers.pop(key)
        if key in self._free:
            self._free.remove(key)
        if worker.node and not self.done:
            self.told(self.up, len(self.workers))

    def condemned(self) -> list[str]:
        """The workers that must be ended: they have been silent for too long, or their members had their time. Each is named once."""
        now = self.clock()
        found = [key for key, worker in self.workers.items() if worker.heard is not None and self._judged(worker, now - worker.heard)]
        for key in found:
            self.workers[key].heard = None
        return found

    def _judged(self, worker: Worker, silent_s: float) -> bool:
        patience = self._patience_seconds(worker)
        if silent_s > patience:
            worker.verdict = f"no report for {patience:g} s (limits.silence_seconds)", Cause.SILENT, silent_s
        elif worker.job is not None and worker.job.rows and silent_s > self.plan.faults.left_s(worker.job.numbers):
            worker.verdict = "time limit", Cause.LATE, silent_s
        return worker.verdict is not None

    def _patience_seconds(self, worker: Worker) -> float:
        """How long a worker may be silent."""
        return self.silence_seconds * (CHORE_PATIENCE if worker.job is None or worker.job.kind is not Kind.TRAIN else 1)

    def _frees(self, key: str) -> None:
        worker = self.workers[key]
        worker.job, worker.busy, worker.heard = None, False, None
        self._free.append(key)

    def _job(self, worker: Worker) -> Job | None:
        """The plan's next job, unless it waits."""
        now = self.clock()
        if self.done or (self._asked is not None and now - self._asked < ASK_SECONDS):
            return None
        job = self.plan.next()
        if isinstance(job, Job):
            self.dispatch.ledger.dispatched(job.rows)
            return job
        if job is Pause.WAIT and not any(one.job for one in self.workers.values()):
            self.plan.stuck()
        self.done, self._asked = job is Pause.DONE or bool(self.plan.problem), now
        return None

    def _warm_up(self, worker: Worker) -> Work | None:
        """What a free worker does while another one prepares: it imports and loads the data. Each does so once."""
        preparing = any(one.job is not None and one.job.kind is Kind.PREPARE for one in self.workers.values())
        if self.done or worker.warmed or not preparing:
            return None
        worker.warmed = True
        return self.dispatch.warm()
