"""Nothing is lost where drivers and workers are killed at random: the same members, decisions and answer as with one worker and no death.

python -m tests.study.kills [--kills 500] [--cases race,packs,…]

Every driver is a process of its own that ends by SIGKILL between two statements of SQL, before a commit, or in a step of its worker.
Workers die in a tenth of their steps, before or after they wrote a checkpoint. Trainings are formulas; all
else is real, files and answers included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from tests.search.lives import CASES, disturbed, undisturbed

PARTS = ("members", "answer", "status", "spec", "facts")


def main() -> None:
    """Kill until there were enough kills, each case in its turn; a row for each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--cases", default=",".join(CASES))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    names = given.cases.split(",")
    drivers, workers, sweeps, unlike = Counter[str](), Counter[str](), Counter[str](), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole = {name: undisturbed(CASES[name], Path(folder) / name) for name in names}
        seed = 0
        while drivers.total() + workers.total() < given.kills:
            for name in names:
                expected, points = whole[name]
                found = disturbed(CASES[name], Path(folder) / f"{name}-{seed}", points, seed, sigkill=True)
                drivers[name] += found.drivers
                workers[name] += found.workers
                sweeps[name] += 1
                unlike += [f"{name}, seed {seed}: other {part}" for part, a, b in zip(PARTS, found.left, expected, strict=True) if a != b]
                print(f"{name} {seed}: {found.drivers} drivers, {found.workers} workers killed", file=sys.stderr, flush=True)
            seed += 1
        print("| sweep | members | sweeps | drivers killed | workers killed | other than undisturbed |\n|---|---|---|---|---|---|")
        for name in names:
            members = len(whole[name][0][0][0])
            other = sum(one.startswith(f"{name},") for one in unlike)
            print(f"| {name} | {members} | {sweeps[name]} | {drivers[name]} | {workers[name]} | {other} |")
    print(f"{drivers.total() + workers.total()} kills", *unlike, sep="\n")
    sys.exit(bool(unlike))


if __name__ == "__main__":
    main()
