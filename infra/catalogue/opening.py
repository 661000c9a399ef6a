"""Opening a database: the settings of its connections, and what is said where it does not open."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from infra.errors import InfraError
from infra.storage import hidden_in, sqlite_path, strip_address

BUSY_MS: Final = 2000
"""How long SQLite itself waits for a lock, deaf to signals. After that we try again (`patience`)."""
SETTINGS: Final = {"pool_size": 5, "pool_recycle": 1800, "statement_timeout": 30}
"""Query parameters of a PostgreSQL URL that are ours: connections kept; after how many seconds one is renewed, or a statement given up."""
CLIENT: Final = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "application_name": "lagrange",
}
"""Parameters of libpq, in its units (seconds; `tcp_user_timeout` in ms): a server that is cut off is noticed within half a minute."""
IDLE_S: Final = 20
"""A driver that is frozen in a transaction must not hold its locks: the server ends it after this time."""
_REMEDIES: Final = {
    "28": "Check user and password: LAGRANGE_CATALOGUE_URL or --catalogue-url; a URL without a password takes that of {without}.",
    "3D": "Make it first (createdb NAME), or name another one.",
    "3F": "Make the schema first (create schema NAME), or name another one in search_path.",
    "42501": "Ask for the right to write there, or use another database.",
    "25006": "It is read-only: ls, show and best work, a sweep needs one that may be written.",
}


def engine(url: str) -> sa.Engine:
    """An engine for the URL. Raises InfraError when it is of another kind, or a setting is no number."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed)
    if parsed.get_backend_name() != "sqlite":
        raise InfraError(f"The catalogue is a sqlite or postgresql database; got {strip_address(url)}. Use one of the two.")
    file = sqlite_path(url)
    only_read = file is not None and file.exists() and not _may_write(file)
    made = sa.create_engine(parsed, creator=lambda: _read_only(file)) if file is not None and only_read else sa.create_engine(parsed)
    sa.event.listen(made, "connect", _prepare_to_read if only_read else _prepare_sqlite)
    sa.event.listen(made, "begin", _begin_sqlite)
    return made


def _postgresql(url: sa.URL) -> sa.Engine:
    # lagrange is tested with psycopg 3; a bare postgresql:// would look for psycopg2
    url = url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url
    ours = {key: _number(key, url.query.get(key, usual)) for key, usual in SETTINGS.items()}
    url = url.difference_update_query(SETTINGS)
    client = {key: value for key, value in CLIENT.items() if key not in url.query}
    made = sa.create_engine(
        url,
        pool_pre_ping=True,
        pool_size=ours["pool_size"],
        pool_recycle=ours["pool_recycle"],
        pool_timeout=10,
        connect_args=client,
    )
    limits = f"set statement_timeout = {ours['statement_timeout'] * 1000}; set idle_in_transaction_session_timeout = {IDLE_S * 1000}"

    def prepare(connection: Any, _: Any) -> None:
        before, connection.autocommit = connection.autocommit, True  # else a rollback would take the settings back
        connection.execute(limits)
        connection.autocommit = before

    sa.event.listen(made, "connect", prepare)
    return made


def _number(key: str, given: object) -> int:
    if str(given).isdecimal():
        return int(str(given))
    raise InfraError(f"{key} in a database's URL is a whole number, 0 or more; got {given!r}.")


def _may_write(file: Path) -> bool:
    """Whether we may write a SQLite file, and its log beside it."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def _read_only(file: Path) -> Any:
    """A connection to a SQLite file that nobody here may write; where it has no open log, in a folder where SQLite can make none."""
    import sqlite3

    log = file.with_name(f"{file.name}-wal")
    frozen = not (log.exists() and log.stat().st_size)
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro{'&immutable=1' * frozen}", uri=True, check_same_thread=False)


def _prepare_to_read(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    deadline = time.monotonic() + 30
    while connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except Exception:  # the change of mode does not wait for other processes by itself
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("lagrange_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def short(error: Exception, url: str) -> str:
    """The first line of an error, without passwords, not even one that stands alone."""
    line = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
    return hidden_in(line, url).rstrip(".")


def remedy(error: Exception) -> str:
    """What to do about an error."""
    if isinstance(error, ImportError):
        return "Install the driver: pip install 'lagrange-search[postgresql]'."
    if "failed to resolve host" in str(error) or "could not translate host" in str(error):
        return "Check the name of the host; in a password write %40 for @, %2F for / and %3A for a colon."
    state = _state(error)
    known = [remedy for start, remedy in _REMEDIES.items() if state.startswith(start)]
    if known:
        # What libpq asks for a password that the URL does not hold, in its order.
        given = next((name for name in ("PGPASSWORD", "PGPASSFILE") if os.environ.get(name)), "PGPASSWORD or ~/.pgpass")
        return known[0].replace("{without}", given)
    return "Check the URL, that the server runs, and that you may write there."


def refuses(error: Exception) -> bool:
    """Whether a server is there and refuses who asks, or what is asked for: to wait would not help."""
    return _state(error).startswith(("28", "3D"))


def _state(error: Exception) -> str:
    """PostgreSQL's code of an error; empty where there is none."""
    cause = getattr(error, "orig", None) or error
    state, text = str(getattr(cause, "sqlstate", None) or ""), str(cause)
    # What a server says while somebody logs in has no state in psycopg: only its words.
    if not state and ("authentication failed" in text or 'role "' in text or "no password supplied" in text):
        return "28"
    if not state and 'database "' in text and "does not exist" in text:
        return "3D"
    return state
