"""The database behind a URL: opened, brought to the newest revision, read and written in transactions."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from infra import migrating
from infra.catalogue import beside, opening
from infra.catalogue.patience import FILE_PATIENCE_S, Call, Joint, Patience, Waiting, passing
from infra.catalogue.tables import SWEEPS
from infra.errors import InfraError, LockLost, StorageError, StoreGone
from infra.storage import disk, sqlite_path, strip_address
from infra.storage.hints import looked_in

T = TypeVar("T")

HEAD: Final = "0002"
"""The newest revision in `infra/migrations/versions`."""

_MIGRATIONS: Final = Path(__file__).parents[1] / "migrations"
_MIGRATION_LOCK: Final = 0x1A62A26E  # any constant: names our advisory lock in a PostgreSQL database


class Held(Protocol):
    """The lock of a sweep, as the database knows it."""

    def sure(self) -> bool:
        """Whether it is surely ours at this moment."""
        ...


def text(name: str) -> str:
    """A name as a database may be asked for it. What a command line holds may be no text; no stored name has the sign in its place."""
    return name.encode("utf-8", "replace").decode().replace("\0", "?")


class Database:
    """A SQLite file or a PostgreSQL database with the tables of the catalogue. Safe for several threads and processes.

    `url` is shown to people, so it holds no password. With `create=False` no file and no table is made where there is no catalogue: it is
    then empty, and `looked_in` says what is there. Raises InfraError, without passwords, when the database cannot be opened or was written
    by a newer Lagrange; StoreGone when it was away for longer than the patience (none for a server, 30 s for a file, if not given).
    """

    def __init__(self, url: str, *, create: bool = True, patience: Patience | None = None) -> None:
        self.url, self._url = strip_address(url), url
        url, self._others = (url, None) if create else beside.to_read(url)
        file = sqlite_path(url)
        self._made = [one for one in (file, file.parent) if not one.exists()] if file is not None else []
        self._joint: Joint | None = None  # the commit that `together` gathers
        self._writing = threading.RLock()  # one writer per process: SQLite would otherwise poll for its own lock
        self._calls = threading.local()
        self.fence: tuple[str, str] | None = None  # a sweep and the token of its lock: whoever writes must have it
        self.held: Held | None = None  # that lock
        self._mine: tuple[sa.Connection, str, int] | None = None  # in a fenced transaction: the sweep of the lock, and its key
        self.waiting = Waiting(self.url, patience or Patience(FILE_PATIENCE_S if file is not None else 0.0))
        self.driving = False
        self.failure: StoreGone | LockLost | None = None  # why a driver can do nothing any more
        try:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._engine = opening.engine(url)
            others = self.waiting.tried(lambda again: _looked_into(self._engine, self.transaction, url, create or url == beside.NOWHERE))
            if others is not None:
                self.close()
                self._engine, self._others = opening.engine(beside.NOWHERE), others
                _looked_into(self._engine, self.transaction, beside.NOWHERE, True)
        except InfraError:
            raise
        except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
            self._refuse_full(error)
            raise InfraError(_closed(error, url)) from None

    @property
    def looked_in(self) -> str:
        """What is there, for whoever finds no sweep: one sentence."""
        return looked_in(self.url) if self._others is None else beside.holds_none(self.url, self._others)

    def close(self) -> None:
        """Give connections back. The database may be used again afterwards."""
        self._engine.dispose()

    def discard(self) -> bool:
        """Remove the file that this object made, and a folder made for it, if nobody else has it open and it holds no sweep."""
        self.close()
        if not self._made or not _removed(self._made[0]):
            return False
        for folder in self._made[1:]:
            with suppress(OSError):
                folder.rmdir()
        return True

    def patiently(self, operation: Callable[[], T]) -> T:
        """What `operation` returns, which reads or writes once. Where the database is away it is tried again, as long as `waiting` says.

        Raises StoreGone when it stays away, LockLost when another driver has the lock.
        """
        call, joint = Call(operation), self._joint
        if self.failure is not None:
            raise self.failure
        try:
            if joint is not None and joint.thread == threading.get_ident():
                return joint.add(call)  # type: ignore[no-any-return]
            return self.waiting.tried(lambda again: self._run(call, again))  # type: ignore[no-any-return]
        except (StoreGone, LockLost) as error:
            self._failed(error)
            raise

    def _failed(self, error: StoreGone | LockLost) -> None:
        """A driver that has lost its catalogue or its lock does not try again: libraries between it and us would let it."""
        if self.driving:
            self.failure = self.failure or error

    @property
    def again(self) -> bool:
        """Whether what runs in this thread was tried before: then nobody knows what of it was committed."""
        call = getattr(self._calls, "now", None)
        return call is not None and call.again

    @property
    def moment(self) -> datetime:
        """When what runs in this thread was tried first."""
        call: Call = self._calls.now
        return call.moment

    def _run(self, call: Call, again: bool = False) -> Any:
        before, self._calls.now = getattr(self._calls, "now", None), call
        call.again = call.again or again
        try:
            return call.operation()
        finally:
            self._calls.now = before

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection to read with. Raises StoreGone when the database does not answer."""
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction; it is committed at the end, unless the block raises. Raises LockLost where the lock is another driver's.

        It takes SQLite's write lock at its start, so that reading and then writing cannot fail for being late.
        """
        with self._writing:
            if self._joint is not None and self._joint.connection is not None:
                with self._explained():
                    yield self._joint.connection
                return
            with self.transaction() as connection:
                self._fenced(connection)
                try:
                    yield connection
                finally:
                    self._mine = None

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction of one's own that no lock fences and no other thread holds up: the lock itself is written so."""
        with self._explained(), self._engine.connect().execution_options(lagrange_write=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything that this thread writes in the block is one transaction."""
        with self._writing:
            if self._joint is not None:
                yield
                return
            self._joint = joint = Joint(self.write, self._run, self.waiting)
            try:
                yield
                joint.commit()
            except BaseException as error:
                with suppress(Exception):
                    joint.leave(error)
                if isinstance(error, StoreGone | LockLost):
                    self._failed(error)
                raise
            finally:
                self._joint = None

    def _fenced(self, connection: sa.Connection) -> None:
        """Raise LockLost if the lock is not ours any more. Until the end of the transaction nobody can take it."""
        if self.fence is None:
            return
        name, token = self.fence
        # The row is locked as heartbeats lock it: a driver that claims the sweep waits for this commit. SQLite has one writer anyway.
        query = sa.select(SWEEPS.c.id, SWEEPS.c.lock_token).where(SWEEPS.c.name == name).with_for_update(key_share=True)
        key, there = connection.execute(query).one_or_none() or (0, None)
        if there != token:
            raise LockLost(lost(name))
        self._mine = connection, name, int(key)

    @property
    def shared_clock(self) -> bool:
        """Whether all drivers are told the time by one clock: a server's."""
        return self._engine.dialect.name == "postgresql"

    def clock(self, connection: sa.Connection) -> float:
        """Seconds since 1970 by the clock that all drivers share: the server's, or this machine's for a file."""
        if connection.dialect.name != "postgresql":
            return time.time()
        return float(connection.execute(sa.text("select extract(epoch from clock_timestamp())")).scalar_one())

    def sweep_id(self, connection: sa.Connection, name: str) -> int:
        """The key of a sweep's row. Raises InfraError, which names the newest sweeps, when there is no such sweep."""
        if self._mine is not None and self._mine[0] is connection and self._mine[1] == name:
            return self._mine[2]
        found = connection.execute(sa.select(SWEEPS.c.id).where(SWEEPS.c.name == text(name))).scalar_one_or_none()
        if found is not None:
            return int(found)
        known = list(connection.execute(sa.select(SWEEPS.c.name).order_by(SWEEPS.c.id.desc()).limit(10)).scalars())
        there = f"It knows {', '.join(known)}." if known else self.looked_in
        given = repr(name if len(name) <= 120 else name[:120] + "…")
        raise InfraError(f"The sweep must be in the catalogue {self.url}; {given} is not. {there}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the database refuses becomes an InfraError; a broken constraint is left to the caller, who knows what it means."""
        try:
            yield
        except IntegrityError:
            raise
        except (DBAPIError, sa.exc.TimeoutError) as error:
            self._refuse_full(error)
            said, kind = opening.short(error, ""), passing(error)
            text = f"The catalogue {self.url} must answer; it says: {said}. {opening.remedy(error)}"
            raise (InfraError(text) if kind is None else StoreGone(text, passing=kind, reason=said)) from error

    def _refuse_full(self, error: Exception) -> None:
        """Raise StorageError where the disk of a SQLite file takes no more."""
        if (file := sqlite_path(self._url)) is not None and (said := disk.fault(error, [file])):
            raise StorageError(said) from error


def _looked_into(
    engine: sa.Engine, transaction: Callable[[], AbstractContextManager[sa.Connection]], url: str, create: bool
) -> list[str] | None:
    """Open the database, at the newest revision. Where it holds no catalogue and none is to be made: the tables that it has.

    Raises StoreGone where it may be there in a while.
    """
    try:
        return _migrated(engine, transaction, strip_address(url), create)
    except DBAPIError as error:
        if opening.refuses(error) or not passing(error):
            raise
        raise StoreGone(_closed(error, url), reason=opening.short(error, url)) from None


def _closed(error: Exception, url: str) -> str:
    said = opening.short(error, url)
    return f"The catalogue must be a database that opens; {strip_address(url)} does not: {said}. {opening.remedy(error)}"


def _migrated(
    engine: sa.Engine, transaction: Callable[[], AbstractContextManager[sa.Connection]], shown: str, create: bool
) -> list[str] | None:
    """Bring the database to the newest revision, and say so where it had an older one, or only tables of another program."""
    others: list[str] = []
    with engine.connect() as connection:
        if (found := beside.revision(connection)) == HEAD:
            return None
        if found is None and not create:
            return beside.tables(connection)
    try:
        with transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            # Somebody else may have made it meanwhile. PostgreSQL hears of that only by a look at its tables: a session keeps in mind that
            # there was none.
            found_now = beside.tables(connection)
            if beside.revision(connection) is None:
                beside.refuse_taken(shown, others := found_now)
            _upgrade(connection, shown)
    except InfraError as error:
        cause = error.__cause__
        if not isinstance(cause, DBAPIError) or passing(cause):
            raise
        raise InfraError(
            f"The catalogue {shown} is of revision {found or 'none'}, this Lagrange needs {HEAD}, and it cannot be brought there: "
            f"{opening.short(cause, '')}. {opening.remedy(cause)}"
        ) from None
    if found is not None:
        logging.getLogger("lagrange").warning("The catalogue %s was of revision %s; it is now of %s.", shown, found, HEAD)
    if others:
        logging.getLogger("lagrange").warning(beside.made_beside(shown, others))
    return None


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


def lost(name: str) -> str:
    """What is said to a driver whose lock another one has."""
    return (
        f"A sweep has one driver; another one took over {name!r} while this one was silent. "
        "This one has written nothing since. Let the other go on."
    )


def _upgrade(connection: sa.Connection, shown: str) -> None:
    """Bring the database to HEAD inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        with migrating.ALONE:
            command.upgrade(config, "head")
    except CommandError:
        raise InfraError(
            f"The catalogue {shown} is of revision {beside.revision(connection)}, this Lagrange knows up to {HEAD}: a newer one wrote it. "
            "Install that version, or use another catalogue."
        ) from None
