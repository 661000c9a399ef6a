"""What every family promises of its saved weights: they come back as a module for images, which gives what was scored."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives import models, registry
from objectives.base import Member, ObjectiveError, Settings
from objectives.trained import TrainedModel, load
from objectives.training import kept
from objectives.training.checkpoint import write_weights
from objectives.training.loop import TrainingRun
from tests import borrowed

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

FAMILIES = [name for name, family in registry.objectives().items() if hasattr(family, "players")]
OURS = [(name, model) for name in FAMILIES for model in registry.load(name).models if not models.faults(model, name, (1, 8, 8))]
# What was made for images of 28 × 28 and more is large.
ALL = [pytest.param(*one, marks=pytest.mark.slow) if one[1][-2:] in ("28", "32", "64") else one for one in OURS]
USERS = [(family, f"tests.borrowed:{name}") for name, family in borrowed.MODELS.items()]
COUPLED = {"autoencoder": {"norm": "batch"}, "vae": {"norm": "batch"}, "gan": {"norm_g": "batch"}}


def begun(family: str, model: str | None = None, config: dict[str, Any] | None = None, **options: Any) -> TrainingRun:
    features = {"name": "randconv"} if family in ("gan", "compression") else None
    given = {"dataset": {"name": "digits", "train_size": 96}, "epochs": 1, "batch_size": 32, "features": features, **options}
    run: TrainingRun = registry.load(family)(Settings(model=model, **given)).start([Member(0, {"latent_dim": 4, **(config or {})}, 5)])  # type: ignore[assignment]
    return run


def back(run: TrainingRun, folder: Path) -> TrainedModel:
    run.save_weights(0, folder / "weights.safetensors")
    return load(folder / "weights.safetensors")


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("family", "model"), [*ALL, *USERS])
def test_a_model_comes_back_for_images(family: str, model: str, tmp_path: Path) -> None:
    """Shapes, sizes, seeds; and an image is the same alone and among others, whatever normalizes by the batch."""
    run = begun(family, model)
    found, x = back(run, tmp_path), run.images.val[:7]
    assert not found.training and not any(p.requires_grad for p in found.parameters())
    assert (found.shape, found.latent_dim, found.seed, found.objective, found.model) == ((1, 8, 8), 4, 5, run.family.name, model)
    images = found.sample(5, seed=1)
    assert images.shape == (5, 1, 8, 8) and torch.equal(images, found.sample(5, seed=1))
    assert not torch.equal(images, found.sample(5, seed=2))
    codes = found.encode(x) if found.codable else found.draw_codes(7)
    assert codes.shape == (7, 4)
    close(found.decode(codes)[2:3], found.decode(codes[2:3]))
    if found.codable:
        close(found.encode(x)[2:3], found.encode(x[2:3]))
        assert found.reconstruct(x).shape == x.shape and torch.equal(found(x), found.decode(codes))
    else:
        with pytest.raises(ObjectiveError, match="has no encoder"):
            found.encode(x)
    if family != "autoencoder" and model != "mlp_table":
        assert images.min() >= 0 and images.max() <= 1
    assert torch.equal(copy.deepcopy(found).sample(5, seed=1), images)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("config", [{}, {"norm": "layer", "norm_g": "layer"}])
def test_the_model_that_comes_back_has_the_score_of_the_member(family: str, config: dict[str, Any], tmp_path: Path) -> None:
    known = registry.load(family).knobs
    run = begun(family, config={name: value for name, value in config.items() if name in known}, epochs=2)
    report = run.step()[0]
    run.save_weights(0, tmp_path / "weights.safetensors")
    found = load(tmp_path / "weights.safetensors", registry.load(family))
    with torch.no_grad():
        again = run.family.evaluate(found.net, run.images)
    for name, value in again.items():
        assert float(value) == pytest.approx(report.metrics[name], rel=1e-5, abs=1e-6), name
    if family == "autoencoder":
        x = run.images.val
        assert float((found.reconstruct(x) - x).square().sum() / 2 / len(x)) == pytest.approx(report.rung_score, rel=1e-5)


@pytest.mark.parametrize("family", COUPLED)
def test_normalization_by_the_batch_becomes_that_of_a_fixed_batch(family: str, tmp_path: Path) -> None:
    """Of the batch that is kept, an image becomes what it was there; alone it becomes the same."""
    run = begun(family, config=COUPLED[family])
    found = back(run, tmp_path)
    assert found.parts and kept.read(tmp_path / "weights.safetensors").moments
    if found.codable:
        x = run.images.train
        net = run.regularization.plain(run.judge.scored(0))
        close(found.encode(x), run.family.codes(net, x.flatten(1)))
        close(found.decode(found.encode(x)).flatten(1), kept.decoded(run.family, net, found.encode(x)))
        close(found.encode(x[:1]), found.encode(x)[:1])
    close(found.sample(9)[:1], found.decode(found.draw_codes(9)[:1]))


@pytest.mark.parametrize("density", registry.names("latents"))
def test_a_density_of_codes_is_kept_and_drawn_from(density: str, tmp_path: Path) -> None:
    """Samples have the moments of the training images' codes, though only the files are there."""
    run = begun("autoencoder", latents=density)
    codes = back(run, tmp_path).encode(run.images.train)
    drawn = load(tmp_path / "weights.safetensors").draw_codes(4000)
    mean, spread = (codes.mean(0), codes.std(0)) if density != "standard_normal" else (torch.zeros(4), torch.ones(4))
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.1 * float(spread.max()), rtol=0)
    torch.testing.assert_close(drawn.std(0), spread, atol=0, rtol=0.15)


