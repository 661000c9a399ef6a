"""`search.load`: the model of a sweep, of a member, of a folder."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home
from objectives.base import ObjectiveError, Phase, State
from objectives.data import load as load_data
from objectives.losses import half_squared_error
from search import load, train
from search.choosing.answer import Answer
from search.running.where import IN_PROCESS
from search.sweep import run

pytestmark = [pytest.mark.trains, pytest.mark.turns(2)]

SPEC: dict[str, Any] = {
    "objective": "autoencoder",
    "dataset": {"name": "digits", "train_size": 96},
    "search": {"l2": {}},
    "fixed": {"latent_dim": 4},
    "budget": {"trials": 4, "epochs": 2},
    "confirm": {"configs": 2, "screen": 0, "between": 0, "seeds": 2},
    "scheduler": "none",
    "check": False,
    "pack": 1,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home.open(tmp_path_factory.mktemp("home"))
    outcome = run(SPEC, name="ae", home=found, address=IN_PROCESS, tracking=False)
    assert outcome.status == "complete", outcome.problem
    return found


def reconstruction(model: Any) -> float:
    """½‖x̂ − x‖² on the validation images: the score of the autoencoder."""
    x = load_data(SPEC["dataset"], "cpu").val
    return float(half_squared_error(model.reconstruct(x).flatten(1), x.flatten(1)).mean())


def test_others_may_read_all_files_of_a_home_as_the_umask_says(home: Home, tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    (tmp_path / "folder").mkdir()
    modes = [stat.S_IMODE((tmp_path / one).stat().st_mode) for one in ("new", "folder")]
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in home.root.rglob("*")}
    assert len(found) > 20
    assert {path for path, mode in found.items() if mode != modes[path.is_dir()]} == set()


def test_the_model_of_a_sweep_is_the_best_confirmed_one_of_its_recommended_config(home: Home) -> None:
    with Catalogue(home.catalogue_url) as catalogue:
        answer = Answer.from_dict(catalogue.sweep("ae").answer or {})
        scores = [one.score for one in catalogue.members("ae") if one.phase == Phase.CONFIRM and one.config == answer.recommended]
    model = load("ae", home=home)
    assert model.config == answer.recommended and not model.training
    assert reconstruction(model) == pytest.approx(min(score for score in scores if score is not None), rel=1e-5)


def test_what_is_no_image_is_refused_in_words(home: Home) -> None:
    model = load("ae", home=home)
    images = torch.rand(2, *model.shape)
    for given, words in (
        (images.numpy(), "tensor of floats"),
        ((images * 255).byte(), "tensor of floats"),
        (images * 255, "Divide by 255"),
    ):
        with pytest.raises(ObjectiveError, match=words):
            model.encode(given)
    assert model.encode(images).shape == (2, model.latent_dim)


def test_a_member_comes_back_with_its_score_and_one_without_weights_says_what_to_do(home: Home) -> None:
    with Catalogue(home.catalogue_url) as catalogue:
        rows = catalogue.members("ae")
    for row in rows:
        if row.phase == Phase.CONFIRM and row.state == State.COMPLETE:
            assert reconstruction(load(f"ae/{row.number}", home=home)) == pytest.approx(row.score, rel=1e-5)
    with pytest.raises(InfraError, match=r"ae/0 has none: it was trained in the search.*lagrange train ae/0 -o FOLDER"):
        load("ae/0", home=home)
    with pytest.raises(InfraError, match="has none of number 77"):
        load("ae/77", home=home)
    with pytest.raises(InfraError, match="'nothing'"):
        load("nothing", home=home)


def test_a_folder_of_a_retrained_model_needs_nothing_else(home: Home, tmp_path: Path) -> None:
    found = train("ae/0", home=home, out=tmp_path / "model", seed=3, tracking=False)
    elsewhere = (tmp_path / "model").rename(tmp_path / "moved")
    model = load(elsewhere)
    assert reconstruction(model) == pytest.approx(found.score, rel=1e-5) and model.seed == 3
    assert torch.equal(model.sample(3), load(elsewhere / "weights.safetensors").sample(3))
    (elsewhere / "weights.safetensors").unlink()
    with pytest.raises(InfraError, match="there is no"):
        load(elsewhere)


def test_a_sweep_without_a_network_says_where_its_weights_are(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    spec = {"objective": "toy", "budget": {"trials": 4, "epochs": 2}, "confirm": {"configs": 2, "seeds": 2, "screen": 0}}
    assert run(spec, name="t", home=home, address=IN_PROCESS, tracking=False).status == "complete"
    with pytest.raises(ObjectiveError, match=r"no network is known of the objective toy.*weights\.safetensors"):
        load("t", home=home)
