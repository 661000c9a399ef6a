"""The λ curve as a picture: what the search saw, what the confirmation measured, and how exactly the best λ is known.

Uses matplotlib's object interface on the Agg canvas: no display, no global state, safe in any thread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.base import Phase, State, lowered
from search.asking.space import AGAINST_NOTHING, AGAINST_OFF, OFF_ARM
from search.choosing.answer import Answer, LambdaAnswer, Row
from search.choosing.turned import turned
from search.choosing.words import number
from search.telling.evenly import evenly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito: people with any kind of colour vision can tell its colours apart.
BLUE, ORANGE, GREEN, RED, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8A8A8A", "#222222"
# How a search member ended: label, marker, colour, filled. A member without a score is drawn at the upper rim.
ENDED: Mapping[str, tuple[str, str, str, bool]] = {
    State.COMPLETE: ("search: complete", "o", GREY, True),
    State.STOPPED: ("search: stopped, last score", "o", GREY, False),
    State.DIVERGED: ("search: diverged", "x", RED, True),
    State.COLLAPSED: ("search: collapsed", "+", RED, True),
}
UNFINISHED = "no training completed: no curve"
DPI = 150
DOTS = 5000  # members of the search that a panel draws at most: of each state its share, evenly over their order


def draw(answer: Answer, rows: Sequence[Row], path: Path, title: str = "") -> Path:
    """Write the λ curve of an answer as a PNG; returns `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure(answer, rows, title))
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(path))
    return path


def figure(answer: Answer, rows: Sequence[Row], title: str = "") -> Figure:
    """The λ curve of an answer, one panel per λ.

    Line and band are the expected score over λ by the surface of all members, the other knobs as they are exported. A bar is the 95 %
    interval of an arm's mean over its fresh seeds. The shade around the off arm's line is the margin ±δ. The vertical axis spans the scores
    of the confirmation. Search members above it are drawn at the rim.
    """
    from matplotlib.figure import Figure

    count = max(len(answer.lambdas), 1)
    whole = Figure(figsize=(7.6 if count == 1 else 5.2 * count, 5.2), dpi=DPI, layout="constrained")
    panels = whole.subplots(1, count, sharey=True, squeeze=False)[0]
    answer = turned(answer, answer.better)  # drawn as it is compared; the axis is turned, and its numbers have their own sign
    limits = _vertical(answer, rows)
    for index, (panel, one) in enumerate(zip(panels, answer.lambdas, strict=False)):
        _panel(panel, answer, one, rows, limits)
        if index == 0:
            panel.set_ylabel(_score_label(answer.score_name, answer.score_label, answer.better), color=INK, fontsize=9)
            if answer.better != "lower":
                panel.yaxis.set_major_formatter(lambda value, _: f"{lowered(value, answer.better):g}")
                panel.invert_yaxis()
    handles: dict[str, Any] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    whole.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    whole.suptitle(title or answer.score_name, x=0.015, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return whole


def _score_label(name: str, full: str = "", better: str = "lower") -> str:
    """The full name if there is one, else `val_neg_elbo_nats` as `val neg elbo (nats)`."""
    if full:
        return f"{full}, {better} is better"
    words = name.split("_")
    unit = f" ({words.pop()})" if len(words) > 1 and words[-1] in ("nats", "bits") else ""
    return f"{' '.join(words) or 'score'}{unit}, {better} is better"


def _vertical(answer: Answer, rows: Sequence[Row]) -> tuple[float, float]:
    """The range of the confirmation, cut above where one arm explodes, with room for the better half of the search."""
    means = sorted(float(arm["mean"]) for arm in answer.arms if math.isfinite(arm["mean"]))
    searched = sorted(float(row.score) for row in rows if row.phase == Phase.SEARCH and row.ended == "ok" and row.score is not None)
    seen = means + searched[: (len(searched) + 1) // 2]
    if not seen:
        return 0.0, 1.0
    bottom = min(seen)
    middle = means[len(means) // 2] if means else searched[len(searched) // 2]
    ceiling = bottom + 4.0 * (middle - bottom) if middle > bottom else max(seen)
    if math.isfinite(answer.off_score):
        ceiling = max(ceiling, answer.off_score)
    top = min(max(seen), ceiling)
    for curve in answer.curve.values():
        for point in curve["points"]:
            if math.isfinite(point["low"]) and point["mean"] <= top:
                bottom, top = min(bottom, point["low"]), max(top, min(point["high"], ceiling))
    room = (top - bottom) or abs(top) or 1.0
    return bottom - 0.08 * room, top + 0.16 * room


def _panel(panel: Any, answer: Answer, one: LambdaAnswer, rows: Sequence[Row], limits: tuple[float, float]) -> None:
    curve = answer.curve.get(one.name, {"grid": [], "points": []})
    _frame(panel, one, curve, rows, limits)
    _off_line(panel, answer, one)
    _members(panel, one, rows, limits)
    _line(panel, curve, one, limits)
    _arms(panel, curve, limits)
    _best(panel, answer, one, limits)


def _tells_of(one: LambdaAnswer, row: Row) -> bool:
    """Whether a member has this λ on. Where each λ was searched alone, most members have another λ on."""
    return row.arm != OFF_ARM and one.name in row.config and (one.alone is None or float(row.config[one.name]) != one.off)


def _frame(panel: Any, one: LambdaAnswer, curve: dict[str, Any], rows: Sequence[Row], limits: tuple[float, float]) -> None:
    values = [float(row.config[one.name]) for row in rows if _tells_of(one, row)]
    values += [point["value"] for point in curve["points"]] + [end for end in one.range if math.isfinite(end)]
    shown = [value for value in values if value > 0 or not one.log] or [0.1, 1.0]
    low, high = min(shown), max(shown)
    if one.log:
        panel.set_xscale("log")
        edge = (high / low) ** 0.03 if high > low else 2.0
        panel.set_xlim(low / edge, high * edge)
    else:
        edge = 0.03 * (high - low) or 1.0
        panel.set_xlim(low - edge, high + edge)
    panel.set_ylim(*limits)
    panel.set_xlabel(f"{one.name}{f' ({one.unit})' if one.unit and one.unit != '1' else ''}{', log scale' if one.log else ''}", color=INK)
    framed(panel, "y")


def framed(panel: Any, axis: str = "both") -> None:
    """Draw the grid (of one `axis`, or both) and the frame of a panel in the colours of all pictures."""
    panel.grid(axis=axis, color="#E8E8E8", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=INK, labelsize=9)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color("#B0B0B0")


def _off_line(panel: Any, answer: Answer, one: LambdaAnswer) -> None:
    if not math.isfinite(answer.off_score):
        return
    if math.isfinite(answer.margin) and answer.margin > 0:
        label = f"margin, ± {number(answer.margin)}"
        panel.axhspan(
            answer.off_score - answer.margin, answer.off_score + answer.margin, color=INK, alpha=0.07, lw=0, zorder=1, label=label
        )
    name = "off arm, every λ off" if one.against == AGAINST_OFF else f"the {one.against}"
    panel.axhline(answer.off_score, color=INK, lw=1.3, ls=(0, (5, 3)), zorder=2, label=name)
    low, high = panel.get_xlim()
    if _has_place(one, one.off) and low <= one.off <= high:
        panel.plot([one.off], [answer.off_score], marker="s", ms=6.5, mfc="white", mec=INK, mew=1.6, ls="none", zorder=7, label=name)


def _members(panel: Any, one: LambdaAnswer, rows: Sequence[Row], limits: tuple[float, float]) -> None:
    rim = limits[1] - 0.025 * (limits[1] - limits[0])
    beyond: list[float] = []
    searched = [row for row in rows if row.phase == Phase.SEARCH and row.state in ENDED and _tells_of(one, row)]
    for state, (label, marker, colour, filled) in ENDED.items():
        points = []
        mine = [row for row in searched if row.state == state]
        drawn = evenly(mine, math.ceil(min(1.0, DOTS / len(searched)) * len(mine)) if mine else 0)
        label += f" ({len(drawn):,} of {len(mine):,} drawn)" if len(drawn) < len(mine) else ""
        for row in drawn:
            score = row.score if state == State.COMPLETE else row.rung_score if state == State.STOPPED else None
            at = float(row.config[one.name])
            if state in (State.COMPLETE, State.STOPPED) and (score is None or not math.isfinite(score) or score > rim):
                beyond.append(at)
            else:
                points.append((at, rim if score is None else score))
        if points:
            face = {} if marker in "x+" else {"facecolors": colour if filled else "none", "edgecolors": colour}
            style = {"color": colour} if marker in "x+" else face
            x, y = zip(*points, strict=True)
            panel.scatter(x, y, s=26 if marker in "x+" else 16, marker=marker, linewidths=1.1, alpha=0.75, zorder=3, label=label, **style)
    if beyond:
        panel.scatter(
            beyond, [rim] * len(beyond), s=20, marker="^", color=GREY, alpha=0.75, lw=0, zorder=3, label="search: worse than the frame"
        )


def _line(panel: Any, curve: dict[str, Any], one: LambdaAnswer, limits: tuple[float, float]) -> None:
    """The expected score and its band; none where every training was stopped early."""
    if not curve["grid"]:
        return
    for low, high in fields(one, curve["grid"]):
        panel.axvspan(low, high, facecolor="none", edgecolor="#B0B0B0", hatch="//", lw=0, zorder=1, label=UNFINISHED)
    blind = [any(low <= at <= high for low, high in one.unfinished) for at in curve["grid"]]
    if all(math.isfinite(y) for y in (*curve["low"], *curve["high"])):
        apart = spikes([y <= limits[1] for y in curve["mean"]], [y <= limits[1] for y in curve["low"]])
        shown = [not (unknown or spike) for unknown, spike in zip(blind, apart, strict=True)]
        panel.fill_between(curve["grid"], curve["low"], curve["high"], where=shown, color=BLUE, alpha=0.16, lw=0, zorder=4)
    mean = [math.nan if unknown else y for y, unknown in zip(curve["mean"], blind, strict=True)]
    panel.plot(curve["grid"], mean, color=BLUE, lw=2.0, zorder=5, label="expected score (band: 95 %)")


def fields(one: LambdaAnswer, grid: Sequence[float]) -> list[tuple[float, float]]:
    """Where every training was stopped early, as fields of an axis: each reaches halfway to the next value of the curve.

    Of a range that is next to nothing. Of a list of choices it is what makes a single choice a field.
    """
    values = sorted(set(grid))
    log = one.log and bool(values) and values[0] > 0

    def halfway(a: float, b: float) -> float:
        return math.sqrt(a * b) if log else (a + b) / 2

    found = []
    for low, high in one.unfinished:
        below, above = [value for value in values if value < low], [value for value in values if value > high]
        found.append((halfway(below[-1], low) if below else low, halfway(high, above[0]) if above else high))
    return found


def spikes(line: Sequence[bool], band: Sequence[bool]) -> list[bool]:
    """Where a band reaches into the frame around a line that does not, not even nearby. `line`, `band`: whether each is in the frame.

    There the fit knows little and expects a bad score, as where every training collapsed. Drawn, it would look like a second valley.
    """
    found: list[bool] = []
    for inside, run in groupby(zip(line, band, strict=True), lambda one: one[1]):
        pieces = list(run)
        found += [inside and not any(mean for mean, _ in pieces)] * len(pieces)
    return found


def _arms(panel: Any, curve: dict[str, Any], limits: tuple[float, float]) -> None:
    from matplotlib.patheffects import withStroke

    halo = withStroke(linewidth=2.5, foreground="white")
    # The off arm has its own mark, on its line.
    points = sorted((one for one in curve["points"] if one["arm"].split(":")[0] != OFF_ARM), key=lambda one: float(one["value"]))
    middle = [one["value"] for one in points][len(points) // 2 :][:1]
    for point in points:
        inside = point["mean"] <= limits[1]
        y = point["mean"] if inside else limits[1] - 0.06 * (limits[1] - limits[0])
        if inside and math.isfinite(point["high"]):
            panel.plot([point["value"]] * 2, [point["low"], point["high"]], color=BLUE, lw=1.6, zorder=6, solid_capstyle="butt")
        lost = math.isnan(point["mean"])
        style = {"marker": "o" if inside else "X" if lost else "^", "ms": 7.5, "mfc": "white", "mec": RED if lost else BLUE, "mew": 1.8}
        said = "confirmed: lost on every seed" if lost else "confirmed on fresh seeds"
        panel.plot([point["value"]], [y], ls="none", zorder=7, label=said, **style)
        # Names stand outside of the curve, where they do not meet their neighbours, but inside of the frame.
        at = panel.transData.transform((point["value"], y))[0] - panel.transAxes.transform((0.0, 0.0))[0]
        left = point["value"] < middle[0] and at > 0.1 * panel.bbox.width
        below = not inside or y > limits[1] - 0.08 * (limits[1] - limits[0])
        side, align = (-8 if left else 8, -4 if below else 7), "right" if left else "left"
        label = point["arm"].split(":")[0] + ("" if inside or math.isnan(point["mean"]) else f" {number(point['mean'])}") + _lost(point)
        panel.annotate(
            label, (point["value"], y), side, textcoords="offset points", ha=align, fontsize=8, color=BLUE, zorder=8, path_effects=[halo]
        )


def _lost(point: Mapping[str, Any]) -> str:
    """On how many of its seeds an arm was lost."""
    return f" lost {point['lost']} of {point['seeds']}" if point.get("lost") else ""


def _best(panel: Any, answer: Answer, one: LambdaAnswer, limits: tuple[float, float]) -> None:
    """The interval as a bar along the lower rim (one for each piece), open ends as arrows, and two things that may differ.

    The filled diamond is the exported value. Where the best λ is another one, a hollow diamond shows it.
    """
    y = limits[0] + 0.03 * (limits[1] - limits[0])
    exported = answer.exported[one.name]
    known = answer.arm != OFF_ARM and _has_place(one, one.value)
    if known:
        _interval(panel, one, y)
        panel.plot([one.value] * 2, [y, answer.best_score if one.alone is None else one.score], color=ORANGE, lw=1.2, zorder=4)
    if known and one.value != exported:
        hollow = {"mfc": "white", "mec": ORANGE, "mew": 1.6}
        panel.plot([one.value], [y], marker="D", ms=7, ls="none", zorder=8, label="best with λ on, not exported", **hollow)
    at = exported if _has_place(one, exported) else panel.get_xlim()[0]  # a log axis has no place for 0: then at its rim
    style = {"color": ORANGE, "mec": "white", "mew": 1.2}
    panel.plot([at], [y], marker="D", ms=8, ls="none", zorder=9, clip_on=False, label="exported", **style)
    panel.set_title(_title(answer, one, known), loc="left", fontsize=10.5, color=INK)


def _has_place(one: LambdaAnswer, value: float) -> bool:
    return not math.isnan(value) and (value > 0 or not one.log)


def _title(answer: Answer, one: LambdaAnswer, known: bool) -> str:
    """What is exported, and beside it the best λ where that is another one."""
    exported = answer.exported[one.name]
    said = f": {one.verdict}" if one.alone else ""
    if known and one.value == exported:
        return f"{one.name} = {number(one.value)}  {one.interval()}{said}"
    off = f" ({one.against})" if exported == one.off and one.against != AGAINST_NOTHING else ""
    best = f", best with λ on {number(one.value)}" if known and one.value != exported else ""
    return f"exported {one.name} = {number(exported)}{off}{best}{said}"


def _interval(panel: Any, one: LambdaAnswer, y: float) -> None:
    if not math.isnan(one.low):
        for piece in one.parts:
            panel.plot(piece, [y, y], color=ORANGE, lw=5, solid_capstyle="butt", zorder=6, label="where the best λ lies (95 %)")
    for is_open, end, marker in ((one.open_low, one.low, "<"), (one.open_high, one.high, ">")):
        if is_open:
            panel.plot([end], [y], marker=marker, ms=8, color=ORANGE, mec="none", zorder=7, clip_on=False)
