"""The metrics that a constraint is about, epoch by epoch; and with whom a member is compared where there are constraints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from infra.catalogue import ReportRow
from objectives.base import Report
from search.spec.constraints import Constraint


class Tracks:
    """`watched` are the metrics that a constraint is about, `values` their finite values by member, metric and epoch."""

    def __init__(self, constraints: Sequence[Constraint]) -> None:
        self._constraints = [one for one in constraints if not one.of_losses]
        self.watched = tuple(dict.fromkeys(one.metric for one in self._constraints))
        self.values: dict[int, dict[str, dict[int, float]]] = {}

    def plot(self, report: Report | ReportRow) -> None:
        """Note what a report says of them."""
        for name in self.watched:
            if math.isfinite(value := report.metrics.get(name, math.nan)):
                self.values.setdefault(report.number, {}).setdefault(name, {})[report.epoch] = value

    def rivals(self, arm: str, report: Report | ReportRow) -> str:
        """With whom a member is compared at a rung: its arm; or those of its arm that break a constraint there, where it does, too.

        Otherwise members that score well because they break a constraint would stop all that keep to it.
        """
        broken = any(not one.holds(report.metrics[one.metric]) for one in self._constraints if one.metric in report.metrics)
        return f"{arm}, constraint broken" if broken else arm
