"""What λ gained over λ off, seed by seed: the differences of which the verdict is made."""

from __future__ import annotations

import math
from typing import Any

from objectives.base import lowered
from search.asking.space import AGAINST_NOTHING, OFF_ARM
from search.choosing.words import number
from search.telling.figures._style import BLUE, GREY, INK, axis, layout, made
from search.telling.view import View

TITLE, ORDER = "Was λ worth it", 15


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    if view.answer is None:
        return "it has no answer yet."
    if view.answer.against == AGAINST_NOTHING:
        return "nothing was compared: no knob has an off value, and no baseline was given."
    if view.answer.arm == OFF_ARM:
        return "no training with a λ on was confirmed, so nothing is compared with λ off."
    return "" if _pairs(view) else "no seed of the final round trained both with λ and without it."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    answer = view.answer
    assert answer is not None
    told = f"Each dot is one fresh seed: how much better the best λ scored than {answer.rival} on the same seed. Right of 0 λ gained. "
    told += "The bar is the mean with its 95 % interval; the shade is the margin: a difference within it is too small to matter."
    alone = " It holds for all λ at once." if any(one.alone for one in answer.lambdas) else ""
    small = " The gain is sure, and smaller than the margin." if answer.effect.low > 0 and answer.effect.high <= answer.margin else ""
    return f"{told}{alone} Here: {answer.effect.words()}, so the verdict is: {answer.verdict_word}.{small}"


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    answer = view.answer
    assert answer is not None
    pairs = _pairs(view)
    gains = list(pairs.values())
    texts = [f"seed {seed}: {number(gain)}" for seed, gain in pairs.items()]
    places = [0.35 + 0.3 * (index % 5) / 4 for index in range(len(gains))]  # apart, so that equal gains are seen
    dots = {"type": "scatter", "mode": "markers", "x": gains, "y": places, "text": texts, "hoverinfo": "text", "name": "one seed"}
    effect = answer.effect
    known = math.isfinite(effect.low) and math.isfinite(effect.high)
    bar = {
        "type": "scatter",
        "mode": "markers",
        "x": [effect.mean],
        "y": [1.0],
        "error_x": {
            "type": "data",
            "array": [effect.high - effect.mean if known else 0.0],
            "arrayminus": [effect.mean - effect.low if known else 0.0],
            "thickness": 3,
            "width": 8,
            "color": BLUE,
        },
        "marker": {"size": 12, "color": BLUE},
        "name": "mean with 95 %",
        "text": [effect.words()],
        "hoverinfo": "text",
    }
    shapes: list[dict[str, Any]] = [
        {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "line": {"color": INK, "dash": "dash", "width": 1.3}}
    ]
    if math.isfinite(answer.margin) and answer.margin > 0:
        shade = {"fillcolor": INK, "opacity": 0.06, "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect", "x0": -answer.margin, "x1": answer.margin, "yref": "paper", "y0": 0, "y1": 1, **shade})
    upright = axis("", range=[0, 1.35], tickvals=[0.5, 1.0], ticktext=["each seed", "mean"], ticks="", showgrid=False)
    title = f"gain over {answer.rival} in {view.asked[0].name.replace('_', ' ')}; positive is better"
    given = layout(270, xaxis=axis(title), yaxis=upright, shapes=shapes, showlegend=False)
    return made([{**dots, "marker": {"size": 9, "color": GREY, "opacity": 0.8}}, bar], given)


def _pairs(view: View) -> dict[int, float]:
    """The gain of each seed that trained in both arms."""
    if view.answer is None:
        return {}
    best = view.scores(view.answer.arm)
    off = view.scores(view.off_arm)
    return {seed: lowered(off[seed] - best[seed], view.better) for seed in best if seed in off}
