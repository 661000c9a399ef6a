"""Every metric, found by listing the folder: facts without torch, a pure `estimate`; and the closed forms of each."""

from __future__ import annotations

import importlib
import inspect
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from objectives import metrics
from objectives.base import Metric, ObjectiveError
from objectives.metrics import active_units, fid, generalization_gap, half_sse, iwae, kid, kl, mse_pixel, neg_elbo, reconstruction
from objectives.metrics._estimate import Estimate, mean
from objectives.registry import names

pytestmark = pytest.mark.turns(3)

REPOSITORY = Path(__file__).parents[2]
NAMES = names("metric")


def module(name: str) -> ModuleType:
    return importlib.import_module(f"objectives.metrics.{name}")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tensors_for(estimate: Callable[..., Estimate]) -> list[Tensor]:
    """One (40, 4) tensor of images in float32 for each tensor that `estimate` takes; for what ends in `labels`, the 40 classes of some."""
    wanted = [p.name for p in inspect.signature(estimate).parameters.values() if p.annotation == "Tensor"]
    found = [normal(40, 4, seed=seed).float() for seed, _ in enumerate(wanted)]
    return [x.argmax(1) if name.endswith("labels") else x for name, x in zip(wanted, found, strict=True)]


def test_facts_need_no_torch() -> None:
    code = """
import importlib, sys
from objectives.base import Metric
from objectives.registry import names
for name in names("metric"):
    assert isinstance(importlib.import_module(f"objectives.metrics.{name}").METRIC, Metric), name
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("name", NAMES)
def test_facts_are_complete(name: str) -> None:
    facts: Metric = module(name).METRIC
    assert facts.name and facts.summary and facts.formula and facts.unit
    assert not facts.decides or facts.name.startswith("val_"), "what decides is read on validation images"


def test_no_two_metrics_report_under_one_name() -> None:
    found = [metric.name for name in NAMES for metric in metrics.declared(name)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", NAMES)
def test_an_estimate_is_a_pure_function_of_the_set_of_images(name: str) -> None:
    """Finite, the same in any order of images, its inputs untouched, and computed in float64 whatever comes in."""
    estimate = module(name).estimate
    given_ = tensors_for(estimate)
    copies = [x.clone() for x in given_]
    found = estimate(*given_)
    assert math.isfinite(found.value) and (found.se is None or (found.se > 0 and math.isfinite(found.se)))
    assert all(torch.equal(x, copy) for x, copy in zip(given_, copies, strict=True))
    shuffled = estimate(*(x[torch.arange(39, -1, -1)] for x in given_))
    wide = estimate(*(x.double() if x.is_floating_point() else x for x in given_))
    for other in (shuffled, wide):
        assert other.value == pytest.approx(found.value, rel=1e-11, abs=1e-11)
        assert other.se == (None if found.se is None else pytest.approx(found.se, rel=1e-9))


# ---- means over images -------------------------------------------------------------------------------------------------------------


def test_a_mean_carries_the_standard_error_of_a_mean() -> None:
    assert mean(torch.tensor([1.0, 2.0, 3.0, 6.0])) == Estimate(3.0, pytest.approx(math.sqrt(14 / 3 / 4)))
    assert mean(torch.tensor([7.0])) == Estimate(7.0, None)
    assert Estimate(2.0, 0.5).as_metrics("val_kid") == {"val_kid": 2.0, "val_kid_se": 0.5}
    assert Estimate(2.0).as_metrics("val_fid") == {"val_fid": 2.0}
    with pytest.raises(ObjectiveError, match="at least one image"):
        mean(torch.zeros(0))


def test_squared_errors_by_hand() -> None:
    target = torch.zeros(2, 1, 2, 2)
    guess = torch.stack([torch.ones(1, 2, 2), 2 * torch.ones(1, 2, 2)])
    assert half_sse.estimate(guess, target) == Estimate(5.0, pytest.approx(3.0))  # images ½·4 and ½·16
    assert mse_pixel.estimate(guess, target) == Estimate(2.5, pytest.approx(1.5))


def test_the_kl_is_that_of_torch_distributions() -> None:
    mu, log_var = normal(5, 3), normal(5, 3, seed=1)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (0.5 * log_var).exp()), torch.distributions.Normal(torch.zeros(3).double(), torch.ones(3).double())
    )
    assert torch.allclose(kl.gaussian(mu, log_var), expected, rtol=1e-12)
    assert kl.estimate(kl.gaussian(mu, log_var)).value == pytest.approx(float(expected.sum(1).mean()))


def test_neg_elbo_is_reconstruction_plus_kl_with_their_covariance() -> None:
    data_term, rate = normal(50), normal(50, seed=1)
    found = neg_elbo.estimate(data_term, rate)
    assert found.value == pytest.approx(reconstruction.estimate(data_term).value + kl.estimate(rate).value)
    assert neg_elbo.estimate(data_term, -data_term).se == pytest.approx(0, abs=1e-12)


def test_a_gap_is_validation_minus_training() -> None:
    found = generalization_gap.estimate(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 1.0, 4.0]))
    assert found == Estimate(pytest.approx(2.0), pytest.approx(math.sqrt(1 + 1)))


# ---- IWAE --------------------------------------------------------------------------------------------------------------------------


def log_weights(n: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Log weights of p(z) = N(0, 1), p(x|z) = N(z, 1), proposal q = N(x/2, 1): a little too wide. Exact: x ~ N(0, 2)."""
    x = math.sqrt(2) * normal(n, 1, seed=seed)
    z = x / 2 + normal(n, k, seed=seed + 1)
    log_w = torch.distributions.Normal(z, 1.0).log_prob(x) + torch.distributions.Normal(0.0, 1.0).log_prob(z)
    log_w = log_w - torch.distributions.Normal(x / 2, 1.0).log_prob(z)
    return log_w, -torch.distributions.Normal(0.0, math.sqrt(2)).log_prob(x[:, 0])


