"""How many members to train as one program: measured on the device that trains, for it depends on the model, the data and the machine.

On a GPU wide packs win by far; on a CPU they win where the layers are small, and lose where one member fills the caches already.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from objectives import base
from objectives.training import TrainingRun

if TYPE_CHECKING:
    from objectives._family import Family

SECONDS = 3.0  # for the whole calibration, about
LEAST_GAIN = 1.1  # a pack must be faster by this factor, or members train one by one
WARM_STEPS, STEPS, ROUNDS = 1, 3, 3
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def measure(family: Family, searched: Sequence[str], most: int) -> dict[str, Any]:
    """The width that trains the most member-epochs per second, out of powers of two up to `most`; 1 unless wider ones are clearly faster.

    Members have every searched λ on, in the middle of its range. Wider packs are tried until time or memory runs out, or they lose.

    Returns:
        `members`, `why`, and `rates`: member-epochs per second by width, training alone (evaluation costs the same in a pack).
    """
    started = time.perf_counter()
    rates: dict[int, float] = {}
    why = f"no wider pack was {LEAST_GAIN:g} × as fast as one member at a time"
    for width in (width for width in WIDTHS if width <= most):
        try:
            rates[width] = _rate(family, _middle(family, searched), width)
        except Exception as error:
            why = f"{width} members could not be one program ({type(error).__name__}: {str(error)[:200]})"
            break
        if time.perf_counter() - started > SECONDS or rates[width] < 0.8 * max(rates.values()):
            break
    best = max(rates, key=lambda width: rates[width], default=1)
    if best > 1 and rates[best] < LEAST_GAIN * rates[1]:
        best = 1
    if best > 1:
        why = f"{rates[best] / rates[1]:.2f} × as fast as one member at a time"
    return {"members": best, "why": why, "rates": {str(width): round(rate, 3) for width, rate in rates.items()}}


def _rate(family: Family, config: dict[str, base.Value], width: int) -> float:
    """Member-epochs per second of a pack: the fastest of a few rounds of a few steps."""
    run = TrainingRun(family, [base.Member(number, config, number) for number in range(width)])
    run.train_steps(WARM_STEPS)
    found = []
    for _ in range(ROUNDS):
        before = time.perf_counter()
        run.train_steps(STEPS)
        if family.settings.device.startswith("cuda"):
            torch.cuda.synchronize()
        found.append((time.perf_counter() - before) / STEPS)
    return width / (min(found) * max(1, len(run.rows) // run.batch_size))


def _middle(family: Family, searched: Sequence[str]) -> dict[str, base.Value]:
    """Every searched knob in the middle of its range, so that what it costs is paid."""
    found: dict[str, base.Value] = {}
    for name in searched:
        knob = family.knobs[name]
        if knob.structural or knob.choices or knob.low is None or knob.high is None:
            continue
        middle = (knob.low * knob.high) ** 0.5 if knob.log and knob.low > 0 else (knob.low + knob.high) / 2
        found[name] = round(middle) if knob.integer else middle
    return found
