"""The expected score over two knobs, as a map: both λ, or λ and a knob beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from objectives.base import Knob, State, Value, lowered
from search.choosing.answer import Row
from search.choosing.candidates import off_value
from search.choosing.trainings import trainings
from search.modelling.surface import Surface
from search.telling.evenly import evenly
from search.telling.figures._style import INK, ORANGE, SCALE, STATES, Scale, layout, made, pointed, shortened, window
from search.telling.view import View

TITLE, ORDER = "The surface over two knobs", 20
FITTED = 60  # members to which the map is fitted, at most: a fit takes the cube of their number
STEPS, PAIRS, DOTS = 31, 3, 1500


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    if not _pairs(view):
        return "fewer than two knobs with a range were searched."
    scored = [row for row in view.rows if row.ended == "ok" and row.constant]
    if len({tuple(row.config.get(knob.name) for knob in view.knobs) for row in scored}) < 5:
        return "fewer than five configs were trained to their end."
    return ""


def about(view: View) -> str:
    """See `search.telling.figures`."""
    told = "The expected score at each pair of values, the other knobs as in the best config. Dark is better. "
    told += "A dot is one member of the search, its symbol says how it ended; the filled diamond is what is exported."
    told += " Where trainings are likely lost, the map has a hole." if any(row.ended == "bad" for row in view.rows) else ""
    used = len(_fitted(view))
    return told + (f" The map is fitted to {used} of {len(view.rows)} members, evenly over their order." if used < len(view.rows) else "")


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    rows, pairs = _fitted(view), _pairs(view)
    surface = Surface.of(trainings(rows), [knob for knob in view.knobs if _varied(knob, rows)])
    across = 2 if len(pairs) > 1 else 1
    down = math.ceil(len(pairs) / across)
    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    for index, (first, second) in enumerate(pairs):
        place = "" if index == 0 else str(index + 1)
        at = {"xaxis": f"x{place}", "yaxis": f"y{place}"}
        scales = [_scale(view, knob) for knob in (first, second)]
        traces += [{**trace, **at} for trace in _panel(view, surface, scales, index == 0)]
        row, column = divmod(index, across)
        left, under = (0.56 if column else 0.0), (0.14 if down > 1 else 0.0)
        wide = [left, left + 0.44] if across > 1 else [0.0, 1.0]
        high = [1 - (row + 1) / down + under, 1 - row / down]
        axes[f"xaxis{place}"] = scales[0].axis(domain=wide, anchor=at["yaxis"])
        axes[f"yaxis{place}"] = scales[1].axis(domain=high, anchor=at["xaxis"])
    names: set[str] = set()
    for trace in traces:
        name = trace.get("name", "")
        trace["showlegend"] = bool(name) and name not in names
        trace["legendgroup"] = name
        names.add(name)
    height = 520 if down == 1 else 440 * down
    given = layout(height, **axes)
    return made(traces, given | {"legend": given["legend"] | {"y": -0.14 if down == 1 else -0.09}})


def _numeric(knob: Knob) -> bool:
    return knob.low is not None and knob.high is not None and knob.high > knob.low


def _pairs(view: View) -> list[tuple[Knob, Knob]]:
    """Pairs of λ; where there is one λ, it and each other knob with a range. At most `PAIRS`."""
    numeric = [knob for knob in view.knobs if _numeric(knob)]
    on = [knob for knob in numeric if knob.is_lambda]
    found = list(combinations(on, 2)) if len(on) > 1 else [(on[0], knob) for knob in numeric if not knob.is_lambda] if on else []
    return (found or list(combinations(numeric, 2)))[:PAIRS]


def _varied(knob: Knob, rows: Sequence[Row]) -> bool:
    return _numeric(knob) or len({row.config.get(knob.name) for row in rows}) > 1


def _fitted(view: View) -> list[Row]:
    """The members to which the map is fitted: confirmed and searched ones evenly, lower being better."""
    names = {knob.name for knob in view.knobs}
    told = [row for row in view.lowered if row.ended in ("ok", "bad") or (row.state == State.STOPPED and row.curve)]
    return evenly([row for row in told if names <= row.config.keys()], FITTED)


def _scale(view: View, knob: Knob) -> Scale:
    return Scale.of(knob, [float(row.config[knob.name]) for row in view.rows if isinstance(row.config.get(knob.name), int | float)])


def _panel(view: View, surface: Surface | None, scales: Sequence[Scale], first: bool) -> list[dict[str, Any]]:
    found = [] if surface is None else [_map(view, surface, scales, first)]
    rows = evenly(view.searched, DOTS)
    for state, (_, symbol) in STATES.items():
        mine = [row for row in rows if row.state == state and all(_at(row.config, scale) is not None for scale in scales)]
        if mine:
            places = {axis: [shortened(_at(row.config, scale)) for row in mine] for axis, scale in zip("xy", scales, strict=True)}
            mark = {"symbol": symbol, "size": 7, "color": INK, "opacity": 0.75, "line": {"color": INK, "width": 1.2}}
            found.append(
                {"type": "scatter", "mode": "markers", "name": f"search: {state}", "marker": mark, **places, **pointed(view, mine)}
            )
    return found + _exported(view, scales)


def _exported(view: View, scales: Sequence[Scale]) -> list[dict[str, Any]]:
    config = view.answer.recommended if view.answer is not None else {}
    places = [_at(config, scale) for scale in scales]
    if None in places:
        return []
    mark = {"symbol": "diamond", "size": 17, "color": ORANGE, "line": {"color": INK, "width": 1}}
    text = ", ".join(f"{scale.knob.name} {config[scale.knob.name]:.3g}" for scale in scales)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "exported",
            "marker": mark,
            "x": places[:1],
            "y": places[1:],
            "text": [text],
            "hoverinfo": "text",
        }
    ]


def _at(config: Mapping[str, Value], scale: Scale) -> float | None:
    return scale.at(config.get(scale.knob.name))


def _map(view: View, surface: Surface, scales: Sequence[Scale], first: bool) -> dict[str, Any]:
    grids = [_grid(scale) for scale in scales]
    base = _base(view)
    names = [scale.knob.name for scale in scales]
    configs = [{**base, names[0]: x, names[1]: y} for y in grids[1] for x in grids[0]]
    levels = surface.score(surface.process.mean(surface.encoder(configs)))
    lost = surface.lost(configs) > 0.5
    low, high = sorted(lowered(end, view.better) for end in window(view))
    z = np.where(lost, np.nan, np.clip(levels, low - (high - low), high)).reshape(len(grids[1]), len(grids[0]))
    shown = np.vectorize(lambda value: lowered(float(value), view.better))(z)
    whole = [[None if math.isnan(value) else float(f"{value:.5g}") for value in row] for row in shown]
    bar = {
        "title": {"text": view.asked[0].name.replace("_", " "), "side": "right", "font": {"size": 12}},
        "tickfont": {"size": 11},
        "thickness": 14,
        "x": 1.01,
    }
    hover = f"{names[0]} %{{x:.3g}}<br>{names[1]} %{{y:.3g}}<br>expected %{{z:.4g}}<extra></extra>"
    return {
        "type": "contour",
        "x": grids[0],
        "y": grids[1],
        "z": whole,
        "ncontours": 18,
        "line": {"width": 0.4, "color": "white"},
        "showscale": first,
        "colorbar": bar,
        "hovertemplate": hover,
        "hoverongaps": False,
        "colorscale": SCALE,
        "reversescale": lowered(1.0, view.better) < 0,
    }


def _base(view: View) -> dict[str, Value]:
    """The knobs that are not drawn: as they are in the best config, else as in the best member; each λ on or off as there."""
    if view.answer is not None:
        return dict(view.answer.best)
    scored = [row for row in view.rows if row.ended == "ok" and row.score is not None]
    best = min(scored, key=lambda row: lowered(float(row.score or 0.0), view.better))
    return {**{knob.name: off_value(knob) for knob in view.lambdas}, **best.config}


def _grid(scale: Scale) -> list[float]:
    if scale.knob.log:
        return [float(f"{value:.5g}") for value in np.geomspace(scale.low, scale.high, STEPS)]
    return [float(f"{value:.5g}") for value in np.linspace(scale.low, scale.high, STEPS)]
