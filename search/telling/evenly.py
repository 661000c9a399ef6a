"""A part of many values that is shown for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def evenly(values: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the values, evenly over their order, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(place * (len(values) - 1) / max(most - 1, 1))] for place in range(most)]
