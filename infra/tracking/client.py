"""The MLflow client, and what a process must know before it imports MLflow."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infra import migrating
from infra.storage import ready, sqlite_path, sqlite_url
from infra.tracking.moved import follow


def is_database(uri: str) -> bool:
    """Whether a tracking URI is a database, and no server."""
    return re.match(r"(sqlite|postgresql|mysql|mssql)", uri) is not None


def quiet_environment() -> None:
    """MLflow neither calls home nor retries by itself: it would block for minutes, and a repeated POST makes a second run."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a run, into the live table
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"


def open_client(uri: str, artifacts: Path) -> Any:
    """An MLflow client, after the store has been made, and has followed its home to where its files, `artifacts`, are now.

    Slow: imports mlflow (1.5 s), makes tables the first time (1.5 s).
    """
    warnings.filterwarnings("ignore", module=r"mlflow\b")  # not catch_warnings: in a thread it would undo what others set meanwhile
    from mlflow import MlflowClient

    # MLflow looks for Databricks' own module at every call, on all of sys.path. Nobody else looks for it.
    if find_spec("dbruntime") is None:
        sys.modules.setdefault("dbruntime", None)  # type: ignore[arg-type]
        _not_databricks()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it prints and raises: we say it once
    file = sqlite_path(uri)
    if file is None and is_database(uri):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 0  # else it tries for minutes, and prints each failure
    if file is None:
        client = _client_of(uri)
        with migrating.ALONE if is_database(uri) else nullcontext():
            client.search_experiments(max_results=1)
        return client
    with alone(ready(file)), migrating.ALONE:
        if not file.exists():
            _make(file)
        client = MlflowClient(uri, registry_uri=uri)
        with closing(_sqlite(file)) as connection:
            connection.execute("pragma journal_mode=wal")  # readers (the UI) then never wait for us, nor we for them
        client.search_experiments(max_results=1)
        follow(file, artifacts)
    return client


def _client_of(uri: str) -> Any:
    """The client of a server, or of a database that is none of a file."""
    from mlflow import MlflowClient

    if not uri.startswith(("http://", "https://")):
        return MlflowClient(uri, registry_uri=uri)
    from infra.tracking.server import Server  # here, because it loads MLflow

    return Server(uri, registry_uri=uri)


def _not_databricks() -> None:
    """Before each call to a server MLflow looks whether this is Databricks, for its headers: in pyspark and IPython, on all of sys.path."""
    from mlflow.tracking.request_header.databricks_request_header_provider import DatabricksRequestHeaderProvider

    if find_spec("pyspark") is None:
        DatabricksRequestHeaderProvider.in_context = lambda self: False


def _make(file: Path) -> None:
    """Make MLflow's tables in a file beside its place: a process that ends meanwhile leaves no store that is half made for ever."""
    from mlflow import MlflowClient

    fresh = file.with_name(f".{file.name}.new")
    for left in (fresh, fresh.with_name(f"{fresh.name}-journal")):
        left.unlink(missing_ok=True)
    client = MlflowClient(sqlite_url(fresh))
    client.search_experiments(max_results=1)
    client._tracking_client.store.engine.dispose()  # else Windows would not move a file that is open
    fresh.replace(file)


def _sqlite(file: Path) -> Any:
    import sqlite3

    return sqlite3.connect(file, timeout=30)


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """Only one process at a time makes MLflow's tables: its migrations race. The lock dies with the process that holds it."""
    from filelock import FileLock  # here, because it loads asyncio

    with FileLock(file.with_name(f".{file.name}.lock")):
        yield
