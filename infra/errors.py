"""The exceptions of `infra` that a user is meant to read. None ever contains a password."""

from __future__ import annotations


class InfraError(Exception):
    """A store, server or cluster cannot be used: says what must hold, what was given and what to do."""


class StoreGone(InfraError):  # noqa: N818 - nothing is wrong with what was asked
    """A store does not answer, now or any more. `passing` says whether waiting may help; `reason` is what the store says."""

    def __init__(self, text: str, *, passing: bool = True, reason: str = "") -> None:
        super().__init__(text)
        self.passing, self.reason = passing, reason


class LockLost(InfraError):  # noqa: N818 - the other driver goes on
    """Another driver has taken over the sweep. Whoever hears of it writes nothing more."""


class StorageError(StoreGone):
    """A disk takes nothing more: it is full, read-only or broken. When that is mended, the same command goes on."""

    def __init__(self, text: str) -> None:
        super().__init__(text, passing=False, reason=text)
