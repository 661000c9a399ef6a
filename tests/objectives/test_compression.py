"""Truths about small files: what pruning keeps, how far quantization errs, what coding gives back, and what a budget buys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from objectives import small_file
from objectives.base import Intent, Member, ObjectiveError, Phase, Report, Settings
from objectives.draws import initialized
from objectives.families.compression import BUDGET, CLOSE, PRECISIONS, SHARES, Compression, Press, fit, likely_share, multiply_adds, rung
from objectives.terms import Net
from objectives.training.built import built, options_of
from objectives.training.regularization import evaluation_net

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

BITS = tuple(PRECISIONS)


def drawn(seed: int = 0) -> dict[str, Tensor]:
    """Kernels of a linear layer and a convolution, a bias, and a tensor of zeros."""
    noise = torch.Generator().manual_seed(seed)
    shapes = {"a.weight": (40, 33), "a.bias": (40,), "b.weight": (8, 5, 3, 3), "c.weight": (3, 7)}
    found = {name: torch.randn(shape, generator=noise) for name, shape in shapes.items()}
    return {**found, "c.weight": torch.zeros(3, 7)}


# ------------------------------------------------------------------------------------------------ pruning, quantization, coding


def test_pruning_keeps_the_largest_of_all_kernels_together_and_no_bias_is_touched() -> None:
    tensors = {"a": torch.tensor([[0.5, -3.0], [0.0, 2.0]]), "bias": torch.tensor([0.001]), "b": torch.tensor([[-1.0, 0.25, 4.0, 0.0]])}
    half = small_file.pruned(tensors, 0.5)  # four of eight: both zeros, 0.25 and 0.5
    assert half["a"].tolist() == [[0.0, -3.0], [0.0, 2.0]] and half["b"].tolist() == [[-1.0, 0.0, 4.0, 0.0]]
    assert half["bias"] is tensors["bias"]
    assert all(torch.equal(one, tensors[name]) for name, one in small_file.pruned(tensors, 0.25).items())  # what is 0 already counts
    assert not small_file.pruned(tensors, 1.0)["b"].any()


@given(st.integers(0, 10_000), st.sampled_from(SHARES))
@settings(max_examples=30)
def test_a_pruned_weight_is_never_larger_than_a_kept_one(seed: int, share: float) -> None:
    tensors = drawn(seed)
    kept = small_file.pruned(tensors, share)
    kernels = [name for name, tensor in tensors.items() if tensor.ndim > 1]
    before, after = (torch.cat([found[name].flatten() for name in kernels]) for found in (tensors, kept))
    assert int((after == 0).sum()) == max(round(share * len(after)), int((before == 0).sum()))
    assert torch.equal(after[after != 0], before[after != 0])
    gone = before[after == 0].abs().max()
    assert share == 1 or gone <= after[after != 0].abs().min()


@given(st.integers(0, 10_000), st.floats(1e-6, 1e6))
@settings(max_examples=30)
def test_quantization_errs_by_half_a_step_at_most_and_is_symmetric(seed: int, size: float) -> None:
    weights = size * torch.randn(57, 11, generator=torch.Generator().manual_seed(seed))
    weights[3] = 0
    found = small_file.quantized(weights)
    assert found.scale == pytest.approx(float(weights.abs().max()) / 127, rel=1e-6)
    assert float((weights.double() - found.restored().double()).abs().max()) <= found.scale * (0.5 + 1e-4)
    assert not found.restored()[3].any() and int(found.codes.abs().max()) == 127
    assert torch.equal(small_file.quantized(-weights).codes, -found.codes)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95, 1.0])
def test_what_was_packed_is_read_back_exactly(bits: int, share: float) -> None:
    tensors = small_file.pruned(drawn(), share)
    tensors["empty"] = torch.zeros(0)
    read = small_file.decoded(small_file.encoded(tensors, bits))
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        stands = small_file.quantized(tensor).restored() if bits == 8 and tensor.ndim > 1 else tensor
        assert torch.equal(read[name], stands), name


def test_a_file_that_is_none_or_not_whole_is_refused() -> None:
    data = small_file.encoded(drawn(), 8)
    with pytest.raises(ValueError, match="begins with"):
        small_file.decoded(b"PK\x03\x04" + data)
    with pytest.raises(ValueError, match="ends too early"):
        small_file.decoded(data[: len(data) // 2])


def test_a_file_is_about_as_short_as_the_entropy_of_what_it_holds() -> None:
    # 90 % zeros at random places: H(0.1) = 0.469 bits of place per weight, and the codes of the others.
    weights = small_file.pruned({"w": torch.randn(400, 500, generator=torch.Generator().manual_seed(1))}, 0.9)
    codes = small_file.quantized(weights["w"]).codes
    values = codes[codes != 0].unique(return_counts=True)[1].double()
    share = values / values.sum()
    bits = codes.numel() * -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9)) + values.sum() * -(share * share.log2()).sum()
    assert 1.0 <= len(small_file.encoded(weights, 8)) / (float(bits) / 8) < 1.06


def test_zeros_in_rows_or_columns_take_less_than_scattered_ones() -> None:
    noise = torch.Generator().manual_seed(2)
    weights = torch.randn(256, 256, generator=noise)
    dead = torch.rand(256, generator=noise) < 0.8
    scattered = weights.masked_fill(torch.rand(256, 256, generator=noise) < dead.double().mean(), 0.0)
    sizes = [
        len(small_file.encoded({"w": one}, 8))
        for one in (weights.masked_fill(dead[:, None], 0.0), weights.masked_fill(dead, 0.0), scattered)
    ]
    assert max(sizes[:2]) < 0.8 * sizes[2]


# ------------------------------------------------------------------------------------------------ a trained generator

CONFIG = {"l1_prox_g": 3e-4}  # leaves zeros


def objective(**options: Any) -> Compression:
    return Compression(Settings(**{"dataset": {"name": "digits", "train_size": 200}, "epochs": 3, "batch_size": 32, **options}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    run = objective().start([Member(0, CONFIG, 0, Phase.CONFIRM)])
    last = [report for _ in range(3) for report in run.step()][-1]
    path = tmp_path_factory.mktemp("compression") / "weights.safetensors"
    run.save_weights(0, path)
    return last, path


def network(weights: Path, config: Mapping[str, Any]) -> tuple[Compression, Net]:
    """The network of saved weights, as a member of this config is evaluated."""
    from safetensors.torch import load_file

    found, tensors = objective(), load_file(weights)
    options = options_of(found, config)
    parts = initialized(0, lambda: built(found, (1, 8, 8), options))
    parameters = {part: {name: tensors[f"{part}.{name}"] for name, _ in module.named_parameters()} for part, module in parts.items()}
    return found, evaluation_net(found, parts, parameters, (1, 8, 8), int(options["latent_dim"]), options)


def test_every_rung_has_its_bytes_and_fewer_the_more_is_pruned(trained: tuple[Report, Path]) -> None:
    metrics = trained[0].metrics
    for bits in BITS:
        sizes = [metrics[f"bytes_{rung(share, bits)}"] for share in SHARES]
        assert all(a > b for a, b in pairwise(sizes))
        assert metrics[f"bytes_{fit(bits)}"] <= metrics["budget_bytes"]
        assert metrics[f"bytes_{fit(bits)}"] >= (1 - CLOSE) * metrics["budget_bytes"]
    assert all(metrics[f"bytes_{rung(share, 8)}"] < 0.5 * metrics[f"bytes_{rung(share, 32)}"] for share in SHARES)
    assert metrics["bytes_s0_fp32"] <= metrics["dense_bytes"] == 4 * 28_992
    assert metrics["budget_bytes"] == int(0.1 * 4 * 28_992)


def test_the_score_is_the_better_of_the_two_files_that_fit(trained: tuple[Report, Path]) -> None:
    report = trained[0]
    fits = {bits: report.metrics[f"val_kid_{fit(bits)}"] for bits in BITS}
    assert report.score == min(fits.values()) == report.metrics["val_kid_at_bytes"]
    assert fits[int(report.metrics["packed_bits"])] == report.score
    assert report.metrics["packed_bytes"] <= report.metrics["budget_bytes"]
    assert report.rung_score == report.metrics["val_kid_pruned"] != report.metrics["val_kid"]


def test_what_is_evaluated_is_what_was_read_from_the_file(trained: tuple[Report, Path], tmp_path: Path) -> None:
    found, net = network(trained[1], CONFIG)
    press, images = Press(net, tmp_path), found.load_data()
    file = press.file(0.8, 8)
    assert float(file.stat().st_size) == trained[0].metrics["bytes_s80_int8"]
    kept = small_file.pruned(dict(net.parameters["generator"]), 0.8)
    by_hand = {name: small_file.quantized(value).restored() if value.ndim > 1 else value for name, value in kept.items()}
    assert all(torch.equal(value, by_hand[name]) for name, value in press.read(file).parameters["generator"].items())
    kid = float(found.evaluate(net.having("generator", by_hand), images)["val_kid"])
    assert kid == pytest.approx(trained[0].metrics["val_kid_s80_int8"], rel=1e-6)


def test_training_that_leaves_zeros_is_counted(trained: tuple[Report, Path]) -> None:
    _, net = network(trained[1], CONFIG)
    kernels = [value for value in net.parameters["generator"].values() if value.ndim > 1]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels)
    assert zeros > 0 and trained[0].metrics["zeros"] == pytest.approx(zeros / 28_672)
    assert trained[0].metrics["effective_parameters"] == pytest.approx(28_992 - zeros, abs=320)  # a bias may be 0, too
    assert trained[0].metrics["macs"] == 28_672  # 32·128 + 128·128 + 128·64
    assert trained[0].metrics["macs_nonzero"] == pytest.approx(28_672 * (1 - trained[0].metrics["packed_zeros"]))


def test_at_fixed_weights_no_lambda_moves_the_score(trained: tuple[Report, Path]) -> None:
    lambdas: tuple[dict[str, float], ...] = ({}, {"l2_g": 0.1}, {"l1_prox_g": 1e-3}, {"l0": 1.0, "group_lasso": 1e-2})
    scores = set()
    for config in lambdas:
        found, net = network(trained[1], config)
        with torch.no_grad():
            scores.add(found.finish(net, found.load_data(), [1.0])["val_kid_at_bytes"])
    assert scores == {trained[0].score}
    assert len({objective().read_test(config, trained[1])["score"] for config in lambdas[:2]}) == 1


def test_more_bytes_buy_quality_and_a_larger_budget_is_used(trained: tuple[Report, Path], tmp_path: Path) -> None:
    _, net = network(trained[1], CONFIG)
    press = Press(net, tmp_path)
    shares = [press.fit(8, budget) for budget in (3_000, 6_000, 12_000, 10**6)]
    assert shares[0] > shares[1] > shares[2] > shares[3] == 0.0
    for share, budget in zip(shares, (3_000, 6_000, 12_000), strict=False):
        assert (1 - CLOSE) * budget <= press.file(share, 8).stat().st_size <= budget


def test_a_budget_that_biases_fill_is_refused_before_training() -> None:
    with pytest.raises(ObjectiveError, match=r"byte_budget must leave room .* 0\.01 is 1159 bytes"):
        objective().start([Member(0, {"byte_budget": 0.01}, 0)])
    objective().start([Member(0, {"byte_budget": 0.02}, 0)])


def test_the_pruning_that_schedulers_look_at_is_about_what_the_budget_asks(tmp_path: Path) -> None:
    weights = {"weight": torch.randn(500, 400, generator=torch.Generator().manual_seed(3))}
    net = Net({}, {"generator": weights}, shape=(1, 20, 20), latent_dim=500)
    press = Press(net, tmp_path)
    for budget in (0.02, 0.05, 0.1, 0.2):
        assert likely_share(budget) == pytest.approx(press.fit(8, int(budget * 4 * 200_000)), abs=0.06)
    assert likely_share(0.3) == likely_share(1.0) == 0.0


def test_members_of_another_latent_size_have_the_same_budget() -> None:
    found = objective()
    sizes = {found.budget_bytes((1, 8, 8), options_of(found, {"latent_dim": size})) for size in (4, 32, 64)}
    assert len(sizes) == 1


def test_a_searched_budget_is_refused() -> None:
    intent = Intent("mlp_small", "digits", None, {}, frozenset({"l2_g", BUDGET.name}), 20)
    assert [one.rule for one in Compression.conflicts(intent) if one.level == "error"] == ["searched_budget"]


def test_multiply_adds_of_convolutions_count_every_place() -> None:
    # 6 → 4·3·3; 3×3 convolution 4 → 5 on 3×3 places without padding beyond 1; transposed 4×4, stride 2, from 3×3 places to 6×6.
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.conv = nn.Linear(6, 36), nn.Conv2d(4, 5, 3, padding=1)
            self.up = nn.ConvTranspose2d(5, 2, 4, stride=2, padding=1)

        def forward(self, z: Tensor, hidden: Any) -> Tensor:
            out: Tensor = self.up(self.conv(self.first(z).view(-1, 4, 3, 3))).flatten(1)
            return out

    module = initialized(0, Drawing)
    parameters = {name: value.detach() for name, value in module.named_parameters()}
    net = Net({"generator": module}, {"generator": parameters}, shape=(2, 6, 6), latent_dim=6)
    assert multiply_adds(net) == 6 * 36 + 4 * 5 * 9 * 9 + 5 * 2 * 16 * 9
    parameters["conv.weight"][0] = 0
    assert multiply_adds(net, nonzero=True) == 6 * 36 + 4 * 4 * 9 * 9 + 5 * 2 * 16 * 9