def test_iwae_falls_with_k_to_the_exact_likelihood() -> None:
    log_w, exact = log_weights(400, 2000)
    bounds = [float(torch.stack([iwae.nll(part) for part in log_w.split(k, dim=1)]).mean()) for k in (1, 10, 100, 1000)]
    assert bounds == sorted(bounds, reverse=True) and bounds[0] - bounds[1] > 0.05
    assert bounds[-1] == pytest.approx(float(exact.mean()), abs=2e-3)
    assert float((log_w.exp().mean(1).log() + iwae.nll(log_w)).abs().max()) < 1e-10


@given(st.integers(1, 6), st.floats(-900, 900), st.integers(0, 10**6))
@settings(max_examples=30)
def test_iwae_lies_between_the_best_weight_and_the_mean(k: int, shift: float, seed: int) -> None:
    """−max log w ≤ bound ≤ −mean log w (Jensen), and a common factor of the weights adds its log: no overflow at e^±900."""
    log_w = normal(3, k, seed=seed)
    bound = iwae.nll(log_w)
    assert (bound >= -log_w.max(1).values - 1e-12).all() and (bound <= -log_w.mean(1) + 1e-12).all()
    assert torch.allclose(iwae.nll(log_w + shift), bound - shift, atol=1e-9)


# ---- active units ------------------------------------------------------------------------------------------------------------------


def test_active_units_are_those_that_move() -> None:
    mu = normal(5000, 4) * torch.tensor([1.0, 0.12, 0.08, 0.0]) + 5
    assert active_units.estimate(mu) == Estimate(2.0)
    assert active_units.curve(mu).tolist() == pytest.approx([1.0, 0.0144, 0.0064, 0.0], rel=0.1, abs=1e-12)
    assert active_units.estimate(mu, threshold=0.005) == Estimate(3.0)


# ---- FID ---------------------------------------------------------------------------------------------------------------------------


def test_fid_of_two_gaussians_is_the_closed_form() -> None:
    """Commuting covariances: ‖Δμ‖² + Σ (σ₁ − σ₂)²."""
    q = torch.linalg.qr(normal(5, 5)).Q
    a, b = torch.tensor([4.0, 3, 2, 1, 0.5]).double(), torch.tensor([1.0, 3, 1, 2, 0.1]).double()
    mean_1, mean_2 = normal(5), normal(5, seed=1)
    exact = float(((mean_1 - mean_2) ** 2).sum() + ((a - b) ** 2).sum())
    assert fid.frechet(mean_1, q * a**2 @ q.T, mean_2, q * b**2 @ q.T) == pytest.approx(exact, rel=1e-12)


def test_fid_of_covariances_that_do_not_commute() -> None:
    """Tr (Σ₁Σ₂)^½ is the sum of the roots of the eigenvalues of Σ₁Σ₂, by a general eigenvalue solver."""
    x, y = normal(50, 6), normal(50, 6, seed=1) @ normal(6, 6, seed=2)
    (mean_1, cov_1), (mean_2, cov_2) = fid.moments(x), fid.moments(y)
    cross = torch.linalg.eigvals(cov_1 @ cov_2).real.sqrt().sum()
    exact = float(((mean_1 - mean_2) ** 2).sum() + cov_1.trace() + cov_2.trace() - 2 * cross)
    assert fid.estimate(x, y).value == pytest.approx(exact, rel=1e-9)
    assert fid.estimate(y, x).value == pytest.approx(exact, rel=1e-9)
    assert fid.estimate(x, x).value == pytest.approx(0, abs=1e-10)


