"""What models are built of: layers against torch's own, frames around images of any size, tied weights, and a user's function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from objectives import base, models, registry
from objectives.base import Member, ObjectiveError, Settings
from objectives.models._convolutional import Deconv, Frame, Maps, Pixels
from objectives.models._layers import softplus_deviation
from objectives.training.population import Layout

pytestmark = pytest.mark.trains

SHAPE = (1, 8, 8)
EXPECTED = {"encoder": (64, (3,)), "decoder": (3, (64,))}


# Layers -----------------------------------------------------------------------------------------------------------------------------------


def test_a_transposed_convolution_is_torchs_with_rows_that_are_outputs() -> None:
    ours = Deconv(3, 5, 4)
    theirs = nn.ConvTranspose2d(3, 5, 4, 2, 1)
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.transpose(0, 1))
        theirs.bias.copy_(ours.bias)
    x = torch.randn(2, 3, 6, 7)
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.weight.shape[0] == 5, "a row is an output: what norms of rows, singular values and gates of columns rely on"


@pytest.mark.parametrize(("size", "stride"), [(4, 2), (5, 2), (4, 1), (3, 1)])
def test_it_is_the_adjoint_of_a_convolution_with_the_border_same(size: int, stride: int) -> None:
    """⟨deconv(y), x⟩ = ⟨y, conv(x)⟩ for TensorFlow's `same`: the border is (size − stride), the larger half of it at the end."""
    layer = Deconv(2, 3, size, stride, bias=False).double()
    y, x = torch.randn(1, 2, 5, 4).double(), torch.randn(1, 3, 5 * stride, 4 * stride).double()
    before, after = (size - stride) // 2, size - stride - (size - stride) // 2
    convolved = functional.conv2d(functional.pad(x, (before, after, before, after)), layer.weight.transpose(0, 1), stride=stride)
    torch.testing.assert_close((layer(y) * x).sum(), (y * convolved).sum())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 30, 45), (2, 8, 9)])
def test_a_frame_gives_the_image_back(shape: base.Shape) -> None:
    frame = Frame(shape, 16)
    x = torch.rand(3, *shape)
    maps = Maps(frame)(x.flatten(1))
    assert maps.shape[2] % 16 == maps.shape[3] % 16 == 0
    torch.testing.assert_close(Pixels(frame)(maps), x.flatten(1))
    assert float(maps.sum()) == pytest.approx(float(x.sum()), rel=1e-5), "the border is black"


def test_a_centred_frame_is_in_minus_one_to_one_with_a_black_border() -> None:
    maps = Maps(Frame((1, 8, 10), 8), centre=True)(torch.ones(1, 80))
    assert maps.shape == (1, 1, 8, 16) and float(maps[0, 0, 0, 0]) == -1 and float(maps[0, 0, 0, 8]) == 1


def test_a_softplus_deviation_becomes_its_log_variance() -> None:
    raw = torch.tensor([[0.5, -1.0, 0.3, -40.0]]).double()
    mean, log_variance = softplus_deviation(raw).chunk(2, -1)
    torch.testing.assert_close(mean, raw[:, :2])
    torch.testing.assert_close((0.5 * log_variance).exp(), functional.softplus(raw[:, 2:]) + 1e-6)


# Tied weights -----------------------------------------------------------------------------------------------------------------------------


def tied(config: dict[str, Any], count: int = 1) -> Any:
    settings = Settings(dataset={"name": "digits", "train_size": 64}, epochs=3, model="cae", batch_size=32)
    family: Any = registry.load("autoencoder")
    return family(settings).start([Member(n, {"latent_dim": 12, **config}, n) for n in range(count)])


@pytest.mark.parametrize("config", [{}, {"spectral_norm": 1.0}, {"weight_norm": 1}])
@pytest.mark.parametrize("count", [1, 2])
def test_tied_weights_stay_tied(config: dict[str, Any], count: int) -> None:
    run = tied(config, count)
    own = run.regularization.layouts["model"].size
    assert own == 12 * 64 + 12 + 64, "one kernel, two biases"
    before = run.crew.thetas["model"].clone()
    run.step()
    assert not torch.equal(run.crew.thetas["model"], before)
    parameters = run.regularization.plain(run.judge.current(0)).parameters
    assert torch.equal(parameters["encoder"]["layers.0.weight"], parameters["decoder"]["weight"])


