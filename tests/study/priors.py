"""What a prior gains and what a wrong one costs, by simulation: `python -m tests.study.priors --repeats 100`.

The same search (common seeds) starts cold and from sources: `good` (the same world), `shifted` (its best λ a decade away), `wrong` (its
best λ at the other end of the range) and `empty` (its scores say nothing). Regret is that of the surface's minimum, 10 at most. After n
members a sweep with a prior is compared with the cold one after n members, and after n / 1.1: one in eleven may be a proposal.
`members ×` is n over the number of members after which the cold start has the same mean regret, on straight lines between its looks.
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from objectives.base import Value
from search.asking.space import OFF_ARM, Space
from search.choosing.answer import Row
from search.choosing.candidates import minima
from search.choosing.trainings import trainings
from search.modelling.surface import Surface
from search.running.writing.told import PROPOSED
from tests.study.sweeps import sweep
from tests.study.worlds import RANGES, WORLDS, World

SOURCES = ("good", "shifted", "wrong", "empty")
SOURCE_SEEDS = 25  # distinct source sweeps: the repeats take turns
SOURCE_TRIALS, TRIALS = 24, 22
COLD, WARM = (10, 12, 14, 16, 18, 20, 22), (11, 16, 22)
WORST = 10.0


def source(kind: str, world: World) -> World:
    """The world in which the earlier sweep was made."""
    if kind == "empty":
        return replace(world, name=f"{world.name}-empty", mean=lambda config: 0.0, lost=lambda config: 0.0)
    if kind == "good":
        return world
    shifts = {}
    for name in world.lambdas:
        low, high = (math.log10(end) for end in RANGES[name])
        best = math.log10(world.best[name])
        up = 1.0 if high - best > best - low else -1.0
        room = (high - best if up > 0 else best - low) - 0.2
        shifts[name] = up * (min(1.0, room) if kind == "shifted" else room)

    def mean(config: Mapping[str, Value]) -> float:
        moved = {name: float(config[name]) / 10**shift for name, shift in shifts.items() if _is_on(name, config[name])}
        return world.mean({**config, **moved})

    return replace(world, name=f"{world.name}-{kind}", mean=mean, lost=lambda config: 0.0)


def _is_on(name: str, value: Value) -> bool:
    return float(value) != (1.0 if name == "beta" else 0.0)


@lru_cache(maxsize=128)
def stored(kind: str, name: str, seed: int) -> dict[str, Any]:
    """A source sweep, as `search.prior` stores it, without a race."""
    swept = sweep(source(kind, WORLDS[name]), 9000 + seed, budget={"trials": SOURCE_TRIALS, "epochs": 20}, searched=True)
    rows, space = swept.plan.table(), swept.plan.space
    best = chosen(space, rows) or {}
    names = [knob.name for knob in space.knobs]
    return {
        "name": kind,
        "best": {one: best[one] for one in names},
        "trainings": [[{one: each.config[one] for one in names}, each.seed, each.score, each.doubt] for each in trainings(rows)],
    }


def chosen(space: Space, rows: Sequence[Row]) -> dict[str, Value] | None:
    """The minimum of the surface over these members; None where no member with λ on has a score."""
    surface = Surface.of(trainings(rows), space.knobs)
    found = minima(rows, space.knobs, space.lambdas, surface).get("")
    best = min((row for row in rows if row.ended == "ok" and row.arm != OFF_ARM), key=lambda row: row.score or 0.0, default=None)
    return found or (dict(best.config) if best else None)


@dataclass(frozen=True)
class Searched:
    """Regret by number of members, and after which members proposals were made."""

    regret: dict[int, float]
    proposals: tuple[int, ...]


def searched(name: str, kinds: str, trials: int, seed: int) -> Searched:
    """One sweep from these sources (`cold`: from none)."""
    warnings.simplefilter("ignore")
    world = WORLDS[name]
    prior = [stored(kind, name, seed % SOURCE_SEEDS) for kind in kinds.split("+")] if kinds != "cold" else []
    swept = sweep(world, seed, prior, budget={"trials": trials, "epochs": 20}, searched=True)
    rows, plan, found = swept.plan.table(), swept.plan, {}
    proposals = tuple(row.number for row in plan.ledger.ordered() if PROPOSED in row.facts)
    for look in sorted({*COLD, *WARM}) if kinds == "cold" else WARM:
        if look <= trials and (kinds == "cold" or (proposals and proposals[0] < look)):  # before, it is the cold one
            best = chosen(plan.space, [row for row in rows if row.number < look])
            found[look] = WORST if best is None else min(world.regret(best), WORST)
    return Searched(found, proposals)


def told(kinds: str, found: list[Searched], cold: list[Searched], trials: int) -> str:
    """A line for one source: mean regrets, and their paired differences from the cold start with standard errors."""
    if kinds == "cold":
        return "cold     · " + " · ".join(f"{n}: {statistics.fmean(one.regret[n] for one in cold):.2f}" for n in COLD if n <= trials)
    curve = {n: statistics.fmean(one.regret[n] for one in cold) for n in COLD if n <= trials}
    parts = []
    for n in (one for one in WARM if one <= trials):
        values = [one.regret.get(n, other.regret[n]) for one, other in zip(found, cold, strict=True)]
        fewer = max(one for one in COLD if one <= n / 1.1)
        apart = ", ".join(f"{paired(values, [one.regret[m] for one in cold])} from cold at {m}" for m in (n, fewer))
        parts.append(f"{n}: {statistics.fmean(values):.2f}, {apart}, members × {n / reached(curve, statistics.fmean(values)):.2f}")
    used = sum(bool(one.proposals) for one in found) / len(found)
    return f"{kinds:8s} proposes in {used:4.0%} · " + " · ".join(parts)


def reached(curve: Mapping[int, float], regret: float) -> float:
    """After how many members a cold start has this mean regret for good; its first or last look where that lies outside."""
    looks = sorted(curve)
    above = [n for n in looks if curve[n] > regret]
    if not above or above[-1] == looks[-1]:
        return float(looks[-1] if above else looks[0])
    n, then = above[-1], looks[looks.index(above[-1]) + 1]
    return n + (then - n) * (curve[n] - regret) / (curve[n] - curve[then])


def paired(values: Sequence[float], base: Sequence[float]) -> str:
    """The mean difference with the standard error of the paired differences."""
    apart = [value - other for value, other in zip(values, base, strict=True)]
    error = statistics.stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
    return f"{statistics.fmean(apart):+.2f} ± {error:.2f}"


def main() -> None:
    """Print a line for each world and source."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", default="bowl-2,bowl-4,valley,two,digits")
    parser.add_argument("--sources", default=",".join(SOURCES), help="several at once: good+wrong")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.worlds.split(","):
            cold: list[Searched] = []
            for kinds in ["cold", *given.sources.split(",")]:
                one: Callable[[int], Searched] = partial(searched, name, kinds, given.trials)
                found = list(pool.map(one, range(given.first_seed, given.first_seed + given.repeats)))
                cold = cold or found
                print(f"{name:8s} {told(kinds, found, cold, given.trials)}", flush=True)


if __name__ == "__main__":
    main()
