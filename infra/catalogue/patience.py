"""Waiting for a database that is away for a while: which errors pass, how long a driver waits, and what it then does again.

A write whose commit got no answer may have arrived or not. So a call that is made again knows that it is (`Call.again`), has the moment of
its first try, and changes nothing where the first try has arrived.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from infra.catalogue.tables import utc_now
from infra.errors import InfraError, StoreGone

PATIENCE_S: Final = 300.0
"""How long a driver waits for the catalogue; LAGRANGE_PATIENCE_S is another time."""
FILE_PATIENCE_S: Final = 30.0
"""How long everybody else waits for a SQLite file that is locked."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
"""The pause before the second try, and the longest one: each is twice the one before, less up to a half of it by chance."""

# SQLite: BUSY, LOCKED, PROTOCOL (another process has the lock); and FULL, IOERR, READONLY, CANTOPEN, for which nobody waits.
_SQLITE_PASSES, _SQLITE_STAYS = (5, 6, 15), (13, 10, 8, 14)
# PostgreSQL's classes: 08 connection, 40 deadlock or serialization, 53 resources, 57 operator or statement time-out, 58 system, 55P03 lock
# not available, 25P03 idle in a transaction.
_SERVER_PASSES = ("08", "40", "53", "57", "58", "55P03", "25P03")

T = TypeVar("T")


def patience_s() -> float:
    """The seconds that a driver waits for a store that is away. Raises InfraError when LAGRANGE_PATIENCE_S is no such number."""
    given = os.environ.get("LAGRANGE_PATIENCE_S", "")
    with suppress(ValueError):
        seconds = float(given) if given else PATIENCE_S
        if 0 <= seconds < float("inf"):
            return seconds
    raise InfraError(f"LAGRANGE_PATIENCE_S is a number of seconds, 0 or more; got {given!r}. Without it {PATIENCE_S:.0f} are waited.")


def passing(error: BaseException) -> bool | None:
    """Whether what a database says may pass by itself. False: the store is broken or full. None: something else is wrong."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error, sa.exc.TimeoutError):  # all connections of the pool are in use
        return True
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        return True if code in _SQLITE_PASSES else False if code in _SQLITE_STAYS else None
    state = getattr(cause, "sqlstate", None)
    if state is None:  # the client found no server, or lost it
        return True if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError) else None
    return True if state.startswith(_SERVER_PASSES) else None


@dataclass(frozen=True)
class Patience:
    """How long somebody waits, who is told that it waits, and who may end the waiting."""

    seconds: float = 0.0
    told: Callable[[str], object] = lambda text: None
    interrupted: Callable[[], bool] = lambda: False


@dataclass
class Call:
    """One thing that is asked of the database, however often it is tried."""

    operation: Callable[[], Any]
    moment: datetime = field(default_factory=utc_now)
    again: bool = False


class Waiting:
    """Tries something until it works, or the patience is over. `total_s` is how long it has waited in all."""

    def __init__(self, store: str, patience: Patience) -> None:
        self._store, self.patience, self.total_s = store, patience, 0.0

    def tried(self, operation: Callable[[bool], T]) -> T:
        """What `operation` returns. It is told whether it was tried before. Raises StoreGone when the patience is over."""
        pause, since = FIRST_PAUSE_S, 0.0
        while True:
            try:
                found = operation(bool(since))
            except StoreGone as error:
                now = time.monotonic()
                if not error.passing or now - (since or now) >= self.patience.seconds:
                    self.total_s += now - since if since else 0.0
                    raise self._over(error, now - since) if since else error from None
                if not since:
                    since = now
                    self.patience.told(f"waits for the catalogue, at most {self.patience.seconds:g} s: {error.reason}")
                self._rest(min(pause, self.patience.seconds - (now - since)) * random.uniform(0.5, 1.0), error)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                continue
            if since:
                self.total_s += time.monotonic() - since
                self.patience.told(f"the catalogue is back, after {time.monotonic() - since:.0f} s")
            return found

    def _rest(self, seconds: float, error: StoreGone) -> None:
        until = time.monotonic() + max(seconds, 0.01)
        while (left := until - time.monotonic()) > 0:
            if self.patience.interrupted():
                raise StoreGone(f"It was stopped while it waited for the catalogue {self._store}: {error.reason}.", passing=False)
            time.sleep(min(left, 0.2))

    def _over(self, error: StoreGone, waited_s: float) -> StoreGone:
        said = f"The catalogue {self._store} was waited for {waited_s:.0f} s (LAGRANGE_PATIENCE_S), and still says: {error.reason}."
        return StoreGone(said, passing=False, reason=error.reason)


class Joint:
    """Several writes of one thread that are one transaction. Where the database goes away meanwhile, all are made again."""

    def __init__(self, opened: Callable[[], AbstractContextManager[sa.Connection]], run: Callable[[Call], Any], waiting: Waiting) -> None:
        self._opened, self._run, self._waiting = opened, run, waiting
        self._calls: list[Call] = []
        self._transaction: AbstractContextManager[sa.Connection] | None = None
        self.connection: sa.Connection | None = None
        self.thread = threading.get_ident()

    def add(self, call: Call) -> Any:
        """Make one more call in the transaction, and return what it returns."""

        def operation(again: bool) -> Any:
            self._ready(again)
            call.again = again
            return self._attempt(lambda: self._run(call))

        found = self._waiting.tried(operation)
        self._calls.append(call)
        return found

    def commit(self) -> None:
        """Commit all calls. Where that gets no answer, all are made again, and change nothing if the commit had arrived."""

        def operation(again: bool) -> None:
            self._ready(again)
            self._attempt(lambda: self.leave(None))

        if self._calls:
            self._waiting.tried(operation)

    def leave(self, error: BaseException | None) -> None:
        """End the transaction: with a commit, or with none after an error."""
        transaction, self._transaction, self.connection = self._transaction, None, None
        if transaction is not None:
            transaction.__exit__(type(error) if error else None, error, None)

    def _ready(self, again: bool) -> None:
        """Open the transaction, if it is not open, and make the calls so far in it."""
        if self.connection is not None:
            return
        transaction = self._opened()
        self.connection = transaction.__enter__()
        self._transaction = transaction
        for call in self._calls:
            call.again = call.again or again
            self._attempt(lambda call=call: self._run(call))  # type: ignore[misc]

    def _attempt(self, operation: Callable[[], Any]) -> Any:
        try:
            return operation()
        except StoreGone as error:
            with suppress(Exception):
                self.leave(error)
            raise
