"""Ray Tune's side of a worker: a trainable that hands each trial to the `Worker` of its process."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import time
from typing import Any

import ray
from ray import tune

from search.running.work import Prepare, Progress, Result
from search.running.worker import Worker

# glibc's names for two of its options, from malloc.h.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


class MemberTrainable(tune.Trainable):  # type: ignore[misc]
    """One Tune trial: one piece of work. Its process serves many trials one after another."""

    _worker: Worker | None = None
    _prepared: Result | None

    def setup(self, config: dict[str, Any]) -> None:
        """Take over a trial's work."""
        return_memory()
        self._worker = self._worker or Worker({"node": ray.get_runtime_context().get_node_id()})
        self._work, self._prepared = config["work"], None
        self._worker.begin(self._work)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial in the same process."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """A step of the worker: its result, and whether the trial is over."""
        assert self._worker is not None
        _limit_memory(self._work.setting.memory_gb)
        if isinstance(self._work, Prepare):
            return {"done": False, "result": self._prepared_once(self._worker)}  # the driver ends it
        result = self._worker.step()
        return {"done": result.done if isinstance(result, Progress) else True, "result": result}

    def _prepared_once(self, worker: Worker) -> Result:
        """Facts of the data; asked again, the same, after a moment."""
        if self._prepared is None:
            self._prepared = worker.step()
        else:
            time.sleep(0.1)
        return self._prepared


def _limit_memory(gigabytes: float | None) -> None:
    """A member that asks for more fails by itself; without this the kernel or Ray would kill a neighbour."""
    if gigabytes:
        limit = int(gigabytes * 2**30)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def return_memory() -> None:
    """Have glibc give large tensors back when they are freed.

    By itself it moves the limit above which it does so up to 32 MB, and keeps what is smaller in a heap that tears: the heap of a worker on
    MNIST then grows by several hundred megabytes. Other allocators have no such function.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 8 * 2**20)
        mallopt(_TRIM_THRESHOLD, 64 * 2**20)
