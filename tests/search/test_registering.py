"""MLflow's registry: the model of an answer comes back from it, with Lagrange and without, and `champion` is the best one known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home
from infra.tracking.registry import Registry, Version
from search import load, register
from search.choosing.answer import Answer
from search.choosing.findings import Promise
from search.registering import decided
from search.running.where import IN_PROCESS
from search.sweep import run
from tests.search.test_loaded import SPEC

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home.open(tmp_path_factory.mktemp("home"))
    assert run(SPEC, name="ae", home=found, address=IN_PROCESS).status == "complete"
    return found


@pytest.mark.slow  # MLflow makes its tables, and a graph is traced
def test_the_model_comes_back_from_the_registry_with_lagrange_and_without(home: Home) -> None:
    import mlflow

    found = register("ae", home=home)
    assert (found.name, found.version, found.champion, found.off) == ("autoencoder-mlp-digits", "2", True, "1")
    ours, theirs = load("ae", home=home), load(found.uri, home=home)
    assert torch.equal(ours.sample(3), theirs.sample(3)) and ours.config == theirs.config
    mlflow.set_tracking_uri(home.tracking_uri)
    mlflow.set_registry_uri(home.tracking_uri)
    try:
        graph: Any = mlflow.pytorch.load_model(found.uri)
        x = torch.rand(7, 1, 8, 8)  # another length of batch than that of the example
        torch.testing.assert_close(graph(x), ours.reconstruct(x), atol=1e-5, rtol=1e-5)
        version = mlflow.MlflowClient().get_model_version_by_alias(found.name, "champion")
        with Catalogue(home.catalogue_url) as catalogue:
            assert version.description == Answer.from_dict(catalogue.sweep("ae").answer or {}).sentence()
    finally:
        mlflow.set_tracking_uri("")
        mlflow.set_registry_uri("")
    assert not Path("mlruns").exists(), "all files are in the home"
    files = [path.name for path in home.artifacts.rglob("*") if path.is_file()]
    assert "model.pt2" in files and not [name for name in files if name.endswith((".pkl", ".pth", ".pickle"))], "nothing pickled"
    again = register("ae", home=home)
    assert again.version == "2" and again.champion and again.why == "it is already"


@pytest.mark.slow
def test_what_is_not_there_is_said_in_one_sentence(home: Home, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"'models:/nothing@champion' is none. MLflow holds"):
        load("models:/nothing@champion", home=home)
    with pytest.raises(InfraError, match="holds none of 'ae'"):
        register("ae", home=replace(home, tracking_uri=Home.open(tmp_path).tracking_uri))
    registry = Registry(home)
    registry._client.delete_registered_model("autoencoder-mlp-digits") if registry.holds("champion", "autoencoder-mlp-digits") else None
    assert register("ae", home=home).champion, "a model that was deleted is made anew"


def answer_with(mean: float, half: float, better: str = "lower") -> Answer:
    """An answer of which only the promise counts here."""
    found = object.__new__(Answer)
    object.__setattr__(found, "promise", Promise(mean, mean - half, mean + half, 5))
    object.__setattr__(found, "better", better)
    return found


def version(number: str, sweep: str, mean: float, half: float, scale: str = "x") -> Version:
    tags = {"sweep": sweep, "promise_low": str(mean - half), "promise_high": str(mean + half), "scale": scale, "metric": "val_nll_nats"}
    return Version("vae-mlp400-digits", number, tags)


@pytest.mark.parametrize(
    ("mean", "better", "sweep", "scale", "force", "takes"),
    [
        (8.0, "lower", "new", "x", False, True),
        (9.5, "lower", "new", "x", False, False),
        (12.0, "lower", "new", "x", False, False),
        (12.0, "lower", "new", "x", True, True),
        (12.0, "higher", "new", "x", False, True),
        (10.5, "higher", "new", "x", False, False),
        (8.0, "lower", "new", "y", False, False),
        (12.0, "lower", "old", "x", False, True),
    ],
)
def test_a_new_answer_is_the_champion_where_it_beats_the_old_promise_outside_its_interval(
    mean: float, better: str, sweep: str, scale: str, force: bool, takes: bool
) -> None:
    """The old promise is 10 ± 1."""
    old, new = version("1", "old", 10.0, 1.0), version("2", sweep, mean, 1.0, scale)
    found, why = decided(old, new, answer_with(mean, 1.0, better), force)
    assert found == takes and (force or "old" in why)
    assert decided(None, new, answer_with(mean, 1.0), False) == (True, "there was none")
