"""Two metrics at once: the confirmed arms with intervals in both, the front, and the members of the search behind them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from search.asking.space import OFF_ARM
from search.choosing.findings import Front, FrontPoint
from search.choosing.words import number
from search.spec.several import Asked
from search.telling.evenly import evenly
from search.telling.figures._style import BLUE, GREY, INK, ORANGE, arm_colour, axis, layout, made, pointed
from search.telling.pictures import pareto as rungs
from search.telling.view import View, own_rows

TITLE, ORDER = "Quality against the rest", 70
DOTS = 1500


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    if view.answer is None:
        return "it has no answer yet."
    if (view.answer.front is not None and view.answer.front.points) or _trade(view):
        return ""
    if len(view.asked) > 1:
        return "fewer than two arms were confirmed in all metrics."
    return "one metric was asked for. `metric: [score, another]` in the spec asks for the front of two."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    front = view.answer.front if view.answer is not None else None
    if front is None:
        return "Each line is one confirmed arm on every rung of its costs. Ringed is the front: nothing else costs less and is as good."
    first, second = list(front.metrics)[:2]
    told = (
        f"{first} against {second}. Bars are 95 % intervals over fresh seeds. No arm is better in both metrics than a point of the front. "
    )
    more = f" Of {len(front.metrics)} metrics the first two are drawn; the answer has all." if len(front.metrics) > 2 else ""
    return told + front.words() + more


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    assert view.answer is not None
    if view.answer.front is not None and view.answer.front.points:
        return _front(view, view.answer.front)
    return _rungs(view)


def _front(view: View, front: Front) -> dict[str, Any]:
    first, second = list(front.metrics)[:2]
    traces = [_searched(view, second)]
    on = sorted((one.values[first].mean, one.values[second].mean) for one in front.points if one.front)
    stair = {
        "type": "scatter",
        "mode": "lines",
        "line": {"color": GREY, "dash": "dot", "shape": "hv"},
        "name": "front",
        "hoverinfo": "skip",
    }
    traces.append({**stair, "x": [x for x, _ in on], "y": [y for _, y in on]})
    traces += [_point(view, one, first, second) for one in front.points]
    across, upright = (axis(f"{name.replace('_', ' ')} ({front.metrics[name]} is better)") for name in (first, second))
    return made(traces, layout(460, xaxis=across | _span(front, first), yaxis=upright | _span(front, second)))


def _span(front: Front, name: str) -> dict[str, Any]:
    """A frame around what was confirmed."""
    ends = [
        end for one in front.points for end in (one.values[name].low, one.values[name].high, one.values[name].mean) if math.isfinite(end)
    ]
    room = 0.12 * ((max(ends) - min(ends)) or abs(ends[0]) or 1.0)
    return {"range": [min(ends) - room, max(ends) + room]}


def _searched(view: View, second: str) -> dict[str, Any]:
    turn = Asked(second, {one.name: one.better for one in view.asked}[second])
    rows = evenly([row for row in view.searched if row.ended == "ok" and row.others and row.others[0] is not None], DOTS)
    y = [turn.lower(float(row.others[0] or 0.0)) for row in rows]
    dots = {"x": [row.score for row in rows], "y": y, **pointed(view, rows)}
    return {"type": "scatter", "mode": "markers", "marker": {"color": GREY, "size": 6, "opacity": 0.5}, "name": "search", **dots}


def _point(view: View, one: FrontPoint, first: str, second: str) -> dict[str, Any]:
    x, y = one.values[first], one.values[second]
    off = one.arm.partition(":")[0] == OFF_ARM
    exported = view.answer is not None and one.arm == view.exported_arm
    colour = ORANGE if exported else INK if off else BLUE if one.front else GREY
    bars = {
        key: {
            "type": "data",
            "array": [end.high - end.mean if math.isfinite(end.high) else 0.0],
            "color": colour,
            "thickness": 1.6,
            "width": 4,
        }
        for key, end in (("error_x", x), ("error_y", y))
    }
    text = f"{one.arm}: {first} {x.words()}, {second} {y.words()}<br>not dominated: {100 * one.undominated:.0f} %"
    mark = {"color": colour, "size": 14 if exported else 10, "symbol": "diamond" if exported else "square" if off else "circle"}
    name = f"{one.arm}{' (exported)' if exported else '' if one.front else ' (not on the front)'}"
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x.mean],
        "y": [y.mean],
        **bars,
        "marker": mark,
        "text": [text],
        "hoverinfo": "text",
        "name": name,
    }


def _trade(view: View) -> list[rungs.Point]:
    """Every confirmed arm on every rung of its costs; none where the objective trades nothing."""
    return rungs.points(own_rows(view.rows, view.better), view.metrics, view.trade) if view.trade is not None else []


def _rungs(view: View) -> dict[str, Any]:
    assert view.trade is not None and view.answer is not None
    found = _trade(view)
    shown = list(dict.fromkeys([view.off_arm, view.exported_arm, view.answer.arm, *(one.arm for one in view.answer.lambdas if one.arm)]))
    others = [arm for arm in shown if arm not in (view.off_arm, view.exported_arm)]
    colours = {arm: arm_colour(view, arm, others) for arm in shown}
    traces = [
        _rung_line(view, [point for point in found if point.arm == arm], colours.get(arm))
        for arm in dict.fromkeys(point.arm for point in found)
    ]
    ringed = [point for point in found if point.front]
    ring = {"color": INK, "symbol": "circle-open", "size": 15, "line": {"width": 1.4}}
    places = {"x": [point.cost for point in ringed], "y": [point.quality for point in ringed]}
    traces.append({"type": "scatter", "mode": "markers", "marker": ring, "name": "front of all arms", "hoverinfo": "skip", **places})
    quality, cost, budget = view.trade
    bound = next((float(one[budget]) for one in view.metrics.values() if budget in one), None)
    line = {"type": "line", "x0": bound, "x1": bound, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": INK, "dash": "dot"}}
    kind = "log" if all(point.quality > 0 for point in found) else "linear"
    across, upright = (
        axis(f"{cost.replace('_', ' ')} (log scale)", type="log"),
        axis(f"{quality.replace('_', ' ')} (lower is better)", type=kind),
    )
    return made(traces, layout(480, xaxis=across, yaxis=upright, shapes=[line] if bound is not None else []))


def _rung_line(view: View, mine: Sequence[rungs.Point], colour: str | None) -> dict[str, Any]:
    exported = view.answer is not None and mine[0].arm == view.exported_arm
    halves = [point.high - point.quality if math.isfinite(point.high) else 0.0 for point in mine]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [point.cost for point in mine],
        "y": [point.quality for point in mine],
        "error_y": {"type": "data", "array": halves, "visible": colour is not None, "thickness": 1, "width": 3},
        "line": {"color": colour or GREY, "width": 1.8 if colour else 0.8},
        "opacity": 1.0 if colour else 0.5,
        "name": f"{mine[0].arm}{' (exported)' if exported else ''}",
        "text": [f"{point.arm}, rung {point.rung}<br>{number(point.cost)}, {number(point.quality)}" for point in mine],
        "hoverinfo": "text",
    }
