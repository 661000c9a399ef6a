"""The folder that a sweep was started in is removed while it runs: no member is blamed, it is said in one sentence, and resume goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.errors import StorageError
from infra.storage import Home, folder
from objectives.families import _computed, toy
from search.cli import app
from search.running.tune.grounds import Proofs
from search.running.where import IN_PROCESS
from search.running.working import checkpoints
from search.running.writing.leftovers import Leftovers
from search.sweep import resume, run
from search.telling.files import exports

pytestmark = [pytest.mark.turns(2), pytest.mark.skipif(sys.platform == "win32", reason="there a folder in use cannot be removed")]

SPEC: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 4, "epochs": 4},
    "confirm": {"configs": 2, "seeds": 2},
}
# What first misses the folder: owner, function, and which of its calls.
POINTS: dict[str, tuple[Any, str, int]] = {
    "weights": (_computed.ComputedRun, "save_weights", 1),
    "checkpoint": (_computed.ComputedRun, "save", 3),
    "record": (checkpoints, "replaced", 4),
    "epoch": (_computed.ComputedRun, "step", 5),
    "member's own file": (toy.Toy, "at_epoch", 9),
    "preparation": (toy.Toy, "prepare", 1),
    "test split": (toy.Toy, "read_test", 1),
    "files of the driver": (Leftovers, "ended", 3),
    "report": (exports, "write_reports", 1),
}


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder that may be removed."""
    made = tmp_path / "work"
    made.mkdir()
    monkeypatch.chdir(made)
    yield made
    os.chdir(tmp_path)


LONG = ("test split", "weights")  # they come late in a sweep, which is trained twice


@pytest.mark.parametrize("point", [pytest.param(one, marks=pytest.mark.slow if one in LONG else ()) for one in POINTS])
def test_a_folder_that_is_removed_ends_the_sweep_and_blames_no_member(
    away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    lost = ModuleNotFoundError("No module named 'mine'") if point in ("epoch", "test split") else FileNotFoundError(2, "No such file")
    owner, name, count = POINTS[point]
    real, calls = getattr(owner, name), [0]

    def failing(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] < count:
            return real(*given, **named)
        if away.exists():
            away.rmdir()
        raise lost

    monkeypatch.setattr(owner, name, failing)
    home = Home.open(tmp_path / "home")
    outcome = run(SPEC, name="s", home=home, address=IN_PROCESS)
    assert outcome.status == "unreachable", outcome
    assert outcome.problem.startswith(f"{away}, the folder that the sweep was started in, must exist") and not outcome.problem.endswith(".")
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        rows = catalogue.members("s")
    assert {row.state for row in rows} <= {None, "complete", "stopped"}, rows
    monkeypatch.setattr(owner, name, real)
    away.mkdir()
    os.chdir(away)
    assert resume("s", home=home, address=IN_PROCESS).status == "complete"


def test_a_fault_of_a_member_in_a_folder_that_is_there_stays_its_own(away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> float:
        raise FileNotFoundError(2, "No such file or directory", "data.txt")

    monkeypatch.setattr(toy.Toy, "at_epoch", missing)
    assert run(SPEC, name="s", home=Home.open(tmp_path / "home"), address=IN_PROCESS).status == "failed"


def test_the_command_line_says_it_with_exit_code_3(away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = toy.Toy.prepare

    def prepared(self: toy.Toy) -> dict[str, Any]:
        away.rmdir()
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(toy.Toy, "prepare", prepared)
    words = ["sweep", "toy", "--name", "s", "--home", str(tmp_path / "home"), "--address", "in-process", "--set", "dataset.name=none"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 3 and f"s stopped: {away}, the folder" in done.output and "Traceback" not in done.output
    assert "go on with: lagrange resume s --home" in done.output
    monkeypatch.setattr(toy.Toy, "prepare", real)
    done = CliRunner().invoke(app, [*words[:3], "t", *words[4:]])  # the folder is gone before it begins
    assert done.exit_code == 3 and f"{away}, the folder that the sweep was started in" in done.output


def test_no_node_is_blamed_for_a_module_that_the_driver_has_lost(away: Path) -> None:
    proofs = Proofs(["mine"], None)  # type: ignore[arg-type]
    away.rmdir()
    with pytest.raises(StorageError, match="the folder that the sweep was started in"):
        _ = proofs._here


def test_a_folder_of_rays_that_is_gone_names_the_second_node(tmp_path: Path) -> None:
    assert folder.gone(tmp_path) == ""
    assert folder.gone(tmp_path / "gone").endswith("put it back, and go there again (cd)")
    assert "--temp-dir" in folder.gone(tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_1")
