"""Rows that are read together hold what they have in common once: of thousands of members most knobs have one value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_PLAIN = (float, int, str)  # what may be changed in place is never shared


class Alike:
    """Makes of each mapping one that is equal to it, type and sign included, with the names and the plain values of the one before it.

    Without it every row that comes from JSON has names and numbers of its own: 8 kB a member of forty knobs, most of it the same.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._before: dict[str, Mapping[str, Any]] = {}

    def mapping(self, column: str, found: Mapping[str, Any]) -> dict[str, Any]:
        """The mapping that a row has in a column."""
        before, names, mine = self._before.get(column, {}), self._names, dict[str, Any]()
        for name, value in found.items():
            old, kind = before.get(name), type(value)
            same = kind is type(old) and value == old and kind in _PLAIN and (value or kind is not float or _sign(value) == _sign(old))
            mine[names.setdefault(name, name)] = old if same else value
        self._before[column] = mine
        return mine

    def word(self, found: str | None) -> str | None:
        """A word of which there are few: a phase, an arm, a state."""
        return None if found is None else self._names.setdefault(found, found)


def _sign(zero: Any) -> float:
    return math.copysign(1.0, zero)
