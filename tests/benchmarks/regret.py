"""What asking for K configs at once costs the search: regret against K at equal members, on objectives whose minimum is known.

A pack of K is K configs that a sampler gives before it hears how any of them ended. Nothing is trained: the sweep's own plan asks, what a
config scores is a formula plus noise, and the plan is told. One worker, so that all is told before more is asked; the plan's rule that an
adaptive sampler gives at most a quarter of the trials without a word is in force, and `tpe, uncapped` is what it would be without.

    regret = min over the members searched of f(config) − min f,    f without the noise

Runs with the same seed differ in K alone, so the difference from K = 1 is told with the standard error of the paired differences. `random`
learns nothing: its configs, and so its regret, are the same for every K (`test_regret.py` holds it), so it is run for one K only.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.ray.cluster import Cluster
from infra.storage import Home
from objectives.base import Member, Report, State, Value
from objectives.families.toy import BEST_LR, LR_COST, best_lambda, risk
from search.asking import samplers as samplers_
from search.running import driver
from search.running.in_process import carry_out
from search.running.working.work import Prepared, Progress, Result, Train, Work
from search.spec.reading import read
from tests.search.simulated import luck, vae

WIDTHS, TRIALS, SAMPLERS = (1, 2, 4, 8, 16), (24, 64), ("tpe", "tpe, uncapped", "random")
UNCAPPED = ", uncapped"
RIPPLE, PERIOD = 0.15, 0.5  # height of half a wave, and its length in units of the range's quarter


@dataclass(frozen=True)
class Problem:
    """A function of a config with a known minimum: `search` as in a spec, `least` = min f, `sd` the noise of one training."""

    objective: str
    search: Mapping[str, Any]
    truth: Callable[[Mapping[str, Value]], float]
    least: float
    sd: float


def ridge(config: Mapping[str, Value]) -> float:
    """The toy's risk: R(λ) + c·(ln η/η*)², least at λ* and η*."""
    return risk(float(config["l2"])) + LR_COST * math.log(float(config["lr"]) / BEST_LR) ** 2


def valley(config: Mapping[str, Value]) -> float:
    """A score with its minimum 100 at β = 0.8 and η = 0.005, unequally steep on the sides of either."""
    return vae(float(config["beta"]), float(config["lr"]))


# Where the rippled bowl has its minimum, and a quarter of the range of each knob (decades; a linear range as it is).
CENTRE = {"beta": math.log10(0.5), "l2": -3.0, "lr": math.log10(2e-3), "dropout": 0.2}
QUARTER = {"beta": 0.75, "l2": 1.25, "lr": 0.5, "dropout": 0.175}


def bowl(config: Mapping[str, Value]) -> float:
    """Four knobs, u their distances from the centre in quarters of the range: ½Σu² + ½u₁u₃ + ¼u₂u₄ + Σ a(1 − cos 2πu/p).

    The quadratic form is positive definite (its matrix has eigenvalues ½, ¾, 5/4 and 3/2) and each ripple is least at u = 0, so min f = 0.
    A λ of 0 counts as one step of half a decade below its range.
    """
    found = {}
    for name, centre in CENTRE.items():
        value = float(config[name])
        place = value if name == "dropout" else math.log10(value) if value > 0 else -6.5
        found[name] = (place - centre) / QUARTER[name]
    u = list(found.values())
    form = 0.5 * sum(one * one for one in u) + 0.5 * u[0] * u[2] + 0.25 * u[1] * u[3]
    return form + sum(RIPPLE * (1 - math.cos(2 * math.pi * one / PERIOD)) for one in u)


LR = {"low": 1e-4, "high": 1e-2}
PROBLEMS = {
    "ridge": Problem("toy", {"l2": {}, "lr": {}}, ridge, risk(best_lambda()), 0.005),
    "valley": Problem("vae", {"beta": {"low": 0.1, "high": 10}, "lr": {"low": 1e-4, "high": 1e-1}}, valley, 100.0, 0.1),
    "bowl": Problem(
        "vae",
        {"beta": {"low": 1e-2, "high": 10}, "l2": {"low": 1e-6, "high": 1e-1}, "lr": LR, "dropout": {"low": 0.0, "high": 0.7}},
        bowl,
        0.0,
        0.05,
    ),
}


class Forgetful:
    """A catalogue that keeps nothing: a simulated driver is never resumed, and a thousand databases would take most of the time."""

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        self._facts = dict(facts or {})

    def sweep(self, name: str) -> SweepRow:
        return SweepRow(name, {}, facts=self._facts)

    def members(self, sweep: str) -> list[MemberRow]:
        return []

    def reports(self, sweep: str) -> list[Any]:
        return []

    def add_members(self, sweep: str, rows: Sequence[MemberRow]) -> None:
        pass

    def add_reports(self, sweep: str, rows: Sequence[Any]) -> None:
        pass

    def end_member(self, sweep: str, number: int, **how: Any) -> None:
        pass

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def update_sweep(self, sweep: str, **what: Any) -> None:
        pass


@dataclass(frozen=True)
class Searched:
    """What one simulated search asked for, in its order, and how many members each job had."""

    configs: list[dict[str, Value]]
    widths: list[int]


