"""Code that a spec names: only a module of the user's, never called by a dry run, and none at all where that is forbidden."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives import own_code, registry
from objectives.base import ObjectiveError
from search.cli import app
from search.errors import SpecError
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.sweep import run

MINE = """
import sys
from os import abort
from subprocess import run

(imported := []).append(1)
sys.stderr.write("IMPORTED ")


def blobs(radius=3):
    sys.stderr.write("CALLED ")
    import numpy as np
    return np.zeros((40, 1, 8, 8), "float32")


def net(shape, latent_dim):
    sys.stderr.write("CALLED ")


class Draws:
    def __init__(self, seed=0):
        sys.stderr.write("CALLED ")


if True:
    try:
        late = blobs
    except Exception:
        later = blobs
"""
FOREIGN = [
    "os:abort",
    "os:system",
    "posix:abort",
    "subprocess:run",
    "builtins:exec",
    "sys:exit",
    "shutil:rmtree",
    "importlib:import_module",
    "runpy:run_path",
    "pickle:loads",
    "torch.hub:load",
    "torch:load",
    "numpy:load",
    "joblib:load",
    "pandas:read_pickle",
    "pydoc:locate",
    "yaml:unsafe_load",
    "ray:init",
    "mlflow.pyfunc:load_model",
    "infra.storage:replaced",
    "search.kept:remove",
    "objectives.registry:attribute",
]
NO_NAMES = [
    "mine:",
    ":net",
    "mine:a.b",
    "mine:a b",
    "mi ne:net",
    "mine;import os:x",
    "mine:__import__('os')",
    "../mine:net",
    "/tmp/mine:net",
    "mine\0:net",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "hostile_mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(own_code.VARIABLE, raising=False)
    yield tmp_path
    sys.modules.pop("hostile_mine", None)


def spec(**parts: Any) -> dict[str, Any]:
    return {"objective": "vae", "dataset": "digits", "budget": {"trials": 6, "epochs": 2}, **parts}


def faults(given: dict[str, Any]) -> str:
    try:
        read(given)
    except SpecError as error:
        return "\n".join(error.faults)
    return ""


@pytest.mark.parametrize("name", FOREIGN)
def test_a_library_is_no_code_of_a_users(name: str, folder: Path) -> None:
    """Each of these would have been called with what stands in the spec beside it."""
    for part in ({"dataset": name}, {"model": name}, {"objective": name}, {"sampler": name}):
        said = faults(spec(**part))
        assert "must name a module of your own" in said and "is part of" in said, said


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_of_python_is_refused(name: str, folder: Path) -> None:
    for part in ({"dataset": name}, {"model": name}, {"objective": name}, {"sampler": name}):
        said = faults(spec(**part))
        assert "must be written package.module:name" in said and len(said) < 2000, said


@pytest.mark.parametrize("name", ["abort", "run"])
def test_what_a_module_has_only_imported_is_not_its_own(name: str, folder: Path) -> None:
    assert "is defined in Python" in faults(spec(dataset=f"hostile_mine:{name}"))
    assert "is defined in Python" in faults(spec(dataset=f"{folder}/hostile_mine.py:{name}"))


def test_a_module_of_ones_own_may_be_named(folder: Path) -> None:
    assert faults(spec(dataset="hostile_mine:blobs")) == ""
    assert faults(spec(dataset="hostile_mine.py:blobs")) == ""


@pytest.mark.parametrize("command", [("sweep", "--dry-run"), ("plan",)], ids=" ".join)
@pytest.mark.parametrize(
    "parts",
    [
        {"dataset": "hostile_mine:blobs"},
        {"dataset": "hostile_mine.py:late"},
        {"model": "hostile_mine:net"},
        {"sampler": "hostile_mine:Draws"},
    ],
    ids=str,
)
def test_a_dry_run_neither_imports_nor_calls(command: tuple[str, ...], parts: dict[str, str], folder: Path) -> None:
    objective = "toy" if "sampler" in parts else "vae"  # to know how long it takes, the toy is trained here and now
    (folder / "spec.yaml").write_text(f"objective: {objective}\nbudget: {{trials: 6, epochs: 2}}\n")
    settings = [word for key, value in parts.items() for word in ("--set", f"{key}={value}")]
    found = CliRunner().invoke(app, [command[0], "spec.yaml", *command[1:], *settings, "--home", str(folder / "home")])
    assert found.exit_code == 0, found.output
    assert "CALLED" not in found.output and "IMPORTED" not in found.output
    assert "hostile_mine" not in sys.modules
    if "sampler" not in parts:  # a sampler needs no training to know how long one takes
        assert "not known" in found.output and "--timed" in found.output
    assert not (folder / "home").exists()


def test_a_dry_run_sees_what_is_not_there(folder: Path) -> None:
    with own_code.only_looked_at():
        assert "Did you mean 'blobs'?" in faults(spec(dataset="hostile_mine:blob"))
        assert "must be importable" in faults(spec(dataset="hostile_mine.sub:blobs"))
        assert "must be importable" in faults(spec(model="hostile_nowhere:net"))
        assert "the file 'none.py' must exist" in faults(spec(model="none.py:net"))
        assert "unexpected keyword argument 'rdius'" in faults(spec(dataset={"name": "hostile_mine:blobs", "rdius": 2}))
        (folder / "hostile_torn.py").write_text("def net(:\n")
        assert "must be Python" in faults(spec(model="hostile_torn:net"))
    assert "hostile_mine" not in sys.modules


@pytest.mark.parametrize(
    "parts",
    [
        {"dataset": "hostile_mine:blobs"},
        {"model": "hostile_mine:net"},
        {"objective": "hostile_mine:Mine"},
        {"objective": "hostile_mine.py"},
        {"sampler": "hostile_mine:Draws"},
        {"objective": "command", "command": "true {seed} {b}", "knobs": {"b": {"low": 0, "high": 1, "off": 0}}, "score": {"name": "x"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("looking", [False, True])
def test_a_service_may_forbid_all_of_it(parts: dict[str, Any], looking: bool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own_code.VARIABLE, "1")
    if looking:
        with own_code.only_looked_at():
            said = faults(spec(**parts))
    else:
        said = faults(spec(**parts))
    assert "this service runs none" in said
    assert "hostile_mine" not in sys.modules


def test_the_option_forbids_it_too_and_forbids_nothing_of_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(own_code.VARIABLE, "")  # what the option sets is taken back after the test
    (folder / "spec.yaml").write_text("objective: vae\ndataset: hostile_mine:blobs\n")
    found = CliRunner().invoke(app, ["sweep", "spec.yaml", "--no-own-code", "--home", str(folder / "home")])
    assert found.exit_code == 2 and "--no-own-code" in found.output
    assert not (folder / "home").exists()
    assert own_code.forbidden()
    assert faults(spec(sampler="optuna.samplers:RandomSampler")) == ""
    assert faults(spec()) == ""


def test_to_look_at_a_sweep_imports_nothing_that_its_row_names(folder: Path) -> None:
    """A row may have been written by somebody else, who also wrote the file that it names."""
    home = Home.open(folder / "home")
    small = {"search": {"l2": {}}, "budget": {"trials": 4, "epochs": 2}, "confirm": {"configs": 2, "seeds": 2}}
    outcome = run({"objective": "toy", **small}, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert outcome.status == "complete"
    for name in ("hostile_mine:Mine", f"{folder}/hostile_mine.py:Mine"):
        with Catalogue(home.catalogue_url) as catalogue:
            catalogue.update_sweep("s", objective=name, spec={**catalogue.sweep("s").spec, "objective": name})
        for command in (["ls"], ["show", "s"], ["show", "s/1"], ["best"], ["report", "s"], ["watch", "s"], ["compare", "s", "s"]):
            found = CliRunner().invoke(app, [*command, "--home", str(home.root)])
            assert "IMPORTED" not in found.output and "hostile_mine" not in sys.modules, command
            assert "fault of Lagrange" not in found.output, found.output


TEXT = st.text(max_size=40)
NAMES = st.one_of(TEXT, st.builds("{}:{}".format, TEXT, TEXT), st.builds("{}.py:{}".format, TEXT, TEXT))


@given(name=NAMES, kind=st.sampled_from(["dataset", "model", "sampler", "objective"]))
def test_any_text_as_a_name_is_a_name_or_a_sentence(name: str, kind: str) -> None:
    try:
        own_code.permitted(kind, name)
        own_code.seen(kind, name)
    except ObjectiveError as error:
        assert "\0" not in str(error) and len(str(error)) < 1000


def test_the_folder_of_a_data_sets_cache_is_not_left() -> None:
    from types import SimpleNamespace

    from objectives.features import _trained

    images: Any = SimpleNamespace(record={"name": "../../evil.py:images", "source_sha256": "0"}, shape=(1, 8, 8), classes=2)
    assert "/" not in _trained._key(images, None) and ".." not in _trained._key(images, None)  # type: ignore[arg-type]
    assert registry.names("dataset")
    assert Home.open("x").cache.name == "cache"
