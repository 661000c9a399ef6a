"""Where a sweep runs: on a local Ray, on a cluster that is up, or in this process. And how it is asked to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import threadpoolctl

from infra import cluster, tracking
from infra.cluster import Cluster
from infra.errors import InfraError
from infra.storage import Home
from search.running import halting
from search.running.dispatch import Dispatch
from search.running.plan import Plan
from search.spec.keys import Spec
from search.telling.listener import Listener, Silent

IN_PROCESS = "in-process"
# Modules that the driver needs later, in the order in which it needs them. While Ray starts there is time to import them.
SOON = ("alembic.command", "ray.tune", "optuna", "search.running.tune_driver", "scipy.optimize", "scipy.stats.qmc")
AT_THE_END = ("optuna.storages", "optuna.importance", "matplotlib.figure", "matplotlib.backends.backend_agg")
WORKERS_SOON = ("infra.one_thread", "search.running.tune_worker")


def is_remote(address: str | None) -> bool:
    """Whether members are trained on other machines, whose files this machine cannot see."""
    return address not in (None, IN_PROCESS)


@dataclass(frozen=True)
class Where:
    """Where a sweep runs: how many workers, on which Ray (None: a local one; `in-process`: none), and who listens."""

    home: Home
    workers: int | None = None
    address: str | None = None
    listener: Listener = field(default_factory=Silent)
    tracking: bool = True

    @contextmanager
    def up(self, spec: Spec) -> Iterator[Cluster]:
        """The workers, until the sweep is over.

        Raises:
            StorageError: a disk takes no new files.
            InfraError: no Ray at the address, none can be started, or more than one worker was asked of this process.
        """
        halting.refuse_full(self.home)
        if self.address == IN_PROCESS:
            if self.workers not in (None, 1):
                raise InfraError(f"Members are trained one after another in this process; got workers {self.workers}. Leave workers out.")
            yield Cluster(None, 1, {})
            return
        if self.address not in (None, "auto") and ":" not in str(self.address):
            raise InfraError(
                f"The address must be auto, HOST:PORT or {IN_PROCESS}; got {self.address!r}. Without one a local Ray is started."
            )
        tracking.quiet_environment()  # Ray imports MLflow too, with or without tracking
        own = Path.cwd() if spec.own and is_remote(self.address) else None
        with cluster.connect(
            self.address,
            workers=self.workers,
            cpu=spec.resources.cpu,
            gpu=spec.resources.gpu,
            folder=own,
            ahead=SOON + ("mlflow",) * self.tracking + AT_THE_END,
            workers_ahead=WORKERS_SOON + spec.trained.imports,
        ) as found:
            yield found

    def carry_out(self, plan: Plan, dispatch: Dispatch, interrupted: Callable[[], bool]) -> bool:
        """Carry out the plan. Returns False when it was interrupted."""
        if self.address == IN_PROCESS:
            from search.running import in_process as carrier
        else:
            from search.running import tune_driver as carrier  # type: ignore[no-redef]
        # The driver's matrices are small. More threads would only take the processor from the workers.
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            carried_out = carrier.carry_out(plan, dispatch, interrupted)
        dispatch.up.release()  # what comes now needs no worker, and to shut Ray down is mostly waiting
        return carried_out


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask the sweep to stop; a second Ctrl-C stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
