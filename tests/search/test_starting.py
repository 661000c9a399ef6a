"""`lagrange init` writes files that can be used as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from objectives.registry import attribute, load
from search.cli import app
from search.cli.starting import Better, Kind, starter
from search.spec.reading import read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(*options: str, answers: str = "") -> str:
    found = CliRunner().invoke(app, ["init", *options], input=answers)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.slow
@pytest.mark.trains
def test_three_questions_lead_to_a_function_that_trains(here: Path) -> None:
    assert "wrote mine.py; accuracy: higher is better" in begun(answers="1\naccuracy\nl2\n")
    cls = load(str(here / "mine.py"))
    assert (cls.score, set(cls.knobs), cls.metrics["accuracy"].direction) == ("accuracy", {"l2", "lr"}, "higher")
    found = subprocess.run(
        [sys.executable, "mine.py", "--l2", "0.1", "--epochs", "2"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert found.stdout.splitlines()[1].startswith("epoch 2  accuracy -")


@pytest.mark.parametrize("better", list(Better))
def test_a_command_is_a_spec_that_can_be_read(here: Path, better: Better) -> None:
    begun("--kind", "command", "--score", "val_acc", "--knob", "drop", "--better", better)
    spec = read(str(here / "sweep.yaml"))
    assert spec.program is not None
    assert (spec.score_name, spec.asked[0].better, set(spec.search or {})) == ("val_acc", str(better), {"drop", "lr"})


def test_a_module_and_data_can_be_swept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(here))
    begun("--kind", "module", "--file", "a_model.py")
    begun("--kind", "data", "--file", "a_data.py")
    found = CliRunner().invoke(app, ["check", "vae", "--model", "a_model:model", "--knob", "beta"])
    assert found.exit_code == 0, found.output
    spec = read({"objective": "vae", "model": "a_model:model", "dataset": "a_data:images"})
    assert spec.model == "a_model:model"
    parts = attribute("model", "a_model:model")((1, 16, 16), 3)
    assert set(parts) == {"encoder", "decoder"}


def test_nothing_of_a_users_is_overwritten(here: Path) -> None:
    (here / "mine.py").write_text("mine")
    found = CliRunner().invoke(app, ["init", "--kind", "function", "--score", "a", "--knob", "b"])
    assert found.exit_code == 2
    assert (here / "mine.py").read_text() == "mine"


def test_names_that_are_none_are_refused_together() -> None:
    from objectives.base import ObjectiveError

    with pytest.raises(ObjectiveError) as error:
        starter(Kind.FUNCTION, Path("x.py"), "val loss", Better.LOWER, "1l")
    assert "--score must be" in str(error.value)
    assert "--knob: a knob's name must be a Python name" in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "function", "--knob", "lambda", "--file", "x.py"], "no word of Python's own; got 'lambda'"),
        (["--kind", "command", "--knob", "config", "--file", "x.yaml"], "got 'config'"),
        (["--kind", "function", "--knob", "acc", "--score", "acc", "--file", "x.py"], "two names"),
        (["--kind", "function", "--file", "x.txt"], "--file must end in .py"),
        (["--kind", "command", "--file", "x.py"], "--file must end in .yaml or .yml"),
    ],
)
def test_a_starter_that_could_not_run_is_not_written(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = [*words, *(["--score", "val_loss"] if "--score" not in words else []), *(["--knob", "l2"] if "--knob" not in words else [])]
    found = CliRunner().invoke(app, ["init", *given])
    assert found.exit_code == 2 and said in found.output.replace("\n", " ") and not list(tmp_path.iterdir())
