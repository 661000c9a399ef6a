"""The λ curve: every member as a dot, the expected score with its band, the confirmed arms, the best λ and what is exported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from objectives.base import Knob, State
from search.asking.space import AGAINST_OFF, OFF_ARM
from search.choosing.answer import LambdaAnswer, Row
from search.choosing.words import number
from search.telling.evenly import evenly
from search.telling.figures._style import (
    BLUE,
    INK,
    LOST,
    ORANGE,
    STATES,
    UNFINISHED,
    Scale,
    axis,
    beyond,
    exported_score,
    layout,
    made,
    mean_bar,
    pointed,
    rim,
    score_name,
    shortened,
    window,
)
from search.telling.pictures.lambda_curve import fields, spikes
from search.telling.view import View

TITLE, ORDER = "The λ curve", 10
Limits = tuple[float, float]
Seen = Callable[[float, float], bool]
ACROSS = 2  # panels in a row
DOTS = 20_000  # members of the search that all panels draw together: more are megabytes, and one blot


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    if not view.rows:
        return "it has no member yet."
    return "" if _shown(view) else "no knob that was searched is a number."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    told = (
        "A dot is one member of the search; its colour says how it ended. Members that have no score, or a worse one than the frame shows, "
    )
    told += (
        f"stand at the {'upper' if view.better == 'lower' else 'lower'} rim. A hollow dot was stopped early and stands at its last score."
    )
    if (drawn := _most(view)) < len(view.searched):
        told += (
            f" Of {len(view.searched):,} members of the search about {drawn:,} are drawn, of each state its share, evenly over their order."
        )
    if view.answer is None:
        return told + " There is no answer yet, so no curve is drawn."
    told += " Line and band: the expected score over λ with 95 %, all other knobs as in the best config. "
    told += "Dashed: the score that is compared with, and around it the margin. "
    told += "Bars: means over fresh seeds with 95 %; the filled diamond is what is exported. "
    told += "Bars may overlap although a difference is sure: the verdict compares seed by seed (see below)."
    if view.answer.keeps_off and view.answer.arm != OFF_ARM:
        told += " The hollow diamond is the best λ that was found; it is not exported."
    return told


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    knobs, limits = _shown(view), window(view)
    rows_of_panels = math.ceil(len(knobs) / ACROSS)
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    shapes: list[dict[str, Any]] = []
    for index, knob in enumerate(knobs):
        scale = Scale.of(knob, [float(row.config[knob.name]) for row in view.rows if isinstance(row.config.get(knob.name), int | float)])
        panel = _Panel(view, knob, scale, limits, "" if index == 0 else str(index + 1))
        traces += panel.traces()
        shapes += panel.shapes()
        axes |= panel.axes(*_place(index, len(knobs), rows_of_panels))
    height = 520 if rows_of_panels == 1 else 400 * rows_of_panels + 100
    below = {"y": -0.16 if rows_of_panels == 1 else -0.09}
    given = layout(height, shapes=shapes, **axes)
    return made(_once_in_legend(traces), given | {"legend": given["legend"] | below})


def _shown(view: View) -> list[Knob]:
    """The λ; where none was searched, the other knobs that are numbers."""
    numeric = [knob for knob in view.knobs if all(isinstance(choice, int | float) for choice in knob.choices)]
    return [knob for knob in numeric if knob.is_lambda] or numeric


def _most(view: View) -> int:
    """How many members of the search a panel draws at most."""
    return max(DOTS // max(1, len(_shown(view))), 1000)


def _place(index: int, count: int, rows: int) -> tuple[list[float], list[float]]:
    """The part of the picture that a panel has: x and y from 0 to 1."""
    across = min(count, ACROSS)
    row, column = divmod(index, across)
    wide, high = 1 / across, 1 / rows
    gap, under = (0.09 if across > 1 else 0.0), (0.12 if rows > 1 else 0.0)
    return [column * wide + (gap if column else 0.0), (column + 1) * wide], [1 - (row + 1) * high + under, 1 - row * high]


def _seen(view: View) -> bool:
    """Whether any member has a score that can be drawn."""
    return any(value is not None and math.isfinite(value) for row in view.rows for value in (row.score, row.rung_score))


def _once_in_legend(traces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Traces of one name in several panels are one entry of the legend, and are switched on and off together."""
    seen: set[str] = set()
    for trace in traces:
        name = str(trace.get("name", ""))
        trace["legendgroup"] = name
        trace["showlegend"] = bool(name) and name not in seen and trace.get("showlegend", True)
        seen |= {name} if trace["showlegend"] else set()  # a band stands without an entry before its line
    return list(traces)


