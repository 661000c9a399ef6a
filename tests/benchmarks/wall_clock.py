"""The same search by wall clock: Lagrange against stock Ray Tune with its Optuna and MLflow glue, and against Tune with nothing on."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from tests.benchmarks import results, workload
from tests.benchmarks.processes import Usage
from tests.benchmarks.results import Row


def measure(members: int = workload.MEMBERS, epochs: int = workload.EPOCHS, rounds: int = 2) -> list[Row]:
    """Lean, ours and again, so that a busy machine is busy for both; stock once, for it is slow. Whole commands, Ray's start included."""
    lean: list[Usage] = []
    ours: list[Usage] = []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        for number in range(rounds):
            lean.append(workload.tune("lean_tune", here / f"lean{number}", members, epochs))
            ours.append(workload.ours(here / f"ours{number}", members, epochs))
        stock = workload.tune("stock_tune", here / "stock", members, epochs)
    used = {"lean": lean, "ours": ours, "stock": [stock]}
    parts = {name: {"wall_s": [one.wall_s for one in runs], "cpu_s": [one.cpu_s for one in runs]} for name, runs in used.items()}
    over_lean = statistics.median(one.wall_s / other.wall_s for one, other in zip(ours, lean, strict=True))
    over_stock = stock.wall_s / statistics.median(one.wall_s for one in ours)
    return [
        Row("wall clock: stock Tune / ours", over_stock, "×", 4, at_least=True, parts=parts),
        Row("wall clock: ours / lean Tune", over_lean, "×", 1.15, parts=parts),
    ]


if __name__ == "__main__":
    results.main(__doc__, measure, members=workload.MEMBERS, epochs=workload.EPOCHS, rounds=2)
