"""The wall time of a sweep. A share of it is kept for the race from the start, so that a short sweep has an interval, too.

It is measured, not read off the clock of the machine, which people and NTP set: an hour that a clock jumps is no hour that has passed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from infra.machine import uptime_s


class WallTime:
    """The time that a sweep may take from now on; `search_share` is the search's. On Linux the time counts in which the machine slept."""

    def __init__(self, minutes: float | None, search_share: float = 1.0, clock: Callable[[], float] = uptime_s) -> None:
        self._clock = clock
        seconds = math.inf if minutes is None else 60 * minutes
        self._end, self._search_end = clock() + seconds, clock() + seconds * search_share

    def left_s(self) -> float:
        """How many seconds are left."""
        return self._end - self._clock()

    def over(self) -> bool:
        """Whether all of it is over."""
        return self._clock() > self._end

    def search_over(self) -> bool:
        """Whether the search's share is over."""
        return self._clock() > self._search_end
