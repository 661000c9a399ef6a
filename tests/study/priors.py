"""What a prior gains and what a wrong one costs, by simulation: `python -m tests.study.priors --repeats 100`.

The same search (common seeds) starts cold and from four sources: `good` (the same world), `shifted` (its best λ a decade away), `wrong`
(its best λ at the other end of the range) and `empty` (its scores say nothing). Regret is that of the surface's minimum, 10 at most. A
sweep with a prior is compared with the cold one at equal members, and at 1.1 times its members (one in eleven is a proposal).
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from objectives.base import Value
from search.asking.space import Space
from search.choosing import from_members
from search.choosing.answer import SelectionError
from search.choosing.trainings import trainings
from search.running.ledger import PROPOSED
from tests.study.sweeps import sweep
from tests.study.worlds import RANGES, WORLDS, World

SOURCES = ("good", "shifted", "wrong", "empty")
SOURCE_SEEDS = 25  # distinct source sweeps: the repeats take turns
SOURCE_TRIALS, TRIALS, COLD = 24, 26, (11, 16, 20, 24)
WORST = 10.0


def more(members: int) -> int:
    """1.1 times so many members."""
    return math.floor(1.1 * members)


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
        found = from_members.to_confirm(spec, space, rows)
    except SelectionError:
        return None
    return next((dict(one.config) for one in found if one.arm == "min"), None)


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
    for look in sorted({*COLD, *map(more, COLD)}):
        if look <= trials and (kinds == "cold" or proposals):
            best = chosen(plan.spec, plan.space, [row for row in rows if row.number < look])
            found[look] = WORST if best is None else min(world.regret(best), WORST)
    return Searched(found, proposals)


def told(kinds: str, found: list[Searched], cold: list[Searched], trials: int) -> str:
    """A line for one source: mean regrets, and their paired differences from the cold start with standard errors."""
    parts = []
    for look in COLD:
        at = more(look)
        if at > trials:
            continue
        pairs = [(one.regret or other.regret, other.regret) for one, other in zip(found, cold, strict=True)]
        equal = [one[look] - other[look] for one, other in pairs]
        # A sweep whose sources proposed nothing is the cold one: at 1.1 times its members it has at least what the cold one has.
        above = [one[at] - other[look] for one, other in pairs]
        base = statistics.fmean(other[look] for _, other in pairs)
        parts.append(f"n={look}: cold {base:.2f}, with {mean_se(equal)} at n, {mean_se(above)} at {at}")
    used = sum(bool(one.proposals) for one in found) / len(found)
    return f"{kinds:8s} proposes in {used:4.0%} · " + " · ".join(parts)


def mean_se(values: list[float]) -> str:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):+.2f} ± {error:.2f}"


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
