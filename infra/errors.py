"""The one exception of `infra` that a user is meant to read."""

from __future__ import annotations


class InfraError(Exception):
    """A store, server or cluster cannot be used: says what must hold, what was given and what to do. Never contains a password."""


class StorageError(InfraError):
    """A disk takes nothing more: it is full, read-only or broken. When that is mended, the same command goes on."""
