"""Steps of a pack whose operations are done again (`objectives/training/traced.py`) against steps of one that is mapped anew each time.

    python -m tests.benchmarks.replayed --rows autoencoder-digits,vae --widths 4,16,64

Two runs of the same members take turns; the ratio is the median over the turns. Both train the same weights, to the bit, or the script ends
with an error. `tracing` is what the first three steps take more where the first is traced and the next two are compared.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import torch

from objectives.training import traced
from tests.benchmarks.population import ROWS, Timed, Where, config_of, family_of, machine, turn

ROUNDS, TURN_S = 9, 0.3
NEVER = 10**9


def measure(row: str, width: int, where: Where) -> dict[str, float]:
    """Milliseconds of a step of the whole pack, mapped and replayed, their ratio, and the seconds of tracing."""
    runs = {}
    for after in (NEVER, NEVER, 0):  # the first of a process imports, and is thrown away
        traced.AFTER = after
        family = family_of(ROWS[row], where)
        runs[after] = Timed(family, config_of(family, ROWS[row]), width)
    steps = turn(min(timed(runs[after], after, 1) for after in (NEVER, 0)), runs[0].steps_per_epoch, TURN_S)
    pairs = [tuple(timed(runs[after], after, steps) for after in (NEVER, 0)) for _ in range(ROUNDS)]
    mine, theirs = runs[0].run, runs[NEVER].run
    if not all(torch.equal(theta, theirs.crew.thetas[player]) for player, theta in mine.crew.thetas.items()):
        raise SystemExit(f"{row}, K = {width}: the two runs differ")
    if not all(trace.operations and not trace.refused for trace in mine.family.traces.values()):
        raise SystemExit(f"{row}, K = {width}: not replayed")
    mapped, replayed = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    return {"mapped": 1e3 * mapped, "replayed": 1e3 * replayed, "ratio": ratio, "traced": runs[0].first_s - runs[NEVER].first_s}


def timed(run: Timed, after: int, steps: int) -> float:
    """Seconds of a step."""
    traced.AFTER = after
    return run.steps(steps) / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", default="autoencoder-digits,vae-digits,gan-digits,autoencoder,vae,gan")
    parser.add_argument("--widths", default="4,16,32")
    parser.add_argument("--data", help="a folder with MNIST/raw; without it, random images")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(1)
    where = Where(given.data, given.device, "randconv")
    told: dict[str, Any] = machine(given.device)
    print(", ".join(f"{name}: {value}" for name, value in told.items()))
    print("\n| row | K | mapped, ms a step | replayed | gain | tracing |\n|---|---|---|---|---|---|")
    for row in given.rows.split(","):
        for width in map(int, given.widths.split(",")):
            found = measure(row, width, where)
            cells = f"{found['mapped']:.3g} | {found['replayed']:.3g} | {found['ratio']:.2f} × | {found['traced']:.2g} s"
            print(f"| `{row}` | {width} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
