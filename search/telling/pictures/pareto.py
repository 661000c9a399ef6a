"""Quality against cost: which confirmed arm gives the most for what it costs, as a table and a picture.

An objective may declare a `trade`: (quality, cost, budget). It then measures quality and cost on every rung of a ladder. The names of the
two metrics differ only in how they begin: `val_kid_s90_int8` and `bytes_s90_int8`. A point is one arm on one rung, with its means over the
confirmed seeds. A point is on the front if no other point is at least as good in both and better in one; lower is better in both. The front
is read from means. So it is optimistic where points are many and seeds few. The score at the budget is what is tested.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from objectives.base import Phase
from search.asking.space import OFF_ARM
from search.choosing.answer import Answer, Row
from search.choosing.arms import t_quantile
from search.choosing.front import undominated
from search.choosing.words import number
from search.telling.pictures.lambda_curve import BLUE, DPI, GREEN, GREY, INK, ORANGE, RED, framed

Trade = tuple[str, str, str]  # how the metrics of quality and of cost begin, and the metric that holds the budget of the cost
COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442")  # Okabe and Ito's


@dataclass(frozen=True)
class Point:
    """An arm on a rung: mean cost, mean quality with its 95 % interval over seeds, and whether it is on the front."""

    arm: str
    rung: str
    cost: float
    quality: float
    low: float
    high: float
    seeds: int
    front: bool = False


def points(rows: Sequence[Row], metrics: Mapping[int, Mapping[str, float]], trade: Trade) -> list[Point]:
    """Every confirmed arm on every rung, the cheapest first. An arm that lost a seed to divergence or collapse has no points."""
    quality, cost, _ = trade
    confirmed = [row for row in rows if row.phase == Phase.CONFIRM and row.arm != "dropped"]
    lost = {row.arm for row in confirmed if row.ended == "bad"}
    found = []
    for arm in dict.fromkeys(row.arm for row in confirmed if row.arm not in lost):
        measured = [metrics[row.number] for row in confirmed if row.arm == arm and row.ended == "ok"]
        for rung in _rungs(measured, quality, cost):
            values = np.array([[one[f"{cost}{rung}"], one[f"{quality}{rung}"]] for one in measured])
            found.append(_point(arm, rung.removeprefix("_"), values))
    ordered = sorted(found, key=lambda point: (point.cost, point.quality))
    free = undominated(np.array([(point.cost, point.quality) for point in ordered]).reshape(-1, 2)).tolist()
    return [replace(point, front=kept) for point, kept in zip(ordered, free, strict=True)]


def _rungs(measured: Sequence[Mapping[str, float]], quality: str, cost: str) -> list[str]:
    """The endings of both names, for the rungs that every seed has."""
    if not measured:
        return []
    tails = [name.removeprefix(cost) for name in measured[0] if name.startswith(cost)]
    return [tail for tail in tails if all(f"{cost}{tail}" in one and f"{quality}{tail}" in one for one in measured)]


def _point(arm: str, rung: str, values: np.ndarray[Any, np.dtype[np.float64]]) -> Point:
    count = len(values)
    cost, quality = (float(mean) for mean in values.mean(axis=0))
    half = t_quantile(0.975, count - 1) * float(values[:, 1].std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return Point(arm, rung, cost, quality, quality - half, quality + half, count)


def table(found: Sequence[Point], answer: Answer, trade: Trade) -> str:
    """The points as CSV, the cheapest first; `front` is 1 for those on the front."""
    quality, cost, _ = trade
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["arm", "lambda", "rung", cost, quality, f"{quality}_low", f"{quality}_high", "seeds", "front"])
    for point in found:
        numbers = [f"{point.cost:.1f}", *(f"{value:.6g}" for value in (point.quality, point.low, point.high))]
        writer.writerow([point.arm, _lambdas(point.arm, answer), point.rung, *numbers, point.seeds, int(point.front)])
    return out.getvalue()


def _lambdas(arm: str, answer: Answer) -> str:
    """The λ that an arm has on: `l2_g=0.001`."""
    config: Mapping[str, Any] = next((entry["config"] for entry in answer.arms if entry["arm"] == arm), {})
    return " ".join(f"{one.name}={number(float(config[one.name]))}" for one in answer.lambdas if config.get(one.name, one.off) != one.off)


def draw(found: Sequence[Point], answer: Answer, path: Path, trade: Trade, budget: float | None = None, title: str = "") -> Path:
    """Write quality against cost as a PNG; returns `path`.

    A line joins the rungs of an arm that no other rung of this arm dominates. The off arm and the chosen arm of each λ have 95 % intervals
    over seeds; the other arms are grey. The points on the front of all arms are ringed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 5.4), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.set_xscale("log")
    if all(point.quality > 0 for point in found):
        panel.set_yscale("log")
    shown = [OFF_ARM, *(one.arm for one in answer.lambdas if one.arm), answer.arm]
    colours = dict(zip(dict.fromkeys(shown), [INK, *COLOURS, *[GREY] * len(shown)], strict=False))
    for arm in dict.fromkeys(point.arm for point in found):
        _line(panel, [point for point in found if point.arm == arm], colours.get(arm), _lambdas(arm, answer))
    _ring(panel, found)
    if budget is not None:
        panel.axvline(budget, color=INK, lw=1.0, ls=(0, (2, 3)), zorder=1, label=f"budget, {number(budget)}")
    _frame(panel, found, trade)
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    figure.suptitle(title, x=0.015, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.print_png(str(path))
    return path


def _line(panel: Any, mine: Sequence[Point], colour: str | None, lambdas: str) -> None:
    free = undominated(np.array([(point.cost, point.quality) for point in mine]))
    kept = [point for point, alone in zip(mine, free, strict=True) if alone]
    cost, quality = [point.cost for point in kept], [point.quality for point in kept]
    if colour is None:
        panel.plot(cost, quality, color=GREY, lw=0.8, alpha=0.5, zorder=2)
        return
    halves = [point.high - point.quality if math.isfinite(point.high) else 0.0 for point in kept]
    style = {"marker": "o", "ms": 4.5, "lw": 1.6, "elinewidth": 1.0, "capsize": 2.0}
    label = lambdas.replace("=", " = ") or "off arm, every λ off"
    panel.errorbar(cost, quality, yerr=halves, color=colour, zorder=4 if lambdas else 5, label=label, **style)


def _ring(panel: Any, found: Sequence[Point]) -> None:
    front = [point for point in found if point.front]
    cost, quality = [point.cost for point in front], [point.quality for point in front]
    panel.plot(cost, quality, ls="none", marker="o", ms=9, mfc="none", mec=INK, mew=0.9, zorder=7, label="front of all arms")


def _frame(panel: Any, found: Sequence[Point], trade: Trade) -> None:
    quality, cost, _ = trade
    panel.set_xlabel(f"{cost.replace('_', ' ')}, log scale", color=INK)
    panel.set_ylabel(f"{quality.replace('_', ' ')}, lower is better", color=INK)
    if panel.get_yscale() == "log" and found:  # an interval that reaches below 0 would stretch the axis without end
        panel.set_ylim(0.7 * min(point.quality for point in found), 1.4 * max(point.quality for point in found))
    for axis in (panel.xaxis, panel.yaxis):
        if axis.get_scale() == "log":
            for label in (axis.set_major_formatter, axis.set_minor_formatter):
                label(lambda value, place: number(value) if f"{value:.0e}"[0] in "125" else "")
    framed(panel)
