"""A promise is for one training: of which seeds it is made, and what a file that was edited after its export is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.registry import names
from search.cli import app
from search.retrain import _other, train
from search.running.where import IN_PROCESS
from search.spec.plain import plain_spec
from search.spec.reading import read
from search.sweep import resume, run
from search.telling.files.exports import export
from search.telling.promised import measured_by, training

pytestmark = pytest.mark.turns(3)

SPEC = {
    "objective": "toy",
    "search": {"l2": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 8, "epochs": 3},
    "confirm": {"screen": 2, "seeds": 4},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home.open(tmp_path_factory.mktemp("home"))
    assert run(SPEC, name="s", home=found, address=IN_PROCESS, tracking=False).answer is not None
    return found


def told(home: Home, file: Path, **changes: Any) -> Any:
    """What `train` says of the export of the sweep with these changes."""
    mapping = yaml.safe_load(export("s", home=home))
    for key, value in changes.items():
        mapping[key] = {**mapping[key], **value} if isinstance(value, dict) else value
    file.write_text(yaml.safe_dump(mapping))
    return train(file, home=home, tracking=False, out=file.parent / "out")


@pytest.mark.parametrize(
    "changes",
    [{"fixed": {"l2": 0.7}}, {"budget": {"epochs": 2}}, {"dataset": {"noise": 0.6}}, {"fixed": {"lr": 2e-3}}],
    ids=str,
)
def test_a_file_that_was_edited_has_no_promise(home: Home, tmp_path: Path, changes: dict[str, Any]) -> None:
    found = told(home, tmp_path / "edited.yaml", **changes)
    assert found.inside is None and "was changed after the export" in found.other
    said = CliRunner().invoke(app, ["train", str(tmp_path / "edited.yaml"), "--home", str(home.root)])
    assert said.exit_code == 0 and "none for this training: the config, or another key" in " ".join(said.output.split())


@pytest.mark.parametrize("changes", [{}, {"seed": 7, "margin": 0.5, "budget": {"trials": 99}, "confirm": {"seeds": 2}}], ids=str)
def test_a_file_whose_training_is_the_same_keeps_its_promise(home: Home, tmp_path: Path, changes: dict[str, Any]) -> None:
    found = told(home, tmp_path / "best.yaml", **changes)
    assert not found.other and found.inside is not None
    assert told(home, tmp_path / "old.yaml", promise={"training": None}).other, "no digest is no digest of this training"


def test_other_data_has_no_promise(home: Home, tmp_path: Path) -> None:
    mapping = yaml.safe_load(export("s", home=home))
    spec = read({**mapping, "provenance": {"data": {"dataset": {"sha256": {"val": "a"}}}}}, purpose="train")
    assert not _other(spec, {"dataset": {"sha256": {"val": "a"}}}) and not _other(spec, {})
    assert _other(spec, {"dataset": {"sha256": {"val": "b"}}}) == "the data is not that of the sweep"


KNOBS = {"wd": {"low": 1e-6, "high": 1e-2, "log": True, "off": 0}, "lr": {"low": 1e-4, "high": 1e-2, "log": True}}
COMMAND = {
    "command": "python train.py {args} --seed {seed}",
    "knobs": KNOBS,
    "score": {"name": "val", "better": "higher"},
    "budget": {"epochs": 3},
}


@pytest.mark.parametrize("objective", [name for name in names("objective") if name != "pythae"])  # that one needs its library
def test_what_is_exported_is_read_as_the_same_training(objective: str) -> None:
    """Numbers may lose their type in a file, and keys may stand in another order."""
    asked = COMMAND if objective == "command" else {"objective": objective}
    spec = read({**asked, "search": {"wd": {}}} if objective == "command" else asked)
    stored, knobs = plain_spec(spec), spec.trained.knobs
    config = {name: knob.default for name, knob in knobs.items()}
    kept = {key: value for key, value in stored.items() if key not in ("search", "prior", "simplify", "alone")}
    written = yaml.safe_load(yaml.safe_dump({**kept, "search": {}, "fixed": config}))
    again = read(written, purpose="train")
    assert training(plain_spec(again), again.fixed, again.schedule) == training(stored, config, {})
    assert training(stored, {**config, next(iter(knobs)): 0.123}, {}) != training(stored, config, {})


def test_a_promise_names_its_final_seeds_alone(home: Home, tmp_path: Path) -> None:
    def promised(place: Home) -> tuple[set[int], list[float]]:
        confirmed = yaml.safe_load(export("s", home=place))["promise"]["confirmed"]
        return {one["seed"] for one in confirmed}, [one["score"] for one in confirmed]

    with Catalogue(home.catalogue_url) as catalogue:
        answer = catalogue.sweep("s").answer or {}
        screened = {row.seed for row in catalogue.members("s") if row.phase == "confirm"}
    seeds, scores = promised(home)
    assert len(seeds) == answer["promise"]["seeds"] and seeds < screened
    assert sum(scores) / len(scores) == pytest.approx(answer["promise"]["mean"])
    later = Home.open(tmp_path)  # a race that is run again has seeds of its own
    run(SPEC, name="s", home=later, address=IN_PROCESS, tracking=False)
    first, _ = promised(later)
    again = resume("s", trials=2, home=later, address=IN_PROCESS, tracking=False).answer
    second, scores = promised(later)
    assert again is not None and not first & second and sum(scores) / len(scores) == pytest.approx(again.promise.mean)


def test_scores_are_shown_with_the_digits_that_the_interval_needs(home: Home) -> None:
    shown = CliRunner().invoke(app, ["show", "s", "--home", str(home.root)], env={"COLUMNS": "200"}).output
    with Catalogue(home.catalogue_url) as catalogue:
        members = catalogue.members("s")
        answer = catalogue.sweep("s").answer or {}
    width = min(answer[one]["high"] - answer[one]["low"] for one in ("effect", "promise") if answer[one]["high"] > answer[one]["low"])
    table = next(line.split() for line in shown.splitlines() if line.split()[:1] == [str(members[0].number)])
    assert abs(float(table[4]) - float(members[0].score or 0)) <= 0.05 * width
    one = CliRunner().invoke(app, ["show", "s", "--member", "0", "--home", str(home.root)]).output
    assert f"{members[0].score:.6g}" in one


def test_a_command_and_a_function_that_score_their_last_epoch_are_measured_alike() -> None:
    """A command says the name of its metric in the same key; that is no difference of the weights."""
    said = {"name": "val_loss", "better": "lower", "of": "last"}
    assert measured_by({"score": said}) == measured_by({"score": "last"}) != measured_by({"score": "best"})
