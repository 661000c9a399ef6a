"""How many members to train as one program. It is measured on the device that trains, because it depends on model, data and machine.

On a GPU wide packs win by far. On a CPU they win where the layers are small, and lose where one member already fills the caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from objectives import base
from objectives.training import population
from objectives.training.loop import TrainingRun
from objectives.training.mathematics import Mathematics
from objectives.training.traced import hasten

SECONDS = 10.0  # at most so long
SHARE = 0.05  # share of the time that the members would take one by one: no more is lost where no pack pays
LEAST_GAIN = 1.1  # a pack must be faster by this factor, or members train one by one
TRACED_FROM = 100.0  # seconds that the members would take one by one, from which widths are traced: tracing a width takes half a second
WARM_STEPS, STEPS, ROUNDS = 1, 3, 3
TRACING_STEPS = 4  # one is traced, two are compared, and the next two that are compared fall into the warm steps
WIDTHS = (4, 8, 16, 32, 64, 128, 256)


def measure(family: Mathematics, searched: Sequence[str], widest: int, members: int) -> dict[str, Any]:
    """The width that trains the most member-epochs per second, out of powers of two up to `widest`; 1 unless wider is clearly faster.

    For the timing, every searched λ is on, in the middle of its range. Where training takes minutes, packs are traced first. Wider packs
    are tried until time or memory runs out, or until two widths in a row are slower. One member alone is timed again beside each width,
    because a machine's speed changes while others use it.

    Args:
        family: what is trained.
        searched: the knobs that the sweep searches.
        widest: no pack will have more members than this.
        members: how many this worker will train in all. If they take only seconds anyway, nothing is tried.

    Returns:
        `members`, `why`, and `rates`: member-epochs per second by width, of training alone.
    """
    population.rehearse()  # imports that a process does once must not count as the cost of a width
    started = time.perf_counter()
    config = _middle(family, searched)
    alone = _Timed(family, config, 1)
    epoch = alone.epoch_seconds()
    whole = members * family.settings.epochs * epoch
    budget = min(SECONDS, SHARE * whole)
    gains, rates = {1: 1.0}, {1: 1 / epoch}
    why = f"no wider pack was {LEAST_GAIN:g} × as fast as one member at a time"
    # At best a pack's step takes as long as one member's step; at worst twice as many members take twice as long.
    next_s = 2 * (STEPS + WARM_STEPS) * ROUNDS * epoch / alone.steps_per_epoch
    for width in (width for width in WIDTHS if width <= widest):
        began = time.perf_counter()
        if began - started + next_s > budget:
            why = why if len(gains) > 1 else "the search is too short to try packs"
            break
        try:
            pairs = _beside(alone, family, config, width, traced=whole > TRACED_FROM)
        except Exception as error:
            why = f"{width} members could not be one program ({type(error).__name__}: {str(error)[:200]})"
            break
        packed, single = (min(seconds) for seconds in zip(*pairs, strict=True))
        gains[width] = width * single / packed
        rates[width] = width / packed
        if all(gain < 0.8 * max(gains.values()) for gain in list(gains.values())[-2:]):
            break
        next_s = 2 * (time.perf_counter() - began)
    best = max(gains, key=lambda width: gains[width])
    if gains[best] < LEAST_GAIN:
        best = 1
    if best > 1:
        why = f"{gains[best]:.2g} × as fast as one member at a time"
    return {"members": best, "why": why, "rates": {str(width): round(rate, 3) for width, rate in rates.items()}}


def epoch_seconds(family: Mathematics, config: base.Config) -> float:
    """How long an epoch of one member takes here, with its evaluation. Estimated from a few steps."""
    timed = _Timed(family, config, 1)
    return timed.epoch_seconds() + timed.evaluation_seconds()


def _beside(alone: _Timed, family: Mathematics, config: base.Config, width: int, traced: bool) -> list[tuple[float, float]]:
    """Seconds of an epoch of a pack and of one member, in turns. The pack is removed before the next, wider one is built."""
    pack = _Timed(family, config, width, traced)
    return [(pack.epoch_seconds(), alone.epoch_seconds()) for _ in range(ROUNDS)]


class _Timed:
    """A pack that has taken its first steps. `traced`: in the form in which it runs once its operations are replayed (`traced.py`)."""

    def __init__(self, family: Mathematics, config: base.Config, width: int, traced: bool = False) -> None:
        self._run = TrainingRun(family, [base.Member(number, config, number) for number in range(width)])
        self._waits = family.settings.device != "cpu"  # with an accelerator a call returns before the work is done
        self._run.train_steps(WARM_STEPS)
        if traced:
            hasten(family.traces)
            for _ in range(TRACING_STEPS):
                self._run.train_steps(1)
        if width > 1 and family.evaluates_together:
            self._run.judge.evaluated_together()  # a width must also have the memory for this
        self.steps_per_epoch = max(1, len(self._run.rows) // self._run.batch_size)

    def epoch_seconds(self) -> float:
        """How long an epoch of training takes for the whole pack: the shuffle, and the steps, of which a few are timed."""
        self._run.train_steps(WARM_STEPS)  # the program that was timed before has left its own data in the caches
        shuffle, some = (self._seconds(partial(self._run.train_steps, steps)) for steps in (0, STEPS))
        return shuffle + max(some - shuffle, 0.0) / STEPS * self.steps_per_epoch

    def evaluation_seconds(self) -> float:
        """How long the second evaluation of one member takes. The first one imports."""
        return min(self._seconds(lambda: self._run.judge.evaluated(0)) for _ in range(2))

    def _seconds(self, act: Callable[[], object]) -> float:
        before = self._now()
        act()
        return self._now() - before

    def _now(self) -> float:
        if self._waits:
            torch.accelerator.synchronize()
        return time.perf_counter()


def _middle(family: Mathematics, searched: Sequence[str]) -> dict[str, base.Value]:
    """Every searched knob in the middle of its range, so that its cost is part of the timing."""
    found: dict[str, base.Value] = {}
    for name in searched:
        knob = family.knobs[name]
        if knob.structural or knob.choices or knob.low is None or knob.high is None:
            continue
        middle = (knob.low * knob.high) ** 0.5 if knob.log and knob.low > 0 else (knob.low + knob.high) / 2
        found[name] = round(middle) if knob.integer else middle
    return found
