"""What a search costs beside a user's own training: CPU time of sweeps of a function, and of a command, against the same in loops.

A sweep trains two members at once, and two trainings at once take more CPU seconds than one after another: they share caches, and on many
machines the units of a core. So two loops run at once, each in a process of its own with half of the members. A sweep in this process
(`--address in-process`) trains one at a time; it is held against one loop.

Sweeps and loops of several sizes take turns. Compared are the slopes of CPU seconds over the number of members (least squares): what a
sweep costs once (Ray, workers that import torch), and a loop once (the import of torch, the first optimizer), is in neither.

The same is done with a function that sleeps (`asleep.py`). There the difference of the slopes is what a member costs beside its training. A
busy machine hardly disturbs it. Divided by 0.05 it is the shortest training, in CPU seconds, that keeps the ratio.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infra.catalogue import Catalogue
from infra.storage import Home
from search.running.where import IN_PROCESS
from tests.benchmarks import processes, results
from tests.benchmarks.processes import lagrange, python
from tests.benchmarks.results import Row

RATIO = 1.05
FEW, MANY, ROUNDS = 4, 16, 2
EXAMPLES = processes.REPOSITORY / "docs" / "examples"
SCRIPT = [sys.executable, str(EXAMPLES / "train_vae.py")]
FUNCTION, COMMAND, ASLEEP = "function", "command", "asleep"
ASLEEP_MORE = 8  # so many times the members: they cost next to nothing
BESIDE_S = 0.15  # 5 % of a training of 3 CPU seconds
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
SPECS[ASLEEP] = {"objective": str(Path(__file__).with_name("asleep.py"))}
EPOCHS = {FUNCTION: 10, COMMAND: 20, ASLEEP: 10}
ALL = [(FUNCTION, 2), (FUNCTION, 1), (COMMAND, 2), (ASLEEP, 2)]  # how many workers; 1: in this process


@dataclass
class Spent:
    """CPU seconds of runs, by the number of members."""

    members: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    by_role: list[dict[str, float]] = field(default_factory=list)

    def add(self, members: int, usages: list[processes.Usage]) -> None:
        """Another run, of all these processes."""
        self.members.append(members)
        self.cpu_s.append(sum(one.cpu_s for one in usages))
        self.by_role.append({role: sum(one.cpu_by_role[role] for one in usages) for role in usages[0].cpu_by_role})

    def slope(self, role: str = "") -> tuple[float, float]:
        """What one more member costs, and the standard error of that (0 for two runs)."""
        x, y = np.array(self.members, float), np.array([roles[role] for roles in self.by_role] if role else self.cpu_s)
        x, y = x - x.mean(), y - y.mean()
        slope = float(x @ y / (x @ x))
        left = float(np.square(y - slope * x).sum())
        return slope, (left / (len(x) - 2) / float(x @ x)) ** 0.5 if len(x) > 2 else 0.0

    def once(self) -> float:
        """What is there without a member."""
        return float(np.mean(self.cpu_s) - self.slope()[0] * np.mean(self.members))


def measure(few: int = FEW, many: int = MANY, rounds: int = ROUNDS, kinds: str = "") -> list[Row]:
    """A row for each of `ALL`. `kinds` chooses: `function-2,command-2`."""
    chosen = [one for one in ALL if not kinds or f"{one[0]}-{one[1]}" in kinds.split(",")]
    return [_row(kind, workers, few, many, rounds) for kind, workers in chosen]


def _row(kind: str, workers: int, few: int, many: int, rounds: int) -> Row:
    sweeps, loops = Spent(), Spent()
    few, many = (few * ASLEEP_MORE, many * ASLEEP_MORE) if kind == ASLEEP else (few, many)
    for _ in range(rounds):
        for members in (few, (few + many) // 2, many):
            with tempfile.TemporaryDirectory() as folder:
                here = Path(folder)
                sweeps.add(members, [_swept(here / "sweep", kind, members, workers)])
                loops.add(members, _looped(here, kind, _members(here / "sweep"), workers))
    (swept, error), (looped, other) = sweeps.slope(), loops.slope()
    parts = {
        "members": sweeps.members,
        "sweep_cpu_s": sweeps.cpu_s,
        "loop_cpu_s": loops.cpu_s,
        "a_member_in_a_sweep_s": [swept, error],
        "a_member_in_a_loop_s": [looped, other],
        "by_role_s": {role: sweeps.slope(role)[0] for role in sweeps.by_role[0]},
        "once_s": [sweeps.once(), loops.once()],
    }
    if kind == ASLEEP:
        return Row("CPU of one more member of a function, beside its training", swept - looped, "s", BESIDE_S, parts=parts)
    where = "two workers" if workers == 2 else "this process"
    return Row(f"CPU of one more member of a {kind}, {where} / in a loop", swept / looped, "×", RATIO, parts=parts)


def _swept(folder: Path, kind: str, members: int, workers: int) -> processes.Usage:
    """A sweep without early stopping, tracking on: the default."""
    budget = {"trials": members, "epochs": EPOCHS[kind]}
    spec = {**SPECS[kind], "sampler": "random", "scheduler": "none", "budget": budget, "confirm": {"configs": 0}, "check": False}
    folder.mkdir()
    file = folder / "spec.yaml"
    file.write_text(json.dumps(spec))  # JSON is YAML
    where = ["--workers", workers] if workers > 1 else ["--address", IN_PROCESS]
    return processes.run(lagrange("sweep", file, "--name", "bench", *where), folder=folder)


def _members(folder: Path) -> list[dict[str, Any]]:
    with Catalogue(Home.open(folder / "mlflow_runs").catalogue_url, create=False) as catalogue:
        return [{"config": dict(row.config), "seed": row.seed} for row in catalogue.members("bench")]


def _looped(here: Path, kind: str, members: list[dict[str, Any]], processes_at_once: int) -> list[processes.Usage]:
    """The members in so many loops at once."""
    files = []
    for place in range(processes_at_once):
        files.append(here / f"members-{place}.json")
        files[-1].write_text(json.dumps(members[place::processes_at_once]))
    with ThreadPoolExecutor(len(files)) as pool:
        return list(pool.map(lambda file: processes.run(python("tests.benchmarks.programs", kind, file), folder=here), files))


def loop(kind: str, file: Path) -> None:
    """Train the members in the file one after another."""
    members = json.loads(file.read_text())
    if kind == COMMAND:
        for one in members:
            options = {**one["config"], "seed": one["seed"], "epochs": EPOCHS[kind], "out": str(file.parent)}
            words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            subprocess.run([*SCRIPT, *words], check=True, stdout=subprocess.DEVNULL)
        return
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    import torch

    from objectives.registry import attribute
    from tests.study.examples import call

    torch.set_num_threads(1)
    training = attribute("objective", f"{SPECS[kind]['objective']}:train")
    for one in members:
        call(training, one["config"], one["seed"], EPOCHS[kind])


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in SPECS:
        loop(sys.argv[1], Path(sys.argv[2]))
    else:
        results.main(__doc__, measure, few=FEW, many=MANY, rounds=ROUNDS, kinds="")
