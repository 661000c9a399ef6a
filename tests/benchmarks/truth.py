"""The quickstart's own truth, and whether its verdicts agree with it. Minutes long.

python -m tests.benchmarks.truth long       12 β × 20 seeds at one learning rate, without Ray or sweeps: the curve and the paired effect
python -m tests.benchmarks.truth verdicts   the quickstart with 10 sweep seeds: verdict, β, interval, effect and promise of each
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from search.spec.reading import read

BETAS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 3.0, 10.0)
SEEDS = tuple(range(1000, 1020))
LR = 5e-3


def score(beta: float, seed: int) -> float:
    """The final score of one training: IWAE-100 NLL of the validation images, in nats."""
    import torch

    from objectives.base import Member, Settings
    from objectives.registry import load

    torch.set_num_threads(1)
    objective = load("vae")(Settings(dataset={"name": "digits"}, epochs=20))
    run = objective.start([Member(0, {"beta": beta, "lr": LR}, seed)])
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


def verdicts() -> None:
    """Ten quickstarts that differ in the sweep's seed alone."""
    from infra import cluster
    from infra.storage import Home
    from search.spec.text import presets
    from search.sweep import run

    with tempfile.TemporaryDirectory() as folder, cluster.connect(workers=2):
        home = Home.open(folder)
        for seed in range(10):
            outcome = run(read(presets()["quickstart"], [f"seed={seed}"]), home=home, tracking=False)
            print(f"seed {seed}: {outcome.seconds:.0f} s, {outcome.problem or (outcome.answer and outcome.answer.sentence())}", flush=True)


if __name__ == "__main__":
    {"long": long_run, "verdicts": verdicts}[sys.argv[1]]()
