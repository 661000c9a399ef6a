"""A cluster that does not exist: a virtual clock, nodes that fail and come back, and workers that play back recorded curves.

The plan of a real sweep is asked as Ray Tune asks it: whenever a GPU is free. What it is told is what real workers say: the reports of a
rung at a time, and after a death of the node all that was said before the last checkpoint once more. Only training and Ray are not there.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from objectives.base import Member, Phase, Report, State
from search.running.planning.dispatch import Dispatch
from search.running.planning.faults import Cause
from search.running.planning.plan import Job, Pause, Plan
from search.running.working.work import Prepared, Progress, ReadTest, Result, Scored, TestRead, Train, Work
from tests.study.worlds import World, uniform

CURVES = Path(__file__).parents[1] / "study" / "curves.npz"
EPOCH_S = 30.0  # of virtual time
GPUS_A_NODE = 8


@dataclass
class Cost:
    """CPU seconds of what a real sweep does not do in its driver: the simulated workers, and the simulation itself."""

    seconds: float = 0.0

    def __enter__(self) -> Cost:
        self._began = time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.thread_time() - self._began


@cache
def recorded() -> Any:
    """Rung scores of real trainings (a VAE on the digits) above what they ended with, (members, 20 epochs); without lost ones."""
    with np.load(CURVES) as stored:
        curves = stored["kl_curves"][:, :, 0].astype(np.float64)
    sound = curves[np.isfinite(curves).all(axis=1)]
    return sound - sound[:, -1:]


class Played:
    """A worker that trains nothing: a recorded curve, moved so that it ends with the score that a world gives to the config and seed."""

    def __init__(self, world: World, epochs: int, every: int) -> None:
        self._world, self._epochs, self._every = world, epochs, every

    def begin(self, work: Work, told: Callable[[int], int]) -> None:
        """Take over a piece of work. `told` says how far a member had come when an earlier worker saved its last checkpoint."""
        self._work = work
        if isinstance(work, Train):
            self._from = {one.member.number: told(one.member.number) for one in work.assigned}
            self._at = min(self._from.values())
            self._again = self._at > 0

    def step(self) -> Result:
        """What the worker says next."""
        if isinstance(self._work, ReadTest):
            return TestRead(tuple(Scored(one, {"score": self._world.score(one.config, one.seed)}) for one in self._work.readings))
        if not isinstance(self._work, Train):
            data = {"name": "digits", "sizes": {"train": 1437}, "sha256": {"train": "0" * 64, "val": "1" * 64}}
            return Prepared({"notes": [], "pack": {"members": 1}, "dataset": data})
        first = 1 if self._again else self._at + 1
        ends = [one for one in (*self._work.milestones, self._at + self._every, self._epochs) if one > self._at]
        self._at, self._again = min(ends), False
        reports = [report for one in self._work.assigned for report in self._curve(one.member, first, self._at)]
        lost = all(any(r.number == one.member.number and r.state is not None for r in reports) for one in self._work.assigned)
        place: dict[str, str | int] = {"host": "node", "device": "cuda", "cores": 16, "processor": "x86_64"}
        return Progress(tuple(reports), done=lost or self._at >= self._epochs, seconds=EPOCH_S * (self._at - first + 1), worker=place)

    def _curve(self, member: Member, first: int, last: int) -> Iterator[Report]:
        score = self._world.score(member.config, member.seed)
        shapes = recorded()
        shape = shapes[int(uniform("curve", member.seed, *(float(member.config[name]) for name in self._world.searched)) * len(shapes))]
        for epoch in range(first, last + 1):
            at = shape[min(epoch * len(shape) // self._epochs, len(shape)) - 1]
            if math.isnan(score) and 2 * epoch > self._epochs:
                yield Report(member.number, epoch, math.nan, state=State.DIVERGED, reason="diverged: the loss is not finite")
                return
            rung = float((0.0 if math.isnan(score) else score) + at)
            metrics = {"val_elbo": rung, "val_kl_nats": rung / 4, "val_active_units": 8.0, "train_loss": rung + 1.0, "seconds": EPOCH_S}
            ends = {"state": State.COMPLETE, "score": score} if epoch == self._epochs else {}
            yield Report(member.number, epoch, rung, metrics, **ends)  # type: ignore[arg-type]


def nothing(told: Any) -> None:
    """Do nothing."""


@dataclass
class Simulation:
    """Carries a plan out on nodes that do not exist. `mtbf_s`: the mean time between two failures of one node; infinite: none fails."""

    world: World
    gpus: int = 1000
    mtbf_s: float = math.inf
    repair_s: float = 600.0
    every: int = 5  # epochs between two reports
    seed: int = 0
    now: float = 0.0
    failures: int = 0
    deaths: int = 0  # members that were in training on a node that failed
    jobs: int = 0
    reports: int = 0
    own: Cost = field(default_factory=Cost)
    paced: Callable[[Dispatch], None] = nothing  # after each report
    said: Callable[[Plan], None] = nothing  # after a thousand reports
    asks: Callable[[Plan], bool] = lambda plan: True  # whether another job is asked for
    marks: dict[str, tuple[float, float]] = field(default_factory=dict)

    def carry_out(self, plan: Plan, dispatch: Dispatch, interrupted: Callable[[], bool]) -> bool:
        """Do what the plan says until nothing is left."""
        luck, order, events = random.Random(self.seed), itertools.count(), list[tuple[float, int, str, int]]()
        free, running = list(range(self.gpus))[::-1], dict[int, tuple[int, Job, Played]]()
        away: set[int] = set()
        epochs = plan.spec.settings().epochs

        def later(seconds: float, kind: str, number: int) -> None:
            heapq.heappush(events, (self.now + seconds, next(order), kind, number))

        if math.isfinite(self.mtbf_s):
            for node in range(math.ceil(self.gpus / GPUS_A_NODE)):
                later(luck.expovariate(1 / self.mtbf_s), "fails", node)
        runs = itertools.count()
        done = False
        while True:
            while free and not done and not interrupted() and self.asks(plan):
                job = plan.next()
                done = job is Pause.DONE
                if not isinstance(job, Job):
                    break
                dispatch.ledger.dispatched(job.rows)
                work, run, gpu = dispatch.work(job), next(runs), free.pop()
                with self.own:
                    worker = Played(self.world, epochs, self.every)
                    worker.begin(work, lambda number: plan.ledger.rows[number].epochs)
                running[gpu] = (run, job, worker)
                self.jobs += 1
                later(EPOCH_S * luck.uniform(0.9, 1.1), "reports", gpu * 10**9 + run)
            if interrupted() or (not running and not self.asks(plan)):
                return False
            if done and not running:
                return True
            assert running or any(kind == "back" for _, _, kind, _ in events), "the plan waits, and nothing runs"
            self.now, _, kind, number = heapq.heappop(events)
            if kind == "reports":
                gpu, run = divmod(number, 10**9)
                if gpu in running and running[gpu][0] == run and self._reported(plan, dispatch, *running[gpu][1:]):
                    del running[gpu]
                    free.append(gpu)
                elif gpu in running and running[gpu][0] == run:
                    later(EPOCH_S * self.every * luck.uniform(0.9, 1.1), "reports", number)
                continue
            mine = range(number * GPUS_A_NODE, min((number + 1) * GPUS_A_NODE, self.gpus))
            if kind == "back":
                away.discard(number)
                free += [gpu for gpu in mine if gpu not in free]
                later(luck.expovariate(1 / self.mtbf_s), "fails", number)
                continue
            self.failures += 1
            away.add(number)
            free = [gpu for gpu in free if gpu not in mine]
            for gpu in mine:
                if gpu in running and running[gpu][1].rows:  # a chore that loses its worker is another case
                    _, job, _ = running.pop(gpu)
                    self.deaths += len(job.rows)
                    plan.lost(job, f"node {number} is gone", Cause.PREEMPTED)
            later(self.repair_s, "back", number)

    def _reported(self, plan: Plan, dispatch: Dispatch, job: Job, worker: Played) -> bool:
        """Hear what a worker says. Returns whether its job is over."""
        with self.own:
            result = worker.step()
        self.reports += 1
        stopped = plan.stops(job, result)
        plan.heard(job, result, stopped)
        if job.rows and job.rows[0].phase == Phase.CONFIRM:  # the last one is; to ask for the time can cost a millisecond
            self.marks["last member"] = (time.process_time() - self.own.seconds, time.monotonic())
        if self.reports % 1000 == 0:
            with self.own:
                self.said(plan)
        if self.paced is not nothing:
            with self.own:
                self.paced(dispatch)
        return stopped or not isinstance(result, Progress) or result.done
