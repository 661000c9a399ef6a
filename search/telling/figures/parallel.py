"""Parallel coordinates: a line for each member that was trained to its end, through its knobs to its score."""

from __future__ import annotations

import math
from typing import Any

from objectives.base import Knob, lowered
from search.choosing.answer import Row
from search.choosing.words import number
from search.telling.evenly import evenly
from search.telling.figures._style import FONT, INK, layout, made, window
from search.telling.figures._style import LINES as COLOURS
from search.telling.view import View

TITLE, ORDER = "All knobs together", 60
LINES, TICKS = 600, 6


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    if len(view.knobs) == 0:
        return "no knob was searched."
    if len(view.knobs) == 1:
        return "one knob was searched, and the curve over λ shows its members."
    return "" if len(_rows(view)) > 1 else "fewer than two members of the search were trained to their end with a finite score."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    rows, all_of_them = len(_rows(view)), sum(row.ended == "ok" for row in view.searched)
    some = f" {rows} of {all_of_them} lines are drawn." if rows < all_of_them else ""
    told = "Each line is one member of the search that was trained to its end; dark lines score best. Drag along an axis "
    told += f"to keep only the lines that pass there.{some} A λ that is off stands at the lower end of its axis. "
    return told + "Stopped, collapsed and diverged members are not shown."


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    rows = _rows(view)
    scores = [float(row.score or 0.0) for row in rows]
    low, high = window(view)
    low, high = max(low, min(scores)), min(high, max(scores))
    dimensions = [_dimension(knob, rows) for knob in view.knobs]
    dimensions.append(_linear(view.asked[0].name.replace("_", " "), scores))
    line = {
        "color": scores,
        "colorscale": COLOURS,
        "reversescale": lowered(1.0, view.better) < 0,
        "cmin": low,
        "cmax": high if high > low else low + 1,
    }
    line |= {"showscale": True, "colorbar": {"title": {"text": "score", "font": {"size": 12}}, "tickfont": {"size": 11}, "thickness": 14}}
    trace = {"type": "parcoords", "dimensions": dimensions, "line": line, "labelfont": {"size": 13}, "tickfont": {"size": 11, "color": INK}}
    return made([trace], layout(440, margin={"l": 70, "r": 40, "t": 60, "b": 30}, font=FONT))


def _rows(view: View) -> list[Row]:
    """Members with a score; where there are many, evenly over their scores."""
    names = {knob.name for knob in view.knobs}
    scored = [row for row in view.searched if row.ended == "ok" and names <= row.config.keys()]
    return evenly(sorted(scored, key=lambda row: -lowered(float(row.score or 0.0), view.better)), LINES)


def _dimension(knob: Knob, rows: list[Row]) -> dict[str, Any]:
    values = [row.config[knob.name] for row in rows]
    if not all(isinstance(value, int | float) for value in values):
        kinds = sorted({str(value) for value in values})
        places = [float(kinds.index(str(value))) for value in values]
        return {
            "label": knob.name,
            "values": places,
            "tickvals": list(range(len(kinds))),
            "ticktext": kinds,
            "range": [-0.2, len(kinds) - 0.8],
        }
    numbers = [float(value) for value in values]
    return _log(knob, numbers) if knob.log else _linear(knob.name, numbers)


def _linear(label: str, numbers: list[float]) -> dict[str, Any]:
    low, high = min(numbers), max(numbers)
    high = high if high > low else low + 1
    ticks = [low + (high - low) * step / (TICKS - 1) for step in range(TICKS)]
    return {
        "label": label,
        "values": numbers,
        "tickvals": ticks,
        "ticktext": [number(tick, high - low) for tick in ticks],
        "range": [low, high],
    }


def _log(knob: Knob, numbers: list[float]) -> dict[str, Any]:
    """A log axis. Parallel coordinates have linear axes only, so their ticks are written as what they stand for; off is a step below."""
    on = [value for value in numbers if value > 0] or [1.0]
    low, high = math.log10(min(on)), math.log10(max(on))
    off = low - 0.15 * ((high - low) or 1.0)
    ticks = sorted({low, *map(float, range(math.ceil(low), math.floor(high) + 1)), high})
    if len(ticks) < 4:
        ticks = [low + (high - low) * step / (TICKS - 1) for step in range(TICKS)] if high > low else [low]
    texts = [f"{10**tick:.2g}" for tick in ticks]
    lost = any(value <= 0 for value in numbers)
    if lost:
        ticks, texts = [off, *ticks], ["off", *texts]
    values = [math.log10(value) if value > 0 else off for value in numbers]
    return {
        "label": knob.name,
        "values": values,
        "tickvals": ticks,
        "ticktext": texts,
        "range": [off if lost else low, high if high > low else low + 1],
    }
