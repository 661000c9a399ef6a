"""How good the answer is, by simulation: `make study ARGS='--worlds valley,two --repeats 100 --processes 2'`. See docs/certainty.md.

Every row is a world: sweeps whose trainings are formulas, from the plan to the answer, and rivals that get the same number of
member-epochs. Repeats have common seeds, so that two runs of the study can be compared row by row.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from search.choosing.answer import Answer, Verdict
from search.choosing.race import ABLATED
from tests.study.rivals import RIVALS, lucky
from tests.study.sweeps import sweep
from tests.study.worlds import RANGES, WORLDS, World

NEARLY = 0.02  # λ whose expected score is within this of the least are all best
EPOCHS = 20


@dataclass(frozen=True)
class Repeat:
    """One sweep: regrets in sd of one training, and which statements were true (None: not said, or there is no truth)."""

    regret: float
    rivals: dict[str, float]
    epochs: int
    verdict: str
    effect: float
    effect_true: bool | None
    effect_width: float
    lambda_true: bool | None
    lambda_width: float
    promise_true: bool | None
    problem: str = ""
    recommended: dict[str, float] = field(default_factory=dict)


def repeat(world: World, spec: dict[str, Any], rivals: Sequence[str], seed: int) -> Repeat:
    """One sweep of a world and its rivals."""
    warnings.simplefilter("ignore")
    swept = sweep(world, seed, **spec)
    least = world.regret({**world.fixed, **world.best})
    trials = max(1, round(swept.epochs / swept.plan.spec.settings().epochs))
    others = {name: world.regret(lucky(name, world, seed, trials)) - least for name in rivals}
    answer = swept.answer
    if answer is None:
        return Repeat(math.nan, others, swept.epochs, "none", math.nan, None, math.nan, None, math.nan, None, swept.problem)
    effect, finals = answer.effect, {one["arm"]: one["config"] for one in answer.arms if one["final"]}
    offs = {name: world.mean(config) for name, config in finals.items() if name.startswith(("off", ABLATED))}
    # Over the better off arm; where λ hurts, with all else equal.
    over = min(offs.values()) if answer.verdict is not Verdict.HURTS else offs.get(ABLATED + answer.arm, min(offs.values()))
    truth = over - world.mean(answer.best)
    known = effect.seeds >= 2
    fresh = world.score(answer.recommended, 10**6 + seed)
    widths = [sum(math.log10(high / low) for low, high in one.parts) for one in answer.lambdas if one.low > 0]
    return Repeat(
        world.regret(answer.recommended) - least,
        others,
        swept.epochs,
        str(answer.verdict),
        truth,
        effect.low <= truth <= effect.high if known else None,
        effect.high - effect.low if known else math.nan,
        holds(world, answer),
        statistics.fmean(widths) if widths else math.nan,
        None if math.isnan(fresh) else answer.promise.low <= fresh <= answer.promise.high,
        swept.problem,
        {name: float(answer.recommended[name]) for name in world.searched},
    )


def holds(world: World, answer: Answer) -> bool | None:
    """Whether the interval of each λ holds one of the best λ, the other knobs at their best; an open end reaches beyond the range."""
    found = []
    for one in answer.lambdas:
        if math.isnan(one.low):
            return None
        low, high = (math.log10(end) for end in RANGES[one.name])
        grid = [10 ** (low + (high - low) * k / 400) for k in range(401)]
        level = [world.regret({**world.fixed, **world.best, one.name: value}) for value in grid]
        best = [value for value, at in zip(grid, level, strict=True) if at <= min(level) + NEARLY]
        found.append(any(one.holds(value) for value in best))
    return all(found)


def share(values: Sequence[bool | None]) -> float:
    """In how many of 100 cases a statement was true, of those in which it was made."""
    said = [value for value in values if value is not None]
    return 100 * sum(said) / len(said) if said else math.nan


def row(world: World, found: Sequence[Repeat]) -> str:
    """One line of the table."""
    regrets = [one.regret for one in found if not math.isnan(one.regret)]
    rivals = {name: statistics.fmean(one.rivals[name] for one in found) for name in found[0].rivals}
    verdicts = {str(said): sum(one.verdict == said for one in found) for said in (*Verdict, "none")}
    error = statistics.stdev(regrets) / math.sqrt(len(regrets)) if len(regrets) > 1 else math.nan
    effect, width = (statistics.median(getattr(one, name) for one in found) for name in ("effect_width", "lambda_width"))
    return (
        f"{world.name:9s} regret {statistics.fmean(regrets):.2f} ± {error:.2f}"
        + "".join(f" · {name} {value:.2f}" for name, value in rivals.items())
        + f" · epochs {statistics.fmean(one.epochs for one in found):.0f}"
        + " · " + "/".join(f"{100 * count / len(found):.0f}" for count in verdicts.values())
        + f" · true: effect {share([one.effect_true for one in found]):.0f}, λ {share([one.lambda_true for one in found]):.0f},"
        + f" promise {share([one.promise_true for one in found]):.0f} %"
        + f" · widths: effect {effect:.2f}, λ {width:.2f}"
    )  # fmt: skip


def main() -> None:
    """Run the study and print a row for each world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--rivals", default=",".join(RIVALS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--spec", action="append", default=[], metavar="KEY=VALUE", help="a key of the sweep's spec; VALUE is YAML")
    parser.add_argument("--out", type=Path, help="where every repeat is written, as JSON")
    given = parser.parse_args()
    spec: dict[str, Any] = {"budget": {"trials": 24, "epochs": EPOCHS}}
    spec |= {name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in given.spec)}
    rivals = [name for name in given.rivals.split(",") if name]
    print("verdicts in %: " + "/".join([*map(str, Verdict), "none"]))
    kept = {}
    with ProcessPoolExecutor(given.processes) as pool:
        for name in given.worlds.split(","):
            one: Callable[[int], Repeat] = partial(_named, name, spec, rivals)
            found = list(pool.map(one, range(given.first, given.first + given.repeats)))
            kept[name] = [asdict(each) for each in found]
            print(row(WORLDS[name], found), flush=True)
            if given.out:
                given.out.write_text(json.dumps(kept))


def _named(name: str, spec: dict[str, Any], rivals: Sequence[str], seed: int) -> Repeat:
    return repeat(WORLDS[name], spec, rivals, seed)


if __name__ == "__main__":
    main()
