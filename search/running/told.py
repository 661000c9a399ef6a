"""What a scheduler is told of members, where one or several metrics are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infra.catalogue import MemberRow, ReportRow
from objectives.base import Phase, Report, State
from search.schedulers import Score
from search.spec.several import Asked


def told(report: Report | ReportRow, beside: Sequence[Asked]) -> Score:
    """A rung score; with metrics beside it a tuple of all, NaN for what was not measured after this epoch."""
    score = math.nan if report.rung_score is None else report.rung_score
    return (score, *_others(report.metrics, beside)) if beside else score


def each(report: Report | ReportRow, beside: Sequence[Asked]) -> tuple[float, ...]:
    """The rung score and the metrics beside it, one after the other."""
    found = told(report, beside)
    return found if isinstance(found, tuple) else (found,)


def ends(rows: Iterable[MemberRow], beside: Sequence[Asked], epochs: int) -> list[tuple[int, str, int, Score]]:
    """What complete members of the search were worth: from it a scheduler of several metrics learns what a rung predicts.

    It stands for the last report, whose rung score stands in for the score.
    """
    if not beside:
        return []
    whole = [row for row in rows if row.phase == Phase.SEARCH and row.state == State.COMPLETE and row.score is not None]
    return [(row.number, row.arm, epochs, (row.score or 0.0, *_others(row.metrics, beside))) for row in whole]


def _others(metrics: Mapping[str, Any], beside: Sequence[Asked]) -> tuple[float, ...]:
    values = (one.values(metrics) for one in beside)
    return tuple(math.nan if value is None else value for value in values)
