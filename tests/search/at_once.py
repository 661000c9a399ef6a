"""Many sweeps that begin at the same moment, each with a driver of its own: what they come to, and what the stores hold of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from infra.catalogue import Catalogue
from infra.storage import Home

SPEC: dict[str, Any] = {
    "objective": "toy",
    "dataset": {"name": "none", "noise": 0.5},
    "scheduler": "none",
    "sampler": "random",
    "budget": {"trials": 8, "epochs": 6},
    "confirm": {"configs": 2, "seeds": 3},
}
# No name is given, and all wait for the word: so all ask for a name, for tables and for runs at once.
DRIVER = """
import dataclasses, json, sys
from search.sweep import run
from infra.storage import Home
import optuna, mlflow, alembic.command, search.running.working.worker
from search.running import halting
halting.CLOSE_SECONDS = 900.0  # no member or point is missing in the end; how long that takes is the machine's affair
spec, home = json.loads(sys.argv[1]), Home.open(sys.argv[2], catalogue_url=sys.argv[3] or None, tracking_uri=sys.argv[4] or None)
print("ready", flush=True); sys.stdin.readline()
outcome = run(spec, home=home, address="in-process")
print(json.dumps([outcome.name, outcome.status, list(outcome.notes), outcome.seconds]), flush=True)
"""


@dataclass(frozen=True)
class Found:
    """What came of it. `seconds` from the word to the last end."""

    names: list[str]
    notes: list[str]
    seconds: float
    members: int
    points: int
    missing: list[str]
    """What MLflow lacks, or has twice: empty where it holds what the catalogue holds."""


def at_once(count: int, home: Home, *, catalogue_url: str = "", tracking_uri: str = "") -> Found:
    """Run `count` sweeps at once in this home. Fails where one is not complete."""
    command = [sys.executable, "-c", DRIVER, json.dumps(SPEC), str(home.root), catalogue_url, tracking_uri]
    drivers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(count)
    ]
    for driver in drivers:
        assert driver.stdout is not None and driver.stdout.readline() == "ready\n", driver.communicate()[1]
    began = time.monotonic()
    for driver in drivers:
        assert driver.stdin is not None
        driver.stdin.write("\n")
        driver.stdin.flush()
    said = [driver.communicate(timeout=900) for driver in drivers]
    seconds = time.monotonic() - began
    assert all(driver.returncode == 0 for driver in drivers), [errors[-2000:] for _, errors in said]
    ends = [json.loads(out.splitlines()[-1]) for out, _ in said]
    assert {status for _, status, _, _ in ends} == {"complete"}, ends
    at = Home.open(home.root, catalogue_url=catalogue_url or None, tracking_uri=tracking_uri or None)
    members, points, missing = 0, 0, list[str]()
    with Catalogue(at.catalogue_url) as catalogue:
        for row in catalogue.sweeps():
            rows, reports = catalogue.members(row.name), catalogue.reports(row.name)
            members, points = members + len(rows), points + len(reports)
            epochs = {one.number: [report.epoch for report in reports if report.number == one.number] for one in rows}
            missing += differences(at, row.name, epochs)
    return Found([name for name, *_ in ends], [note for _, _, notes, _ in ends for note in notes], seconds, members, points, missing)


def differences(home: Home, sweep: str, epochs: dict[int, list[int]]) -> list[str]:
    """Where MLflow holds other members or other epochs of a sweep than the catalogue."""
    from mlflow import MlflowClient

    client = MlflowClient(home.tracking_uri)
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`lagrange.sweep` = '{sweep}'", max_results=1000)
    numbers = Counter(run.data.tags.get("lagrange.member", "sweep") for run in runs)
    if numbers != Counter(["sweep", *map(str, epochs)]):
        return [f"{sweep}: runs {dict(numbers)}"]
    found = []
    for run in runs:
        if (number := run.data.tags.get("lagrange.member")) is not None:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, "val_risk")]
            if sorted(steps) != epochs[int(number)]:
                found.append(f"{sweep}, member {number}: steps {steps}, epochs {epochs[int(number)]}")
    return found
