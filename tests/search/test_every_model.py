"""Every model of every family through a real sweep on images of one's own, and two of each on the data sets of the literature."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives import models
from search.running.where import IN_PROCESS
from search.sweep import run
from search.telling.files.exports import export

pytestmark = [pytest.mark.slow, pytest.mark.trains]
FAMILIES = ("autoencoder", "vae", "gan")
OWN_SHAPES = {"array_file": (1, 12, 20), "image_folder": (3, 18, 10)}  # of no published data set
N = 120
# On digits a GAN is scored with the features of a classifier. On 50,000 images that costs a minute to train, and says nothing of a model.
UNTRAINED = {("gan", name): {"features": {"name": "randconv"}} for name in ("mnist", "fashion_mnist")}
HEAVY = {"rae_mnist32", "sngan_resnet32"}  # a step is more than a second of one core


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Options that load a user's gray `.npz`, and a user's folder of colour pictures."""
    from PIL import Image

    root, draw = tmp_path_factory.mktemp("own"), np.random.default_rng(1)
    np.savez(root / "mine.npz", images=blobs(draw, *OWN_SHAPES["array_file"])[:, 0])
    for number, picture in enumerate(blobs(draw, *OWN_SHAPES["image_folder"])):
        folder = root / "pictures" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{number}.png")
    return {
        "array_file": {"name": "array_file", "path": str(root / "mine.npz")},
        "image_folder": {"name": "image_folder", "root": str(root / "pictures")},
    }


def blobs(draw: np.random.Generator, channels: int, height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(N, C, H, W) pictures of one bright spot each."""
    y, x = np.mgrid[:height, :width]
    top, left = draw.uniform(0, height, (N, 1, 1)), draw.uniform(0, width, (N, 1, 1))
    spot = np.exp(-((y - top) ** 2 + (x - left) ** 2) / 18)
    return (255 * spot[:, None] * draw.uniform(0.5, 1, (N, channels, 1, 1))).astype(np.uint8)


def swept(family: str, model: str, dataset: dict[str, Any], home: Home) -> None:
    """Sweep l2 as briefly as a sweep can be; the answer is about it, and the export names the model."""
    knob = "l2_g" if family == "gan" else "l2"
    spec = {
        "objective": family,
        "model": model,
        "dataset": dataset,
        "search": {knob: {}},
        "batch_size": 16,
        "budget": {"trials": 4, "epochs": 1},
        "scheduler": "none",
        "confirm": {"configs": 2, "seeds": 2},
        "check": False,  # that λ acts does not depend on the model
    } | UNTRAINED.get((family, dataset["name"]), {})
    outcome = run(spec, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert outcome.answer is not None, outcome
    assert [one.name for one in outcome.answer.lambdas] == [knob]
    assert yaml.safe_load(export("s", home=home))["model"] == model
    with Catalogue(home.catalogue_url) as catalogue:
        members = catalogue.members("s")
    assert {row.state for row in members} == {"complete"}, [(row.state, row.reason) for row in members]


def every() -> list[tuple[str, str, str]]:
    """Each family with each of its models, on one or the other of a user's data sets in turn."""
    found = []
    for family in FAMILIES:
        for number, model in enumerate(sorted(models.serving(family))):
            dataset = list(OWN_SHAPES)[number % 2]
            if not models.faults(model, family, OWN_SHAPES[dataset]):
                found.append((family, model, dataset))
    return found


@pytest.mark.sampled(9)
@pytest.mark.parametrize(("family", "model", "dataset"), every())
def test_every_model_is_swept_on_images_of_ones_own(
    family: str, model: str, dataset: str, own: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    if model in HEAVY and not os.environ.get("LAGRANGE_HEAVY"):
        pytest.skip("minutes of a core: set LAGRANGE_HEAVY=1")
    swept(family, model, own[dataset], Home.open(tmp_path))


PAIRS = {"autoencoder": ("mlp", "conv_small"), "vae": ("mlp400", "conv_small"), "gan": ("mlp_small", "dcgan_small")}


@pytest.mark.sampled(9)
@pytest.mark.parametrize(
    ("family", "model", "dataset"),
    [
        # A GAN is scored with thousands of images of each split, and with a classifier trained on 50,000: 80 CPU seconds.
        pytest.param(family, model, dataset, marks=[pytest.mark.whole] * (family == "gan" and dataset != "digits"))
        for family, pair in PAIRS.items()
        for model in pair
        for dataset in ("digits", "mnist", "fashion_mnist")
    ],
)
def test_two_models_of_each_family_are_swept_on_each_data_set(
    family: str, model: str, dataset: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = None if dataset == "digits" else str(request.getfixturevalue("data_root"))
    swept(family, model, {"name": dataset, "train_size": 256, "root": root}, Home.open(tmp_path))