def search(problem: Problem, sampler: str, trials: int, width: int, seed: int) -> Searched:
    """The search phase of one sweep: what is asked is scored, told together, and so on until the trials are spent."""
    spec = read(
        {
            "objective": problem.objective,
            "search": dict(problem.search),
            "sampler": sampler.removesuffix(UNCAPPED),
            "scheduler": "none",
            "budget": {"trials": trials, "epochs": 1},
            "confirm": {"configs": 0},
            "seed": seed,
        }
    )
    plan, dispatch = driver.opened("s", spec, Home.open("nowhere"), cast(Catalogue, Forgetful()), Cluster(None, 1, {}))
    plan.division.bundle = lambda _: 0  # any configs may be one pack
    if sampler.endswith(UNCAPPED):
        plan.division.widest = lambda phase: width  # type: ignore[method-assign]
    worker = Scores(problem, width, seed)
    carry_out(plan, dispatch, lambda: sum(worker.widths) >= trials, worker=worker)
    return Searched([dict(row.config) for row in plan.ledger.ordered()], worker.widths)


class Scores:
    """A worker that trains nothing (`in_process.Steps`). A training's luck is its own: a config asked for again is not as lucky again."""

    def __init__(self, problem: Problem, width: int, seed: int) -> None:
        self._problem, self._width, self._seed = problem, width, seed
        self.widths: list[int] = []

    def begin(self, work: Work) -> None:
        self._work = work

    def step(self) -> Result:
        if not isinstance(self._work, Train):
            return Prepared({"pack": {"members": self._width}})
        members = [one.member for one in self._work.assigned]
        self.widths.append(len(members))
        return Progress(tuple(self._trained(member) for member in members), done=True)

    def _trained(self, member: Member) -> Report:
        own = luck(self._seed, member.number, sorted(member.config.items()))
        score = self._problem.truth(member.config) + self._problem.sd * own
        return Report(member.number, 1, score, state=State.COMPLETE, score=score)


def regret(problem: Problem, found: Searched) -> float:
    """How far the best member is above the minimum, in the problem's units; 0 at best."""
    return min(problem.truth(config) for config in found.configs) - problem.least


@dataclass(frozen=True)
class Cell:
    """Mean regret over the seeds, and its difference from that of K = 1, with standard errors; `asked` is the most asked for at once."""

    problem: str
    trials: int
    sampler: str
    width: int
    asked: int
    seeds: int
    mean: float
    se: float
    more: float
    more_se: float


def measure(problems: Sequence[str], samplers: Sequence[str], trials: Sequence[int], widths: Sequence[int], seeds: int) -> list[Cell]:
    """Every combination; the first of `widths` is what the others are compared with."""
    cells = []
    for name in problems:
        for count in trials:
            for sampler in samplers:
                if sampler.endswith(UNCAPPED) and max(widths) <= max(1, count // 4):
                    continue  # the rule says nothing here
                first: list[float] = []
                for width in widths if samplers_.adaptive(sampler.removesuffix(UNCAPPED)) else widths[:1]:
                    runs = [search(PROBLEMS[name], sampler, count, width, seed) for seed in range(seeds)]
                    values = [regret(PROBLEMS[name], run) for run in runs]
                    first = first or values
                    more = [value - one for value, one in zip(values, first, strict=True)]
                    asked = max(max(run.widths) for run in runs)
                    cells.append(Cell(name, count, sampler, width, asked, seeds, *mean_se(values), *mean_se(more)))
    return cells


def mean_se(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error s/√n; NaN for the error of a single value."""
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def table(cells: Sequence[Cell]) -> str:
    """A Markdown table: one line for each problem, number of trials and sampler, one column for each K."""
    widths = sorted({cell.width for cell in cells})
    lines = ["| problem | trials | sampler | " + " | ".join(f"K = {width}" for width in widths) + " |"]
    lines.append("|---" * (3 + len(widths)) + "|")
    groups: dict[tuple[str, int, str], dict[int, Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.problem, cell.trials, cell.sampler), {})[cell.width] = cell
    for (problem, trials, sampler), row in groups.items():
        shown = []
        for width in widths:
            if (found := row.get(width)) is None:
                shown.append("the same")
                continue
            less = f" (asks {found.asked})" if found.asked < width else ""
            change = "" if width == widths[0] else f"; {found.more:+.2g} ± {found.more_se:.1g}"
            shown.append(f"{found.mean:.2g} ± {found.se:.1g}{change}{less}")
        lines.append(f"| {problem} | {trials} | {sampler} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def numbers(text: str) -> list[int]:
    """Numbers with commas between them."""
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.regret", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="sweeps for each cell; default: 20")
    parser.add_argument("--problems", default=",".join(PROBLEMS), help="default: all")
    parser.add_argument("--samplers", default=";".join(SAMPLERS), help="with semicolons between them; default: all")
    parser.add_argument("--trials", type=numbers, default=list(TRIALS), help="default: 24,64")
    parser.add_argument("--widths", type=numbers, default=list(WIDTHS), help="default: 1,2,4,8,16")
    parser.add_argument("--out", type=Path, help="write the cells here as JSON")
    given = parser.parse_args()
    started = time.monotonic()
    cells = measure(given.problems.split(","), given.samplers.split(";"), given.trials, given.widths, given.seeds)
    print("mean regret ± standard error; difference from K = 1 at the same seed ± standard error\n")
    print(table(cells))
    print(f"\n{given.seeds} seeds; {time.monotonic() - started:.0f} s")
    if given.out:
        given.out.write_text(json.dumps([asdict(cell) for cell in cells], indent=2) + "\n")


if __name__ == "__main__":
    main()