def test_a_tied_kernel_is_penalized_once_and_its_gradient_has_both_ways() -> None:
    parts = dict(models.build("cae", "autoencoder", SHAPE, 12))
    layout = Layout(parts)
    theta = layout.flatten(parts)
    assert list(layout.kernels(theta)) == ["encoder.layers.0.weight"]
    x = torch.rand(3, 64)

    def loss(theta: torch.Tensor) -> torch.Tensor:
        tree = layout.unflatten(theta)
        z = torch.func.functional_call(parts["encoder"], tree["encoder"], (x,), tie_weights=False)
        return torch.func.functional_call(parts["decoder"], tree["decoder"], (z,), tie_weights=False).sum()

    found = torch.func.grad(loss)(theta)
    parts["decoder"](parts["encoder"](x)).sum().backward()
    expected = torch.cat([parts[part].get_parameter(name).grad.reshape(-1) for part, name in layout.names])
    torch.testing.assert_close(found, expected)


def test_tied_weights_are_saved_and_read(tmp_path: Path) -> None:
    run = tied({})
    run.step()
    run.save_weights(0, tmp_path / "w.safetensors")
    found = run.family.read_test({"latent_dim": 12}, tmp_path / "w.safetensors")
    assert found["score"] > 0


# A user's model ---------------------------------------------------------------------------------------------------------------------------

