"""The points of curves, written into MLflow's own file as MLflow writes them, but many at a time.

MLflow makes an object of each point, which costs a quarter of a millisecond: of a short training's points as much as a tenth of the
training. Here a batch is one statement for each of the two tables that hold points. That is done only in a file whose tables have the
columns that we know, for runs that are there, and with names that MLflow takes. All else, and every server, is left to MLflow's client.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Final

from infra.storage import sqlite_path

_COLUMNS: Final = {"key", "value", "timestamp", "run_uuid", "step", "is_nan"}
_TABLES: Final = ("metrics", "latest_metrics")
_NAME: Final = re.compile(r"[\w-][\w. -]*(/[\w-][\w. -]*)*", re.ASCII)
_LARGEST: Final = 1.7976931348623157e308  # stands for infinity
_POINTS: Final = "insert or ignore into metrics (key, value, timestamp, step, is_nan, run_uuid) values (?, ?, ?, ?, ?, ?)"
# The latest point of a name is that with the largest step, then time, then value.
_LATEST: Final = (
    "insert into latest_metrics (key, value, timestamp, step, is_nan, run_uuid) values (?, ?, ?, ?, ?, ?) "
    "on conflict (key, run_uuid) do update set value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, "
    "is_nan = excluded.is_nan where (excluded.step, excluded.timestamp, excluded.value) "
    "> (latest_metrics.step, latest_metrics.timestamp, latest_metrics.value)"
)


class Points:
    """The points of a store, which is a file or something else."""

    def __init__(self, uri: str) -> None:
        self._file = sqlite_path(uri)

    def took(self, run: str, metrics: Iterable[Any]) -> bool:
        """Write the points of a run, all or none; saying them again changes nothing. False where MLflow's client must do it.

        Raises:
            sqlite3.Error: the file does not take them.
        """
        found = [_row(one, run) for one in metrics]
        if self._file is None or not found or not all(_NAME.fullmatch(row[0]) and len(row[0]) <= 250 for row in found):
            return False
        latest: dict[str, tuple[Any, ...]] = {}
        for row in found:
            if row[0] not in latest or (row[3], row[2], row[1]) > (latest[row[0]][3], latest[row[0]][2], latest[row[0]][1]):
                latest[row[0]] = row
        with closing(sqlite3.connect(self._file, timeout=30)) as connection, connection:
            if not _known(connection, run):
                return False
            connection.executemany(_POINTS, found)
            connection.executemany(_LATEST, latest.values())
        return True


def _row(metric: Any, run: str) -> tuple[str, float, int, int, bool, str]:
    """A point as both tables have it."""
    value, nan = float(metric.value), math.isnan(metric.value)
    held = 0.0 if nan else math.copysign(_LARGEST, value) if math.isinf(value) else value
    return metric.key, held, int(metric.timestamp), int(metric.step), nan, run


def _known(connection: sqlite3.Connection, run: str) -> bool:
    """Whether the tables have the columns that we know, and nobody has deleted the run."""
    tables = all({row[1] for row in connection.execute(f"pragma table_info({table})")} == _COLUMNS for table in _TABLES)
    return (
        tables and connection.execute("select 1 from runs where run_uuid = ? and lifecycle_stage = 'active'", (run,)).fetchone() is not None
    )
