"""What it costs to show a sweep in MLflow, pictures included, as a share of all CPU time of the sweep.

    python -m tests.benchmarks.storing

A sweep runs in one process (`--address in-process`), so one clock sees all of it. It takes less CPU than a sweep with Ray, so the share
is rather too high. CPU time is that of the thread that works, counted around what belongs to storing: telling the spool, the
thread that speaks to MLflow (its database is a file of the home), pictures while members train, and the strip at the end. The import of
MLflow, and the making of its tables in a new home, are a row of their own: Ray imports it too, whether a sweep is shown or not.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue
from infra.storage import Home
from search.running.where import IN_PROCESS
from search.spec.text import parse_yaml
from search.sweep import run
from tests.benchmarks import processes, results
from tests.benchmarks.results import Row

SHARE = 2.0
PRESET = processes.REPOSITORY / "search" / "spec" / "presets" / "quickstart.yaml"
METRICS = 10
QUICKSTART, TEN = "quickstart", f"{METRICS} metrics an epoch"
# The GAN on digits, with all λ of its default search; of its metrics an epoch as many are there as there are.
SPECS: dict[str, Any] = {QUICKSTART: PRESET, TEN: {"objective": "gan", "dataset": {"name": "digits"}}}
MLFLOW, SPOOL, PICTURES, STRIP, FIRST = "MLflow's client", "spool", "pictures of members", "strip", "import and first tables"


def measure(sweeps: str = "") -> list[Row]:
    """A row for each sweep; its parts are CPU seconds. `sweeps`: only these, with commas between them."""
    return [_row(name) for name in SPECS if not sweeps or name in sweeps.split(",")]


def _row(name: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        used = processes.run(processes.python("tests.benchmarks.storing", "--child", name), folder=Path(folder))
    parts = json.loads(used.output.splitlines()[-1])
    stored = sum(parts[part] for part in (MLFLOW, SPOOL, PICTURES, STRIP))
    return Row(f"storing of {name}, of a sweep's CPU time", 100 * stored / parts["all"], "%", SHARE, parts=parts)


def child(name: str) -> None:
    """Run the sweep in this process, and print what it took."""
    from infra import tracking
    from infra.tracking import mlflow
    from search.running.working import showing
    from search.telling.pictures import strip

    spent: dict[str, float] = dict.fromkeys((MLFLOW, SPOOL, PICTURES, STRIP, FIRST), 0.0)

    def counted(owner: Any, called: str, part: str) -> None:
        real = getattr(owner, called)

        @functools.wraps(real)
        def around(*arguments: Any, **named: Any) -> Any:
            began, first = time.thread_time(), spent[FIRST]
            try:
                return real(*arguments, **named)
            finally:
                spent[part] += time.thread_time() - began - (spent[FIRST] - first if part == MLFLOW else 0.0)

        setattr(owner, called, around)

    counted(mlflow, "open_client", FIRST)
    for called in ("round", "settle"):
        counted(mlflow.Writer, called, MLFLOW)
    counted(tracking.MlflowTracker, "_say", SPOOL)
    for called in ("before", "after", "picture"):
        counted(showing.Shown, called, PICTURES)
    counted(strip, "write", STRIP)
    spec = SPECS[name]
    spec = parse_yaml(spec.read_text()) if isinstance(spec, Path) else spec
    home = Home.open(Path("home").absolute())
    outcome = run(spec, name="s", home=home, address=IN_PROCESS)
    assert outcome.status == "complete", outcome
    with Catalogue(home.catalogue_url) as catalogue:
        reports, members = catalogue.reports("s"), len(catalogue.members("s"))
    times = os.times()
    found = {
        **spent,
        "all": times.user + times.system + times.children_user + times.children_system,
        "members": members,
        "epochs": len(reports),
    }
    found["metrics_an_epoch"] = max(len(report.metrics) + 1 for report in reports)
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--child")
    given, _ = parser.parse_known_args()
    if given.child:
        child(given.child)
    else:
        results.main(__doc__, measure, sweeps="")