MINE = """
import torch
from torch import nn


class Part(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, 5), nn.Linear(5, outputs)

    def forward(self, x, hidden):
        return self.last(hidden(torch.relu(self.first(x))))


def good(shape, latent_dim):
    size = shape[0] * shape[1] * shape[2]
    return {"encoder": Part(size, latent_dim), "decoder": Part(latent_dim, size)}


def wrong_parts(shape, latent_dim):
    return {"encoder": Part(64, latent_dim), "generator": Part(latent_dim, 64)}


def no_parts(shape, latent_dim):
    return Part(64, 64)


def strange_parts(shape, latent_dim):
    return {"encoder": torch.relu, "decoder": Part(latent_dim, 64)}


def wrong_shapes(shape, latent_dim):
    return {"encoder": Part(64, latent_dim), "decoder": Part(latent_dim, 63)}


def two_faults(shape, latent_dim):
    return {"encoder": nn.Sequential(nn.Linear(64, 5)), "decoder": nn.Sequential(nn.Linear(latent_dim + 1, 64), nn.BatchNorm1d(64))}


def bad_input(shape, latent_dim):
    return {"encoder": Part(10, latent_dim), "decoder": Part(latent_dim, 64)}


def not_finite(shape, latent_dim):
    part = Part(64, latent_dim)
    nn.init.constant_(part.last.bias, float("nan"))
    return {"encoder": part, "decoder": Part(latent_dim, 64)}


def raises(shape, latent_dim):
    raise ValueError("only for 16 pixels")


def frozen(shape, latent_dim):
    return {"encoder": nn.Identity(), "decoder": Part(latent_dim, 64)}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    (tmp_path / "mine_models.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "mine_broken.py").write_text("x = undefined\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mine_models", "mine_broken"):
        sys.modules.pop(name, None)
    return lambda function: f"mine_models:{function}"


def test_a_users_model_trains_and_saves(mine: Callable[[str], str], tmp_path: Path) -> None:
    family: Any = registry.load("autoencoder")
    settings = Settings(dataset={"name": "digits", "train_size": 64}, epochs=1, model=mine("good"), batch_size=32)
    run = family(settings).start([Member(0, {"dropout": 0.5}, 0), Member(1, {}, 1)])
    assert [report.state for report in run.step()] == [base.State.COMPLETE] * 2
    run.save_weights(0, tmp_path / "w.safetensors")
    assert run.family.read_test({}, tmp_path / "w.safetensors")["score"] > 0


def test_trying_it_out_moves_no_random_numbers(mine: Callable[[str], str]) -> None:
    torch.manual_seed(7)
    models.build(mine("good"), "autoencoder", SHAPE, 3, EXPECTED)
    after = torch.rand(1)
    torch.manual_seed(7)
    from mine_models import good  # type: ignore[import-not-found]

    good(SHAPE, 3)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("wrong_parts", ["the parts must be decoder, encoder", "got encoder, generator", "Rename"]),
        ("no_parts", ["must be a dict of parts, decoder, encoder", "got Part"]),
        ("strange_parts", ["torch.nn.Module", "encoder is builtin_function_or_method"]),
        ("wrong_shapes", ["the decoder must make (n, 64) of (n, 3)", "(2, 63)"]),
        ("two_faults", ["the encoder must make (n, 3)", "(2, 5)", "the decoder must be callable as decoder(x)"]),
        ("bad_input", ["x of shape (n, 64)", "it raises RuntimeError"]),
        ("not_finite", ["the encoder must give finite numbers"]),
        ("raises", ["it raises ValueError: only for 16 pixels", "Correct the function"]),
        ("frozen", ["the encoder must have parameters"]),
        ("absent", ["must be one of", "good", "absent"]),
    ],
)
def test_what_is_wrong_with_a_users_model_is_said(mine: Callable[[str], str], function: str, said: list[str]) -> None:
    with pytest.raises(ObjectiveError) as error:
        models.build(mine(function), "autoencoder", SHAPE, 3, EXPECTED)
    for text in (function, *said):
        assert text in str(error.value)


@pytest.mark.parametrize(("function", "said"), [("wrong_parts", "the parts must be decoder, encoder"), ("wrong_shapes", r"\(n, 64\) of")])
def test_a_training_asks_its_family_what_a_users_model_must_be(mine: Callable[[str], str], function: str, said: str) -> None:
    family: Any = registry.load("autoencoder")
    settings = Settings(dataset={"name": "digits", "train_size": 64}, epochs=1, model=mine(function), batch_size=32)
    with pytest.raises(ObjectiveError, match=said):
        family(settings).start([Member(0, {"latent_dim": 3}, 0)])


@pytest.mark.parametrize(("name", "said"), [("no_such_module:f", "importable"), ("mine_broken:f", "NameError")])
def test_a_module_that_cannot_be_imported_is_a_mistake_of_the_users(mine: Callable[[str], str], name: str, said: str) -> None:
    assert said in models.faults(name, "autoencoder")[0]
    with pytest.raises(ObjectiveError, match=said):
        models.build(name, "autoencoder", SHAPE, 3)


# Which model fits -------------------------------------------------------------------------------------------------------------------------


def test_images_that_are_too_small_are_answered_with_what_fits() -> None:
    with pytest.raises(ObjectiveError) as error:
        models.build("dcgan_small", "gan", (1, 1, 2), 2)
    text = str(error.value)
    assert "at least 8 × 8 pixels" in text and "(1, 1, 2)" in text and "gan_toy" in text and "dcgan32" not in text.partition("that fit")[2]


# Regularizers on feature maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("family", "model"), [("autoencoder", "rae_small"), ("vae", "conv_small"), ("gan", "dcgan_small"), ("gan", "sngan_small")]
)
def test_every_knob_trains_a_convolutional_model(family: str, model: str) -> None:
    """Two members at once, so that second derivatives, gates, masks and normalizations of maps are mapped too."""
    family_class: Any = registry.load(family)
    wrong = {}
    for name, knob in family_class.knobs.items():
        ends = (knob.low, knob.high)
        value = ends[1] if knob.more == "high" else ends[0] if knob.more else None
        for one in knob.choices or ((int(value) if knob.integer else value,) if value is not None else ()):
            likelihood = (knob.likelihood or None) if family == "vae" else None
            settings = Settings({"name": "digits", "train_size": 32}, epochs=2, model=model, batch_size=16, likelihood=likelihood)
            run = family_class(settings).start([Member(n, {"latent_dim": 4, name: one}, n) for n in range(2)])
            found = [report.traceback for report in run.step() if report.state is base.State.FAILED]
            # A layer of units has no maps to normalize one by one, and says so.
            if found and not (one == "instance" and "norm=instance needs feature maps" in found[0]):
                wrong[f"{name}={one}"] = found[0].splitlines()[-1]
    assert not wrong
