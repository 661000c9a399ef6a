"""CPU seconds of `lagrange --help`: what every command pays before it does anything."""

from __future__ import annotations

import os
import statistics
import subprocess

from tests.benchmarks import results
from tests.benchmarks.processes import lagrange
from tests.benchmarks.results import Row


def measure(repeats: int = 5) -> list[Row]:
    """The median, after one run that fills the cache of compiled files."""
    found = [cpu_seconds() for _ in range(repeats + 1)][1:]
    return [Row("lagrange --help, CPU", statistics.median(found), "s", 0.4, parts={"each_s": found})]


def cpu_seconds() -> float:
    """User and system time of one process without children."""
    process = subprocess.Popen(lagrange("--help"), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"lagrange --help must succeed; it ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    results.main(__doc__, measure, repeats=5)
