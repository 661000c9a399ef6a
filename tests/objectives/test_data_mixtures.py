"""Ring and grid: where the modes are, how wide, and that nothing is cut off."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from objectives import data
from objectives.base import Settings
from objectives.registry import load

pytestmark = pytest.mark.trains

PUBLISHED = {"ring": (8, 0.4, 0.01), "grid": (25, 0.1, 0.05)}  # modes, one published unit in the square, standard deviation


@pytest.mark.parametrize("name", PUBLISHED)
def test_points_have_the_published_mixture(name: str) -> None:
    modes, unit, std = PUBLISHED[name]
    images = data.load({"name": name, "n_train": 100_000})
    record = images.record["modes"]
    points, labels = images.train.flatten(1).double(), images.train_labels
    centres = torch.tensor(record["centers"], dtype=torch.float64)
    assert centres.shape == (modes, 2) and record["std"] == pytest.approx(unit * std) and record["unit"] == pytest.approx(unit)
    assert labels is not None
    offsets = (points - centres[labels]) / record["std"]
    # standard errors: 1/√(n·2) of a standard deviation, 1/√n of a mean, √(p(1 − p)/n) of a share
    assert offsets.std(0).tolist() == pytest.approx([1, 1], abs=5 / math.sqrt(2e5))
    assert offsets.mean(0).tolist() == pytest.approx([0, 0], abs=5 / math.sqrt(1e5))
    shares = torch.bincount(labels, minlength=modes) / len(labels)
    assert shares.tolist() == pytest.approx([1 / modes] * modes, abs=5 * math.sqrt(1 / modes / 1e5))
    near = (torch.cdist(points, centres).min(1).values <= 3 * record["std"]).double().mean()
    assert float(near) == pytest.approx(1 - math.exp(-4.5), abs=5 * math.sqrt(0.011 / 1e5)), "3σ in the plane"
    assert points.min() > 0 and points.max() < 1


def test_the_ring_is_a_circle_and_the_grid_a_square() -> None:
    ring = (torch.tensor(data.load({"name": "ring"}).record["modes"]["centers"], dtype=torch.float64) - 0.5) / 0.4
    assert ring.norm(dim=1).tolist() == pytest.approx([1.0] * 8)
    distances = torch.cdist(ring, ring) + 9 * torch.eye(8)
    assert distances.min(1).values.tolist() == pytest.approx([2 * math.sin(math.pi / 8)] * 8)
    grid = (torch.tensor(data.load({"name": "grid"}).record["modes"]["centers"], dtype=torch.float64) - 0.5) / 0.1
    assert {tuple(round(value) for value in row) for row in grid.tolist()} == {(i, j) for i in range(-4, 5, 2) for j in range(-4, 5, 2)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_more_training_points_move_neither_validation_nor_test(name: str) -> None:
    small, large, other = (data.load({"name": name, **options}) for options in ({"n_train": 50}, {"n_train": 90}, {"data_seed": 1}))
    assert torch.equal(small.train, large.train[:50]) and torch.equal(small.val, large.val) and torch.equal(small.test, large.test)
    assert not torch.equal(other.val, small.val) and other.record["source_sha256"] != small.record["source_sha256"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_many_modes_as_are_asked_for(name: str) -> None:
    images = data.load({"name": name, "modes": 9, "std": 0.03})
    assert images.classes == 9 and len(images.record["modes"]["centers"]) == 9
    assert images.train.min() > 0 and images.train.max() < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"std": 0}, "std must be above 0"),
        ({"std": 0.2}, "std must be a finite number from 0.0 to 0.041"),
        ({"std": float("nan")}, "std must be"),
        ({"modes": 1}, "modes must be an integer of at least 2"),
        ({"n_train": 1.5}, "n_train must be an integer"),
        ({"train_size": 60, "n_train": 50}, "train_size must be an integer from 2 to 50"),
        ({"binarize": "static"}, "'binarize'"),
        ({"name": "grid", "modes": 24}, "modes must be the square of a whole number; got 24. Write 16."),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    assert message in data.check({"name": "ring", **options})[0]


def test_a_gan_trains_on_points_of_the_plane() -> None:
    """Two epochs of a real training; its features are those of a data set with labels."""
    from objectives.base import Member, State

    family: Any = load("gan")
    game = family(Settings({"name": "ring", "n_train": 256}, 2, "mlp_small", batch_size=64))
    facts = game.prepare()
    assert facts["dataset"]["modes"]["std"] == pytest.approx(0.004)
    run = game.start([Member(0, {"latent_dim": 2}, 0)])
    reports = [report for _ in range(2) for report in run.step()]
    assert reports[-1].state is State.COMPLETE and reports[-1].score is not None and math.isfinite(reports[-1].score)
