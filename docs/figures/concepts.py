"""Draws the pictures of docs/concepts.md: `python docs/figures/concepts.py`. The numbers are made up, and chosen to show one idea each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

OUT = Path(__file__).parents[1] / "images"
DPI = 150
# The colours of the λ curve, which people with any kind of colour vision can tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, RED, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#8A8A8A", "#222222"
mpl.rcParams |= {"font.size": 10, "text.color": INK, "axes.labelcolor": INK}


def figure(width: float, height: float, columns: int = 1, **more: Any) -> tuple[Figure, Any]:
    """A white figure with plain axes."""
    whole = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    panels = whole.subplots(1, columns, squeeze=False, **more)[0]
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(colors=INK)
    return whole, panels


def save(whole: Figure, name: str) -> None:
    """Write a PNG."""
    whole.set_dpi(DPI)
    FigureCanvasAgg(whole).print_png(str(OUT / name))


def expected(u: Any) -> Any:
    """The true score over the logarithm of λ: as without λ where it is weak, best in the middle, bad where it is strong."""
    return 13.4 - 5.4 * np.exp(-(((u + 0.6) / 0.75) ** 2)) + 1.2 * np.exp(3.0 * (u - 0.7))


def members() -> None:
    """Members are dots: each is a config and a seed. The off arm stands apart, because a log axis has no place for λ = 0."""
    draw = np.random.default_rng(3)
    whole, (off, on) = figure(7.6, 3.9, 2, sharey=True, width_ratios=[1, 4.2])
    at = np.sort(draw.uniform(-3, 1, 20))
    seen = expected(at) + draw.normal(0, 0.45, 20)
    grid = np.linspace(-3, 1, 200)
    line = expected(grid)
    on.fill_between(10**grid, line - 0.4, line + 0.4, color=BLUE, alpha=0.15, linewidth=0)
    on.plot(10**grid, line, color=BLUE)
    lost = at > 0.45  # where λ is too strong
    on.plot(10 ** at[~lost], seen[~lost], "o", color=GREY)
    on.plot(10 ** at[lost], np.full(lost.sum(), 14.4), "x", color=RED)
    on.axvspan(10**-0.85, 10**-0.35, color=GREEN, alpha=0.15, linewidth=0)
    on.plot([10**-0.6], [8.0], "D", color=GREEN, markersize=8)
    on.set(xscale="log", xlabel="λ, on a log scale", ylim=(6.6, 15.2), xlim=(0.9e-3, 11))
    on.annotate("one member:\none config, one seed", (10 ** at[4], seen[4]), (1.5e-3, 10.2), arrowprops={"arrowstyle": "-", "color": GREY})
    on.annotate(
        "expected score\nby the fit to all members",
        (10**-1.2, expected(-1.2)),
        (1.5e-3, 8.2),
        color=BLUE,
        arrowprops={"arrowstyle": "-", "color": BLUE},
    )
    on.annotate("best λ and its interval", (10**-0.33, 7.0), color=GREEN)
    on.annotate("a lost member", (10**0.6, 14.4), (0.25, 13.6), color=RED, arrowprops={"arrowstyle": "-", "color": RED})
    scores = np.array([13.4, 13.9, 14.2, 13.7])
    off.plot(np.linspace(-0.3, 0.3, 4), scores, "o", color=ORANGE)
    off.set(xlim=(-1, 1), xticks=[0], xticklabels=["off"], ylabel="score, lower is better", yticks=[])
    off.annotate("off arm:\nevery λ off", (-0.85, 12.0), color=ORANGE)
    save(whole, "concept-members.png")


def race() -> None:
    """A sweep from left to right. A square is a training; its colour is its seed."""
    draw = np.random.default_rng(1)
    whole, (panel,) = figure(8.6, 3.2)
    panel.axis("off")
    shades = ("#D9D9D9", "#9ECAE1", "#4292C6", "#FDD0A2", "#FDAE6B", "#FD8D3C", "#E6550D", "#A63603", "#C7E9C0", "#74C476", "#238B45")

    def training(x: float, y: float, shade: str, part: float = 1.0) -> None:
        panel.add_patch(Rectangle((x, y), 0.8 * part, 0.8, facecolor=shade, edgecolor="white"))

    for place in range(24):
        full = place % 3 == 0 or place > 19
        training(place // 6 * 1.0, place % 6, shades[0], 1.0 if full else draw.uniform(0.25, 0.6))
    for row in range(5):
        for seed in (0, 1):
            training(6 + seed, row + 0.5, shades[1 + seed])
    for row in range(2):
        for seed in (0, 1):
            training(10 + seed, row + 1.7, shades[1 + seed])
    for row in range(2):
        for seed in range(8):
            training(14 + seed, row + 1.7, shades[3 + seed])
    for x, title, text in (
        (0, "search", "24 configs, one seed each;\nearly stopping ends many"),
        (6, "first round", "off and its rivals,\ntwo fresh seeds"),
        (10, "between", "two more configs,\nthe same seeds"),
        (14, "final round", "off and the best config,\nup to eight seeds that are new"),
    ):
        panel.text(x, 6.5, title, fontweight="bold")
        panel.text(x, -0.35, text, fontsize=8, va="top")
    panel.text(13.9, 3.75, "best", fontsize=8)
    panel.text(13.9, 1.3, "off", fontsize=8)
    for x in (5, 9, 13):
        panel.annotate("", (x + 0.55, 2.9), (x - 0.25, 2.9), arrowprops={"arrowstyle": "->", "color": INK})
    panel.set(xlim=(-0.3, 22.6), ylim=(-1.6, 7.2))
    save(whole, "concept-race.png")


def pairs() -> None:
    """The same seed with λ and without: differences vary less than scores. Their interval decides; the promise is about one new seed."""
    draw = np.random.default_rng(8)
    whole, (scores, gains) = figure(7.6, 3.6, 2, width_ratios=[1.5, 1])
    luck = draw.normal(0, 0.16, 8)
    off, best = 23.72 + luck + draw.normal(0, 0.06, 8), 23.46 + luck + draw.normal(0, 0.06, 8)
    for one, other in zip(off, best, strict=True):
        scores.plot([0, 1], [one, other], "-", color="#C8C8C8", zorder=1)
    scores.plot(np.zeros(8), off, "o", color=ORANGE)
    scores.plot(np.ones(8), best, "o", color=GREEN)
    half = 2.365 * best.std(ddof=1) * np.sqrt(1 + 1 / 8)
    scores.plot([1.28, 1.28], [best.mean() - half, best.mean() + half], color=GREEN, linewidth=6, alpha=0.4, solid_capstyle="butt")
    scores.text(1.36, best.mean(), "promise:\none new seed\nscores here", color=GREEN, va="center")
    scores.set(xlim=(-0.3, 2.1), xticks=[0, 1], xticklabels=["λ off", "best λ"], ylabel="score, lower is better")
    scores.set_title("eight seeds, each trained twice", fontsize=10, loc="left")
    gain = off - best
    reach = 2.365 * gain.std(ddof=1) / np.sqrt(8)
    gains.axvline(0, color=INK, linewidth=0.8)
    gains.plot(gain, np.linspace(0.8, 2.2, 8), "o", color=GREY)
    gains.plot([gain.mean() - reach, gain.mean() + reach], [0.3, 0.3], color=BLUE, linewidth=6, alpha=0.5, solid_capstyle="butt")
    gains.plot([gain.mean()], [0.3], "D", color=BLUE)
    gains.text(gain.mean() - reach, 0.42, "effect with its interval", color=BLUE, fontsize=9, ha="center")
    gains.set(xlim=(-0.06, 0.42), ylim=(0, 2.5), yticks=[], xlabel="gained over λ off")
    gains.spines["left"].set_visible(False)
    gains.set_title("differences by seed", fontsize=10, loc="left")
    save(whole, "concept-pairs.png")


if __name__ == "__main__":
    members()
    race()
    pairs()
