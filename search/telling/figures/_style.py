"""How all figures look: colours, axes, what a dot says when it is pointed at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from objectives.base import Knob, State, lowered
from search.choosing.answer import Row
from search.choosing.words import number
from search.telling.pictures import lambda_curve
from search.telling.view import View, short

UNFINISHED = lambda_curve.UNFINISHED
BLUE, ORANGE, GREEN = lambda_curve.BLUE, lambda_curve.ORANGE, lambda_curve.GREEN
RED, GREY, INK = lambda_curve.RED, lambda_curve.GREY, lambda_curve.INK
SKY, PURPLE, PALE, LINE = "#56B4E9", "#CC79A7", "#E8E8E8", "#B0B0B0"
SCALE = [[0.0, BLUE], [0.25, "#4A97CB"], [0.5, "#93BFDF"], [0.75, "#CFE1EF"], [1.0, "#F5F7FA"]]  # of scores, the best first
LINES = [[0.0, INK], [0.15, BLUE], [0.6, "#8FB8D6"], [1.0, "#CBD3DA"]]  # of scores as thin lines
ROUND = (BLUE, GREEN, PURPLE, SKY, RED)  # for arms, one after another
# How a member ended: colour, and plotly's symbol. The palette of Okabe and Ito.
STATES: Mapping[str, tuple[str, str]] = {
    State.COMPLETE: (GREEN, "circle"),
    State.STOPPED: (SKY, "circle-open"),
    State.COLLAPSED: (PURPLE, "cross-thin-open"),
    State.DIVERGED: (RED, "x-thin-open"),
    State.FAILED: (INK, "triangle-down-open"),
    State.PREEMPTED: (GREY, "triangle-down-open"),
    "open": (LINE, "diamond-open"),
}
LOST = (State.COLLAPSED, State.DIVERGED, State.FAILED, State.PREEMPTED)  # members that have no score to be drawn at
FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif", "size": 13, "color": INK}
MANY = 1000  # members, above which a dot is small and says little
WIDTH = 960  # pixels: a report is one column
RIM = 0.03  # how far from the edge of the frame a member without a place stands, as a share of its height; each kind of end has a line


def layout(height: int = 440, **more: Any) -> dict[str, Any]:
    """What all figures have in common."""
    return {
        "template": "none",
        "font": FONT,
        "height": height,
        "margin": {"l": 76, "r": 20, "t": 34, "b": 52},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK, "size": 12}},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top", "font": {"size": 12}},
        **more,
    }


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """A plain axis with a light grid."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 13}},
        "tickfont": {"size": 12},
        "gridcolor": PALE,
        "linecolor": LINE,
        "showline": True,
        "ticks": "outside",
        "tickcolor": LINE,
        "ticklen": 4,
        "zeroline": False,
        **more,
    }


def made(traces: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A figure of traces and a layout."""
    return {"data": list(traces), "layout": dict(given)}


def score_name(view: View) -> str:
    """The score as an axis names it: its full name, and which way it is better."""
    label = view.answer.score_label if view.answer is not None else ""
    return f"{label or view.asked[0].name.replace('_', ' ')} ({view.better} is better)"


def pointed(view: View, rows: Sequence[Row], at: str = "%{x:.3g}, %{y:.5g}") -> dict[str, Any]:
    """What the dots of members say when one points at them. Of very many members only the numbers are said."""
    if len(view.rows) > MANY:
        return {"text": [row.number for row in rows], "hovertemplate": f"member %{{text}}<br>{at}<extra></extra>"}
    return {"text": [said(view, row) for row in rows], "hoverinfo": "text"}


def shortened(value: Any) -> Any:
    """A number with six digits; anything else as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def said(view: View, row: Row) -> str:
    """What a dot says of its member."""
    end = row.score if row.score is not None else row.rung_score
    which = "score" if row.score is not None else "last seen"
    value = f"{which} {number(end)}" if end is not None else "no score"
    return f"member {row.number}: {row.state}, {value}<br>{short(row.config, view.knobs)}<br>{row.phase}, arm {row.arm}, epoch {row.epochs}"


@dataclass(frozen=True)
class Scale:
    """Where the values of a knob lie on its axis. Where a log axis cannot hold the off value (0), off has a place at its left."""

    knob: Knob
    low: float
    high: float
    gutter: float | None = None

    @staticmethod
    def of(knob: Knob, values: Sequence[float]) -> Scale:
        """The axis of a knob that holds its range and these values."""
        ends = [float(end) for end in (knob.low, knob.high, *knob.choices) if isinstance(end, int | float)]
        shown = [value for value in (*values, *ends) if math.isfinite(value) and (value > 0 or not knob.log)] or [0.1, 1.0]
        low, high = min(shown), max(shown)
        if not knob.log:
            return Scale(knob, low, high)
        high = high if high > low else 2 * low
        off = isinstance(knob.off, int | float) and knob.off <= 0
        return Scale(knob, low, high, low / (high / low) ** 0.09 if off else None)

    def at(self, value: Any) -> float | None:
        """The place of a value; None where it has none."""
        if not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value) if value > 0 or not self.knob.log else self.gutter

    def axis(self, **more: Any) -> dict[str, Any]:
        """The axis, for plotly."""
        unit = f" ({self.knob.unit})" if self.knob.unit not in ("", "1") else ""
        title = f"{self.knob.name}{unit}{', log scale' if self.knob.log else ''}"
        if not self.knob.log:
            edge = 0.04 * (self.high - self.low) or 1.0
            marked = {"tickvals": list(self.knob.choices)} if self.knob.choices else {}
            return axis(title, range=[self.low - edge, self.high + edge], **marked, **more)
        first, edge = self.low if self.gutter is None else self.gutter, (self.high / self.low) ** 0.04
        ticks = _log_ticks(self.low, self.high)
        texts = [f"{tick:g}" for tick in ticks]
        if self.gutter is not None:
            ticks, texts = [self.gutter, *ticks], [f"off ({self.knob.off:g})", *texts]
        limits = [math.log10(first / edge), math.log10(self.high * edge)]
        return axis(title, type="log", range=limits, tickvals=ticks, ticktext=texts, minor={"ticks": ""}, **more)


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten in a range; 1, 2 and 5 times those where it is short."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if math.log10(high / low) > 2.5 else (1, 2, 5)
    return [step * 10.0**decade for decade in decades for step in steps if low * 0.999 <= step * 10.0**decade <= high * 1.001]


