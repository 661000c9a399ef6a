"""The database behind a URL: opened, brought to the newest revision, read and written in transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from infra import disk
from infra.catalogue.tables import SWEEPS
from infra.errors import InfraError, StorageError
from infra.storage import sqlite_path, strip_password

HEAD: Final = "0002"
"""The newest revision in `infra/migrations/versions`."""

_MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
_MIGRATION_LOCK: Final = 0x1A62A26E  # any constant: names our advisory lock in a PostgreSQL database


class Database:
    """A SQLite file or a PostgreSQL database with the tables of the catalogue. Safe for several threads and processes.

    `url` is shown to people, so it holds no password. With `create=False` a SQLite file that does not exist is not made: the database is
    then empty. Raises InfraError, without passwords, when the database cannot be opened or was written by a newer Lagrange.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.url, self._url = strip_password(url), url
        file = sqlite_path(url)
        if file is not None and not create and not file.exists():
            url, file = "sqlite://", None
        self._made = [one for one in (file, file.parent) if not one.exists()] if file is not None else []
        self._joint: sa.Connection | None = None  # of the commit that `together` gathers
        self._writing = threading.RLock()  # one writer per process: SQLite would otherwise poll for its own lock
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._engine = _engine(url)
            self._migrate()
        except InfraError:
            raise
        except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
            self._refuse_full(error)
            raise InfraError(
                f"The catalogue must be a database that opens; {self.url} does not: {_short(error, url)}. {_remedy(error)}"
            ) from None

    def close(self) -> None:
        """Give connections back. The database may be used again afterwards."""
        self._engine.dispose()

    def discard(self) -> bool:
        """Remove the file that this object made, if nobody else has it open and it holds no sweep. Returns whether it is gone.

        Its folder goes, too, if it was made for the file and holds nothing else.
        """
        self.close()
        if not self._made or not _removed(self._made[0]):
            return False
        for folder in self._made[1:]:
            with suppress(OSError):
                folder.rmdir()
        return True

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection to read with. Raises InfraError when the database does not answer."""
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction; it is committed at the end, unless the block raises.

        It takes SQLite's write lock at its start, so that reading and then writing cannot fail for being late.
        """
        with self._writing:
            if self._joint is not None:
                yield self._joint
                return
            with self._explained(), self._engine.connect().execution_options(lagrange_write=True) as connection, connection.begin():
                yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything that this thread writes in the block is one transaction."""
        with self.write() as connection:
            outer, self._joint = self._joint, connection
            try:
                yield
            finally:
                self._joint = outer

    def clock(self, connection: sa.Connection) -> float:
        """Seconds since 1970 by the clock that all drivers share: the server's, or this machine's for a file."""
        if connection.dialect.name != "postgresql":
            return time.time()
        return float(connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())

    def sweep_id(self, connection: sa.Connection, name: str) -> int:
        """The key of a sweep's row. Raises InfraError, which names the newest sweeps, when there is no such sweep."""
        found = connection.execute(sa.select(SWEEPS.c.id).where(SWEEPS.c.name == name)).scalar_one_or_none()
        if found is not None:
            return int(found)
        known = list(connection.execute(sa.select(SWEEPS.c.name).order_by(SWEEPS.c.id.desc()).limit(10)).scalars())
        there = f"It knows {', '.join(known)}." if known else "It holds no sweep yet."
        raise InfraError(f"The sweep must be in the catalogue {self.url}; {name!r} is not. {there}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the database refuses becomes an InfraError; a broken constraint is left to the caller, who knows what it means."""
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            self._refuse_full(error)
            raise InfraError(f"The catalogue {self.url} must answer; it says: {_short(error, '')}. {_remedy(error)}") from error

    def _refuse_full(self, error: Exception) -> None:
        """Raise StorageError where the disk of a SQLite file takes no more."""
        if (file := sqlite_path(self._url)) is not None and (said := disk.fault(error, [file])):
            raise StorageError(said) from error

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            if _revision(connection) == HEAD:
                return
        with self.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            _upgrade(connection, self.url)


def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        # lagrange is tested with psycopg 3; a bare postgresql:// would look for psycopg2
        parsed = parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed
        return sa.create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    if parsed.get_backend_name() != "sqlite":
        raise InfraError(f"The catalogue is a sqlite or postgresql database; got {strip_password(url)}. Use one of the two.")
    engine = sa.create_engine(parsed)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.execute("PRAGMA busy_timeout=30000")
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


def _removed(file: Path) -> bool:
    with suppress(sqlite3.Error, OSError), closing(sqlite3.connect(file, timeout=0.0, isolation_level=None)) as connection:
        # Only the last connection can leave the WAL. Who opens the file after that, and finds it moved, cannot write to it.
        if connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
            return False
        connection.execute("BEGIN EXCLUSIVE")
        if connection.execute(f"select count(*) from {SWEEPS.name}").fetchone()[0]:
            return False
        if os.name == "nt":  # there an open file cannot be removed
            connection.close()
        file.unlink()
        return True
    return False


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("lagrange_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(connection: sa.Connection) -> str | None:
    if connection.dialect.name == "sqlite":
        query = "select name from sqlite_master where name='lagrange_version'"
    else:
        query = "select to_regclass('lagrange_version')"
    if connection.exec_driver_sql(query).scalar() is None:
        return None
    found = connection.exec_driver_sql("select version_num from lagrange_version").scalar()
    return None if found is None else str(found)


def _upgrade(connection: sa.Connection, shown: str) -> None:
    """Bring the database to HEAD inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise InfraError(
            f"The catalogue {shown} is of revision {_revision(connection)}, this Lagrange knows up to {HEAD}: a newer one wrote it. "
            "Install that version, or use another catalogue."
        ) from None


def _short(error: Exception, url: str) -> str:
    """The first line of an error, without passwords, not even one that stands alone."""
    line = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
    with suppress(Exception):
        password = sa.make_url(url).password
        line = line.replace(str(password), "***") if password else line
    return strip_password(line).rstrip(".")


def _remedy(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "Install the driver: pip install 'lagrange-search[postgresql]'."
    return "Check the URL, that the server runs, and that you may write there."
