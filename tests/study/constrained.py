"""Worlds with constraints, in which the best config without them breaks them: what is exported keeps to them, and at which price.

`python -m tests.study.constrained --repeats 60` prints a row for each; `--worlds beyond,rates --spec sampler=gp` a part.
"""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import yaml

from objectives.base import Value
from search.spec.constraints import NAN_RATE, Constraint, constraint
from tests.study.sweeps import sweep
from tests.study.worlds import BEST_LR, RANGES, WORLDS, C, Config, World

KL = "val_kl_nats"


def kl_of_l2(config: Config) -> float:
    """It falls by 2 nats a decade of l2, and a little with a small learning rate; without l2 it is 17."""
    l2 = float(config["l2"])
    slow = 0.5 * math.log10(float(config["lr"]) / BEST_LR)
    return (10 - 2 * (math.log10(l2) - C) if l2 > 0 else 17.0) + slow


def kl_of_beta(config: Config) -> float:
    """As a VAE's: 12 nats at the best β, a factor 2.5 less for a decade more."""
    return float(12 * 2.5 ** -math.log10(float(config["beta"]) / 0.7))


def risen(config: Config) -> float:
    """Losses become likelier along λ: none below half a decade under the best, all two decades above."""
    l2 = float(config["l2"])
    return min(max((math.log10(l2) - C + 0.5) / 2.5, 0.0), 1.0) if l2 > 0 else 0.0


@dataclass(frozen=True)
class Bounded:
    """A world, its constraints, and whether λ off and anything at all keeps to them."""

    world: World
    constraints: Mapping[str, Any]
    what: str

    @property
    def demands(self) -> tuple[Constraint, ...]:
        """The constraints as they are read."""
        given = {name: [texts] if isinstance(texts, str) else texts for name, texts in self.constraints.items()}
        return tuple(constraint(name, text) for name, texts in given.items() for text in texts)

    def keeps(self, config: Config) -> bool:
        """Whether the expected values of a config keep to everything."""
        values = {name: mean(config) for name, mean in self.world.measures.items()} | {NAN_RATE: self.world.lost(config)}
        return all(one.holds(values[one.metric]) for one in self.demands)

    def least(self) -> float:
        """The least expected score of a config that keeps to everything, λ off included; by a fine grid."""
        name = self.world.lambdas[0]
        (low, high), rates = RANGES[name], np.logspace(-3.2, -2.0, 25)
        off = {"l2": 0.0, "beta": 1.0}[name]
        grid = [off, *np.logspace(math.log10(low), math.log10(high), 801)]
        configs = [{name: float(value), "lr": float(lr)} for value in grid for lr in rates]
        return min((self.world.mean(one) for one in configs if self.keeps(one)), default=math.nan)


def bounded(name: str, world: str, constraints: Mapping[str, Any], what: str, **more: Any) -> Bounded:
    """One of the worlds of the study, with other metrics and constraints on them."""
    return Bounded(replace(WORLDS[world], name=name, **more), constraints, what)


_L2 = {KL: kl_of_l2}
BOUNDED = {
    one.world.name: one
    for one in (
        bounded("beyond", "bowl-4", {KL: ">= 11.5"}, "the best λ breaks it; λ off keeps to it", measures=_L2),
        bounded("needed", "bowl-2", {KL: "<= 9"}, "λ off breaks it; half a decade beyond the best λ keeps to it", measures=_L2),
        bounded("between", "bowl-2", {KL: ["<= 9.2", ">= 8.2"]}, "only half a decade of λ keeps to it", measures=_L2),
        bounded("sharp", "valley", {KL: ">= 13"}, "a sharp valley whose best β breaks it", measures={KL: kl_of_beta}),
        bounded("rates", "bowl-4", {"nan_rate": "<= 0.1"}, "trainings are lost more often the larger λ is", lost=risen),
        bounded("lost", "cliff", {"nan_rate": "<= 0.1"}, "all trainings beyond the best λ are lost"),
        bounded("nobody", "bowl-2", {KL: ">= 40"}, "nothing keeps to it", measures=_L2),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """One sweep: whether the export keeps to everything in truth, its regret, and what was said of the constraints."""

    keeps: bool
    regret: float
    epochs: int
    states: tuple[str, ...]
    nearest: str
    arm: str
    needed: int
    recommended: dict[str, Value]


def repeat(name: str, spec: Mapping[str, Any], seed: int) -> Ended:
    """One sweep of a world with constraints."""
    warnings.simplefilter("ignore")
    one = BOUNDED[name]
    swept = sweep(one.world, seed, **{"constraints": one.constraints, **spec})
    answer = swept.answer
    assert answer is not None, swept.problem
    found = {knob: answer.recommended[knob] for knob in one.world.searched}
    states = tuple(said.state for said in answer.kept_to)
    regret = one.world.mean(found) - one.least()
    return Ended(one.keeps(found), regret, swept.epochs, states, answer.nearest, answer.recommended_arm, len(answer.needed_for), found)


def row(name: str, found: Sequence[Ended]) -> str:
    """One line."""
    regrets = [one.regret for one in found if one.keeps]
    states = {state: sum(state in one.states for one in found) for state in ("met", "unsure", "broken")}
    share = 100 / len(found)
    return (
        f"{name:9s} keeps {share * sum(one.keeps for one in found):.0f} %"
        + (f" · regret of these {statistics.fmean(regrets):.2f}" if regrets else "")
        + f" · epochs {statistics.fmean(one.epochs for one in found):.0f} · "
        + ", ".join(f"{state} {share * count:.0f}" for state, count in states.items())
        + f" · off exported {share * sum(one.arm == 'off' for one in found):.0f}"
        + f" · λ needed {share * sum(one.needed > 0 for one in found):.0f}"
        + f" · nobody {share * sum(bool(one.nearest) for one in found):.0f} %"
    )


def main() -> None:
    """Print a row for each world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", default=",".join(BOUNDED))
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--spec", action="append", default=[], metavar="KEY=VALUE", help="a key of the sweep's spec; VALUE is YAML")
    given = parser.parse_args()
    spec: dict[str, Any] = {"budget": {"trials": 24, "epochs": 20}}
    spec |= {key: yaml.safe_load(value) for key, _, value in (one.partition("=") for one in given.spec)}
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.worlds.split(","):
            print(row(name, list(pool.map(partial(repeat, name, spec), range(given.repeats)))), flush=True)


if __name__ == "__main__":
    main()
