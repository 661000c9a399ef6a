"""What the sweep cost: time and epochs of each phase, by how the members ended."""

from __future__ import annotations

from typing import Any

from search.choosing.words import number
from search.telling.figures._style import LOST, STATES, axis, layout, made
from search.telling.text.live import duration
from search.telling.view import View

TITLE, ORDER = "What it cost", 90
NO_MEMBER = "no training"  # the data is prepared, the test split is read


def why_not(view: View) -> str:
    """See `search.telling.figures`."""
    return "" if _phases(view) else "no member was trained yet."


def about(view: View) -> str:
    """See `search.telling.figures`."""
    told = f"Time of workers, added up, and epochs, by phase and by how the members ended: {_total(view)}."
    lost = []
    for state in LOST:
        ended = [states[state] for states in _phases(view).values() if state in states]
        if ended:
            members, seconds = (sum(one[key] for one in ended) for key in ("members", "seconds"))
            lost.append(f"{members:.0f} {state} members, {duration(seconds)}")
    return told + (f" Of it was lost: {', '.join(lost)}." if lost else " None of it was lost to collapse, divergence or failure.")


def figure(view: View) -> dict[str, Any]:
    """See `search.telling.figures`."""
    phases = _phases(view)
    longest = max((states["total"]["seconds"] for states in phases.values()), default=0.0)
    scale, unit = (3600.0, "hours") if longest > 5400 else (60.0, "minutes") if longest > 150 else (1.0, "seconds")
    traces = []
    alone = {phase: {NO_MEMBER: states["total"]} for phase, states in phases.items() if len(states) == 1}
    for state, colour in (*((state, colour) for state, (colour, _) in STATES.items()), (NO_MEMBER, "#9aa0a6")):
        entries = [(phase, states[state]) for phase, states in (phases | alone).items() if state in states]
        for axes, key, divisor in (({"xaxis": "x"}, "seconds", scale), ({"xaxis": "x2"}, "epochs", 1.0)):
            if entries:
                traces.append(
                    {
                        "type": "bar",
                        "orientation": "h",
                        "x": [one[key] / divisor for _, one in entries],
                        "y": [phase for phase, _ in entries],
                        "name": state,
                        "legendgroup": state,
                        "showlegend": key == "seconds",
                        "marker": {"color": colour},
                        "text": [
                            f"{phase}: {one['members']:.0f} {state}, {one['epochs']:.0f} epochs, {duration(one['seconds'])}"
                            if one["members"]
                            else f"{phase}: {duration(one['seconds'])}"
                            for phase, one in entries
                        ],
                        "textposition": "none",
                        "hoverinfo": "text",
                        **axes,
                    }
                )
    upright = axis("", autorange="reversed", ticks="", showgrid=False, automargin=True)
    across = {"xaxis": axis(f"{unit} of workers", domain=[0, 0.47]), "xaxis2": axis("epochs", domain=[0.53, 1])}
    return made(traces, layout(150 + 46 * len(phases), yaxis=upright, barmode="stack", **across, legend={**layout()["legend"], "y": -0.35}))


def _phases(view: View) -> dict[str, Any]:
    return {phase: states for phase, states in view.spent.items() if phase != "total"}


def _total(view: View) -> str:
    total = view.spent.get("total", {}).get("total", {})
    hours = total.get("seconds", 0.0) / 3600
    money = f", {number(hours * view.per_hour)} at {number(view.per_hour)} an hour of a worker" if view.per_hour is not None else ""
    return f"{total.get('members', 0):.0f} members, {total.get('epochs', 0):,.0f} epochs, {duration(total.get('seconds', 0.0))}{money}"
