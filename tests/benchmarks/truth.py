"""The quickstart's own truth, and whether its verdicts agree with it. Minutes long.

python -m tests.benchmarks.truth long             12 β × 20 seeds at one learning rate, without sweeps: the curve and the paired effect
python -m tests.benchmarks.truth verdicts [20]    the quickstart with 20 sweep seeds, without Ray: a row of each, and what agrees
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from search.choosing.answer import Answer, Verdict
from search.choosing.words import number
from search.spec.reading import read

BETAS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 3.0, 10.0)
SEEDS = tuple(range(1000, 1020))
LR = 5e-3
BEST, GAIN = (0.6, 0.8), (0.193, 0.244)  # of the long run: the β beside the best, 0.7, and the interval of its gain over β = 1, in nats
FRESH = tuple(range(5000, 5003))  # seeds on which an exported config is trained again


def score(beta: float, seed: int, lr: float = LR) -> float:
    """The final score of one training: IWAE-100 NLL of the validation images, in nats."""
    import torch

    from objectives.base import Member, Settings
    from objectives.registry import load

    torch.set_num_threads(1)
    objective = load("vae")(Settings(dataset={"name": "digits"}, epochs=20))
    run = objective.start([Member(0, {"beta": beta, "lr": lr}, seed)])
    while True:
        (report,) = run.step()
        if report.state is not None:
            return math.nan if report.score is None else report.score


def long_run() -> None:
    """Mean and standard error by β, and the paired improvement over β = 1."""
    pairs = [(beta, seed) for beta in BETAS for seed in SEEDS]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = dict(zip(pairs, pool.map(score, *zip(*pairs, strict=True), chunksize=10), strict=True))
    print("beta    mean    se      improvement over beta = 1, 95 % interval")
    for beta in BETAS:
        values = [found[beta, seed] for seed in SEEDS]
        gains = [found[1.0, seed] - found[beta, seed] for seed in SEEDS]
        half = 2.093 * statistics.stdev(gains) / math.sqrt(len(SEEDS)) if beta != 1.0 else 0.0  # t(0.975, 19)
        error = statistics.stdev(values) / math.sqrt(len(SEEDS))
        gain = statistics.mean(gains)
        print(f"{beta:<7g} {statistics.mean(values):.3f}  {error:.3f}   {gain:+.3f} [{gain - half:+.3f}, {gain + half:+.3f}]")


@dataclass(frozen=True)
class Said:
    """What one quickstart said, and which of it agrees with the long run. `kept`: how many of the fresh seeds kept its promise."""

    seed: int
    answer: Answer
    seconds: float
    kept: int

    @property
    def agrees(self) -> dict[str, bool]:
        """Each statement, and whether it is the long run's."""
        (beta,) = self.answer.lambdas
        effect = self.answer.effect
        return {
            "helps": self.answer.verdict is Verdict.HELPS,
            "β between the long run's neighbours of the best": BEST[0] <= beta.value <= BEST[1],
            "the interval of β holds 0.7": any(low <= 0.7 <= high for low, high in beta.parts),
            "the interval of the effect meets the long run's": effect.low <= GAIN[1] and effect.high >= GAIN[0],
        }

    def row(self) -> str:
        """One line of the table."""
        (beta,), effect, promise = self.answer.lambdas, self.answer.effect, self.answer.promise
        cells = [
            self.seed,
            f"{number(beta.value)} {beta.interval()}",
            number(float(self.answer.best["lr"])),
            f"{effect.words()} ({effect.seeds})",
            self.answer.verdict,
            promise.words(),
            f"{self.kept} of {len(FRESH)}",
            int(self.answer.spent["total"]["total"]["members"]),
            round(self.seconds),
        ]
        return f"| {' | '.join(map(str, cells))} |"


def verdict(seed: int) -> Said:
    """A quickstart in this process, and trainings of what it exports on seeds that it never saw."""
    from infra.storage import Home
    from search.running.where import IN_PROCESS
    from search.spec.text import presets
    from search.sweep import run

    with tempfile.TemporaryDirectory() as folder:
        outcome = run(read(presets()["quickstart"], [f"seed={seed}"]), home=Home.open(folder), address=IN_PROCESS, tracking=False)
    assert outcome.answer is not None, outcome.problem
    config, promise = outcome.answer.recommended, outcome.answer.promise
    kept = sum(promise.low <= score(float(config["beta"]), fresh, float(config["lr"])) <= promise.high for fresh in FRESH)
    return Said(seed, outcome.answer, outcome.seconds, kept)


def verdicts(count: int = 20, first: int = 0) -> None:
    """Quickstarts that differ in the sweep's seed alone."""
    print("| seed | β | lr | effect (seeds) | verdict | promise | kept | members | s |\n|---|---|---|---|---|---|---|---|---|", flush=True)
    found = []
    for seed in range(first, first + count):
        found.append(verdict(seed))
        print(found[-1].row(), flush=True)
    for statement in found[0].agrees:
        print(f"{statement}: {sum(one.agrees[statement] for one in found)} of {count}")
    print(f"promises kept by fresh seeds: {sum(one.kept for one in found)} of {count * len(FRESH)}")


if __name__ == "__main__":
    command, *numbers = sys.argv[1:]
    {"long": long_run, "verdicts": verdicts}[command](*map(int, numbers))
