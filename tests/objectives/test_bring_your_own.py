"""The documented example of a user's own model and data set: it is as short as promised, and gains what ours have."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from objectives.base import Member, Settings, State
from objectives.checks.alive import check
from objectives.registry import load

pytestmark = pytest.mark.trains

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples"
DATASETS = ["digits", "mine:images"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the example in it, which is the current one."""
    for path in EXAMPLE.glob("mine.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def test_it_is_about_forty_lines() -> None:
    text = (EXAMPLE / "mine.py").read_text(encoding="utf-8")
    documentation = ast.get_docstring(ast.parse(text)) or ""
    code = [line for line in text.splitlines() if line.strip()]
    assert len(code) - len(documentation.splitlines()) <= 42


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dataset", DATASETS)
def test_it_trains_and_its_lambdas_are_alive(here: Path, dataset: str) -> None:
    objective = load("vae")(Settings({"name": dataset, "train_size": 96}, epochs=2, model="mine:net", batch_size=32))
    run = objective.start([Member(0, {"latent_dim": 4, "dropout": 0.1}, 0), Member(1, {"latent_dim": 4, "l2": 0.1}, 1)])
    ends = [run.step(), run.step()][-1]
    assert [end.state for end in ends] == [State.COMPLETE] * 2, ends[0].traceback
    found = check(objective, ["beta", "l2", "dropout"])
    assert all(one.passed and one.proven for one in found), found


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_command_of_the_example_works(here: Path, dataset: str) -> None:
    """check, sweep, export, train: as its head says, with less to search; of digits, in one process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LAGRANGE_HOME": str(here / "kept"), "MLFLOW_DISABLE_TELEMETRY": "true"}

    def lagrange(*words: str) -> str:
        command = [sys.executable, "-m", "search.cli", *words]
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    rows = json.loads(
        lagrange("check", "vae", "--model", "mine:net", "--dataset", dataset, "--knob", "beta", "--knob", "dropout", "--json")
    )
    assert {row["knob"]: row["verdict"] for row in rows if row["verdict"] != "note"} == {"beta": "passed", "dropout": "passed"}
    little = ["budget.trials=4", "budget.epochs=2", "confirm.configs=2", "confirm.seeds=2"]
    few = [] if ":" in dataset else ["dataset={name: digits, train_size: 96}"]
    # Workers of Ray find the user's module too: once is enough.
    where = [] if ":" in dataset else ["--address", "in-process"]
    assert "beta" in lagrange("sweep", "mine.yaml", "--name", "discs", *where, *(f"--set={one}" for one in (*little, *few)))
    lagrange("export", "discs", "-o", "best.yaml")
    assert "mine:net" in (here / "best.yaml").read_text()
    assert "promise" in lagrange("train", "best.yaml")
