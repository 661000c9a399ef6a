"""Ray Tune's side of a worker: a trainable that hands each trial to the `Worker` of its process."""

from __future__ import annotations

import os
import time
from typing import Any

import ray
from ray import tune

from infra import machine
from search.running.work import Prepare, Progress, Result, Warm
from search.running.worker import Worker


class MemberTrainable(tune.Trainable):  # type: ignore[misc]
    """One Tune trial is one piece of work. The process serves many trials, one after another."""

    _worker: Worker | None = None
    _found: Result | None

    def setup(self, config: dict[str, Any]) -> None:
        """Take over a trial's work."""
        machine.return_memory()
        os.chdir(os.environ.get("TUNE_ORIG_WORKING_DIR", "."))  # Tune moves to a folder of its own; a user's module reads files beside it
        self._worker = self._worker or Worker({"node": ray.get_runtime_context().get_node_id()})
        self._work, self._found = config["work"], None
        self._worker.begin(self._work)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial in the same process."""
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """The process ends: nothing of its last trial goes on."""
        if self._worker is not None:
            self._worker.close()

    def step(self) -> dict[str, Any]:
        """A step of the worker: its result, and whether the trial is over."""
        assert self._worker is not None
        if self._work.setting.memory_gb:  # so a member that asks for more fails by itself; else the kernel or Ray would end a neighbour
            machine.limit_memory(self._work.setting.memory_gb)
        if isinstance(self._work, Prepare | Warm):
            return {"done": False, "result": self._once(self._worker)}  # the driver ends it when every worker is up
        result = self._worker.step()
        return {"done": result.done if isinstance(result, Progress) else True, "result": result}

    def _once(self, worker: Worker) -> Result:
        """What the worker has found. Asked again, it gives the same after a moment."""
        if self._found is None:
            self._found = worker.step()
        else:
            time.sleep(0.1)
        return self._found