def _expected(
    curve: Mapping[str, Any], name: str, at: Mapping[str, str], unfinished: Sequence[tuple[float, float]], seen: Seen
) -> list[dict[str, Any]]:
    """The expected score over λ, and its band: in runs between the values at which every training was stopped early.

    `seen` says whether a score, and the better end of a band, is in the frame.
    """
    grid = list(curve["grid"])
    apart = spikes([seen(mean, mean) for mean in curve["mean"]], list(map(seen, curve["low"], curve["high"]))) if grid else []
    step = max(1, len(grid) // 150)
    places = sorted({*range(0, len(grid), step), len(grid) - 1}) if grid else []
    found: list[dict[str, Any]] = []
    for blind, run in groupby(places, lambda place: apart[place] or any(low <= grid[place] <= high for low, high in unfinished)):
        found += [] if blind else _run(curve, name, at, list(run))
    return found


def _run(curve: Mapping[str, Any], name: str, at: Mapping[str, str], places: Sequence[int]) -> list[dict[str, Any]]:
    grid = curve["grid"]
    x, mean = [grid[place] for place in places], [curve["mean"][place] for place in places]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": mean,
        "name": "expected score (band: 95 %)",
        "line": {"color": BLUE, "width": 2.2},
        "hovertemplate": f"{name} %{{x:.3g}}<br>expected %{{y:.4g}}<extra></extra>",
        **at,
    }
    if not all(math.isfinite(y) for end in ("low", "high") for y in curve[end]):
        return [line]
    band = [curve["high"][place] for place in places] + [curve["low"][place] for place in reversed(places)]
    whole: dict[str, Any] = {
        "type": "scatter",
        "mode": "none",
        "x": x + x[::-1],
        "y": band,
        "fill": "toself",
        "fillcolor": "rgba(0, 114, 178, 0.15)",
    }
    return [{**whole, "hoverinfo": "skip", "showlegend": False, "name": "expected score (band: 95 %)", **at}, line]


