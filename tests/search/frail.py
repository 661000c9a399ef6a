"""Simulated sweeps whose workers die, fall silent, or leave with their nodes. In all else they are those of `simulated.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.choosing.answer import Answer
from search.running.in_process import carry_out
from search.running.planning.faults import Cause
from search.running.planning.plan import Job, Kind
from search.running.working.work import Progress, ReadTest, Result, Train
from tests.search.simulated import Simulated, Truth

SPEC: dict[str, Any] = {
    "objective": "vae",
    "search": {"l2": {"low": 1e-3, "high": 10}},
    "sampler": "random",
    "scheduler": "none",
    "budget": {"trials": 8, "epochs": 1},
    "confirm": {"configs": 2, "screen": 1, "between": 0, "seeds": 4},
    "check": False,
}


class GoneError(Exception):
    """The worker is gone."""


class Frail(Simulated):
    """`kills` says whether the worker dies with this piece of work: a member's row, or the kind of a chore; and how often it was tried."""

    def __init__(
        self,
        folder: Path,
        spec: Mapping[str, Any],
        truth: Truth,
        kills: Callable[[Any, int], bool],
        cause: Cause = Cause.DIED,
        seconds: float = 0.0,
    ) -> None:
        super().__init__(folder, spec, truth)
        self._kills, self._cause, self._seconds = kills, cause, seconds
        self.died: dict[Any, int] = {}

    def run(self, jobs: int = 10_000) -> Answer | None:
        last = self._steps + jobs
        while True:
            try:
                carry_out(self.plan, self.dispatch, lambda: self._steps >= last, worker=self)
                return self.plan.answer
            except GoneError:
                self.plan.lost(self._job(), "SIGSEGV", self._cause)

    def _job(self) -> Job:
        if isinstance(self._work, Train):
            return Job(Kind.TRAIN, tuple(self.ledger.rows[one.member.number] for one in self._work.assigned))
        return Job(Kind.READ_TEST if isinstance(self._work, ReadTest) else Kind.PREPARE)

    def step(self) -> Result:
        job = self._job()
        for what in job.rows or (job.kind,):
            name = what if isinstance(what, str) else what.number
            if self._kills(what, self.died.get(name, 0)):
                self.died[name] = self.died.get(name, 0) + 1
                self._steps += 1
                raise GoneError
        done = super().step()
        return Progress(done.reports, done=True, seconds=self._seconds) if isinstance(done, Progress) else done
