"""An MLflow client for a server, which says what a sweep says most often in one step: points, and that a run has ended.

MLflow's own makes an object of each point, of it a protobuf message, of it a text, of the text JSON again: 1 of 2 ms of a call with 60
points. Here the JSON is written at once, to the same documented endpoints, and to the letter what MLflow's own client says
(`tests/infra/test_tracking_server.py`). The call itself is MLflow's, so that passwords, certificates and headers are what its settings say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

_API: Final = "/api/2.0/mlflow/runs"
_MOST: Final = 1000
"""Points, parameters and tags that a server takes in one call."""
_NAMES: Final = 100
"""Parameters, or tags, that a server takes in one call."""


class Server(MlflowClient):  # type: ignore[misc]  # MLflow is untyped to mypy here
    """The client of a server whose address begins with http."""

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Any] = (),
        params: Sequence[Any] = (),
        tags: Sequence[Any] = (),
        synchronous: bool | None = None,
    ) -> Any:
        """See MLflow. What does not fit into one call is left to MLflow's own."""
        if len(metrics) + len(params) + len(tags) > _MOST or max(len(params), len(tags)) > _NAMES or not synchronous:
            return super().log_batch(run_id, metrics, params, tags, synchronous)
        points = [{"key": one.key, "value": _number(one.value), "timestamp": one.timestamp, "step": one.step} for one in metrics]
        said = {"metrics": points, "params": _pairs(params), "tags": _pairs(tags)}
        if any(said.values()):
            self._say("log-batch", {"run_id": run_id, **{name: listed for name, listed in said.items() if listed}})
        return None

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        """See MLflow. `end_time` is in ms since 1970."""
        if status is None or end_time is None:
            super().set_terminated(run_id, status, end_time)
        else:
            self._say("update", {"run_uuid": run_id, "run_id": run_id, "status": status, "end_time": end_time})

    def _say(self, call: str, body: dict[str, Any]) -> None:
        path = f"{_API}/{call}"
        verify_rest_response(http_request(get_default_host_creds(self.tracking_uri), path, "POST", json=body), path)


def _number(value: float) -> float | str:
    """A number as JSON has it, which has no NaN and no infinity."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _pairs(entities: Sequence[Any]) -> list[dict[str, str]]:
    return [{"key": one.key, "value": one.value} for one in entities]
