"""The optimism gap: what the luckiest training of the search scored, and what a new training of the exported config should score."""

from __future__ import annotations

import math
from typing import Any

from objectives.base import lowered
from search.asking.space import OFF_ARM
from search.choosing.words import number
from search.telling.evenly import evenly
from search.telling.figures._style import GREEN, INK, ORANGE, RED, axis, layout, made, pointed, score_name, shortened, window
from search.telling.view import View

TITLE, ORDER = "How lucky the search was", 80
DOTS = 3000  # members of the search that are drawn of each kind, evenly over their scores


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    if view.answer is None:
        return "it has no answer yet."
    return "" if math.isfinite(view.answer.promise.mean) else "nothing is promised, because no fresh seed was trained."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    answer = view.answer
    assert answer is not None
    kinds = [sum(row.ended == "ok" and (row.arm == OFF_ARM) == off for row in view.searched) for off in (False, True)]
    who = (
        f"trained members of the search ({DOTS:,} of each kind, evenly over their scores)"
        if max(kinds) > DOTS
        else "every trained member of the search"
    )
    told = f"The best score of many trainings is partly luck. Above: {who}. Below: fresh seeds of the "
    told += "exported config, and the interval in which one more training of it should score (95 %)."
    if answer.optimism > 0:
        gap = f" A tuner would have promised {number(answer.luckiest, answer.optimism)}, its luckiest training; expect "
        return f"{told}{gap}{number(answer.promise.mean, answer.optimism)}: {number(answer.optimism)} worse."
    return f"{told} Here the luckiest training of the search was not better than what is promised."


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    answer = view.answer
    assert answer is not None
    low, high = window(view)
    rows = [row for row in view.searched if row.ended == "ok" and row.score is not None and low <= row.score <= high]
    names = [("search, λ on", GREEN, [row for row in rows if row.arm != OFF_ARM])]
    names.append(("search, λ off", INK, [row for row in rows if row.arm == OFF_ARM]))
    traces = []
    for name, colour, mine in names:
        many = len(mine) > 500
        mine = evenly(sorted(mine, key=lambda row: float(row.score or 0.0)), DOTS) if len(mine) > DOTS else mine
        dots = {"x": [shortened(row.score) for row in mine], "y": [name] * len(mine), **pointed(view, mine, "%{x:.5g}")}
        marker = {"color": colour, "size": 6 if many else 8, "opacity": 0.25 if many else 0.6}
        traces.append({"type": "scatter", "mode": "markers", "marker": marker, **dots})
    fresh = view.scores(view.exported_arm)
    texts = [f"seed {seed}: {number(score)}" for seed, score in fresh.items()]
    exported = {"x": list(fresh.values()), "y": ["exported, fresh seeds"] * len(fresh), "text": texts, "hoverinfo": "text"}
    traces.append({"type": "scatter", "mode": "markers", "marker": {"color": ORANGE, "size": 9, "opacity": 0.8}, **exported})
    traces.append(_promise(view))
    if math.isfinite(answer.luckiest):
        luckiest = {
            "x": [answer.luckiest],
            "y": ["search, λ on" if _lucky_on(view) else "search, λ off"],
            "text": [f"luckiest: {number(answer.luckiest)}"],
        }
        mark = {"symbol": "circle-open", "size": 15, "color": RED, "line": {"width": 2.2}}
        traces.append(
            {"type": "scatter", "mode": "markers+text", "marker": mark, "textposition": "top center", "hoverinfo": "text", **luckiest}
        )
    order = ["promise of one training", "exported, fresh seeds", "search, λ off", "search, λ on"]
    upright = axis("", categoryorder="array", categoryarray=order, ticks="", automargin=True, range=[-0.6, 3.7])
    return made(traces, layout(330, xaxis=axis(score_name(view)), yaxis=upright, showlegend=False))


def _promise(view: View) -> dict[str, Any]:
    assert view.answer is not None
    promise = view.answer.promise
    known = math.isfinite(promise.low) and math.isfinite(promise.high)
    bars = {"array": [promise.high - promise.mean if known else 0.0], "arrayminus": [promise.mean - promise.low if known else 0.0]}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [promise.mean],
        "y": ["promise of one training"],
        "error_x": {"type": "data", **bars, "thickness": 3, "width": 8, "color": ORANGE},
        "marker": {"size": 12, "color": ORANGE, "symbol": "diamond", "line": {"color": INK, "width": 1}},
        "text": [promise.words()],
        "hoverinfo": "text",
    }


def _lucky_on(view: View) -> bool:
    """Whether the luckiest member has a λ on."""
    scored = [row for row in view.searched if row.ended == "ok" and row.score is not None]
    best = min(scored, key=lambda row: lowered(float(row.score or 0.0), view.better), default=None)
    return best is None or best.arm != OFF_ARM
