"""Ray, from this process: a small local one, or one that is already up; started once for all sweeps and shut down cleanly."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.errors import InfraError
from infra.machine import cores
from infra.ray import addresses, private
from infra.ray.nodes import Need, Node, capacity, still_to_come, too_small
from infra.ray.unbroken import unbroken

# The object store holds next to nothing: reports are small and data is loaded by each worker.
OBJECT_STORE_BYTES = 80 * 2**20
PRELOAD = "RAY_preload_python_modules"  # a setting of Ray's that its workers read
WAIT_MINUTES = 10.0  # how long a sweep waits for nodes that must still come, where the spec does not say
LOOK_SECONDS = 1.0  # between two looks at the nodes while nothing else is to be done
BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")  # Ray's cluster launcher leaves it on the head of a cluster that can grow


def _nothing() -> None:
    """A Ray that others started stays up."""


@dataclass(frozen=True)
class Cluster:
    """A Ray that is up. `workers` is how many members it can train at once now, `most` how many at most when it grows; None: all that fit.

    `grows`: nodes may still come. `need` is what one worker occupies. `proven` are the nodes that run what the driver runs. `release` says
    that nobody needs the Ray any more: one that was started for this goes down in the background. Call it once.
    """

    address: str | None
    workers: int
    resources: Mapping[str, float]
    release: Callable[[], None] = field(default=_nothing, compare=False, repr=False)
    need: Need = field(default_factory=Need)
    most: int | None = None
    grows: bool = False
    proven: frozenset[str] = frozenset()

    @property
    def local(self) -> bool:
        """Whether this process started it."""
        return self.address is None


@contextlib.contextmanager
def connect(
    address: str | None = None,
    *,
    workers: int | None = None,
    need: Need | None = None,
    wait_minutes: float | None = None,
    note: Callable[[str], None] = lambda text: None,
    folder: Path | None = None,
    ahead: Sequence[str] = (),
    workers_ahead: Sequence[str] = (),
) -> Iterator[Cluster]:
    """A Ray for members of this need: the one at `address` (`auto`, `host:port`), else a local one.

    Where no node has room for a member and nodes may still come, it waits `wait_minutes` for one, and says so by `note`. `folder` is
    shipped to the nodes of a remote Ray as a whole, so that a user's own module is importable there (`shipping.staged`). Modules named in
    `ahead` are imported meanwhile: starting Ray is mostly waiting. Modules named in `workers_ahead` are imported by the workers of a local
    Ray as soon as they start.

    Raises:
        InfraError: there is no Ray at the address, none could be started here, or none of its nodes can hold a member.
    """
    need = need or Need()
    quiet_environment(local=address is None)
    import ray

    mine = not ray.is_initialized()
    if mine:
        importing = threading.Thread(target=_import, args=(ahead,), name="lagrange-imports", daemon=True)
        importing.start()
        # Ray starts one worker for each of its CPUs. Where members need more than that, most of these workers would import in vain.
        _preload(workers_ahead if need.gpu == 0 and need.cpu <= 1 else ())
        _start(ray, address, workers, need.cpu, folder)
        if address is not None:
            importing.join()  # a Ray that is up is soon reached, and two threads that import SciPy from two ends find it half made
    releasing = threading.Thread(target=ray.shutdown, name="lagrange-shutdown") if mine else None
    try:
        found, grows = nodes(), wait_minutes is not None or (address is not None and autoscaled())
        if not capacity(found, need):
            found = _awaited(found, need, grows, wait_minutes, note)
        room = capacity(found, need)
        release = releasing.start if releasing else _nothing
        yield Cluster(address, min(workers or room, room), ray.cluster_resources(), release, need, workers, grows)
    finally:
        if releasing and releasing.ident is not None:
            releasing.join()
        elif mine:
            ray.shutdown()


def nodes(*, free: bool = False) -> list[Node]:
    """The nodes that are up, of the Ray that this process is connected to. `free`: with what nobody uses of each."""
    import ray

    unused = ray._private.state.available_resources_per_node() if free else {}  # Ray has no public name for it
    return [
        Node(
            row["NodeID"],
            row["NodeManagerHostname"] or row["NodeManagerAddress"],
            row["Resources"],
            row.get("Labels") or {},
            unused.get(row["NodeID"]) if free else None,
        )
        for row in ray.nodes()
        if row["Alive"]
    ]


def _awaited(found: list[Node], need: Need, grows: bool, wait_minutes: float | None, note: Callable[[str], None]) -> list[Node]:
    """The nodes, as soon as one of them has room for a worker.

    Raises:
        InfraError: none has, and none may come; or none came in time.
    """
    if not grows and not still_to_come(found):
        raise InfraError(too_small(found, need))
    minutes = WAIT_MINUTES if wait_minutes is None else wait_minutes
    note(f"no node has room for a member ({need.words()}) yet; waiting for one, at most {minutes:g} min (resources.wait_minutes)")
    until = time.monotonic() + 60 * minutes
    with asked_for(need):
        while not capacity(found, need):
            if time.monotonic() > until:
                raise InfraError(f"No node with room for a member came within {minutes:g} min. {too_small(found, need)}")
            time.sleep(LOOK_SECONDS)
            found = nodes()
    return found


@contextlib.contextmanager
def asked_for(need: Need) -> Iterator[None]:
    """Ask the cluster for one worker's room. Ray tells an autoscaler of a placement group that waits, and forgets it with this process."""
    from ray.util.placement_group import placement_group, remove_placement_group

    group = placement_group([need.bundle()], bundle_label_selector=[dict(need.labels)])
    try:
        yield
    finally:
        remove_placement_group(group)


def autoscaled() -> bool:
    """Whether something may add nodes to the cluster, as far as Ray tells: its launcher's file is here, or its configuration says so."""
    import ray

    if BOOTSTRAP.expanduser().exists():
        return True
    config = ray._private.state.state.get_cluster_config()
    return config is not None and any(group.max_count > 0 for group in config.node_group_configs)


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


def _start(ray: Any, address: str | None, workers: int | None, cpu: float, folder: Path | None) -> None:
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    if address is not None:
        if folder is not None:
            common["runtime_env"] = {"working_dir": str(folder)}
        address = addresses.checked(address)  # by itself Ray waits for minutes where nobody answers
        try:
            with unbroken(ray):
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
        with private.on_loopback(), unbroken(ray):
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
