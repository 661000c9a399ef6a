"""The linear β-VAE, which is known in closed form (Lucas et al. 2019), and bounds on the likelihood.

For data with second-moment eigenvalues eᵢ, a unit Gaussian decoder x̂ = Wz and q(z|x) = N(Vx, diag(s²)), the optimum has singular values
√(eᵢ − β)₊ of W, KL ½Σ ln(eᵢ/β) over the active units eᵢ > β, and half a squared error of β/2 for each of them and eᵢ/2 for any other.

Losses are quadratic in the latent noise here, so its expectation is exact on 2z sigma points ±√z·e_j: nothing is sampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from objectives.base import Member, ObjectiveError, Settings
from objectives.draws import Draws, Live, Request, initialized
from objectives.families.vae import VAE
from objectives.metrics import active_units, iwae
from objectives.terms import Clock
from objectives.training import loop
from objectives.training.built import built, options_of
from objectives.training.regularization import Regularization

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

SPECTRUM = torch.tensor([9.0, 4.0, 2.5, 1.0, 0.5, 0.1]).double()
SIZE, LATENTS = 6, 5
LOG_2PI = math.log(2 * math.pi)


class Double(VAE):
    dtype = "float64"


class SigmaPoints(Draws):
    """±√z·e_j in turn, in place of standard normal latent noise: their mean is 0 and their second moment the identity."""

    def _draw(self, request: Request) -> Tensor:
        rows, z = request.shape
        points = z**0.5 * torch.eye(z).double()
        return torch.cat([points, -points]).repeat(rows // (2 * z), 1)


def data() -> Tensor:
    """12 rows whose mean is 0 and whose second moment has exactly the spectrum, in directions of no interest."""
    basis = torch.linalg.qr(torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0)).double())[0]
    half = (SIZE * SPECTRUM).sqrt()[:, None] * basis.T
    return torch.cat([half, -half])


@dataclass
class Optimum:
    """A trained linear β-VAE: its decoder, its two terms in nats, its posterior means and its score parts."""

    weight: Tensor
    nats: float
    kl: float
    means: Tensor
    regularization: Regularization
    theta: Tensor
    family: VAE


def linear(beta: float) -> tuple[Regularization, Tensor, dict[str, Tensor], VAE]:
    """The shipped model under the shipped loss at one β, its first parameters and its knobs."""
    family = Double(Settings({"name": "noisy_linear"}, 1, "linear", "gaussian"))
    config = {"latent_dim": LATENTS, "beta": beta}
    shape = (1, 1, SIZE)
    options = options_of(family, config)
    parts: Mapping[str, Any] = initialized(0, lambda: built(family, shape, options))
    parts = {name: part.double() for name, part in parts.items()}
    regularization = Regularization(family, parts, shape, LATENTS, options)
    regularization.switch([config])
    return regularization, regularization.flatten("model", parts, Live(0)), {"beta": torch.tensor(beta, dtype=torch.float64)}, family


@cache
def trained(beta: float) -> Optimum:
    """Full batch, in float64, to the minimum."""
    regularization, start, knobs, family = linear(beta)
    theta = start.clone().requires_grad_()
    rows = data().repeat_interleave(2 * LATENTS, 0)
    clock = Clock(torch.zeros(()).double(), 1)

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        total, (values, _) = regularization.loss("model", {"model": theta}, rows, SigmaPoints(), knobs, {}, clock, 0)
        return total, values

    optimizer = torch.optim.LBFGS([theta], max_iter=250, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total, _ = loss()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    theta = theta.detach()
    total, values = loss()
    torch.testing.assert_close(total, values["data"] + beta * values["penalty_beta"], rtol=1e-12, atol=0)
    net = regularization.plain({"model": theta})
    means = net("encoder", data()).chunk(2, -1)[0]
    weight = net.parameters["decoder"]["layers.0.weight"]
    return Optimum(weight, float(values["data"]), float(values["penalty_beta"]), means, regularization, theta, family)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 3.0, 5.0])
def test_the_linear_vae_is_as_in_closed_form(beta: float) -> None:
    found = trained(beta)
    alive = SPECTRUM[beta < SPECTRUM]
    expected = (SPECTRUM[:LATENTS] - beta).clamp(min=0).sqrt()
    torch.testing.assert_close(torch.linalg.svdvals(found.weight), expected, rtol=1e-3, atol=1e-2)  # √ε where an eigenvalue is β itself
    torch.testing.assert_close(torch.linalg.svdvals(found.weight)[: len(alive)], expected[: len(alive)], rtol=1e-3, atol=0)
    assert found.kl == pytest.approx(float(0.5 * (alive / beta).log().sum()), rel=1e-3)
    distortion = 0.5 * float(SPECTRUM.clamp(max=beta).sum())
    assert found.nats - 0.5 * SIZE * LOG_2PI == pytest.approx(distortion, rel=1e-3)
    assert active_units.estimate(found.means).value == len(alive)


def test_the_numbers_of_beta_2_are_those_that_are_known() -> None:
    found = trained(2.0)
    assert torch.linalg.svdvals(found.weight).tolist() == pytest.approx([2.6458, 1.4142, 0.7071, 0, 0], rel=1e-3, abs=1e-3)
    assert found.kl == pytest.approx(1.2102, rel=1e-3)
    assert found.nats - 0.5 * SIZE * LOG_2PI == pytest.approx(3.8, rel=1e-3)


def test_everything_collapses_where_beta_passes_the_largest_eigenvalue() -> None:
    below, above = trained(8.8), trained(9.2)
    assert active_units.estimate(below.means).value == 1 and below.kl == pytest.approx(0.5 * math.log(9 / 8.8), rel=1e-3)
    assert active_units.estimate(above.means).value == 0 and above.kl == pytest.approx(0, abs=1e-5)


def test_at_beta_1_the_loss_of_the_optimum_is_the_exact_likelihood() -> None:
    """The posterior of probabilistic PCA is in the family, so the bound is tight: −ELBO = −log p(x)."""
    found = trained(1.0)
    assert found.nats + found.kl == pytest.approx(float(evidence(found.weight, data()).mean()), rel=1e-6)


def evidence(weight: Tensor, x: Tensor) -> Tensor:
    """−log N(x; 0, WWᵀ + I), (n,)."""
    covariance = weight @ weight.T + torch.eye(len(weight)).double()
    inverse = torch.linalg.solve(covariance, x.T).T
    return 0.5 * ((x * inverse).sum(-1) + torch.logdet(covariance) + x.shape[-1] * LOG_2PI)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_at_beta_1_the_loss_is_minus_the_elbo(likelihood: str) -> None:
    """On one batch of digits, by torch's own densities and divergences."""
    settings = Settings({"name": "digits", "train_size": 64}, 1, None, likelihood)
    run = Double(settings).start([Member(0, {"latent_dim": 3}, 5)])
    batch = run.rows[:32]
    total, values = loss_of(run, batch)
    net, draws = run.regularization.plain({"model": run.crew.thetas["model"][0]}), Live(7, dtype=torch.float64)
    x = (draws.uniform(batch.shape, "binarize") < batch).double() if likelihood == "bernoulli" else batch
    mean, log_variance = net("encoder", x).chunk(2, -1)
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    out = net("decoder", mean + q.stddev * draws.normal(mean.shape, "latent"))
    p: Any = torch.distributions.Bernoulli(logits=out) if likelihood == "bernoulli" else torch.distributions.Normal(out, 1.0)
    divergence = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    elbo = (p.log_prob(x).sum(-1) - divergence.sum(-1)).mean()
    assert total == pytest.approx(-float(elbo), rel=1e-12)
    assert values["penalty_beta"] == pytest.approx(float(divergence.sum(-1).mean()), rel=1e-12)


