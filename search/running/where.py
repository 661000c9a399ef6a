"""Where a sweep runs: on a local Ray, on a cluster that is up, or in this process. And how it is asked to stop."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import threadpoolctl

from infra import tracking
from infra.errors import InfraError
from infra.ray import addresses, cluster, shipping
from infra.ray.alike import modules_of
from infra.ray.cluster import Cluster
from infra.storage import Home
from search.running import halting
from search.running.planning.dispatch import Dispatch
from search.running.planning.plan import Plan
from search.spec.keys import Spec
from search.telling.listener import Listener, Silent

IN_PROCESS = "in-process"
# Modules that the driver needs later, in the order in which it needs them. While Ray starts there is time to import them.
SOON = ("alembic.command", "ray.tune", "optuna", "search.running.tune.carrier", "scipy.optimize", "scipy.stats.qmc")
AT_THE_END = ("optuna.storages", "optuna.importance", "matplotlib.figure", "matplotlib.backends.backend_agg")
WORKERS_SOON = ("infra.ray.one_thread", "search.running.tune.trainable")


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

    def waits(self, text: str) -> None:
        """Say that the catalogue is waited for, or is back: to the listener; without one as a warning of Python's logging (`lagrange`)."""
        if type(self.listener) is Silent:
            logging.getLogger("lagrange").warning("The sweep %s", text)
        else:
            self.listener.note(text)

    @contextmanager
    def up(self, spec: Spec) -> Iterator[Cluster]:
        """The workers, until the sweep is over.

        Raises:
            StorageError: a disk takes no new files.
            InfraError: no Ray at the address, none can be started, or more than one worker was asked of this process.
        """
        halting.refuse_full(self.home)
        self.home.depot.prove(alone=self.address == IN_PROCESS)
        if self.address == IN_PROCESS:
            if self.workers not in (None, 1):
                raise InfraError(f"Members are trained one after another in this process; got workers {self.workers}. Leave workers out.")
            yield Cluster(None, 1, {})
            return
        address = self._resolved()
        tracking.quiet_environment()  # Ray imports MLflow too, with or without tracking
        with (
            shipped([spec], self.address, self.listener.note) as own,
            cluster.connect(
                address,
                workers=self.workers or spec.workers,
                need=spec.resources.need,
                wait_minutes=spec.resources.wait_minutes,
                note=self.listener.note,
                folder=own,
                ahead=SOON + ("mlflow",) * self.tracking + AT_THE_END,
                workers_ahead=WORKERS_SOON + spec.trained.imports,
            ) as found,
        ):
            yield self._proven(found, spec)

    def _resolved(self) -> str | None:
        """The address as Ray takes it. Of `auto` it is said what was taken."""
        if self.address is None:
            return None
        if self.address != addresses.AUTO and ":" not in self.address:
            raise InfraError(
                f"The address must be auto, HOST:PORT or {IN_PROCESS}; got {self.address!r}. Without one a local Ray is started."
            )
        found = addresses.resolved(self.address)
        if self.address == addresses.AUTO:
            self.listener.note(f"--address auto: the Ray at {found}")
        return found

    def _proven(self, found: Cluster, spec: Spec) -> Cluster:
        """The cluster, after its nodes have proved that they run what this process runs."""
        if found.local:
            return found
        from search.running.tune.grounds import proven

        return proven(found, modules_of(spec.own_parts), self.home.depot)

    def of(self, facts: Mapping[str, Any] | None) -> Where:
        """The same for a sweep with these facts: its files may be behind a URL. Raises InfraError where another one was given."""
        return replace(self, home=self.home.placed(facts))

    def carry_out(self, plan: Plan, dispatch: Dispatch, interrupted: Callable[[], bool]) -> bool:
        """Carry out the plan. Returns False when it was interrupted."""
        if self.address == IN_PROCESS:
            from search.running import in_process as carrier
        else:
            from search.running.tune import carrier  # type: ignore[no-redef]

        def asked() -> bool:
            """Whether to stop. Every turn asks, so it is also where the driver says that MLflow takes nothing, however long an epoch is."""
            if words := dispatch.ledger.tracker.trouble():
                self.listener.note(words)
            return interrupted()

        # The driver's matrices are small. More threads would only take the processor from the workers.
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            carried_out = carrier.carry_out(plan, dispatch, asked)
        # Ray's own objects in Tune's reference cycles: collected after Ray is shut down, one of them would end this process at once.
        gc.collect()
        if plan.halted:
            dispatch.ledger.leftovers.half_written(dispatch.ledger.rows.values())
        dispatch.up.release()  # what comes now needs no worker, and to shut Ray down is mostly waiting
        return carried_out


@contextmanager
def shipped(specs: Sequence[Spec], address: str | None, note: Callable[[str], None] = lambda text: None) -> Iterator[Path | None]:
    """A folder with the files of the current folder that these specs name, for the nodes of a remote Ray; None where none are needed."""
    if not is_remote(address) or shipping.in_job():
        yield None
        return
    found = shipping.parcel(Path.cwd(), [spec.model_dump(mode="json", exclude_none=True) for spec in specs])
    for path, reason in found.left.items():
        note(f"{path} does not go to the nodes: {reason}")
    if not found.files:
        yield None
        return
    with shipping.staged(found) as folder:
        yield folder


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
