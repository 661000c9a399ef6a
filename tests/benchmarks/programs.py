"""What a search costs beside a user's own training: CPU time of a sweep of a function, and of a command, against the same in a loop.

The fixed cost of a sweep (Ray, workers that import torch) is in a sweep of few members too. So the ratio is that of what more members cost:
(sweep of many − sweep of few) / (a loop over as many as they differ by).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue
from infra.storage import Home
from tests.benchmarks import processes, results
from tests.benchmarks.processes import lagrange, python
from tests.benchmarks.results import Row

RATIO = 1.05
FEW, MANY = 4, 20
EXAMPLES = processes.REPOSITORY / "docs" / "examples"
SCRIPT = [sys.executable, str(EXAMPLES / "train_vae.py")]
FUNCTION, COMMAND = "function", "command"
SPECS: dict[str, dict[str, Any]] = {
    FUNCTION: {"objective": str(EXAMPLES / "gan.py")},
    COMMAND: {
        "objective": "command",
        "command": [*SCRIPT, "--beta", "{beta}", "--lr", "{lr}", "--seed", "{seed}", "--epochs", "{epochs}", "--out", "{folder}"],
        "knobs": {"beta": {"low": 0.1, "high": 4, "log": True, "off": 1}, "lr": {"low": 1e-3, "high": 1e-2, "log": True}},
        "read": {"lines": r"epoch (?P<epoch>\d+) .* val=(?P<val_nll>\S+)"},
        "score": {"name": "val_nll", "better": "lower"},
    },
}
EPOCHS = {FUNCTION: 10, COMMAND: 20}


def measure(few: int = FEW, many: int = MANY) -> list[Row]:
    """A row for functions and one for commands."""
    return [_row(kind, few, many) for kind in SPECS]


def _row(kind: str, few: int, many: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        small, large = (_swept(here / f"{kind}-{members}", kind, members) for members in (few, many))
        file = here / "members.json"
        file.write_text(json.dumps(_members(here / f"{kind}-{many}")))
        loop = processes.run(python("tests.benchmarks.programs", kind, file), folder=here)
    said = json.loads(loop.output.splitlines()[-1])
    more = said["cpu_s"] * (many - few) / many
    parts = {"few": few, "many": many, "few_cpu_s": small.cpu_s, "many_cpu_s": large.cpu_s, "loop_cpu_s": said["cpu_s"]}
    parts |= {"few_by_role": small.cpu_by_role, "many_by_role": large.cpu_by_role, "fixed_s": small.cpu_s - said["cpu_s"] * few / many}
    return Row(f"CPU of more members of a {kind} / the same in a loop", (large.cpu_s - small.cpu_s) / more, "×", RATIO, parts=parts)


def _swept(folder: Path, kind: str, members: int) -> processes.Usage:
    """A sweep without early stopping, two members at once, tracking on: the default."""
    budget = {"trials": members, "epochs": EPOCHS[kind]}
    spec = {**SPECS[kind], "sampler": "random", "scheduler": "none", "budget": budget, "confirm": {"configs": 0}, "check": False}
    folder.mkdir()
    file = folder / "spec.yaml"
    file.write_text(json.dumps(spec))  # JSON is YAML
    return processes.run(lagrange("sweep", file, "--name", "bench", "--workers", 2), folder=folder)


def _members(folder: Path) -> list[dict[str, Any]]:
    with Catalogue(Home.open(folder / "mlflow_runs").catalogue_url, create=False) as catalogue:
        return [{"config": dict(row.config), "seed": row.seed} for row in catalogue.members("bench")]


def loop(kind: str, file: Path) -> None:
    """Train the members in the file one after another, and print the CPU seconds of that: of this process, or of the scripts."""
    members = json.loads(file.read_text())
    if kind == COMMAND:
        for one in members:
            options = {**one["config"], "seed": one["seed"], "epochs": EPOCHS[kind], "out": str(file.parent)}
            words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            subprocess.run([*SCRIPT, *words], check=True, stdout=subprocess.DEVNULL)
        spent = os.times()
        print(json.dumps({"cpu_s": spent.children_user + spent.children_system}))
        return
    import torch

    from objectives.registry import attribute
    from tests.study.examples import call

    torch.set_num_threads(1)
    training = attribute("objective", f"{SPECS[kind]['objective']}:train")
    before = os.times()
    for one in members:
        call(training, one["config"], one["seed"], EPOCHS[kind])
    spent = os.times()
    print(json.dumps({"cpu_s": spent.user + spent.system - before.user - before.system}))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in SPECS:
        loop(sys.argv[1], Path(sys.argv[2]))
    else:
        results.main(__doc__, measure, few=FEW, many=MANY)
