"""Private memory (USS) of the driver and of a worker at their peaks, in a VAE sweep on MNIST."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.benchmarks import processes, results
from tests.benchmarks.processes import COMMAND, REPOSITORY, WORKER, lagrange
from tests.benchmarks.results import Row, skip

DRIVER_MB, WORKER_MB = 600, 900


def measure(trials: int = 6, epochs: int = 1) -> list[Row]:
    """A short sweep with confirmation, so that every phase is passed; two workers."""
    root = Path(os.environ.get("LAGRANGE_DATA", REPOSITORY.parent / "shared" / "data"))
    names = {COMMAND: ("driver, private memory", DRIVER_MB), WORKER: ("worker on MNIST, private memory", WORKER_MB)}
    if not (root / "MNIST" / "raw").exists():
        why = "no MNIST in torchvision's layout under $LAGRANGE_DATA"
        return [skip(what, "MB", target, why) for what, target in names.values()]
    wanted = ["--dataset", "mnist", "--data-root", root, "--trials", trials, "--epochs", epochs, "--workers", 2]
    with tempfile.TemporaryDirectory() as folder:
        argv = lagrange("sweep", "vae", *wanted, "--set", "confirm.configs=2", "--set", "confirm.seeds=2")
        used = processes.run(argv, folder=Path(folder), memory=True)
    parts = {"wall_s": used.wall_s, "cpu_s": used.cpu_s, "trials": trials, "epochs": epochs}
    return [Row(what, used.uss_mb[role], "MB", target, parts=parts) for role, (what, target) in names.items()]


if __name__ == "__main__":
    results.main(__doc__, measure, trials=6, epochs=1)
