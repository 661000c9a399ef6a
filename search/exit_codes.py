"""The exit codes of `lagrange`, in one place. docs/commands.md lists them for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OK: Final = 0
FAILED: Final = 1
"""The sweep or training failed: it has no answer."""
MISTAKE: Final = 2
"""A mistake in what was asked; nothing was started."""
STORE_GONE: Final = 3
"""A store of the sweep (the catalogue, a disk) cannot be used any more: `lagrange resume` goes on when it is back."""
REPLACED: Final = 4
"""Another driver took over the sweep and goes on with it: nothing is to be done here."""
NOT_CONFIRMED: Final = 5
"""The sweep ended, but no training on fresh seeds did: its best λ is a guess of the search, without any certainty."""
INTERRUPTED: Final = 130
"""Ctrl-C or SIGTERM: `lagrange resume` goes on."""

UNREACHABLE, TAKEN_OVER = "unreachable", "taken over"
"""How a sweep may end beside complete, interrupted, failed and refused (`Outcome.status`): a store is gone; another driver has it."""
UNCONFIRMED: Final = "unconfirmed"
"""What a command makes of a complete sweep whose answer is `unconfirmed`."""

_OF_STATUS: Final = {
    "interrupted": INTERRUPTED,
    UNREACHABLE: STORE_GONE,
    TAKEN_OVER: REPLACED,
    "failed": FAILED,
    "refused": MISTAKE,
    UNCONFIRMED: NOT_CONFIRMED,
}


def of_statuses(statuses: Iterable[str]) -> int:
    """The exit code of a command whose sweeps ended so: that of the worst one, in the order above."""
    found = set(statuses)
    return next((code for status, code in _OF_STATUS.items() if status in found), OK)
