"""What a sweep leaves, but for what depends on where and how fast it ran: equal for equal sweeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from infra.catalogue import Catalogue, MemberRow
from infra.storage import Home
from search.sweep import Outcome


def kept(home: Home, name: str) -> tuple[list[MemberRow], list[tuple[int, int, float | None]], Any]:
    """Members, their curves, and what was chosen to be confirmed."""
    with Catalogue(home.catalogue_url) as catalogue:
        rows = [replace(row, seconds=0.0, facts={}, created=None, ended=None) for row in catalogue.members(name)]  # type: ignore[arg-type]
        reports = [(report.number, report.epoch, report.rung_score) for report in catalogue.reports(name)]
        return rows, sorted(reports), catalogue.sweep(name).candidates


def said(outcome: Outcome) -> dict[str, Any]:
    """An answer without the seconds that were spent."""
    assert outcome.answer is not None, outcome.problem
    found = outcome.answer.to_dict()
    found["beside"].pop("plan")
    for phase in found["spent"].values():
        for state in phase.values():
            state.pop("seconds")
    return found
