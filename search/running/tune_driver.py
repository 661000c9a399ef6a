"""Carry out a plan with Ray Tune: a Searcher over the plan, a TrialScheduler over our rungs, a Callback that feeds the plan.

Each is a thin adapter. Tune decides where and when a job runs; the plan decides what runs; the scheduler decides for how long. A member's
state is written by what ended it (its own report, the rung that stopped it, the watchdog). So nothing is inferred from Tune's `done`.

`search` in the names here is Tune's word: the plan speaks to Tune through Tune's Searcher.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.running.dispatch import Dispatch
from search.running.leftovers import SCRATCH
from search.running.plan import Job, Kind, Pause, Plan
from search.running.tune_worker import MemberTrainable
from search.running.work import Prepared, Result, Warmed

# How long a sweep waits for the other workers. After that it goes on with the workers that are up.
START_SECONDS = 30.0
# A chore gives one report, at its end. Preparing may train a classifier, reading the test split scores many weights: so they get more time.
CHORE_PATIENCE = 10
NEVER_S = 10**9

# Tune gives every trainable an environment variable that only PyTorch Lightning reads. A worker with an environment of its own is a new
# process: the workers that Ray has started ahead would stay idle beside it. Tune has no public setting for this.
getattr(class_cache, "DEFAULT_ENV_VARS", {}).clear()


def carry_out(plan: Plan, dispatch: Dispatch, interrupted: Callable[[], bool]) -> bool:
    """Let Ray Tune do what the plan says. Returns False when it was interrupted. One Tune run serves all phases: workers start once."""
    spec, workers = dispatch.spec, dispatch.up.workers
    searcher = PlanSearcher(plan, dispatch, workers)
    scratch = dispatch.home.storage / dispatch.name / SCRATCH
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers)
    os.environ["TUNE_FORCE_TRIAL_CLEANUP_S"] = "2"  # by itself Tune waits for ten minutes for a worker that does not end
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(NEVER_S)  # Tune would write its state of all trials every ten seconds, and nobody reads it
    tuner = tune.Tuner(
        tune.with_resources(MemberTrainable, {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=Rungs(searcher), num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name=f"run-{os.getpid()}",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[Watch(searcher, spec.limits.silence_seconds, interrupted)],
            # Retries and checkpoints are ours, because they must survive the driver, and Tune's do not.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except Interrupted:
        return False
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return not interrupted()


class _Unsaved:
    """Gives Tune nothing to pickle. Tune would use it for a restore that never happens: a resume starts a new Tune run on what is left."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class PlanSearcher(_Unsaved, Searcher):  # type: ignore[misc]
    """Hands the plan's jobs to Tune as trial configs, at most `workers` at a time."""

    def __init__(self, plan: Plan, dispatch: Dispatch, workers: int) -> None:
        super().__init__()
        self.plan, self._dispatch, self.workers = plan, dispatch, workers
        self.jobs: dict[str, Job | None] = {}  # what each trial does; None: the trial warms up its worker
        self.stopped: set[str] = set()  # trials that end at a rung while members of them go on
        self._open: set[str] = set()
        self._to_warm, self._starting = workers - 1, workers
        self._patience = 0.0

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Ignores what Tune says: the plan knows the metric and the space."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None while nothing can be done until something ends."""
        if len(self._open) >= self.workers:
            return None
        job = self.plan.next()
        if job is Pause.DONE:
            return str(Searcher.FINISHED)
        if isinstance(job, Job):
            self._dispatch.ledger.dispatched(job.rows)
            return self._given(trial_id, job, {"work": self._dispatch.work(job)})
        if not self._open:
            self.plan.stuck()
            return str(Searcher.FINISHED)
        if self._to_warm and self._preparing():
            self._to_warm -= 1
            return self._given(trial_id, None, {"work": self._dispatch.warm()})
        return None

    def _given(self, trial_id: str, job: Job | None, config: dict[str, Any]) -> dict[str, Any]:
        self.jobs[trial_id] = job
        self._open.add(trial_id)
        return config

    def _preparing(self) -> bool:
        """Whether one worker prepares the data now. Meanwhile the other workers have time to import and to load their data."""
        return any((job := self.jobs[trial_id]) is not None and job.kind is Kind.PREPARE for trial_id in self._open)

    def started(self, trial_id: str) -> None:
        """A worker has the job."""
        job = self.jobs[trial_id]
        if job is None or job.kind is Kind.PREPARE:
            self._starting -= 1

    def workers_up(self) -> bool:
        """Whether every worker has started, or has had its time to start.

        A worker that is free earlier would get the job of a worker that still starts, and Tune would end the one that starts. Then the
        first worker would train all short members.
        """
        self._patience = self._patience or time.monotonic() + START_SECONDS
        return self._starting <= 0 or time.monotonic() > self._patience

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Frees the slot. Results and deaths reach the plan through `Watch`, which sees them before Tune forgets them."""
        self._open.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """The catalogue is the truth; Tune's experiment state holds nothing of ours."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a resume starts a new Tune run on what is left."""


