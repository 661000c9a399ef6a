"""The same trainings as a finished sweep's, with the same evaluations, one after another in one process: no Ray, no Optuna, no MLflow."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from objectives.base import Member
from objectives.registry import load
from tests.benchmarks.workload import settings


def main(file: Path, epochs: int) -> None:
    """Train the members in the file; print their scores and the CPU seconds of the loop alone (without importing torch)."""
    objective = load("vae")(settings(epochs))
    objective.prepare()
    members = [Member(item["number"], item["config"], item["seed"]) for item in json.loads(file.read_text())]
    started, scores = time.process_time(), {}
    for member in members:
        run = objective.start([member])
        while reports := run.step():
            if reports[0].state is not None:
                scores[member.number] = reports[0].score
                break
    print(json.dumps({"scores": scores, "loop_cpu_s": time.process_time() - started}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
