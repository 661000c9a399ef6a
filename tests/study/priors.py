"""What a prior gains and what a wrong one costs, by simulation: `python -m tests.study.priors --repeats 100`.

The same search (common seeds) starts cold and from four sources: `near` (its minimum a quarter of a decade away), `wrong` (its minimum at
the other end), `flat` (its scores say nothing), and `both` (near and wrong). Regret is that of the surface's minimum after n members.
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from objectives.base import Value
from objectives.registry import load
from search.asking.space import Space
from search.choosing import from_members
from search.choosing.answer import SelectionError
from search.choosing.trainings import trainings
from search.spec.reading import read
from tests.study.sweeps import sweep
from tests.study.worlds import RANGES, WORLDS, World

SHIFTS = {"near": 0.25, "wrong": math.nan}  # decades by which the source's minimum lies above the world's; NaN: to the other end
SOURCE_SEEDS = 12  # distinct source sweeps: the repeats take turns
LOOKS = (6, 8, 10, 12, 15, 18, 24)


def source(kind: str, world: World) -> World:
    """The world in which the earlier sweep was made."""
    if kind == "flat":
        return replace(world, name=f"{world.name}-flat", mean=lambda config: 0.0, lost=lambda config: 0.0)
    name = world.lambdas[0]
    ends = [math.log10(end) for end in RANGES[name]]
    best, room = math.log10(world.best[name]), 0.2
    far = ends[1] - room if ends[1] - best > best - ends[0] else ends[0] + room
    shift = SHIFTS[kind] if kind == "near" else far - best

    def mean(config: Mapping[str, Value]) -> float:
        value = float(config[name])
        return world.mean({**config, name: value / 10**shift if value > 0 and value != 1.0 else value})

    return replace(world, name=f"{world.name}-{kind}", mean=mean, lost=lambda config: 0.0)


@lru_cache(maxsize=64)
def stored(kind: str, name: str, seed: int) -> dict[str, Any]:
    """A source sweep, as `search.prior` stores it: 24 trials, without a race."""
    swept = sweep(source(kind, WORLDS[name]), 9000 + seed, budget={"trials": 24, "epochs": 20}, confirm={"configs": 0})
    rows, space, spec = swept.plan.table(), swept.plan.space, swept.plan.spec
    best = chosen(spec, space, rows) or {}
    names = [knob.name for knob in space.knobs]
    return {
        "name": kind,
        "best": {one: best[one] for one in names},
        "trainings": [[{one: each.config[one] for one in names}, each.seed, each.score, each.doubt] for each in trainings(rows)],
    }


def chosen(spec: Any, space: Space, rows: Any) -> dict[str, Value] | None:
    """The minimum of the surface over these members."""
    try:
        found = from_members.to_confirm(spec.model_copy(update={"confirm": type(spec.confirm)()}), space, rows)
    except SelectionError:
        return None
    return next((dict(one.config) for one in found if one.arm == "min"), None)


def searched(name: str, kinds: str, trials: int, seed: int) -> list[float]:
    """Regret after each look's members."""
    warnings.simplefilter("ignore")
    world = WORLDS[name]
    prior = [stored(kind, name, seed % SOURCE_SEEDS) for kind in kinds.split("+")] if kinds != "cold" else []
    swept = sweep(world, seed, prior, budget={"trials": trials, "epochs": 20}, confirm={"configs": 0})
    rows, found = swept.plan.table(), []
    space = Space(read(world.spec(seed)), load("vae"))
    for look in LOOKS:
        if look <= trials:
            best = chosen(swept.plan.spec, space, [row for row in rows if row.number < look])
            found.append(math.nan if best is None else min(world.regret(best), 30.0))
    return found


def main() -> None:
    """Print a line for each world, number of trials and source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", default="bowl-4,digits")
    parser.add_argument("--trials", default="12,24")
    parser.add_argument("--sources", default="cold,near,wrong,flat,near+wrong")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.worlds.split(","):
            for trials in map(int, given.trials.split(",")):
                cold: list[float] = []
                for kinds in given.sources.split(","):
                    one: Callable[[int], list[float]] = partial(searched, name, kinds, trials)
                    table = list(zip(*pool.map(one, range(given.repeats)), strict=True))
                    curve = [statistics.fmean(30.0 if math.isnan(value) else value for value in column) for column in table]
                    cold = cold or curve
                    ratios = [needed(curve, cold[at]) / needed(cold, cold[at]) for at in range(2, len(cold))]
                    print(
                        f"{name} {trials} {kinds:10s} members × "
                        + " ".join(f"{ratio:.2f}" for ratio in ratios)
                        + " · regret "
                        + " ".join(f"{value:.2f}" for value in curve),
                        flush=True,
                    )


def needed(curve: list[float], regret: float) -> float:
    """How many members it takes to come to this mean regret for good, on straight lines between the looks; ∞ where it never does."""
    if curve[-1] > regret:
        return math.inf
    last = next((at for at in reversed(range(len(curve))) if curve[at] > regret), None)
    if last is None:
        return float(LOOKS[0])
    part = (curve[last] - regret) / (curve[last] - curve[last + 1])
    return LOOKS[last] + part * (LOOKS[last + 1] - LOOKS[last])


if __name__ == "__main__":
    main()
