"""A home that was renamed, copied or mounted elsewhere: MLflow's store follows it.

MLflow writes the absolute address of each run's files into its SQLite store. Where the home lies somewhere else now, its pages would show
nothing, and new files would go to the old place. So whoever opens the store of a home first corrects these addresses, in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

# Where MLflow keeps addresses of files. Older stores lack some of these.
_ADDRESSES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(file: Path, artifacts: Path) -> bool:
    """Correct the addresses in the store `file`, whose files are in the folder `artifacts` beside it. Whether something had to be.

    A store that does not lie in its home may belong to several homes, and is left alone. So is one that cannot be written.
    """
    if file.parent != artifacts.parent or not file.exists():
        return False
    here = artifacts.as_uri()
    with suppress(sqlite3.Error), closing(sqlite3.connect(file, timeout=30)) as connection, connection:
        old = set(_former(connection, here))
        for table, column in _ADDRESSES:
            for former in old:
                _correct(connection, table, column, former, here)
        return bool(old)
    return False


def _former(connection: sqlite3.Connection, here: str) -> Iterator[str]:
    """Where the files were when experiments of ours were made: their address is the folder of files and their name."""
    for name, location in connection.execute("select name, artifact_location from experiments"):
        if location and location.endswith(f"/artifacts/{name}") and location != f"{here}/{name}":
            yield location.removesuffix(f"/{name}")


def _correct(connection: sqlite3.Connection, table: str, column: str, former: str, here: str) -> None:
    known = {row[1] for row in connection.execute(f"pragma table_info({table})")}
    if column in known:
        change = f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?"
        connection.execute(change, (here, len(former) + 1, len(former) + 1, f"{former}/"))
