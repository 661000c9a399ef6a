"""How often what stands beside the answer is true: `python -m tests.study.insights --what importance --repeats 100`.

- importance: worlds in which it is known which knob has no effect and which one rules. A knob without effect must come out below `NEAR_0`,
  and the ruling one first; for the surface's shares and for PED-ANOVA.
- interaction: in `two`, whether the interval holds the truth, which is a formula, by seeds and by the surface.
- third: whether the config that two thirds of the search would have chosen is as much worse as is said, by the formula.
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from objectives.base import Phase
from search.choosing import insight
from search.choosing.candidates import minimum
from search.choosing.trainings import trainings
from search.modelling.surface import Surface
from tests.study.sweeps import Swept, sweep
from tests.study.worlds import BEST_LR, WORLDS, C, Config, World, tuned

NEAR_0 = 0.1


def _decades(config: Config, name: str, best: float) -> float:
    value = float(config[name])
    return math.log10(value) - best if value > 0 else -2.0


def only_lr(config: Config) -> float:
    """A learning rate that rules, a λ that does nothing."""
    return tuned(config["lr"])


def only_l2(config: Config) -> float:
    """A λ that rules: 1 sd a decade², a learning rate that does nothing."""
    return _decades(config, "l2", C) ** 2


def only_beta(config: Config) -> float:
    """β rules, 8 sd a decade²; l2 does nothing; the learning rate costs a little."""
    return 8.0 * _decades(config, "beta", -0.3) ** 2 + tuned(config["lr"], 0.2)


def nothing(config: Config) -> float:
    """No knob does anything."""
    return 0.0


@dataclass(frozen=True)
class Known:
    """A world in which `dead` knobs have no effect, and `first` is the one that matters most."""

    world: World
    dead: tuple[str, ...]
    first: str


BEST = {"beta": 0.5, "l2": 10**C, "lr": BEST_LR}
KNOWN = {
    one.world.name: one
    for one in (
        Known(World("only-lr", "", ("l2", "lr"), only_lr, BEST), ("l2",), "lr"),
        Known(World("only-l2", "", ("l2", "lr"), only_l2, BEST), ("lr",), "l2"),
        Known(World("only-beta", "", ("beta", "l2", "lr"), only_beta, BEST), ("l2",), "beta"),
        Known(World("nothing", "", ("l2", "lr"), nothing, BEST), ("l2", "lr"), ""),
        Known(WORLDS["valley"], (), "beta"),
        Known(WORLDS["digits"], (), "beta"),
    )
}


def surface_of(swept: Swept) -> Surface | None:
    """The surface of all members of a simulated sweep."""
    return Surface.of(trainings(swept.plan.table()), swept.plan.space.knobs)


def importance(name: str, spec: Mapping[str, Any], seed: int) -> tuple[dict[str, float], dict[str, float], float] | None:
    """The shares, PED-ANOVA and luck of one sweep; None where nothing was said."""
    warnings.simplefilter("ignore")
    swept = sweep(KNOWN[name].world, seed, **spec)
    found = insight.importance(surface_of(swept), swept.plan.table(), swept.plan.space.knobs)
    return (found[0].shares, found[0].ped_anova, found[0].luck) if found else None


def interaction(spec: Mapping[str, Any], seed: int) -> dict[str, tuple[bool, float]]:
    """Whether the interval of the interaction in `two` held the truth, and how wide it was, by who said it."""
    warnings.simplefilter("ignore")
    world, swept = WORLDS["two"], sweep(WORLDS["two"], seed, **spec)
    assert swept.answer is not None
    said = {}
    best, surface = swept.answer.best, surface_of(swept)
    one = swept.answer.beside.interactions
    if one and one[0].seeds:
        arms = {arm["arm"]: arm["config"] for arm in swept.answer.arms if arm["final"]}
        off = next(config for arm, config in arms.items() if arm.startswith("off"))
        truth = sum(world.mean(arms[f"without:{name}"]) for name in world.lambdas) - world.mean(best) - world.mean(off)
        said["seeds"] = (one[0].low <= truth <= one[0].high, one[0].high - one[0].low)
    first, second = (knob for knob in swept.plan.space.lambdas)
    offs = {"beta": 1.0, "l2": 0.0}
    if surface is not None and all(best[name] != off_value for name, off_value in offs.items()):
        found = insight.by_surface(surface, best, first, second)
        truth = sum(world.mean({**best, name: offs[name]}) for name in offs) - world.mean(best) - world.mean({**best, **offs})
        said["surface"] = (found.low <= truth <= found.high, found.high - found.low)
    return said


def third(name: str, spec: Mapping[str, Any], seed: int) -> tuple[float, float, float] | None:
    """What the last third of the search bought: as said, its sd, and the truth."""
    warnings.simplefilter("ignore")
    world, swept = WORLDS[name], sweep(WORLDS[name], seed, **spec)
    rows, space = swept.plan.table(), swept.plan.space
    found = insight.last_third(surface_of(swept), rows, space.knobs, space.lambdas)
    searched = [row for row in rows if row.phase == Phase.SEARCH]
    configs = [minimum(part, space.knobs, space.lambdas) for part in (searched[: round(2 * len(searched) / 3)], searched)]
    if found is None or None in configs or math.isinf(found.mean):
        return None
    early, whole = ({**world.fixed, **config} for config in configs if config is not None)
    return found.mean, found.sd, world.regret(early) - world.regret(whole)


def said_importance(pool: ProcessPoolExecutor, name: str, spec: Mapping[str, Any], repeats: int) -> str:
    """One line: how often the dead knobs were near 0 and the ruling one first."""
    one: Callable[[int], Any] = partial(importance, name, spec)
    every = list(pool.map(one, range(repeats)))
    found, known, parts = [each for each in every if each is not None], KNOWN[name], []
    for place, who in enumerate(("surface", "PED-ANOVA")):
        shares = [each[place] for each in found if each[place]]
        if not shares:
            continue
        dead = [share[knob] for share in shares for knob in known.dead]
        near = (
            f"dead < {NEAR_0} in {100 * statistics.fmean(x < NEAR_0 for x in dead):.0f} % (mean {statistics.fmean(dead):.3f})"
            if dead
            else ""
        )
        first = f"first {100 * statistics.fmean(max(s, key=s.__getitem__) == known.first for s in shares):.0f} %" if known.first else ""
        parts.append(f"{who}: {near} {first} of {len(shares)}")
    luck = statistics.fmean(each[2] for each in found) if found else math.nan
    return f"{name:10s} said {len(found)} of {repeats} · luck {luck:.2f} · " + " · ".join(parts)


def main() -> None:
    """Run the study and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", default="importance,interaction,third")
    parser.add_argument("--worlds", default="valley,two,bowl-2,plateau")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--scheduler", default="asha")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    spec: dict[str, Any] = {"budget": {"trials": given.trials, "epochs": 20}, "scheduler": given.scheduler}
    with ProcessPoolExecutor(given.processes) as pool:
        if "importance" in given.what:
            for name in KNOWN:
                print(said_importance(pool, name, spec, given.repeats), flush=True)
        if "interaction" in given.what:
            every = list(pool.map(partial(interaction, spec), range(given.repeats)))
            for who in ("seeds", "surface"):
                said = [one[who] for one in every if who in one]
                held, width = statistics.fmean(x for x, _ in said), statistics.median(w for _, w in said)
                print(f"interaction by {who}: holds the truth in {100 * held:.0f} % of {len(said)}, width {width:.2f}", flush=True)
        for name in given.worlds.split(",") if "third" in given.what else ():
            said3 = [one for one in pool.map(partial(third, name, spec), range(given.repeats)) if one is not None]
            z = [abs(mean - truth) <= 1.96 * sd for mean, sd, truth in said3]
            means = [statistics.fmean(values) for values in zip(*said3, strict=True)]
            print(
                f"third {name}: said {means[0]:.2f} ± {means[1]:.2f}, true {means[2]:.2f}; within 1.96 sd in "
                f"{100 * statistics.fmean(z):.0f} % of {len(z)}"
            )


if __name__ == "__main__":
    main()
