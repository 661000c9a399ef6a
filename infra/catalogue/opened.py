"""A catalogue that is open: how it waits for its database, and who may drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, Self, TypeVar

from infra.catalogue.engine import Database
from infra.catalogue.lock import SweepLock, holder
from infra.catalogue.patience import Patience, patience_s
from infra.errors import LockLost, StoreGone

C = TypeVar("C", bound=type)


def patient(cls: C) -> C:
    """Every public method that a class has itself is tried again while the database is away."""
    for name, method in list(vars(cls).items()):
        if callable(method) and not name.startswith("_"):
            setattr(cls, name, _tried(method))
    return cls


def _tried(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def patiently(self: Any, *arguments: Any, **named: Any) -> Any:
        return self._database.patiently(lambda: method(self, *arguments, **named))

    return patiently


class Opened:
    """The database behind one URL, opened.

    With `create=False` no file and no table is made where there is no catalogue: it is then empty. With `told` it is opened for a driver:
    a database that is away is waited for, at most LAGRANGE_PATIENCE_S, and `told` hears of it. Raises InfraError, without passwords, when
    the database cannot be opened or was written by a newer Lagrange; StoreGone where it is away.
    """

    def __init__(self, url: str, *, create: bool = True, told: Callable[[str], object] | None = None) -> None:
        self._database = Database(url, create=create, patience=Patience(patience_s(), told) if told else None)
        self.url = self._database.url

    @property
    def looked_in(self) -> str:
        """What is there, for whoever finds no sweep: one sentence."""
        return self._database.looked_in

    def close(self) -> None:
        """Give connections back. The catalogue may be used again afterwards."""
        self._database.close()

    def discard(self) -> bool:
        """Remove the SQLite file that this catalogue made, if it holds no sweep and nobody else has it open. Returns whether it is gone."""
        return self._database.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def together(self) -> AbstractContextManager[None]:
        """`with catalogue.together():` makes everything that is written inside, by this thread, one commit: all of it or nothing."""
        return self._database.together()

    @contextmanager
    def waits(self, interrupted: Callable[[], bool], told: Callable[[str], object]) -> Iterator[None]:
        """In the block a database that is away is waited for: at most LAGRANGE_PATIENCE_S. `told` hears of it once for each outage.

        Raises StoreGone where it stays away, or when `interrupted` says so meanwhile.
        """
        database = self._database
        before, database.waiting.patience = database.waiting.patience, Patience(patience_s(), told, interrupted)
        database.driving, database.failure = True, None
        try:
            yield
        finally:
            database.waiting.patience, database.driving = before, False

    @property
    def waited_s(self) -> float:
        """How many seconds the database was waited for so far."""
        return self._database.waiting.total_s

    @property
    def failure(self) -> StoreGone | LockLost | None:
        """Why nothing can be written any more: the database stayed away, or another driver has the lock."""
        return self._database.failure

    def sure(self) -> bool:
        """Whether this process may tell others of what it drives: its lock is surely its own. Without a lock nobody asks."""
        held = self._database.held
        return held is None or held.sure()

    def lock(self, name: str) -> SweepLock:
        """`with catalogue.lock(name):` makes this process the only driver of the sweep. Raises InfraError when there is another one.

        In the block nothing is written that the lock's token does not allow: LockLost is raised where another driver has taken over.
        """
        return SweepLock(self._database, name)

    def locked_by(self, name: str) -> str | None:
        """Host and process id of the driver of a sweep, for people to read; None if there is none."""
        return self._database.patiently(lambda: self._holder(name))

    def _holder(self, name: str) -> str | None:
        with self._database.read() as connection:
            found, now = holder(self._database, connection, name), self._database.clock(connection)
            return None if found.token is None or found.gone(now) else f"{found.host}, process {found.pid}"
