"""One driver, alone with its sweep: it has the lock, waits for a catalogue that is away, and ends when another driver takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from infra.catalogue import Catalogue, SweepLock
from infra.errors import InfraError, LockLost, StoreGone
from infra.storage import Home
from infra.tracking import NullTracker, Tracker
from search.exit_codes import TAKEN_OVER, UNREACHABLE
from search.running import halting
from search.running.where import stop_signals


class CutOff(Exception):  # noqa: N818 - nothing went wrong with the sweep
    """The driver cannot go on, and nothing that ended is lost. `status` is that of the outcome, `problem` says why in a sentence."""

    def __init__(self, status: str, problem: str) -> None:
        super().__init__(problem)
        self.status, self.problem = status, problem


@dataclass
class Driver:
    """One driver of one sweep. `interrupted` says whether it should end soon; `tracker` is closed where it must end early."""

    catalogue: Catalogue
    name: str
    home: Home
    note: Callable[[str], None]
    tracker: Tracker = field(default_factory=NullTracker)
    interrupted: Callable[[], bool] = lambda: False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """`with driver.alone():` drives the sweep.

        Raises:
            CutOff: the catalogue stayed away, a disk takes no more, or another driver has the lock. What libraries made of that error
                on its way does not matter.
            InfraError: another driver has the sweep already.
        """
        with stop_signals() as stopped, self.catalogue.waits(stopped, self.note):
            try:
                with self.catalogue.lock(self.name) as lock:
                    self.interrupted = lambda: stopped() or not self._may_go_on(lock)
                    with self._closed():
                        yield
                        lock.check()
            except BaseException as error:
                failure = error if isinstance(error, StoreGone | LockLost) else self.catalogue.failure
                if failure is None:
                    if not (said := halting.why(error, self.home)):
                        raise
                    raise CutOff(UNREACHABLE, said) from error
                status = TAKEN_OVER if isinstance(failure, LockLost) else "interrupted" if stopped() else UNREACHABLE
                raise CutOff(status, str(failure)) from error

    def _may_go_on(self, lock: SweepLock) -> bool:
        """Whether catalogue and lock are there. Who was frozen asks before it hands out any work."""
        if self.catalogue.failure is None:
            with suppress(StoreGone, LockLost):
                lock.check()
                return True
        return False

    @contextmanager
    def _closed(self) -> Iterator[None]:
        """A driver that ends by an error says so in the catalogue, and gives MLflow a second. Without its lock or a catalogue: neither."""
        try:
            yield
        except BaseException:
            if self.catalogue.failure is None:
                with suppress(InfraError):  # then `alone` says why; where it cannot be noted, the driver's death says the same
                    self.catalogue.update_sweep(self.name, status="interrupted")
            self.tracker.close(1.0 if self.catalogue.failure is None else 0.0)
            raise