def test_samples_approach_the_closed_form_from_above_by_the_floor() -> None:
    scale = torch.linspace(0.5, 2, 12, dtype=torch.float64)
    found = [fid.estimate(normal(600, 12, seed=2 * s) * scale, normal(400, 12, seed=2 * s + 1) * scale).value for s in range(40)]
    assert sum(found) / 40 == pytest.approx(fid.floor(torch.diag(scale**2), 600, 400), rel=0.06)
    assert fid.floor(torch.eye(84), 1000, 1000) == pytest.approx(3.76, rel=0.01)  # measured elsewhere; ½d²/n is 3.53


@pytest.mark.parametrize("n", [4, 5])
def test_fid_refuses_a_singular_covariance_and_suggests_kid(n: int) -> None:
    with pytest.raises(ObjectiveError, match=r"more images than features; got \d fake images and 5 features. Use KID"):
        fid.estimate(normal(n, 5), normal(50, 5))


# ---- KID ---------------------------------------------------------------------------------------------------------------------------


def test_kid_is_the_double_sum_of_its_definition() -> None:
    x, y = normal(6, 3), normal(5, 3, seed=1)

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_x = sum(k(x[i], x[j]) for i in range(6) for j in range(6) if i != j) / 30
    within_y = sum(k(y[i], y[j]) for i in range(5) for j in range(5) if i != j) / 20
    across = sum(k(a, b) for a in x for b in y) / 30
    assert kid.estimate(x, y).value == pytest.approx(within_x + within_y - 2 * across, rel=1e-12)


def test_the_jackknife_is_that_of_leaving_each_image_out() -> None:
    x, y = normal(9, 3), normal(7, 3, seed=1) + 0.5
    without_x = torch.tensor([kid.estimate(torch.cat([x[:i], x[i + 1 :]]), y).value for i in range(9)], dtype=torch.float64)
    without_y = torch.tensor([kid.estimate(x, torch.cat([y[:j], y[j + 1 :]])).value for j in range(7)], dtype=torch.float64)
    exact = math.sqrt(8 * float(without_x.var(correction=0)) + 6 * float(without_y.var(correction=0)))
    assert kid.estimate(x, y).se == pytest.approx(exact, rel=1e-10)


def test_kid_is_unbiased_where_the_distributions_agree() -> None:
    found = torch.tensor([kid.estimate(normal(40, 8, seed=2 * s), normal(30, 8, seed=2 * s + 1)).value for s in range(400)]).double()
    assert abs(float(found.mean())) < 3 * float(found.std()) / 20
    assert (found < 0).double().mean() > 0.3  # a biased estimate, with i = j in the sums, would be positive throughout


def test_the_standard_error_says_how_far_repeated_samples_scatter() -> None:
    """Distributions that differ: mean squared jackknife error within 30 % of the true variance, for one block and for several."""
    for block in (1000, 100):
        pairs = [kid.estimate(normal(200, 6, seed=2 * s), 1.3 * normal(200, 6, seed=2 * s + 1) + 0.4, block=block) for s in range(300)]
        values = torch.tensor([found.value for found in pairs]).double()
        mean_square = sum((found.se or 0) ** 2 for found in pairs) / 300
        assert mean_square == pytest.approx(float(values.var()), rel=0.3)


def test_large_sets_are_cut_into_disjoint_blocks() -> None:
    x, y = normal(2500, 4), normal(2100, 4, seed=1) + 0.1
    parts = [kid.estimate(a, b) for a, b in zip(x.tensor_split(3), y.tensor_split(3), strict=True)]
    found = kid.estimate(x, y)
    assert found.value == pytest.approx(sum(part.value for part in parts) / 3, rel=1e-12)
    assert found.se == pytest.approx(math.sqrt(sum((part.se or 0) ** 2 for part in parts)) / 3, rel=1e-12)


def test_kid_of_very_few_images_has_no_error_and_of_unlike_features_no_value() -> None:
    assert kid.estimate(normal(2, 3), normal(2, 3, seed=1)).se is None
    with pytest.raises(ObjectiveError, match="same number of features"):
        kid.estimate(normal(9, 3), normal(9, 4))
    with pytest.raises(ObjectiveError, match=r"shape \(n, d\)"):
        kid.estimate(normal(9), normal(9))


def test_parity_with_torchmetrics_on_shared_features() -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    fid_theirs = importlib.import_module("torchmetrics.image.fid")
    kid_theirs = importlib.import_module("torchmetrics.image.kid")
    x, y = normal(300, 16), 1.2 * normal(300, 16, seed=1) + 0.1
    expected = float(fid_theirs._compute_fid(x.mean(0), x.T.cov(), y.mean(0), y.T.cov()))
    assert fid.estimate(x, y).value == pytest.approx(expected, rel=1e-6)
    assert kid.estimate(x, y).value == pytest.approx(float(kid_theirs.poly_mmd(x, y)), rel=1e-6)
