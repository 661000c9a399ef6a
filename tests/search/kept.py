"""What a sweep leaves, but for what depends on where and how fast it ran: equal for equal sweeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.catalogue import Catalogue, MemberRow
from infra.storage import Home
from search.running import in_process
from search.running.where import IN_PROCESS
from search.sweep import Outcome, resume, run


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


def in_parts(spec: Any, home: Home, every: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Outcome, int]:
    """A sweep named `s` in this process that is interrupted after so many steps, again and again; and how many lives it had."""
    whole, steps = in_process.carry_out, [0]

    def stops(plan: Any, dispatch: Any, interrupted: Any) -> bool:
        def soon() -> bool:
            steps[0] += 1
            return bool(interrupted()) or steps[0] % every == 0

        return whole(plan, dispatch, soon)

    monkeypatch.setattr(in_process, "carry_out", stops)
    outcome, lives = run(spec, name="s", home=home, address=IN_PROCESS, tracking=False), 1
    while outcome.status == "interrupted":
        outcome, lives = resume("s", home=home, address=IN_PROCESS, tracking=False), lives + 1
    return outcome, lives