class Rungs(_Unsaved, FIFOScheduler):  # type: ignore[misc]
    """Asks the plan, for every report, whether the trial goes on."""

    def __init__(self, searcher: PlanSearcher) -> None:
        super().__init__()
        self._searcher = searcher
        self._kept = False

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Keep every worker for the whole sweep.

        By itself Tune keeps one idle worker. When several members end in the same turn of its loop, as at the end of the search, Tune ends
        the other workers and starts new ones. That takes longer than a short training. Tune has no public setting for this.
        """
        super().on_trial_add(tune_controller, trial)
        cache = getattr(tune_controller, "_actor_cache", None)
        if cache is not None and not self._kept:
            cache.increase_max(trial.placement_group_factory, self._searcher.workers)
            self._kept = True

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP when a rung or the wall time says so. The ledger keeps the reason until the callback ends the member."""
        job, said = self._searcher.jobs[trial.trial_id], result["result"]
        if isinstance(said, Prepared | Warmed):
            refused = isinstance(said, Prepared) and said.error
            return str(TrialScheduler.STOP if refused or self._searcher.workers_up() else TrialScheduler.CONTINUE)
        if job is not None and self._searcher.plan.stops(job, said):
            self._searcher.stopped.add(trial.trial_id)
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)


class Watch(_Unsaved, tune.Callback):  # type: ignore[misc]
    """Feeds the plan, ends what is silent for too long, and turns a request to stop into an exception that leaves `fit`."""

    def __init__(self, searcher: PlanSearcher, silence_seconds: float, interrupted: Callable[[], bool]) -> None:
        self._searcher = searcher
        self._silence_seconds, self._interrupted = silence_seconds, interrupted
        self._heard: dict[str, float] = {}
        self._killed: dict[str, str] = {}
        self._left = False  # those who are killed for the end have not died

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Once per turn of Tune's loop, at least ten times a second."""
        if self._interrupted() or self._searcher.plan.halted:
            self._leave(trials)
        now = self._now()
        for trial in trials:
            heard = self._heard.get(trial.trial_id)
            if heard is not None and now - heard > self._patience_seconds(trial) and trial.status == "RUNNING":
                self._kill(trial)

    def _now(self) -> float:
        """A clock that stands still while the driver waits for its catalogue: it hears of nobody then."""
        return time.monotonic() - self._searcher.plan.ledger.waited_s()

    def _leave(self, trials: list[Any]) -> None:
        """Leave Tune's loop now. A worker in a long epoch would not hear of it before its end, and Tune would wait for it."""
        self._left = True
        for trial in trials:
            actor = trial.temporary_state.ray_actor
            if actor is not None:
                ray.kill(actor, no_restart=True)
        raise Interrupted

    def _patience_seconds(self, trial: Any) -> float:
        """How long a trial may be silent."""
        job = self._searcher.jobs[trial.trial_id]
        return self._silence_seconds * (CHORE_PATIENCE if job is not None and job.kind is not Kind.TRAIN else 1)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The time of silence is counted from the moment when the worker has the job."""
        self._heard[trial.trial_id] = self._now()
        self._searcher.started(trial.trial_id)

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Tell the plan what a worker reports. That the data is ready is told only when every worker is up."""
        self._heard[trial.trial_id] = self._now()
        job = self._searcher.jobs[trial.trial_id]
        said: Result = result["result"]
        if job is not None and (result.get("done") or not isinstance(said, Prepared)):
            self._searcher.plan.heard(job, said, trial.trial_id in self._searcher.stopped)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial is no longer watched."""
        self._heard.pop(trial.trial_id, None)
        job = self._searcher.jobs[trial.trial_id]
        if job is not None and not self._left and trial.trial_id not in self._searcher.stopped:
            self._searcher.plan.left_open(job)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The worker process is gone: we ended it (silence), or the kernel did, or its node is gone."""
        self._heard.pop(trial.trial_id, None)
        job = self._searcher.jobs[trial.trial_id]
        if job is not None and not self._left:
            self._searcher.plan.lost(job, _last_words(trial), self._killed.pop(trial.trial_id, ""))

    def _kill(self, trial: Any) -> None:
        self._killed[trial.trial_id] = f"time limit: no report for {self._patience_seconds(trial):g} s (limits.silence_seconds)"
        self._heard.pop(trial.trial_id, None)
        actor = trial.temporary_state.ray_actor
        if actor is not None:
            ray.kill(actor, no_restart=True)


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The user asked the sweep to stop. Everything that it did is in the catalogue."""


def _last_words(trial: Any) -> str:
    """The last line of what Ray says about a dead worker."""
    try:
        lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines() if line.strip()]
    except (OSError, TypeError):
        lines = []
    return lines[-1][:300] if lines else "the worker process ended without a word"
