"""The front of two metrics as a picture: what the search saw, and the confirmed arms with their intervals in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from objectives.base import Phase
from search.asking.space import OFF_ARM
from search.choosing.answer import Answer, Row
from search.choosing.findings import Front, FrontPoint
from search.spec.several import Asked
from search.telling.pictures.lambda_curve import BLUE, DPI, GREY, INK, ORANGE, framed


def draw(answer: Answer, front: Front, rows: Sequence[Row], path: Path, title: str = "") -> Path:
    """Write the first metric against the second as a PNG; returns `path`.

    Bars are the 95 % intervals of the means over the final seeds, each for itself. A stair joins the points of the front: below it nothing
    was confirmed. The axes span what was confirmed; members of the search are grey dots.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 5.4), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panel = figure.subplots()
    first, second = list(front.metrics)[:2]
    _stair(panel, front, first, second)
    for one in front.points:
        _bar(panel, one, answer, first, second)
    limits = panel.get_xlim(), panel.get_ylim()
    searched = [row for row in rows if row.phase == Phase.SEARCH and row.ended == "ok" and row.others]
    seen = [_own(row, front) for row in searched if row.others[0] is not None]
    panel.plot([x for x, _ in seen], [y for _, y in seen], ls="none", marker="o", ms=3, color=GREY, alpha=0.6, zorder=1, label="search")
    panel.set_xlim(*limits[0])
    panel.set_ylim(*limits[1])
    panel.set_xlabel(f"{first.replace('_', ' ')}, {front.metrics[first]} is better", color=INK)
    panel.set_ylabel(f"{second.replace('_', ' ')}, {front.metrics[second]} is better", color=INK)
    framed(panel)
    kinds: dict[str, Any] = {}
    for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
        kinds.setdefault(label, handle)  # one entry for each kind of arm; arms have their names beside them
    figure.legend(kinds.values(), kinds.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=INK)
    figure.suptitle(title, x=0.015, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(path))
    return path


def _own(row: Row, front: Front) -> tuple[float, float]:
    """A member's two values as they were measured."""
    second = Asked(*list(front.metrics.items())[1])
    return float(row.score or 0.0), second.lower(float(row.others[0] or 0.0))


def _stair(panel: Any, front: Front, first: str, second: str) -> None:
    points = sorted((one.values[first].mean, one.values[second].mean) for one in front.points if one.front)
    panel.step([x for x, _ in points], [y for _, y in points], where="post", color=GREY, lw=1.0, ls=(0, (3, 3)), zorder=2, label="front")


def _bar(panel: Any, one: FrontPoint, answer: Answer, first: str, second: str) -> None:
    x, y = one.values[first], one.values[second]
    off, chosen = one.arm.partition(":")[0] == OFF_ARM, one.arm == answer.recommended_arm
    colour, kind = (INK, "λ off") if off else (BLUE, "on the front") if one.front else (GREY, "not on the front")
    if chosen:
        colour, kind = (INK, "λ off, recommended") if off else (ORANGE, "recommended")
    bars = [[[value.mean - value.low], [value.high - value.mean]] if math.isfinite(value.high) else None for value in (x, y)]
    style = {"marker": "s" if off else "o", "ms": 6, "elinewidth": 1.2, "capsize": 2.5, "ls": "none"}
    panel.errorbar([x.mean], [y.mean], xerr=bars[0], yerr=bars[1], color=colour, zorder=5, label=kind, **style)
    panel.annotate(one.arm, (x.mean, y.mean), xytext=(6, 5), textcoords="offset points", fontsize=8, color=colour)
