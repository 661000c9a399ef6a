"""Carry out a plan with Ray Tune: each trial is a worker for the whole sweep, and the plan's jobs go to workers that are up.

Tune decides where and when a worker runs (a placement group for each), starts it, and tells of its end. The plan decides what runs, for how
long, and what a loss means. A member's state is written by what ended it (its own report, the rung that stopped it, the watchdog), and
nothing is inferred from Tune's `done`.

A job is no trial of its own, for two reasons. Tune gives the trial of a worker that still starts to one that is free, and ends the one that
starts as soon as it is up: where starting takes longer than a training, only the first workers ever train. And its loop slows down with
every trial that there ever was.

`search` in the names here is Tune's word: the plan speaks to Tune through Tune's Searcher.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from infra.ray.alike import modules_of
from search.running.planning.dispatch import Dispatch
from search.running.planning.plan import Plan
from search.running.tune.crew import Crew
from search.running.tune.grounds import Grounds
from search.running.tune.trainable import MemberTrainable
from search.running.writing.ledger import told_of_workers
from search.running.writing.leftovers import SCRATCH

NEVER_S = 10**9
MOST_PENDING = 10**6  # how many workers are asked for at once is decided here, not by Tune

# Tune gives every trainable an environment variable that only PyTorch Lightning reads. A worker with an environment of its own is a new
# process: the workers that Ray has started ahead would stay idle beside it. Tune has no public setting for this.
getattr(class_cache, "DEFAULT_ENV_VARS", {}).clear()


def carry_out(plan: Plan, dispatch: Dispatch, interrupted: Callable[[], bool]) -> bool:
    """Let Ray Tune do what the plan says. Returns False when it was interrupted. One Tune run serves all phases: workers start once."""
    spec, up, asked = dispatch.spec, dispatch.up, dispatch.spec.resources
    grounds = Grounds(
        up,
        dispatch.ledger.note,
        dispatch.home.depot,
        modules=modules_of(spec.own_parts),
        placement=asked.placement,
        wait_minutes=asked.wait_minutes,
    )
    ledger = dispatch.ledger

    def clock() -> float:
        """It stands still while the driver waits for its catalogue: it hears of nobody then."""
        return time.monotonic() - ledger.waited_s()

    crew = Crew(plan, dispatch, spec.limits.silence_seconds, grounds.admits, told_of_workers(ledger), clock)
    hands = Hands(crew, grounds, interrupted)
    scratch = dispatch.home.storage / dispatch.name / SCRATCH
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(MOST_PENDING)
    os.environ["TUNE_FORCE_TRIAL_CLEANUP_S"] = "2"  # by itself Tune waits for ten minutes for a worker that does not end
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = str(NEVER_S)  # Tune would write its state of all trials every ten seconds, and nobody reads it
    tuner = tune.Tuner(
        MemberTrainable,
        tune_config=tune.TuneConfig(search_alg=Asked(hands), scheduler=Told(hands), num_samples=-1, reuse_actors=False),
        run_config=tune.RunConfig(
            name=f"run-{os.getpid()}",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[Watch(hands)],
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


class Hands:
    """What the three doors of Tune share: the crew, Tune's trial for each worker, and a fault that must leave Tune's loop as it is."""

    def __init__(self, crew: Crew, grounds: Grounds, interrupted: Callable[[], bool]) -> None:
        self.crew, self.grounds, self._interrupted = crew, grounds, interrupted
        self.trials: dict[str, Any] = {}
        self.fault: BaseException | None = None
        self.left = False  # those who are killed for the end have not died
        self._listened = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Gives Tune nothing to pickle. Tune would use it for a restore that never happens: a resume starts a new run on what is left."""
        return {}

    def look_up(self) -> None:
        """Once per turn: leave Tune's loop where somebody asked for it, or by a fault that a report met, which Tune would change."""
        if self.fault is not None:
            raise self.fault
        if self._interrupted() or self.crew.plan.halted:
            self._leave()
        self.grounds.look(self.crew)
        now = time.monotonic()
        if now - self._listened < 1.0:
            return
        self._listened = now
        self._kill(self.crew.condemned())

    def _leave(self) -> None:
        """Leave Tune's loop now. A worker in a long epoch would not hear of it before its end, and Tune would wait for it."""
        self.left = True
        self._kill(self.trials)
        raise Interrupted

    def _kill(self, keys: Iterable[str]) -> None:
        for key in keys:
            if (actor := self.trials[key].temporary_state.ray_actor) is not None:
                ray.kill(actor, no_restart=True)

    def wanted(self, key: str) -> dict[str, Any] | None:
        """The config of one more worker, who is counted on; None where there are enough."""
        if self.crew.done or not self.crew.starting or len(self.crew.workers) >= self.grounds.places():
            return None
        request = self.grounds.request(key, self.crew)
        self.crew.starts(key)
        return request

    def serve(self, controller: Any) -> None:
        """Give work to those who are free, and let those go who have nothing more to do."""
        self._let_go(controller, self.grounds.leaving(self.crew))
        for key, work in self.crew.assigned():
            trial = self.trials[key]
            trial.temporary_state.ray_actor.take.remote(work)  # a worker does what it is told in the order of telling
            controller._schedule_trial_train(trial)  # Tune has no public way to let a trial go on that has waited
        if self.crew.done:
            self._let_go(controller, list(self.crew.workers))

    def _let_go(self, controller: Any, keys: Sequence[str]) -> None:
        for key in keys:
            self.crew.leaves(key)
            controller.stop_trial(self.trials.pop(key))

    def result(self, key: str, result: dict[str, Any]) -> bool:
        """A worker has reported. Returns whether it goes on."""
        if key not in self.crew.workers:
            return False
        if result["result"] is None:
            self.crew.is_up(key, result["node"])
            return False
        return self.crew.heard(key, result["result"])


