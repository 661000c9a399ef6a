"""Ray Tune's side of a sweep: a Searcher over the plan, a TrialScheduler over our rungs, a Callback that feeds the ledger.

Each is a thin adapter: Tune decides where and when a job runs, the plan what, the scheduler for how long. A member's state is written by
what ended it (its own report, the rung that stopped it, the watchdog), so nothing is inferred from Tune's `done`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from objectives.base import Report, State
from search.ledger import Ledger
from search.pack import from_plain
from search.plan import Job, Pause, Plan

# How long a sweep waits for the other workers before it goes on with those that are up.
START_SECONDS = 30.0
# Preparing may train a classifier, reading the test split scores many weights, before the one report: so many times longer, then.
CHORE_PATIENCE = 10


class _Unsaved:
    """Tune pickles what it is given, for a restore that never happens: a resume starts a new Tune run on what the catalogue has left."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class PlanSearcher(_Unsaved, Searcher):  # type: ignore[misc]
    """Hands the plan's jobs to Tune as trial configs, at most `workers` at a time."""

    def __init__(self, plan: Plan, as_config: Callable[[Job], dict[str, Any]], workers: int) -> None:
        super().__init__()
        self.plan, self._as_config, self.workers = plan, as_config, workers
        self.jobs: dict[str, Job] = {}
        self.regrouped: set[str] = set()  # trials that end at a rung with members that go on
        self._open: set[str] = set()
        self._to_warm = self._starting = workers - 1
        self._patience = 0.0

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Nothing of Tune's is needed: the plan knows the metric and the space."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None while there is nothing to do until something ends."""
        if len(self._open) >= self.workers:
            return None
        job = self.plan.next()
        if job is Pause.DONE:
            return str(Searcher.FINISHED)
        if job is Pause.WAIT and self._to_warm and self._preparing():
            self._to_warm -= 1
            job = Job("warm")
        if job is Pause.WAIT:
            return None
        assert isinstance(job, Job)
        self.jobs[trial_id] = job
        self._open.add(trial_id)
        return {"job": self._as_config(job)}

    def _preparing(self) -> bool:
        """Whether one worker prepares the data now, which is when the others have time to import and load theirs."""
        return any(self.jobs[trial_id].kind == "prepare" for trial_id in self._open)

    def started(self, trial_id: str) -> None:
        """A worker has the job."""
        if self.jobs[trial_id].kind == "warm":
            self._starting -= 1

    def workers_up(self) -> bool:
        """Whether every worker has been started, or had its time for that.

        A worker that is free meanwhile would get the job of one that still starts, and Tune would end that one: short members would all be
        trained by the first worker.
        """
        self._patience = self._patience or time.monotonic() + START_SECONDS
        return self._starting <= 0 or time.monotonic() > self._patience

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Frees the slot. Results and deaths reach the ledger through `Watch`, which sees them before Tune forgets them."""
        self._open.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """The catalogue is the truth; Tune's experiment state holds nothing of ours."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a resume starts a new Tune run on what is left."""


class Rungs(_Unsaved, FIFOScheduler):  # type: ignore[misc]
    """Asks the ledger, for every report, whether the member goes on."""

    def __init__(self, searcher: PlanSearcher, ledger: Ledger) -> None:
        super().__init__()
        self._searcher, self._ledger = searcher, ledger
        self._kept = False

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Keep every worker for the whole sweep.

        Left alone, Tune keeps one idle worker: when several members end in the same turn of its loop, as at the end of the search, it ends
        the other workers and starts new ones, which takes longer than a short training. It has no public setting for this.
        """
        super().on_trial_add(tune_controller, trial)
        cache = getattr(tune_controller, "_actor_cache", None)
        if cache is not None and not self._kept:
            cache.increase_max(trial.placement_group_factory, self._searcher.workers)
            self._kept = True

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP when the rung or the wall time says so; the ledger remembers why until the callback ends the member."""
        job = self._searcher.jobs[trial.trial_id]
        if job.kind == "prepare":
            return str(TrialScheduler.STOP if result.get("error") or self._searcher.workers_up() else TrialScheduler.CONTINUE)
        if not job.rows:
            return str(TrialScheduler.CONTINUE)
        stopped = self._ledger.decide(by_member(job, result))
        if self._searcher.plan.out_of_time():
            stopped = {row.number for row in job.rows}
            for number in stopped:
                self._ledger.doom(number, "budget: the sweep's wall time is over")
        if stopped:
            self._searcher.regrouped.add(trial.trial_id)
        return str(TrialScheduler.STOP if stopped else TrialScheduler.CONTINUE)


