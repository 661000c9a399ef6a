"""What each regularizer adds to a step of the network it acts on, beside its file's estimate.

Networks as published: the 784-128-16 autoencoder, the 784-400-20 VAE, the MLP GAN, on images of 28 × 28 at batch 128, one thread. A plain
step and one with the regularizer alternate, so that a busy machine slows both; the figure is the median of the ratios. glibc's allocator is
set as a worker of a sweep sets it: by itself it returns and faults in again, in each step, what the penalties of large kernels allocate.
"""

from __future__ import annotations

import re
import statistics
import time
from functools import cache
from typing import Any

import torch

from infra.machine import return_memory
from objectives import base, registry, regularizers
from objectives.base import Member, Settings, Value
from objectives.data._kinds import ImageSet
from objectives.training.loop import TrainingRun
from tests.benchmarks import results
from tests.benchmarks.results import Row

SIDE, BATCH, IMAGES = 28, 128, 2048
SPARE = 5.0  # percentage points that any regularizer may cost beyond its estimate
MODELS = {"autoencoder": "mlp", "vae": "mlp400", "gan": "mlp"}


def measure(rounds: int = 15, steps: int = 4) -> list[Row]:
    """One row for each regularizer and place: extra percent of a step; at most the larger of 2 × estimate and estimate + 5."""
    return_memory()
    torch.set_num_threads(1)
    rows = []
    for family in MODELS:
        for knob, found in regularizers.acting_on(family, tuple(registry.load(family).players)).items():  # type: ignore[attr-defined]
            try:
                extra = cost(family, knob, found, rounds, steps)
            except base.ObjectiveError as error:
                rows.append(results.skip(f"{family} {knob}", "%", 0, str(error)))
                continue
            estimate = estimated(found)
            target = max(2 * estimate, estimate + SPARE)
            rows.append(Row(f"{family} {knob} (estimate {found.knob.cost})", extra, "%", target))
    return rows


def estimated(found: regularizers.Regularizer) -> float:
    """The upper end of a file's estimate, in percent of a step of that network; spread over the steps between two computations."""
    share = float(re.findall(r"\d+(?:\.\d+)?", found.knob.cost)[-1])
    return share / interval(found) if "interval" in found.knob.cost else share


def interval(found: regularizers.Regularizer) -> int:
    """Every how many steps the penalty is computed, unless asked otherwise."""
    knob = next((one for one in found.companions if one.name == found.interval), None)
    return int(knob.default) if knob else 1


def cost(family: str, knob: str, found: regularizers.Regularizer, rounds: int, steps: int) -> float:
    """The median extra time of a step, in percent of a plain one."""
    plain, regular = begin(family, {}, found), begin(family, {knob: value(found)}, found)
    steps = max(steps, interval(found))
    took = [(seconds(plain, found.player, steps), seconds(regular, found.player, steps)) for _ in range(rounds + 2)][2:]
    return 100 * (statistics.median(b / a for a, b in took) - 1)


def value(found: regularizers.Regularizer) -> Value:
    """A value at which it is on."""
    knob = found.knob
    if knob.choices:
        return next(choice for choice in knob.choices if choice not in (knob.off, "instance"))
    assert knob.low is not None and knob.high is not None
    return round(knob.high) if knob.integer else (knob.low * knob.high) ** 0.5 if knob.log else 0.5 * (knob.low + knob.high)


def begin(family: str, config: dict[str, Value], found: regularizers.Regularizer) -> TrainingRun:
    kind: Any = registry.load(family)
    settings = Settings({"name": "digits"}, 10, MODELS[family], found.knob.likelihood or None, batch_size=BATCH)
    own = type("Measured", (kind,), {"load_data": lambda _: images()})
    run: TrainingRun = own(settings).start([Member(0, config, 0)])
    run.crew.epoch = 8  # late enough for what begins half-way
    run.crew.clock.epochs.fill_(7.0)
    return run


@cache
def images() -> ImageSet:
    """Random gray images: a step costs the same whatever they show."""
    few = torch.rand(IMAGES, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return ImageSet(train=few, val=few[:256], test=few[:256], shape=(1, SIDE, SIDE), record={"name": "random"})


def seconds(run: TrainingRun, player: str, steps: int) -> float:
    """Wall-clock time of so many steps of one player."""
    batch = run.rows[None, :BATCH]
    started = time.perf_counter()
    for _ in range(steps):
        run._update(player, batch)
        run.crew.average(run.decays)
        run.crew.steps += 1
    return time.perf_counter() - started


if __name__ == "__main__":
    results.main(__doc__, measure, rounds=15, steps=4)
