"""Ray Tune's side of a worker: a trainable that hands its work to the `Worker` of its process."""

from __future__ import annotations

import os
from typing import Any

import ray
from ray import tune

from infra import machine
from search.running.working.work import Progress, Work
from search.running.working.worker import Worker


class MemberTrainable(tune.Trainable):  # type: ignore[misc]
    """One Tune trial is one worker process, for the whole sweep. It says that it is up, and then does one piece of work after another."""

    _worker: Worker | None = None

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What the worker occupies, and on which nodes it may be."""
        return tune.PlacementGroupFactory([config["bundle"]], name=config["name"], bundle_label_selector=[config["labels"]])

    def setup(self, config: dict[str, Any]) -> None:
        """The process starts."""
        machine.return_memory()
        os.chdir(os.environ.get("TUNE_ORIG_WORKING_DIR", "."))  # Tune moves to a folder of its own; a user's module reads files beside it
        self._node = ray.get_runtime_context().get_node_id()
        self._worker = Worker({"node": self._node})
        self._given: Work | None = None
        self._busy = False

    def take(self, work: Work) -> None:
        """Take over a piece of work. The next step begins it."""
        self._given = work

    def cleanup(self) -> None:
        """The process ends: nothing of its last work goes on."""
        if self._worker is not None:
            self._worker.close()

    def step(self) -> dict[str, Any]:
        """A step of the worker: its result; or None and its node, where it has nothing to do."""
        assert self._worker is not None
        if self._given is not None:
            self._worker.begin(self._given)
            self._memory_gb, self._given, self._busy = self._given.setting.memory_gb, None, True
        if not self._busy:
            return {"result": None, "node": self._node}
        if self._memory_gb:  # so a member that asks for more fails by itself; else the kernel or Ray would end a neighbour
            machine.limit_memory(self._memory_gb)
        result = self._worker.step()
        self._busy = isinstance(result, Progress) and not result.done
        return {"result": result}