class Asked(Searcher):  # type: ignore[misc]
    """Asks Tune for workers, as trials that have no end of their own."""

    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._hands = hands

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """Ignores what Tune says: the plan knows the metric and the space."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """One more worker; None where there are enough."""
        self._hands.look_up()  # where no worker is left, Tune waits in a loop of its own that asks for nothing else
        config = self._hands.wanted(trial_id)
        return str(Searcher.FINISHED) if config is None and self._hands.crew.done else config

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Results and deaths reach the plan through `Told` and `Watch`."""

    def save(self, checkpoint_path: str) -> None:
        """The catalogue is the truth; Tune's experiment state holds nothing of ours."""

    def restore(self, checkpoint_path: str) -> None:
        """Never called: a resume starts a new Tune run on what is left."""


class Told(FIFOScheduler):  # type: ignore[misc]
    """Tells the plan what workers report, and them what is next."""

    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._hands = hands

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A worker is asked for."""
        self._hands.trials[trial.trial_id] = trial

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Once per turn of Tune's loop, and after each event. Which worker starts first does not matter."""
        self._hands.serve(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """CONTINUE with the same work, or NOOP: Tune does nothing until the worker is given other work."""
        try:
            goes_on = self._hands.result(trial.trial_id, result)
        except Exception as error:  # Tune would put its own in place of it
            self._hands.fault, goes_on = error, False
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.NOOP)


class Watch(tune.Callback):  # type: ignore[misc]
    """Looks up in every turn of Tune's loop, and tells the plan of workers that are gone."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Once per turn of Tune's loop, at least ten times a second."""
        self._hands.look_up()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The worker process is gone: we ended it (silence), or the kernel did, or its node is gone."""
        key = trial.trial_id
        self._hands.trials.pop(key, None)
        if key not in self._hands.crew.workers or self._hands.left:
            return
        try:
            self._hands.crew.lost(key, self._hands.grounds.how_it_died(self._hands.crew.workers[key].node, _last_words(trial)))
        except Exception as error:
            self._hands.fault = error


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The user asked the sweep to stop. Everything that it did is in the catalogue."""


def _last_words(trial: Any) -> str:
    """The last line of what Ray says about a dead worker."""
    try:
        lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines() if line.strip()]
    except (OSError, TypeError):
        lines = []
    return lines[-1][:300] if lines else "the worker process ended without a word"
