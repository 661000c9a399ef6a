"""How numbers and lists are written wherever a person reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from objectives.base import Value


def schedule_words(steps: Mapping[str, Sequence[Sequence[Value]]]) -> str:
    """`beta = 0.2, after 10 epochs 0.5; lr = …`."""
    said = []
    for name, ((_, first), *later) in steps.items():
        moved = [f"after {start} epochs {number(float(value))}" for start, value in later]
        said.append(", ".join([f"{name} = {number(float(first))}", *moved]))
    return "; ".join(said)


MILLION = 1_000_000  # from here on numbers are written with an exponent


def number(value: float, known_to: float = math.inf) -> str:
    """Three significant digits, or as many as an interval of width `known_to` needs (two digits of the width). ∞ stands for infinity.

    From a million on they are written as 2.25e+28: nobody counts thirty digits, and those behind the third are no number that is known.
    """
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    decimals = 1 - math.floor(math.log10(known_to)) if 0 < known_to < math.inf else 0
    if abs(value) >= MILLION:
        digits = math.floor(math.log10(abs(value))) + decimals if known_to < math.inf else 2
        return f"{value:.{min(max(digits, 2), 12)}e}".replace("-", "−", 1 if value < 0 else 0)
    if value and 10 ** (decimals + 1) * abs(value) > 1000 and 0 < decimals < 12:
        return f"{value:,.{decimals}f}".replace("-", "−")
    shown = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return shown.replace("-", "−")


def interval(mean: float, low: float, high: float) -> str:
    """Mean and interval, with enough digits to tell the ends apart."""
    width = high - low
    return f"{number(mean, width)} [{number(low, width)}, {number(high, width)}]"


def listed(parts: Sequence[object], most: int, joint: str = ", ") -> str:
    """The first parts of a list. A list that is cut says how many are left out, so that nobody takes it for the whole."""
    shown = joint.join(str(part) for part in parts[:most])
    return f"{shown}{joint}{more(len(parts) - most)}" if len(parts) > most else shown


def more(count: int) -> str:
    """How a list that was cut ends."""
    return f"… and {count} more"
