"""Going on until λ helps: sweeps of worlds in which λ does nothing, resumed with more trials as long as the verdict is another one.

`python -m tests.study.resumed --repeats 100` prints a row for each world. Plan, study, schedulers, race, answer and the catalogue that
`resume` reads are the real ones; only the training is a formula (`sweeps.py`). A sweep that helps is not resumed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from infra.catalogue import Catalogue
from infra.ray.cluster import Cluster
from infra.storage import Home
from search import kept
from search.choosing.answer import Answer, Verdict
from search.running import driver
from search.running.in_process import carry_out
from search.running.planning.plan import Plan
from search.spec.reading import read
from tests.study.sweeps import Trained
from tests.study.worlds import WORLDS, World

NULL = ("bowl-0", "chance")
RESUMES, MORE = 5, 8  # how often a sweep goes on, and with how many more trials


def looks(world: World, seed: int, folder: Path, *, trials: int = 24, epochs: int = 20, more: int = MORE) -> Iterator[tuple[Plan, Answer]]:
    """The plan and the answer of a sweep, and then those of each resume, without an end."""
    home = Home.open(folder)
    spec = read(world.spec(seed, budget={"trials": trials, "epochs": epochs}))
    with Catalogue(home.catalogue_url) as catalogue:
        kept.begin(catalogue, spec, "s", home, lambda note: None)
        while True:
            plan, dispatch = driver.opened("s", spec, home, catalogue, Cluster(None, 1, {}))
            carry_out(plan, dispatch, lambda: False, worker=Trained(world, spec.settings().epochs))
            if plan.answer is None:
                raise RuntimeError(f"{world.name}, seed {seed}: {plan.problem}")
            kept.remember(catalogue, "s", plan.problem, plan.cut, 0.0)
            kept.told(catalogue, "s", plan.answer, [])
            catalogue.update_sweep("s", status="complete")
            yield plan, plan.answer
            spec = kept.go_on(catalogue, "s", spec, more)


def verdicts(world: World, seed: int, resumes: int = RESUMES) -> list[Verdict]:
    """What was said at each look, until it was `helps`, or the last resume."""
    said: list[Verdict] = []
    with tempfile.TemporaryDirectory() as folder:
        for _, answer in looks(world, seed, Path(folder)):
            said.append(answer.verdict)
            if answer.verdict is Verdict.HELPS or len(said) > resumes:
                return said
    return said


def main() -> None:
    """A row for each world: at which look `helps` was said, and in how many of 100 sweeps by the last one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", default=",".join(NULL))
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in given.worlds.split(","):
        began, at, looked = time.process_time(), Counter[int](), 0
        for done, seed in enumerate(range(given.first, given.first + given.repeats), 1):
            said = verdicts(WORLDS[name], seed)
            looked += len(said)
            if said[-1] is Verdict.HELPS:
                at[len(said)] += 1
            each = (time.process_time() - began) / done
            told = ", ".join(f"look {look}: {count}" for look, count in sorted(at.items())) or "never"
            print(f"{name}: {done} sweeps, {looked} looks; helps in {at.total()} ({told}); {each:.1f} CPU s a sweep", flush=True)


if __name__ == "__main__":
    main()
