"""Ray, from this process: a small local one, or one that is already up; started once for all sweeps and shut down cleanly."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import addresses, private
from infra.errors import InfraError
from infra.machine import cores

# The object store holds next to nothing: reports are small and data is loaded by each worker.
OBJECT_STORE_BYTES = 80 * 2**20
PRELOAD = "RAY_preload_python_modules"  # a setting of Ray's that its workers read


def _nothing() -> None:
    """A Ray that others started stays up."""


@dataclass(frozen=True)
class Cluster:
    """A Ray that is up. `workers` is how many members it can train at once.

    `release` says that nobody needs it any more: a Ray that was started for this is then shut down in the background. Call it once.
    """

    address: str | None
    workers: int
    resources: Mapping[str, float]
    release: Callable[[], None] = field(default=_nothing, compare=False, repr=False)

    @property
    def local(self) -> bool:
        """Whether this process started it."""
        return self.address is None


@contextlib.contextmanager
def connect(
    address: str | None = None,
    *,
    workers: int | None = None,
    cpu: float = 1,
    gpu: float = 0,
    folder: Path | None = None,
    ahead: Sequence[str] = (),
    workers_ahead: Sequence[str] = (),
) -> Iterator[Cluster]:
    """A Ray for members that need `cpu` cores and `gpu` GPUs each: the one at `address` (`auto`, `host:port`), else a local one.

    `folder` is shipped to the nodes of a remote Ray as a whole, so that a user's own module is importable there (`shipping.staged`).
    Modules named in `ahead` are imported meanwhile: starting Ray is mostly waiting. Modules named in `workers_ahead` are imported by the
    workers of a local Ray as soon as they start.

    Raises:
        InfraError: there is no Ray at the address, none could be started here, or it cannot hold a single member.
    """
    quiet_environment(local=address is None)
    import ray

    mine = not ray.is_initialized()
    if mine:
        threading.Thread(target=_import, args=(ahead,), name="lagrange-imports", daemon=True).start()
        # Ray starts one worker for each of its CPUs. Where members need more than that, most of these workers would import in vain.
        _preload(workers_ahead if gpu == 0 and cpu <= 1 else ())
        _start(ray, address, workers, cpu, gpu, folder)
    releasing = threading.Thread(target=ray.shutdown, name="lagrange-shutdown") if mine else None
    try:
        resources = ray.cluster_resources()
        room = capacity(resources, cpu, gpu)
        if room < 1:
            have = f"{resources.get('CPU', 0):g} CPU, {resources.get('GPU', 0):g} GPU"
            raise InfraError(
                f"The cluster must have room for one member ({cpu:g} CPU, {gpu:g} GPU); it has {have}. Lower `resources` in the spec."
            )
        yield Cluster(address, min(workers or room, room), resources, releasing.start if releasing else _nothing)
    finally:
        if releasing and releasing.ident is not None:
            releasing.join()
        elif mine:
            ray.shutdown()


def _preload(modules: Sequence[str]) -> None:
    """Let the workers of the next Ray that this process starts import these modules at once; one that is not found does no harm."""
    if modules:
        os.environ[PRELOAD] = ",".join(modules)
    else:
        os.environ.pop(PRELOAD, None)


def _import(modules: Sequence[str]) -> None:
    """Import modules; one that cannot be imported says so where it is needed."""
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)


def capacity(resources: Mapping[str, float], cpu: float, gpu: float) -> int:
    """How many members fit at once."""
    limits = [resources.get(kind, 0.0) // need for kind, need in (("CPU", cpu), ("GPU", gpu)) if need > 0]
    return int(min(limits)) if limits else 1


def quiet_environment(*, local: bool) -> None:
    """Settings that Ray reads once, before it is imported: no calls home, no files beside ours, no killing of neighbours."""
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Ray's memory monitor ends whole sweeps and innocent neighbours; a limit inside the worker ends the member that is too large.
        "RAY_memory_monitor_refresh_ms": "0",
        # By itself a local Ray ends workers that are idle for a second, and starts others when the driver is ready.
        "RAY_idle_worker_killing_time_threshold_ms": "120000",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_RESULT_BUFFER_LENGTH": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "600",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    if local:
        private.token()
    for name in ("ray", "ray.tune", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _start(ray: Any, address: str | None, workers: int | None, cpu: float, gpu: float, folder: Path | None) -> None:
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    if address is not None:
        if folder is not None:
            common["runtime_env"] = {"working_dir": str(folder)}
        address = addresses.checked(address)  # by itself Ray waits for minutes where nobody answers
        try:
            ray.init(address=address, **common)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InfraError(
                f"A Ray cluster must be up at the address; got {address!r}: {error}. "
                "Start one with `ray start --head`, or leave out --address for a local Ray."
            ) from error
        return
    count = workers or max(1, int(cores() // max(cpu, 1e-9)))
    # More workers than cores is the user's choice: Ray is told of as many CPUs as they need.
    try:
        # `local`: else RAY_ADDRESS, or what `ray start` has left in its folder, would name another Ray.
        with private.on_loopback():
            ray.init(
                address="local",
                num_cpus=max(1, round(count * cpu + 0.499)),
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **common,
            )
    except Exception as error:  # Ray raises bare ones, of a start that took too long too
        ray.shutdown()
        reason = str(error).partition("\n")[0]
        raise InfraError(
            f"Ray must start on this machine; it did not: {reason} If the machine is very busy or its memory full, run this again later."
        ) from error
