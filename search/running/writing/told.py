"""What a scheduler is told of members, where several metrics are asked for, or metrics are constrained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from infra.catalogue import MemberRow, ReportRow
from objectives.base import Phase, Report, State
from search.choosing.watched import Watched
from search.schedulers import Score

PROPOSED = "proposed_by"  # the fact of a member that names the prior which proposed it
Told = tuple[int, str, int, Score]  # number, arm, epoch, and a score or a tuple of all metrics


def told(report: Report | ReportRow, row: MemberRow, watched: Watched) -> Told:
    """A report of a member: a rung score; with metrics beside it a tuple of all, NaN for what was not measured after this epoch."""
    score = math.nan if report.rung_score is None else report.rung_score
    return report.number, rivals(row, report.metrics, watched), report.epoch, _with_others(score, report.metrics, watched)


def ends(rows: Iterable[MemberRow], watched: Watched, epochs: int) -> list[Told]:
    """What complete members of the search were worth: from it a scheduler of several metrics learns what a rung predicts.

    It stands for the last report, whose rung score stands in for the score.
    """
    if not watched.beside:
        return []
    whole = [row for row in rows if row.phase == Phase.SEARCH and row.state == State.COMPLETE and row.score is not None]
    return [(row.number, rivals(row, row.metrics, watched), epochs, _with_others(row.score or 0.0, row.metrics, watched)) for row in whole]


def rivals(row: MemberRow, metrics: Mapping[str, Any], watched: Watched) -> str:
    """With whom a member is compared at a rung: its arm; or those of its arm that break a constraint there, where it does, too.

    Otherwise members that score well because they break a constraint would stop all that keep to it. What a prior proposed stops nobody.
    """
    arm = f"{row.arm} of {row.facts[PROPOSED]}" if PROPOSED in row.facts else row.arm
    broken = any(not one.holds(metrics[one.metric]) for one in watched.bounds if one.metric in metrics)
    return f"{arm}, constraint broken" if broken else arm


def _with_others(score: float, metrics: Mapping[str, Any], watched: Watched) -> Score:
    if not watched.beside:
        return score
    values = (one.values(metrics) for one in watched.beside)
    return (score, *(math.nan if value is None else value for value in values))
