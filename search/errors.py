"""A user's mistakes in a spec."""

from __future__ import annotations

from collections.abc import Sequence


class SpecError(Exception):
    """All of a user's mistakes in a spec. Each says what must hold, what was given and what to do."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(self.faults))
