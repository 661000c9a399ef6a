"""A plan, carried out in this process: one member or pack after another, without Ray.

For debugging with a breakpoint in a loss, for tests and simulations, and for machines where Ray does not run. Members, decisions and
answer are those of Ray Tune with one worker. What needs a process of its own is not had: `limits.silence_seconds` and `limits.memory_gb`
have no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from search.running.desk import Desk
from search.running.plan import Job, Pause, Plan
from search.running.work import Progress, Result, Work


class Steps(Protocol):
    """Who does the work: a `worker.Worker`, or a simulation of one."""

    def begin(self, work: Work) -> None:
        """Take over a piece of work."""
        ...

    def step(self) -> Result:
        """Do it, or a part of it."""
        ...


def carry_out(plan: Plan, desk: Desk, interrupted: Callable[[], bool], worker: Steps | None = None) -> bool:
    """Do what the plan says until nothing is left; False when it was interrupted."""
    if worker is None:
        from search.running.worker import Worker

        worker = Worker()
    while not interrupted():
        job = plan.next()
        if job is Pause.DONE:
            return True
        # Nothing runs beside this, so there is nothing to wait for.
        assert isinstance(job, Job)
        desk.ledger.dispatched(job.rows)
        worker.begin(desk.work(job))
        if not _done(plan, job, worker, interrupted):
            return False
    return False


def _done(plan: Plan, job: Job, worker: Steps, interrupted: Callable[[], bool]) -> bool:
    """Step until the job is over; False when it was interrupted. Its members go on from their last checkpoints then."""
    while not interrupted():
        result = worker.step()
        stopped = plan.stops(job, result)
        plan.heard(job, result, stopped)
        if stopped or not isinstance(result, Progress) or result.done:
            return True
    return False