def loss_of(run: loop.TrainingRun, batch: Tensor) -> tuple[float, dict[str, float]]:
    knobs = {name: value[0] for name, value in run.crew.knobs.items()}
    thetas = {"model": run.crew.thetas["model"][0]}
    total, (values, _) = run.regularization.loss("model", thetas, batch, Live(7, dtype=torch.float64), knobs, {}, run.crew.clock, 0)
    return float(total), {name: float(value) for name, value in values.items()}


def test_iwae_lies_between_the_likelihood_and_the_elbo_and_falls_with_k() -> None:
    """An encoder that is off its optimum: −ELBO ≥ IWAE-10 ≥ IWAE-100 ≥ −log p(x), and nearer with more samples."""
    found = trained(1.0)
    noise = torch.randn(len(found.theta), generator=torch.Generator().manual_seed(1)).double()
    net = found.regularization.plain({"model": found.theta + 0.03 * noise})
    log_w = found.family._log_weights(net, data().view(-1, 1, 1, SIZE), "val")
    exact = float(evidence(net.parameters["decoder"]["layers.0.weight"], data()).mean())
    # Disjoint groups of the same samples: log of a mean is at least the mean of logs, so the order holds for every draw.
    bounds = [float(torch.stack([iwae.nll(group) for group in log_w.split(k, 1)]).mean()) for k in (1, 2, 10, 50, 100)]
    assert bounds == sorted(bounds, reverse=True) and bounds[0] > bounds[-1]
    assert bounds[0] - exact > 0.1 and abs(bounds[-1] - exact) < 0.3 * (bounds[0] - exact), (bounds, exact)


# σ-VAE --------------------------------------------------------------------------------


def test_the_scored_density_has_the_variance_of_training_images() -> None:
    """By torch's own density, at a σ that is measured here, and better than at any other on training images."""
    settings = Settings({"name": "digits", "train_size": 128}, 3, None, "gaussian", batch_size=32)
    run = Double(settings).start([Member(0, {"optimal_sigma": 1, "lr": 3e-3}, 5)])
    for _ in range(3):
        (report,) = run.step()
    net, family = run.regularization.plain(run.ended[0]), run.family
    assert isinstance(family, VAE) and report.score is not None
    with torch.no_grad():
        variance = family.variance(net, run.images)
        [(x, out, *_)] = family._sampled(net, run.images.train, "sigma")
        assert variance is not None and float(variance) == pytest.approx(float((x - out).square().mean()))
        grid = [float(family._neg_log_likelihood(out, x, variance * factor).mean()) for factor in (0.8, 1.0, 1.25)]
        assert grid[1] == min(grid)
        [(x, out, *_)] = family._sampled(net, run.images.val, "val")
        density = torch.distributions.Normal(out, variance.sqrt()).log_prob(x).sum(-1)  # type: ignore[no-untyped-call]
    assert report.metrics["val_reconstruction_nats"] == pytest.approx(-float(density.mean()), rel=1e-9)
    assert report.rung_score == pytest.approx(report.metrics["val_neg_elbo_nats"], rel=1e-9)  # as cheap as it is, the same density
    assert float(variance) < 0.2 and report.score < 64 * 0.5 * LOG_2PI  # no unit Gaussian comes as low


def test_a_bernoulli_has_no_variance_to_fit() -> None:
    family = VAE(Settings({"name": "digits", "train_size": 64}, 1, None, "bernoulli"))
    with pytest.raises(ObjectiveError, match=r"optimal_sigma needs the likelihood 'gaussian'; got 'bernoulli'"):
        family.start([Member(0, {"optimal_sigma": 1}, 0)])
