"""Which knob matters: shares of the variance of scores over the searched ranges."""

from __future__ import annotations

from typing import Any

from search.telling.figures._style import BLUE, GREY, ORANGE, PALE, axis, layout, made
from search.telling.text.beside import percent
from search.telling.view import View

TITLE, ORDER = "Which knob matters", 50


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    if view.answer is None:
        return "it has no answer yet."
    if view.answer.beside.importance:
        return ""
    return "too few members have a score, or the fits with and without the members that were stopped early do not agree on the first knob."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    told = (
        "How much of the variance of scores over the searched ranges each knob explains by itself (first-order Sobol shares, by the fit). "
    )
    told += "The rest is explained by several knobs only together, or is the luck of seeds and what is not known. λ are blue."
    alone = any(one.alone for one in view.answer.beside.importance) if view.answer is not None else False
    return told + (" Each λ was searched alone, so each has its own bars." if alone else "")


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    assert view.answer is not None
    names = {knob.name for knob in view.lambdas}
    labels, shares, colours = [], [], []
    for one in view.answer.beside.importance:
        tail = f" ({one.alone} alone)" if one.alone else ""
        ordered = sorted(one.shares.items(), key=lambda item: -item[1])
        rows = [(name, share, BLUE if name in names else ORANGE) for name, share in ordered]
        rows += [("only together", one.together, GREY)] if len(ordered) > 1 else []
        rows += [("luck of seeds, or not known", one.luck, PALE)]
        labels += [f"{name}{tail}" for name, _, _ in rows]
        shares += [max(share, 0.0) for _, share, _ in rows]
        colours += [colour for _, _, colour in rows]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": shares,
        "y": labels,
        "marker": {"color": colours},
        "text": [percent(share) for share in shares],
        "textposition": "outside",
        "cliponaxis": False,
        "hoverinfo": "skip",
    }
    across = axis("share of the variance of scores", tickformat=".0%", range=[0, max(1.0, 1.08 * max(shares))])
    upright = axis("", autorange="reversed", ticks="", showgrid=False, automargin=True)
    return made([bars], layout(110 + 34 * len(labels), xaxis=across, yaxis=upright, bargap=0.35, showlegend=False))
