"""Learning curves: how the confirmed members trained, those of the search behind them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from objectives.base import Phase, lowered
from search.choosing.answer import Row
from search.telling.evenly import evenly
from search.telling.figures._style import GREY, ROUND, arm_colour, arm_words, axis, layout, made, said
from search.telling.view import View

TITLE, ORDER = "Learning curves", 30
POINTS, SEARCHED = 80, 60  # epochs that a curve shows, and curves of the search


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    return "" if any(row.curve for row in view.rows) else "no member has reported an epoch yet."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    told = f"What each member reported after each epoch: {_named(view)}. "
    told += "It decides who is stopped early; the final score may be another number."
    searched = [row for row in view.searched if row.curve]
    some = f" {min(len(searched), SEARCHED)} of {len(view.searched)} members of the search are grey." if view.searched else ""
    arms = " Each colour is one confirmed arm, a line for each seed." if any(row.curve for row in view.confirmed) else ""
    return told + arms + some + " A curve that still falls at its end would gain from more epochs." * (view.better == "lower")


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    traces = []
    for row in evenly([row for row in view.searched if row.curve], SEARCHED):
        traces.append(_line(view, row, GREY, "search", 1.0, 0.55))
    arms = _arms(view)
    others = [arm for arm in arms if arm not in (view.exported_arm, view.off_arm)]
    for arm in reversed(arms):
        colour = arm_colour(view, arm, others)
        traces += [_line(view, row, colour, arm_words(view, arm), 1.6, 0.85) for row in view.confirmed if row.arm == arm and row.curve]
    seen: set[str] = set()
    for trace in reversed(traces):
        trace["showlegend"] = trace["name"] not in seen
        seen.add(trace["name"])
    limits, longest = _limits(view), max((epoch for row in view.rows for epoch in row.curve), default=1)
    vertical = axis(f"{_named(view)} ({view.better} is better)", **({"range": limits} if limits else {}))
    return made(traces, layout(460, xaxis=axis("epoch", **({"dtick": 1} if longest <= 12 else {})), yaxis=vertical))


def _arms(view: View) -> list[str]:
    """The confirmed arms that have curves: what is exported first, then the finalists, at most as many as there are colours."""
    present = {row.arm for row in view.confirmed if row.curve}
    answer = view.answer
    first = [view.exported_arm, answer.arm] if answer is not None else []
    final = [arm["arm"] for arm in answer.arms if arm.get("final")] if answer is not None else sorted(present)
    return [arm for arm in dict.fromkeys([*first, *final]) if arm in present][: len(ROUND) + 2]


def _line(view: View, row: Row, colour: str, name: str, width: float, opacity: float) -> dict[str, Any]:
    epochs = evenly(sorted(row.curve), POINTS)
    return {
        "type": "scatter",
        "mode": "lines" if len(epochs) > 1 else "markers",
        "x": epochs,
        "y": [float(f"{row.curve[epoch]:.6g}") for epoch in epochs],
        "line": {"color": colour, "width": width},
        "marker": {"color": colour, "size": 5},
        "opacity": opacity,
        "name": name,
        "legendgroup": name,
        "text": said(view, row),
        "hoverinfo": "text",
    }


def _limits(view: View) -> list[float] | None:
    """A frame that the worst tenth of all points does not flatten."""
    points = sorted(lowered(y, view.better) for row in view.rows for y in row.curve.values() if math.isfinite(y))
    ends = [lowered(row.curve[max(row.curve)], view.better) for row in view.rows if row.curve]
    if len(points) < 2 or not ends:
        return None
    top = max(points[int(0.9 * (len(points) - 1))], sorted(ends)[len(ends) // 2])
    room = 0.05 * ((top - points[0]) or abs(top) or 1.0)
    return sorted(lowered(value, view.better) for value in (points[0] - room, top + room))


def _named(view: View) -> str:
    """The metric that members report after each epoch, found by its values; `rung score` where none is the same."""
    names = Counter(name for row in _some(view) for name, value in view.metrics.get(row.number, {}).items() if value == row.rung_score)
    return names.most_common(1)[0][0].replace("_", " ") if names else "score after each epoch"


def _some(view: View) -> Sequence[Row]:
    told = [row for row in view.rows if row.rung_score is not None]
    return evenly([row for row in told if row.phase == Phase.SEARCH] or told, 30)
