"""A driver that kills itself with SIGKILL at a named point, for test_resume. Run as a script: HOME POINT COUNT ADDRESS [SPEC]."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from infra.storage import Home
from objectives.base import Phase
from search import sweep
from search.asking import projection
from search.running.planning import plan
from search.running.writing import ledger
from search.telling.files import exports

SPEC: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 10, "epochs": 10},
    "confirm": {"configs": 3, "seeds": 2},
    "seed": 7,
}

Where = tuple[Any, str, Callable[..., bool], bool]


def _in_search(self: Any, reports: Any, *rest: Any) -> bool:
    """Some member of the search goes on after these reports."""
    open_ones = [number for number, mine in reports.items() if all(report.state is None for report in mine)]
    return any(self.rows[number].phase == Phase.SEARCH for number in open_ones)


def _in_confirm(self: Any, reports: Any, *rest: Any) -> bool:
    return any(self.rows[number].phase == Phase.CONFIRM for number in reports)


def _always(*given: Any) -> bool:
    return True


# Point: owner, function, when it counts, and whether death comes before the function does its work or after.
POINTS: dict[str, Where] = {
    "asked": (ledger.Ledger, "open", _always, False),
    "mid-epoch": (ledger.Ledger, "record", _in_search, False),
    "decided": (ledger.Ledger, "decide", _in_search, False),
    "ended-not-told": (plan.Plan, "ended", _always, True),
    "chosen": (ledger.Ledger, "chose", _always, False),
    "finalists": (ledger.Ledger, "chose", _always, True),
    "confirm": (ledger.Ledger, "record", _in_confirm, True),
    "answered": (exports, "write_reports", _always, True),
    "projected": (projection.Projection, "finish", _always, False),
}


def plant(point: str, count: int) -> None:
    """Replace the function of a point by one that dies at its `count`-th call."""
    owner, name, counts, before = POINTS[point]
    real, calls = getattr(owner, name), [0]

    def dying(*given: Any, **named: Any) -> Any:
        mine = counts(*given)
        calls[0] += mine
        now = mine and calls[0] == count
        if now and before:
            os.kill(os.getpid(), signal.SIGKILL)
        found = real(*given, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, dying)


def main(root: str, point: str, count: str, address: str, spec: str = "") -> None:
    """Start the sweep `s`, which ends at the point."""
    plant(point, int(count))
    where = None if address == "ray" else address
    outcome = sweep.run(json.loads(spec) if spec else SPEC, name="s", home=Home.open(root), workers=1, address=where, tracking=False)
    print(outcome.status, outcome.answer and outcome.answer.sentence())


if __name__ == "__main__":
    main(*sys.argv[1:])
