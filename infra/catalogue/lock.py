"""The lock of a sweep: one process drives it. It is a few columns of the sweep's row, so it holds across machines.

Its token is a fence: while a driver has the lock, each of its transactions first looks whether the token is still there (`Database.write`).
So a driver that was frozen, and whose lock another one took, writes nothing more, whatever it believes.

Ages are told by the server's clock in PostgreSQL; the clocks of the machines do not matter. A SQLite file has the clock of its machine,
which may jump. So there nobody takes a lock for old before he has watched it for two beats and has seen none.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psutil
import sqlalchemy as sa

from infra.catalogue.engine import Database, lost
from infra.catalogue.tables import SWEEPS
from infra.errors import InfraError, LockLost
from infra.machine import uptime_s

BEAT_S: Final = 5.0
"""Pause between two signs of life of a driver."""
STALE_S: Final = 30.0
"""A driver that was silent for so long has lost its lock."""
SURE_S: Final = STALE_S - 2 * BEAT_S
"""For so long after a beat a driver may trust that the lock is its own, without asking."""

_FREE: Final = {"lock_token": None, "lock_host": None, "lock_pid": None, "lock_heartbeat": None}


@dataclass(frozen=True)
class Holder:
    """Who has the lock of a sweep; all None where nobody has it. `heartbeat` is in seconds since 1970."""

    token: str | None
    host: str | None
    pid: int | None
    heartbeat: float | None

    def gone(self, now: float) -> bool:
        """The process ended on this machine, or has been silent for `STALE_S`."""
        return self.silent(now) or self.ended()

    def silent(self, now: float) -> bool:
        """It has not been heard for `STALE_S`; or at a moment that is yet to come, so that a clock has jumped."""
        return self.heartbeat is None or abs(now - self.heartbeat) > STALE_S

    def ended(self) -> bool:
        """The process was on this machine, and is not there any more."""
        return self.host == socket.gethostname() and not _exists(self.pid or -1, self.token or "")


def holder(database: Database, connection: sa.Connection, name: str) -> Holder:
    """Who has the lock of a sweep. Raises InfraError when there is no such sweep."""
    columns = (SWEEPS.c.lock_token, SWEEPS.c.lock_host, SWEEPS.c.lock_pid, SWEEPS.c.lock_heartbeat)
    return Holder(*connection.execute(sa.select(*columns).where(SWEEPS.c.id == database.sweep_id(connection, name))).one())


class SweepLock:
    """The right to drive one sweep. Beats every 5 s; `lost` is set when another driver took over (this one was silent for 30 s)."""

    def __init__(self, database: Database, name: str) -> None:
        self._database, self._name = database, name
        self._token = f"{uuid.uuid4().hex}@{psutil.Process().create_time():.2f}"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._heard = -SURE_S  # when a beat last arrived
        self.lost = threading.Event()

    def __enter__(self) -> SweepLock:
        self._watched()
        self._database.patiently(self._claim)
        self._heard, self._database.fence, self._database.held = uptime_s(), (self._name, self._token), self
        self._thread = threading.Thread(target=self._beat, name="lagrange-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._database.fence = None
        # A database that does not answer must not hide what the sweep has to say; the lock goes stale by itself.
        with suppress(InfraError), self._database.transaction() as connection:
            _replace_lock(connection, self._name, self._token, _FREE)

    def check(self) -> None:
        """Raise LockLost if another driver took over. After a long silence of this process the database is asked, and waited for."""
        if not self.lost.is_set() and not self.sure():
            self._database.patiently(self._beaten)
        if self.lost.is_set():
            raise LockLost(lost(self._name))

    def sure(self) -> bool:
        """Whether the lock is surely ours at this moment: a beat arrived not long ago. Costs nothing; time asleep counts."""
        return not self.lost.is_set() and uptime_s() - self._heard < SURE_S

    def _watched(self) -> None:
        """In a SQLite file, watch a lock that looks old for two beats: where its age comes from a clock that jumped, it beats."""
        if self._database.shared_clock:
            return
        with self._database.read() as connection:
            before, now = holder(self._database, connection, self._name), self._database.clock(connection)
        if before.token is None or before.heartbeat is None or before.ended() or not before.silent(now):
            return
        time.sleep(2 * BEAT_S)
        with self._database.read() as connection:
            after = holder(self._database, connection, self._name)
        if after.token == before.token and after.heartbeat != before.heartbeat:
            raise self._held(after, now)

    def _held(self, by: Holder, now: float) -> InfraError:
        return InfraError(
            f"A sweep has one driver; {self._name!r} is driven by process {by.pid} on {by.host}, "
            f"which was last heard {max(0.0, now - (by.heartbeat or 0)):.0f} s ago. Wait for it, or stop it first."
        )

    def _claim(self) -> None:
        with self._database.transaction() as connection:
            before, now = holder(self._database, connection, self._name), self._database.clock(connection)
            if before.token not in (None, self._token) and not before.gone(now):  # our own: an earlier try arrived
                raise self._held(before, now)
            mine = {"lock_token": self._token, "lock_host": socket.gethostname(), "lock_pid": os.getpid(), "lock_heartbeat": now}
            if not _replace_lock(connection, self._name, before.token, mine):
                raise InfraError(
                    f"A sweep has one driver; another one took {self._name!r} at this very moment. Wait for it, or stop it first."
                )

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S) and not self.lost.is_set():
            with suppress(InfraError):  # the next beat may reach the database again
                self._beaten()

    def _beaten(self) -> None:
        """Give a sign of life, and see whether the lock is still ours."""
        asked = uptime_s()
        with self._database.transaction() as connection:
            now = self._database.clock(connection)
            held = _replace_lock(connection, self._name, self._token, {"lock_heartbeat": now})
        if held:
            self._heard = asked
        else:
            self.lost.set()


def _replace_lock(connection: sa.Connection, name: str, token: str | None, values: Mapping[str, Any]) -> bool:
    """Compare and swap: False if the lock is no longer what `token` says."""
    same = SWEEPS.c.lock_token.is_(None) if token is None else SWEEPS.c.lock_token == token
    return bool(connection.execute(sa.update(SWEEPS).where(SWEEPS.c.name == name, same).values(**values)).rowcount)


def _exists(pid: int, token: str) -> bool:
    """Whether the process that made the token still runs; a later process with the same id does not count."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        started = token.rpartition("@")[2]
        return not started or abs(process.create_time() - float(started)) < 2.0
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, ValueError):
        return True
