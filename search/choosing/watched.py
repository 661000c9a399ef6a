"""The metrics that a sweep watches beside the score: those it asks for, and those that a constraint is about."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from infra.catalogue import MemberRow, ReportRow
from objectives.base import Report, State
from search.spec.constraints import Constraint
from search.spec.several import Asked


class Watched:
    """`names` are the metrics, `values` their finite values by member, metric and epoch.

    `beside` are the metrics that are asked for beside the score, `bounds` the constraints that are about a metric.
    """

    def __init__(self, constraints: Sequence[Constraint] = (), beside: Sequence[Asked] = ()) -> None:
        self.bounds = tuple(one for one in constraints if not one.of_losses)
        self.beside = tuple(beside)
        self.names = tuple(dict.fromkeys([one.metric for one in self.bounds] + [one.name for one in beside]))
        self.values: dict[int, dict[str, dict[int, float]]] = {}

    def plot(self, report: Report | ReportRow) -> None:
        """Note what a report says of them."""
        for name in self.names:
            if math.isfinite(value := report.metrics.get(name, math.nan)):
                self.values.setdefault(report.number, {}).setdefault(name, {})[report.epoch] = value

    def metrics(self, row: MemberRow) -> dict[str, float]:
        """The final values of a member."""
        return {name: row.metrics[name] for name in self.names if name in row.metrics}

    def others(self, row: MemberRow) -> tuple[float | None, ...]:
        """The final value of each metric beside the score, lower being better; None where there is none."""
        return tuple(one.values(row.metrics) if row.state == State.COMPLETE else None for one in self.beside)

    def other_curves(self, number: int) -> tuple[Mapping[int, float], ...]:
        """The values of each metric beside the score by epoch, lower being better."""
        known = self.values.get(number, {})
        return tuple({epoch: one.lower(value) for epoch, value in known.get(one.name, {}).items()} for one in self.beside)
