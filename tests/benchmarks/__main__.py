"""Every benchmark, and one table of numbers beside their targets. Takes about forty minutes on two idle cores."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks import help_cpu, memory, overhead, programs, quickstart, regularizer_cost, results, storing, vae_epoch, wall_clock

ALL = (help_cpu, quickstart, overhead, programs, storing, wall_clock, memory, vae_epoch, regularizer_cost)


def main() -> None:
    """Run all, say on the way which one runs, print the table; JSON goes to `--out`, else below the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--out", type=Path, help="write JSON here instead of onto the standard output")
    out = parser.parse_args().out
    rows = []
    for benchmark in ALL:
        print(f"{benchmark.__name__.rpartition('.')[2]}: {(benchmark.__doc__ or '').splitlines()[0]}", file=sys.stderr, flush=True)
        rows += benchmark.measure()
    print(results.table(rows))
    results.write(rows, out)


if __name__ == "__main__":
    main()