class _Panel:
    """One λ."""

    def __init__(self, view: View, knob: Knob, scale: Scale, limits: Limits, number: str) -> None:
        self.view, self.knob, self.scale, self.limits = view, knob, scale, limits
        self.at = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        self.names = (f"xaxis{number}", f"yaxis{number}")
        self.answer = view.answer
        self.told: LambdaAnswer | None = None
        if view.answer is not None:
            self.told = next((one for one in view.answer.lambdas if one.name == knob.name), None)
        self.curve: Mapping[str, Any] = (view.answer.curve if view.answer is not None else {}).get(knob.name, {"grid": [], "points": []})

    def axes(self, across: list[float], up: list[float]) -> dict[str, Any]:
        first = self.names[0] == "xaxis"
        unseen = {} if _seen(self.view) else {"showticklabels": False}
        vertical = axis(
            score_name(self.view) if first or across[0] == 0 else "", range=list(self.limits), domain=up, anchor=self.at["xaxis"], **unseen
        )
        return {self.names[0]: self.scale.axis(domain=across, anchor=self.at["yaxis"]), self.names[1]: vertical}

    def traces(self) -> list[dict[str, Any]]:
        """From the ground up."""
        return [
            *self._members(),
            *self._fresh(),
            *self._unfinished(),
            *_expected(self.curve, self.knob.name, self.at, self.told.unfinished if self.told is not None else (), self._in_frame),
            *self._arms(),
            *self._best(),
            *self._exported(),
        ]

    def shapes(self) -> list[dict[str, Any]]:
        """The off arm's mean, and the margin around it."""
        answer = self.answer
        if answer is None or not math.isfinite(answer.off_score):
            return []
        across = {"xref": f"{self.at['xaxis']} domain", "x0": 0, "x1": 1, "yref": self.at["yaxis"], "layer": "below"}
        line = {
            "type": "line",
            **across,
            "y0": answer.off_score,
            "y1": answer.off_score,
            "line": {"color": INK, "width": 1.3, "dash": "dash"},
        }
        if not (math.isfinite(answer.margin) and answer.margin > 0):
            return [line]
        low, high = answer.off_score - answer.margin, answer.off_score + answer.margin
        return [{"type": "rect", **across, "y0": low, "y1": high, "fillcolor": INK, "opacity": 0.06, "line": {"width": 0}}, line]

    def _in_frame(self, low: float, high: float) -> bool:
        """Whether a score, or the better end of an interval, is as good as the frame shows."""
        return not beyond(self.view, low if self.view.better == "lower" else high, self.limits)

    def _unfinished(self) -> list[dict[str, Any]]:
        """Where every training was stopped early: a pale field."""
        found = []
        for low, high in fields(self.told, self.curve["grid"]) if self.told is not None else ():
            left, right = self.scale.at(low), self.scale.at(high)
            field: dict[str, Any] = {"type": "scatter", "mode": "none", "x": [left, right, right, left], "fill": "toself"}
            y = [self.limits[0], self.limits[0], self.limits[1], self.limits[1]]
            found.append({**field, "y": y, "fillcolor": "rgba(0, 0, 0, 0.06)", "hoverinfo": "skip", "name": UNFINISHED, **self.at})
        return found

    def _mine(self, row: Row) -> bool:
        """Whether a member tells of this λ. Where each λ was searched alone, most members have another one on."""
        if self.scale.at(row.config.get(self.knob.name)) is None:
            return False
        return row.arm == OFF_ARM or self.told is None or self.told.alone is None or row.config[self.knob.name] != self.knob.off

    def _dots(self, rows: Sequence[Row], name: str, marker: dict[str, Any]) -> dict[str, Any]:
        x, y = [], []
        for row in rows:
            edge = rim(self.view, self.limits, row.state)
            score = row.score if row.score is not None else row.rung_score if row.state not in LOST else None
            known = score is not None and math.isfinite(score) and not beyond(self.view, score, self.limits)
            x.append(shortened(self.scale.at(row.config[self.knob.name])))
            y.append(shortened(score if known else edge))
        return {
            "type": "scatter",
            "mode": "markers",
            "x": x,
            "y": y,
            "name": name,
            "marker": marker,
            **pointed(self.view, rows),
            **self.at,
        }

    def _members(self) -> list[dict[str, Any]]:
        found = []
        many = len(self.view.searched) > 1000
        share = min(1.0, _most(self.view) / max(1, len(self.view.searched)))
        for state, (colour, symbol) in STATES.items():
            rows = [row for row in self.view.searched if row.state == state and self._mine(row)]
            rows = evenly(rows, math.ceil(share * len(rows)))
            if rows:
                thin = "thin" in symbol
                size = (9 if thin else 7) - (2 if many else 0)
                marker = {
                    "color": colour,
                    "symbol": symbol,
                    "size": size,
                    "opacity": 0.35 if many else 0.8,
                    "line": {"width": 1.6, "color": colour},
                }
                found.append(self._dots(rows, f"search: {state}", marker))
        return found

    def _fresh(self) -> list[dict[str, Any]]:
        """The members on fresh seeds. Those that were lost have the colour of their end."""
        found = []
        for state, (colour, symbol) in STATES.items():
            rows = [row for row in self.view.confirmed if row.state == state and self._mine(row)]
            if rows and state == State.COMPLETE:
                found.append(self._dots(rows, "fresh seeds: each member", {"color": BLUE, "size": 5, "opacity": 0.45}))
            elif rows and state in LOST:
                marker = {"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2.4, "color": colour}}
                found.append(self._dots(rows, f"fresh seeds: {state}", marker))
        return found

    def _arms(self) -> list[dict[str, Any]]:
        """Confirmed arms, and the off arm that is compared with: at a place of its own where the axis cannot hold its value."""
        judged = (self.view.off_arm, self.view.exported_arm, self.answer.arm if self.answer is not None else "")
        points = [point for point in self.curve["points"] if point["arm"] not in judged and math.isfinite(point["mean"])]
        points = [point for point in points if self.scale.at(point["value"]) is not None]
        found = [self._bars(points, "other arms, mean with 95 %", BLUE, "circle")] if points else []
        off = self.answer.off_score if self.answer is not None else math.nan
        if math.isfinite(off) and self.told is not None and self.scale.at(self.told.off) is not None:
            point = {"arm": OFF_ARM, "value": self.told.off, "mean": off, "high": math.nan}
            bars = self._bars([point], f"{'off arm' if self.told.against == AGAINST_OFF else 'baseline'}, mean with 95 %", INK, "square")
            found.append({**bars, "error_y": mean_bar(self.view.scores(self.view.off_arm), INK)})
        return found

    def _bars(self, points: Sequence[Mapping[str, Any]], name: str, colour: str, symbol: str) -> dict[str, Any]:
        edge = rim(self.view, self.limits)
        heights = [edge if beyond(self.view, point["mean"], self.limits) else point["mean"] for point in points]
        inside = [height == point["mean"] and math.isfinite(point["high"]) for height, point in zip(heights, points, strict=True)]
        halves = [point["high"] - point["mean"] if whole else 0.0 for whole, point in zip(inside, points, strict=True)]
        texts = [f"arm {point['arm']}: {self.knob.name} {number(point['value'])}<br>mean {number(point['mean'])}" for point in points]
        return {
            "type": "scatter",
            "mode": "markers",
            "x": [self.scale.at(point["value"]) for point in points],
            "y": heights,
            "error_y": {"type": "data", "array": halves, "color": colour, "thickness": 1.8, "width": 4},
            "marker": {"size": 10, "symbol": symbol, "color": "white", "line": {"color": colour, "width": 2}},
            "text": texts,
            "hoverinfo": "text",
            "name": name,
            **self.at,
        }

    def _best(self) -> list[dict[str, Any]]:
        """The interval along the better rim (one bar for each piece), and the best λ in it."""
        one, answer = self.told, self.answer
        if one is None or answer is None or answer.arm == OFF_ARM or one.switched_off or self.scale.at(one.value) is None:
            return []
        edge, height = rim(self.view, self.limits), self.limits[1] - self.limits[0]
        y = self.limits[0] + 0.03 * height if edge > sum(self.limits) / 2 else self.limits[1] - 0.03 * height
        found = []
        if not math.isnan(one.low):
            x: list[float | None] = []
            for low, high in one.parts:
                x += [self.scale.at(low), self.scale.at(high), None]
            name = "where the best λ lies (95 %)"
            bar: dict[str, Any] = {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": [y] * len(x),
                "line": {"color": ORANGE, "width": 7},
                "opacity": 0.9,
            }
            found.append({**bar, "name": name, "hovertext": f"{one.name} {one.interval()}", "hoverinfo": "text", **self.at})
        if answer.exported[one.name] != one.value:
            marker = {"symbol": "diamond-open", "size": 13, "color": ORANGE, "line": {"color": ORANGE, "width": 2}}
            text = f"best λ that was found, not exported<br>{one.name} {number(one.value)}"
            score, arm = (answer.best_score, answer.arm) if one.alone is None else (one.score, one.arm)
            found.append(self._one(one.value, score, "best with λ on, not exported", marker, text, arm))
        return found

    def _exported(self) -> list[dict[str, Any]]:
        answer = self.answer
        value = self.scale.at(answer.recommended.get(self.knob.name)) if answer is not None else None
        score = exported_score(self.view)
        if answer is None or value is None or not math.isfinite(score):
            return []
        marker = {"symbol": "diamond", "size": 15, "color": ORANGE, "line": {"color": INK, "width": 1}}
        given = answer.recommended[self.knob.name]
        text = f"exported<br>{self.knob.name} {given:.3g}<br>promise {answer.promise.words()}"
        return [self._one(given, score, "exported", marker, text, self.view.exported_arm)]

    def _one(self, value: Any, score: float, name: str, marker: dict[str, Any], text: str, arm: str) -> dict[str, Any]:
        inside = not beyond(self.view, score, self.limits)
        y = score if inside else rim(self.view, self.limits)
        bar = {"error_y": mean_bar(self.view.scores(arm), ORANGE)} if inside else {}
        place = {"x": [self.scale.at(value)], "y": [y], "text": [text], "hoverinfo": "text", **bar}
        return {"type": "scatter", "mode": "markers", "name": name, "marker": marker, **place, **self.at}
