"""What a user gets wrong is one clear sentence with exit code 2, without a traceback, and leaves nothing behind."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home
from search import load
from search.cli import app
from search.registering import model_name
from tests.search.views import kept, view

pytestmark = pytest.mark.turns(2)
NAMES = {"none": "nobody", "slash": "a/b", "quotes": 'it\'s "q"', "emoji": "λ😀", "long": "x" * 300}
ONE = ("report", "register", "watch", "show", "export", "resume", "train", "compare")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with an answered sweep, one that runs, and a store of MLflow's that nobody needs to read."""
    found = Home.open(tmp_path_factory.mktemp("home"))
    with Catalogue(found.catalogue_url) as catalogue:
        kept(view("helps"), catalogue, "good")
        kept(view("one member"), catalogue, "begun")
    return found


def said(home: Home, *args: str) -> str:
    """The one line that a command says of a mistake; its files are as they were."""
    before = sorted(home.root.rglob("*"))
    done = CliRunner().invoke(app, [*args, *([] if args[0] == "check" else ["--home", str(home.root)])])
    assert done.exit_code == 2, done.output
    assert len(done.output.strip().splitlines()) == 1 and "Traceback" not in done.output, done.output
    assert sorted(home.root.rglob("*")) == before
    return str(done.output)


CASES = [pytest.param(one, name, id=f"{one}-{what}") for one in ONE for what, name in NAMES.items()]
MLFLOW = [pytest.param(one, name, id=f"{one}-{what}") for one in ("ui", "query --sweep") for what, name in NAMES.items() if what != "none"]


@pytest.mark.parametrize(("command", "name"), [*CASES, *MLFLOW])
def test_a_sweep_that_is_not_there(home: Home, command: str, name: str) -> None:
    target = {"train": f"{name}/3"}.get(command, name)
    (store := home.root / "mlflow.db").write_bytes(b"nobody reads it")
    text = said(home, *command.split(), target, *(["good"] if command == "compare" else []))
    store.unlink()
    assert "must be in the catalogue" in text or "name starts with a letter or digit" in text


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_no_model_of_that_name(home: Home, name: str) -> None:
    for target in (name, f"{name}/3"):
        with pytest.raises(InfraError, match="must be in the catalogue"):
            load(target, home=home)


@pytest.mark.parametrize("name", ["a/b", "it's", "x" * 300, ""])
def test_a_sweep_is_not_begun_under_such_a_name(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["sweep", "toy", "--name", name, "--home", str(tmp_path), "--address", "in-process"])
    assert done.exit_code == 2 and "name starts with a letter or digit" in done.output and not list(tmp_path.iterdir())
    looked = CliRunner().invoke(app, ["sweep", "toy", "--name", name, "--home", str(tmp_path), "--dry-run"])
    assert looked.exit_code == 2 and "name starts with a letter or digit" in looked.output


@pytest.mark.parametrize("target", ["x" * 300, "nothing/../nobody", "\0"], ids=["long", "path", "nul"])
@pytest.mark.parametrize("command", ["sweep", "check", "train"])
def test_a_target_that_can_be_no_file(home: Home, command: str, target: str) -> None:
    said(home, command, target)


@pytest.mark.parametrize("command", ["register", "export"])
def test_a_sweep_without_an_answer_says_what_to_do(home: Home, command: str) -> None:
    assert "lagrange resume begun" in said(home, command, "begun") or "lagrange watch begun" in said(home, command, "begun")


def test_a_sweep_without_an_answer_has_a_report_and_a_comparison_that_say_so(home: Home, tmp_path: Path) -> None:
    run: Any = CliRunner().invoke
    assert run(app, ["report", "begun", "-o", str(tmp_path / "r.html"), "--home", str(home.root)]).exit_code == 0
    assert "has no answer yet" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert run(app, ["compare", "good", "begun", "--home", str(home.root)]).exit_code == 0
    with pytest.raises(InfraError, match=r"'begun' is .* and has none"):
        load("begun", home=home)


def test_onnx_that_is_not_installed(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else known(name, *more))
    text = said(home, "export", "good", "--onnx", "-o", str(tmp_path / "model"))
    assert "pip install 'lagrange-search[onnx]'" in text and not list(tmp_path.iterdir())


def test_a_registered_model_has_a_name_that_mlflow_takes() -> None:
    row = replace(view("helps").sweep, objective="folder/it's: mine.py:Mine", model="a b", dataset="λ/x")
    assert not set(model_name(row)) & set("/:'\" ") and model_name(view("helps").sweep) == "vae-mlp400-digits"


@pytest.mark.parametrize("number", ["²", "1" * 5000, "+" + "9" * 30, "+²", "-5", "+nan"])
def test_more_trials_are_a_number_that_can_be_counted(number: str, tmp_path: Path) -> None:
    """Stored, it would be a spec that nobody can read, and the sweep could never go on."""
    found = CliRunner().invoke(app, ["resume", "s", "--trials", number, "--home", str(tmp_path / "home")])
    assert found.exit_code == 2 and "--trials must be +N" in found.output, found.output


@pytest.mark.parametrize("target", ["s/²", "s/" + "9" * 23, "s/" + "9" * 5000])
@pytest.mark.parametrize("command", ["train", "show", "register"])
def test_a_member_that_no_number_names_is_not_there(command: str, target: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, [command, target, "--home", str(tmp_path / "home")])
    assert found.exit_code == 2 and "fault of Lagrange" not in found.output, found.output
