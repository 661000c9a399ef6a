"""What scheduling, records and tracking cost: CPU time of all processes of a sweep against the same trainings in one plain loop."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tests.benchmarks import processes, results, workload
from tests.benchmarks.processes import python
from tests.benchmarks.results import Row

RATIO, FIXED_S = 1.5, 18.0


def measure(members: int = workload.MEMBERS, epochs: int = workload.EPOCHS) -> list[Row]:
    """The sweep, then its members in a loop. The fixed part of the target (Ray, two workers with torch, Tune) is taken off first."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        sweep = workload.ours(here / "ours", members, epochs)
        trained = workload.trained_members(here / "ours")
        file = here / "members.json"
        file.write_text(json.dumps(trained))
        loop = processes.run(python("tests.benchmarks.plain_loop", file, epochs), folder=here)
    said = json.loads(loop.output.splitlines()[-1])
    parts = {
        "sweep_cpu_s": sweep.cpu_s,
        "sweep_cpu_by_role": sweep.cpu_by_role,
        "loop_cpu_s": loop.cpu_s,
        "loop_without_imports_cpu_s": said["loop_cpu_s"],
        "fixed_s": FIXED_S,
        "members": members,
        "same_scores": said["scores"] == {str(item["number"]): item["score"] for item in trained},
    }
    return [Row(f"CPU of a sweep less {FIXED_S:g} s / plain loop", (sweep.cpu_s - FIXED_S) / loop.cpu_s, "×", RATIO, parts=parts)]


if __name__ == "__main__":
    results.main(__doc__, measure, members=workload.MEMBERS, epochs=workload.EPOCHS)