def window(view: View) -> tuple[float, float]:
    """The scores that a frame shows, low and high: what was confirmed and the better half of the search, cut where one arm explodes."""

    def turn(value: float) -> float:
        return lowered(value, view.better)

    arms = view.answer.arms if view.answer is not None else []
    means = sorted(turn(float(arm["mean"])) for arm in arms if math.isfinite(arm["mean"]))
    seen = sorted(turn(row.score) for row in view.searched if row.ended == "ok" and row.score is not None)
    seen = seen or sorted(turn(row.rung_score) for row in view.rows if row.rung_score is not None and math.isfinite(row.rung_score))
    shown = means + seen[: (len(seen) + 1) // 2]
    if not shown:
        return 0.0, 1.0
    fresh = [turn(row.score) for row in view.confirmed if row.ended == "ok" and row.score is not None]
    bottom, middle = min(shown + fresh), (means or seen)[len(means or seen) // 2]
    ceiling = bottom + 4.0 * (middle - bottom) if middle > bottom else max(shown)
    if view.answer is not None and math.isfinite(view.answer.off_score):
        ceiling = max(ceiling, turn(view.answer.off_score))
    top = min(max(shown), ceiling)
    room = (top - bottom) or abs(top) or 1.0
    low, high = sorted((turn(bottom - 0.15 * room), turn(top + 0.2 * room)))
    return low, high


def rim(view: View, limits: tuple[float, float], state: str = State.COMPLETE) -> float:
    """The height at which members without a place are drawn: inside the frame, at its worse side."""
    low, high = limits
    away = RIM * (1.0 + (LOST.index(state) + 1 if state in LOST else 0)) * (high - low)
    return high - away if lowered(1.0, view.better) > 0 else low + away


def beyond(view: View, value: float, limits: tuple[float, float]) -> bool:
    """Whether a score is worse than the frame shows."""
    return lowered(value, view.better) > lowered(rim(view, limits), view.better)


def exported_score(view: View) -> float:
    """What the exported config scored on the seeds that judge, on average; NaN where there is none."""
    return view.answer.recommended_score if view.answer is not None else math.nan


def mean_bar(scores: Mapping[int, float], colour: str) -> dict[str, Any]:
    """The 95 % interval of the mean of an arm's scores by seed, as plotly's error bar: ± t(0.975, n − 1) s / √n; nothing of one seed."""
    from scipy.special import stdtrit  # the quantile of Student's t; scipy.stats, which has it too, takes a second to import

    values = list(scores.values())
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {"type": "data", "array": [half], "color": colour, "thickness": 1.8, "width": 5}


def arm_colour(view: View, arm: str, others: Sequence[str]) -> str:
    """The colour of a confirmed arm: what is exported and λ off always have the same one."""
    if arm in (view.exported_arm, view.off_arm):
        return ORANGE if arm == view.exported_arm else INK
    return ROUND[others.index(arm) % len(ROUND)]


def arm_words(view: View, arm: str) -> str:
    """An arm as a legend names it: its λ, and whether it is what is exported."""
    answer = view.answer
    config: Mapping[str, Any] = next((one["config"] for one in answer.arms if one["arm"] == arm), {}) if answer is not None else {}
    values = ", ".join(f"{knob.name} = {number(float(config[knob.name]))}" for knob in view.lambdas if knob.name in config)
    marks = []
    if answer is not None:
        marks = ["exported"] if arm == view.exported_arm else ["best with λ on, not exported"] if arm == answer.arm else []
    return f"{arm}: {values}{f' ({marks[0]})' if marks else ''}" if values else arm
