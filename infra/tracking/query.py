"""Runs that a query in MLflow's own language finds, through MLflow's own client: the UI's search box finds the same."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.catalogue.beside import refuse_no_mlflow
from infra.errors import InfraError
from infra.storage import sqlite_path, strip_password, sweep_name
from infra.tracking.client import open_client as _client
from infra.tracking.client import quiet_environment
from infra.tracking.ui import why

PAGE: Final = 1000
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
PARSES: Final = (
    "It must be comparisons joined by `and`: metrics.NAME (= != < <= > >=) with a number; params.NAME or tags.NAME (= != LIKE ILIKE) with "
    "text in single quotes; attributes.status, attributes.run_name, attributes.start_time. A name with other signs stands in backticks. "
    "For example: metrics.score < 23.6 and tags.arm = 'min'"
)


@dataclass(frozen=True)
class FoundRun:
    """A run as MLflow has it. `member` is None for the run of a whole sweep. Times are milliseconds since 1970; None while it runs."""

    id: str
    name: str
    status: str
    sweep: str
    member: int | None
    started_ms: int
    ended_ms: int | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def find(uri: str, query: str = "", sweep: str = "") -> list[FoundRun]:
    """The runs of Lagrange that a query finds, by sweep and member; of one sweep if it is named. Runs that were deleted are left out.

    Raises:
        InfraError: there is no store, it does not answer, or the query does not parse; the message says what parses.
    """
    refuse_no_mlflow(uri)
    quiet_environment()
    wanted = " and ".join(part for part in (query.strip(), f"tags.`lagrange.sweep` = '{sweep_name(sweep)}'" if sweep else "") if part)
    try:
        client = _client(uri, Path())
        experiments = [one.experiment_id for one in client.search_experiments()]
        found = [_found(run) for run in _runs(client, experiments, wanted)]
    except Exception as error:
        raise _explained(error, uri, query) from None
    ours = [run for run in found if run.sweep]
    return sorted(ours, key=lambda run: (run.sweep, -1 if run.member is None else run.member))


def _runs(client: Any, experiments: list[str], wanted: str) -> list[Any]:
    runs: list[Any] = []
    token: str | None = None
    while experiments and (token is None or token):
        page = client.search_runs(experiments, wanted, max_results=PAGE, order_by=["start_time ASC"], page_token=token)
        runs += page
        token = page.token or ""
    return runs


def _found(run: Any) -> FoundRun:
    tags = dict(run.data.tags)
    member = tags.get("lagrange.member")
    return FoundRun(
        run.info.run_id,
        run.info.run_name or "",
        run.info.status,
        tags.get("lagrange.sweep", ""),
        int(member) if member is not None else None,
        run.info.start_time,
        run.info.end_time,
        dict(run.data.params),
        dict(run.data.metrics),
        {key: value for key, value in tags.items() if not key.startswith("mlflow.")},
    )


def _explained(error: Exception, uri: str, query: str) -> InfraError:
    if getattr(error, "error_code", None) in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST") and query.strip():
        said = " ".join(strip_password(str(error)).partition("INVALID_PARAMETER_VALUE: ")[2].split() or str(error).split())
        return InfraError(f"The query must be in MLflow's language; {query!r} is not: {said[:220].rstrip('.')}. {PARSES}")
    if (file := sqlite_path(uri)) is not None and (getattr(error, "errno", None) in _READ_ONLY or "readonly database" in str(error)):
        copied = "Copy the home to a folder of yours and name it (--home), or name a server (--tracking-uri)"
        return InfraError(f"MLflow opens its store for writing even where one only looks; {file.parent} may not be written to. {copied}.")
    return InfraError(f"MLflow at {strip_password(uri)} must answer; {why(error)}. Another one is named by --tracking-uri.")
