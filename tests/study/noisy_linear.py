"""Is the best λ found where theory says it is? Real sweeps of the linear autoencoder on noisy data, whose best λ is the noise's variance.

python -m tests.study.noisy_linear [--variances 0.25,0.5,1,1.5,2] [--seeds 5] [--processes 1]

Shrinkage 1 − λ/(e + s²) is Wiener's e/(e + s²) in every direction exactly at λ* = s² (Kunin et al. 2019, arXiv 1901.08168; infinitely many
rows, latent size = rank). Beside the theory of infinitely many rows, `best_of_rows` has the best λ of the rows that are trained on.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np

from infra.storage import Home
from search.choosing.answer import Answer
from search.choosing.words import number
from search.running.where import IN_PROCESS
from search.sweep import run

VARIANCES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
WITHIN = 0.15
RANK = 5
ROWS = 4000  # the best λ of these rows is 2 to 5 % below s²; of 1000 rows it is up to 8 %
MOST = 40  # members of a sweep, the confirmed ones included


@dataclass(frozen=True)
class Found:
    """What one sweep said of a data set whose noise has the variance s²."""

    variance: float
    seed: int
    answer: Answer
    seconds: float

    @property
    def off_by(self) -> float:
        """λ/λ* − 1."""
        return float(self.answer.best["l2"]) / self.variance - 1

    @property
    def members(self) -> int:
        """How many members the sweep trained."""
        return int(self.answer.spent["total"]["total"]["members"])

    def row(self) -> str:
        """One line of the table."""
        (one,) = self.answer.lambdas
        held = any(low <= self.variance <= high for low, high in one.parts)
        cells = [number(self.variance), self.seed, f"{number(one.value)} {one.interval()}", f"{100 * self.off_by:+.1f} %"]
        cells += ["yes" if held else "no", self.answer.effect.words(), self.answer.verdict, self.members, round(self.seconds)]
        return f"| {' | '.join(map(str, cells))} |"


def spec(variance: float, seed: int) -> dict[str, Any]:
    """24 searched, 4 candidates on 2 screening seeds, 2 finalists on 4 seeds: 40 members."""
    return {
        "objective": "autoencoder",
        "model": "linear",
        "dataset": {"name": "noisy_linear", "noise_variance": variance, "rank": RANK, "n_train": ROWS},
        "search": {"l2": {"low": 0.02, "high": 20}},
        "fixed": {"lr": 1e-2, "latent_dim": RANK},
        "batch_size": 400,
        "budget": {"trials": 24, "epochs": 40},
        "confirm": {"configs": 4, "screen": 2, "seeds": 4},
        "scheduler": "none",
        "pack": 6,  # a step of so small a model is mostly overhead
        "seed": seed,
    }


def swept(pair: tuple[float, int]) -> Found:
    """One sweep, by real trainings."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(spec(*pair), home=Home.open(folder), address=IN_PROCESS, tracking=False)
    assert outcome.answer is not None, outcome.problem
    return Found(*pair, outcome.answer, time.monotonic() - started)


def best_of_rows(variance: float, rows: int = ROWS) -> float:
    """The λ whose optimum on these rows reconstructs the clean validation rows best; in closed form, with the shrinkages (1 − λ/σᵢ²)₊."""
    from objectives.data import noisy_linear as data

    images = data.load({"noise_variance": variance, "rank": RANK, "n_train": rows})
    assert images.val_target is not None
    train, val, clean = (part.flatten(1).double().numpy() for part in (images.train, images.val, images.val_target))
    values, vectors = np.linalg.eigh(train.T @ train / len(train))
    values, vectors = values[::-1][:RANK], vectors[:, ::-1][:, :RANK]
    codes, wanted = val @ vectors, clean @ vectors  # what the directions leave out is the same for every λ
    grid = variance * np.exp(np.linspace(-0.5, 0.5, 401))
    risks = [float(((codes * np.clip(1 - one / values, 0, None) - wanted) ** 2).sum()) for one in grid]
    return float(grid[int(np.argmin(risks))])


def main() -> None:
    """A row for each sweep, and how many came near enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variances", default=",".join(map(str, VARIANCES)))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    variances = [float(one) for one in given.variances.split(",")]
    print("| s² | seed | λ | off by | its interval holds s² | effect | verdict | members | s |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    found = []
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for one in pool.map(swept, [(variance, seed) for variance in variances for seed in range(given.seeds)]):
            found.append(one)
            print(one.row(), flush=True)
    for variance in variances:
        mine = [one for one in found if one.variance == variance]
        mean = variance * math.exp(sum(math.log1p(one.off_by) for one in mine) / len(mine))
        near = sum(abs(one.off_by) <= WITHIN for one in mine)
        said = f"{near} of {len(mine)} within {WITHIN:.0%}, mean {number(mean)}"
        print(f"s² = {variance:g}: {said}; the best of these rows in closed form: {number(best_of_rows(variance))}")
    print(f"at most {max(one.members for one in found)} members")


if __name__ == "__main__":
    main()
