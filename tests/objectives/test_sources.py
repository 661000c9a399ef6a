"""What docs/sources.md says of the introductory texts' formulas and code, held to numbers. Literal forms are written out here."""

from __future__ import annotations

import math

import pytest
import torch

from objectives.draws import Live
from objectives.losses import GAMES, gaussian_kl_nats
from objectives.regularizers import dropout, l2, l2_unsquared, latent_moment
from objectives.regularizers._truths import context, numbers, zero
from objectives.terms import Terms


def gradient(penalty: object, weight: torch.Tensor) -> torch.Tensor:
    leaf = weight.clone().requires_grad_()
    assert callable(penalty)
    (found,) = torch.autograd.grad(penalty(leaf), leaf)
    return found


def of(module: object) -> object:
    return lambda weight: module.penalty(Terms(zero(), kernels={"w": weight}))  # type: ignore[attr-defined]


def test_s0_a_count_of_ones_is_no_norm() -> None:
    """The number of non-zeros has no gradient almost everywhere, so no training can follow it."""
    weight = numbers(3, 4)
    assert torch.autograd.gradcheck(of(l2), weight.clone().requires_grad_())
    count = (weight != 0).double().sum()
    assert count == 12 and not count.requires_grad


def test_s0_clipping_the_norm_rescales_and_zeroes_nothing() -> None:
    weight = torch.nn.Parameter(numbers(10))
    weight.grad = 100 * numbers(10, seed=1)
    before = weight.grad.clone()
    torch.nn.utils.clip_grad_norm_([weight], 1.0)
    torch.testing.assert_close(weight.grad / weight.grad.norm(), before / before.norm())
    assert bool((weight.grad != 0).all())


def test_s1_a_sum_of_squares_has_twice_the_gradient() -> None:
    weight = numbers(3, 4)
    torch.testing.assert_close(gradient(lambda w: w.square().sum(), weight), 2 * gradient(of(l2), weight))


def test_s1_the_unsquared_norm_pulls_with_constant_force() -> None:
    """However small the weights are: it is no weight decay, whose force shrinks with them."""
    for scale in (1.0, 1e-2):
        assert float(gradient(of(l2_unsquared), scale * numbers(3, 4)).norm()) == pytest.approx(1.0, rel=1e-5)
        assert float(gradient(of(l2), scale * numbers(3, 4)).norm()) == pytest.approx(scale * float(numbers(3, 4).norm()))


def test_s1_the_minimax_generator_has_no_gradient_where_the_discriminator_is_sure() -> None:
    """Why the loss is the non-saturating one."""
    sure = torch.full((8,), -20.0, dtype=torch.float64)
    slope = {name: float(gradient(lambda d, name=name: GAMES[name].generator(d, d), sure).norm()) for name in ("minimax", "non_saturating")}
    assert slope["minimax"] < 1e-8 and slope["non_saturating"] == pytest.approx(1 / math.sqrt(8), rel=1e-6)


def test_s2_dropout_as_printed_keeps_the_share_it_should_drop_and_does_not_rescale() -> None:
    x, rate = torch.ones(100_000, dtype=torch.float64), 0.2
    draws = Live(0, "cpu", torch.float64)
    literal = x * (draws.uniform(x.shape) < rate)
    assert float(literal.mean()) == pytest.approx(0.2, abs=0.01)
    right = dropout.layer(x, context(), rate)
    assert float(right.mean()) == pytest.approx(1.0, abs=0.01) and float((right != 0).double().mean()) == pytest.approx(0.8, abs=0.01)


def test_s2_a_penalty_added_to_an_activation_moves_the_output_and_not_the_weights() -> None:
    """x + λΣ|x| shifts every unit alike: a constant that the next bias takes back. (It is a planted bug of the check, too.)"""
    x = numbers(5, 4)
    shifted = x + 0.01 * x.abs().sum()
    torch.testing.assert_close(shifted - shifted.mean(-1, keepdim=True), x - x.mean(-1, keepdim=True))


def test_s3_a_mean_over_pixels_makes_lambda_larger_than_it_looks() -> None:
    """mean_D(x − x̂)² + (w/2)‖W‖² has the minimum of ½SSE + ½λ‖W‖² with λ = w·D/2."""
    size, w = 784, 1e-3
    x, weight = numbers(6, size), numbers(size, 4)

    def literal(v: torch.Tensor) -> torch.Tensor:
        return (x - x @ v @ v.T).square().mean() + 0.5 * w * v.square().sum()

    def canonical(v: torch.Tensor) -> torch.Tensor:
        return 0.5 * (x - x @ v @ v.T).square().sum(-1).mean() + 0.5 * (w * size / 2) * v.square().sum()

    torch.testing.assert_close(gradient(literal, weight) * size / 2, gradient(canonical, weight))
    assert w * size / 2 == pytest.approx(0.392)


def test_s4_the_latent_penalty_is_zero_where_the_kl_is_ten_nats() -> None:
    mean, log_variance = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), math.log(1e-9), dtype=torch.float64)
    values = {"mean": mean, "log_variance": log_variance}
    assert float(latent_moment.penalty(Terms(zero(), values))) == pytest.approx(0.0, abs=1e-9)
    assert float(gaussian_kl_nats(mean, log_variance).sum()) == pytest.approx(10.36, abs=0.01)


def test_s4_a_small_lambda_makes_no_weight_sparser() -> None:
    """The ridge solution of least squares: no exact zero for any λ, and smaller weights for larger ones."""
    x, y = numbers(50, 8), numbers(50, 1, seed=2)
    norms = []
    for lam in (1e-3, 1.0, 1e3):
        w = torch.linalg.solve(x.T @ x + lam * torch.eye(8, dtype=torch.float64), x.T @ y)
        assert bool((w != 0).all())
        norms.append(float(w.norm()))
    assert norms == sorted(norms, reverse=True)
