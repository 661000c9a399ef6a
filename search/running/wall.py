"""The wall time of a sweep. A share of it is kept for the race from the start, so that a short sweep has an interval, too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class WallTime:
    """The time that a sweep may take from now on; `search_share` of it is the search's."""

    def __init__(self, minutes: float | None, search_share: float = 1.0, clock: Callable[[], float] = time.time) -> None:
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
