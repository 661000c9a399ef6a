"""Carry out a plan in this process: one member or pack after another, without Ray.

This is for debugging with a breakpoint in a loss, for tests and simulations, and for machines where Ray does not run. Members, decisions
and answer are the same as with Ray Tune and one worker. Two limits need a process of their own and have no effect here:
`limits.silence_seconds` and `limits.memory_gb`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from search.running.planning.dispatch import Dispatch
from search.running.planning.plan import Job, Pause, Plan
from search.running.working.work import Progress, Result, Work


class Steps(Protocol):
    """What does the work: a `worker.Worker`, or a simulation of one."""

    def begin(self, work: Work) -> None:
        """Take over a piece of work."""
        ...

    def step(self) -> Result:
        """Do the work, or a part of it."""
        ...


def carry_out(plan: Plan, dispatch: Dispatch, interrupted: Callable[[], bool], worker: Steps | None = None) -> bool:
    """Do what the plan says until nothing is left. Returns False when it was interrupted."""
    if worker is None:
        from search.running.working.worker import Worker

        worker = Worker()
    while not interrupted():
        job = plan.next()
        if job is Pause.DONE:
            return True
        if not isinstance(job, Job):  # nothing else runs in this process, so there is nothing to wait for
            plan.stuck()
            continue
        dispatch.ledger.dispatched(job.rows)
        worker.begin(dispatch.work(job))
        if not _done(plan, job, worker, interrupted) or plan.halted:
            return False
    return False


def _done(plan: Plan, job: Job, worker: Steps, interrupted: Callable[[], bool]) -> bool:
    """Step until the job is over. Returns False when it was interrupted; then its members can go on from their last checkpoints."""
    while not interrupted():
        result = worker.step()
        stopped = plan.stops(job, result)
        plan.heard(job, result, stopped)
        if stopped or not isinstance(result, Progress) or result.done:
            return True
    return False