class Watch(_Unsaved, tune.Callback):  # type: ignore[misc]
    """Feeds the ledger, ends what is silent for too long, and turns a request to stop into an exception that leaves `fit`."""

    def __init__(self, searcher: PlanSearcher, ledger: Ledger, silence_seconds: float, interrupted: Callable[[], bool]) -> None:
        self._searcher, self._ledger = searcher, ledger
        self._silence_seconds, self._interrupted = silence_seconds, interrupted
        self._heard: dict[str, float] = {}
        self._killed: dict[str, str] = {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Once per turn of Tune's loop, at least ten times a second."""
        if self._interrupted():
            raise Interrupted
        now = time.monotonic()
        for trial in trials:
            heard = self._heard.get(trial.trial_id)
            if heard is not None and now - heard > self._patience_seconds(trial) and trial.status == "RUNNING":
                self._kill(trial)

    def _patience_seconds(self, trial: Any) -> float:
        """How long a trial may be silent."""
        return self._silence_seconds * (CHORE_PATIENCE if self._searcher.jobs[trial.trial_id].kind in ("prepare", "read_test") else 1)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The clock of silence starts when the worker has the job."""
        self._heard[trial.trial_id] = time.monotonic()
        self._searcher.started(trial.trial_id)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Reports go to the ledger; a member that ended is told to the plan."""
        self._heard[trial.trial_id] = time.monotonic()
        job, plan = self._searcher.jobs[trial.trial_id], self._searcher.plan
        if job.kind == "prepare" and result.get("done"):
            plan.prepared(result.get("facts", {}), result.get("error", ""))
        elif job.kind == "read_test":
            plan.test_read(result.get("test", []), result.get("error", ""))
        elif job.rows:
            self._record(trial.trial_id, by_member(job, result), result)

    def _record(self, trial_id: str, reports: Mapping[int, list[Report]], result: dict[str, Any]) -> None:
        """Write a pack's reports down. Where a rung took some of its members, the others wait for a new pack."""
        plan, stops = self._searcher.plan, trial_id in self._searcher.regrouped
        ended = self._ledger.record(reports, result.get("seconds", 0.0), result.get("worker", {}))
        for number in reports:
            if number in ended:
                plan.ended(number)
            elif stops and self._ledger.rows[number].state is None:
                plan.passed(number)
        if note := result.get("note"):
            self._ledger.note(note)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """No longer watched."""
        self._heard.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The worker process is gone: by our hand (silence), by the kernel's, or with its node."""
        self._heard.pop(trial.trial_id, None)
        job, plan = self._searcher.jobs[trial.trial_id], self._searcher.plan
        why = self._killed.pop(trial.trial_id, "")
        died = _last_words(trial)
        if job.kind == "warm":
            return
        if not job.rows:
            plan.problem = f"the sweep's {job.kind} step lost its worker: {why or died}"
            return
        for number in [row.number for row in job.rows if self._ledger.rows[row.number].state is None]:
            self._lost(number, why, died)

    def _lost(self, number: int, why: str, died: str) -> None:
        plan = self._searcher.plan
        reason = why or plan.lost(number, died)
        if reason:
            state = State.FAILED if why or "preempt" not in died.lower() else State.PREEMPTED
            epoch = self._ledger.rows[number].epochs
            last = Report(number, epoch, float("nan"), state=state, reason=reason)
            self._ledger.record({number: [last]}, 0.0, {})
            plan.ended(number)

    def _kill(self, trial: Any) -> None:
        self._killed[trial.trial_id] = f"time limit: no report for {self._patience_seconds(trial):g} s (limits.silence_seconds)"
        self._heard.pop(trial.trial_id, None)
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            ray.kill(actor, no_restart=True)


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The user asked the sweep to stop; everything it did is in the catalogue."""


def by_member(job: Job, result: dict[str, Any]) -> dict[int, list[Report]]:
    """A pack's reports for each of its members, in the order of the pack; none for one that ended earlier."""
    found: dict[int, list[Report]] = {row.number: [] for row in job.rows}
    for fields in trial_reports(result):
        report = from_plain(fields)
        found[report.number].append(report)
    return found


def trial_reports(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The reports in a Tune result, flattened or not."""
    found: list[dict[str, Any]] = result.get("reports", [])
    return found


def _last_words(trial: Any) -> str:
    """The last line of what Ray says about a dead worker."""
    try:
        lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines() if line.strip()]
    except (OSError, TypeError):
        lines = []
    return lines[-1][:300] if lines else "the worker process ended without a word"