def test_a_decoder_with_its_own_variance_says_it(tmp_path: Path) -> None:
    run = begun("vae", config={"optimal_sigma": 1}, likelihood="gaussian")
    found = back(run, tmp_path)
    assert found.variance == pytest.approx(float(run.family.variance(found.net, run.images)))  # type: ignore[arg-type]
    assert back(begun("vae"), tmp_path).variance is None


def test_rows_of_a_table_are_taken_as_they_are(tmp_path: Path) -> None:
    run = begun("autoencoder", "linear", dataset={"name": "noisy_linear", "n_train": 96})
    found, x = back(run, tmp_path), run.images.val[:6]
    assert torch.equal(found.reconstruct(x.flatten(1)), found.reconstruct(x).flatten(1))
    assert found.reconstruct(x.flatten(1)).shape == (6, 20)
    with pytest.raises(ObjectiveError, match=r"must have the shape \(n, 1, 1, 20\) or \(n, 20\); got \(6, 19\)"):
        found.encode(x.flatten(1)[:, 1:])


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    run = begun("autoencoder")
    found, weights = back(run, tmp_path), tmp_path / "weights.safetensors"
    with pytest.raises(ObjectiveError, match=r"images must have the shape \(n, 1, 8, 8\); got \(2, 8, 8\)"):
        found.encode(torch.zeros(2, 8, 8))
    with pytest.raises(ObjectiveError, match=r"codes must have the shape \(n, 4\); got \(2, 5\)"):
        found.decode(torch.zeros(2, 5))
    kept.beside(weights).unlink()
    assert torch.equal(load(weights).encode(run.images.val), found.encode(run.images.val))
    with pytest.raises(ObjectiveError, match=r"samples need the density of the codes \(gaussian\), and there is none: the file"):
        load(weights).sample(2)
    with pytest.raises(ObjectiveError, match="no network is known of the objective toy"):
        load(weights, registry.load("toy"), called="toy")
    with pytest.raises(ObjectiveError, match="must hold weights of model 'mlp'"):
        load(weights, config={"latent_dim": 7})
    write_weights({"w": torch.zeros(1)}, {"seed": 1}, weights)
    with pytest.raises(ObjectiveError, match="does not say its config, shape, objective, model, likelihood"):
        load(weights)
    weights.write_text("{}")
    with pytest.raises(ObjectiveError, match="must be weights as Lagrange writes them"):
        load(weights)
