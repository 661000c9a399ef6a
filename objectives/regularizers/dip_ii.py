"""DIP-VAE II: the covariance of the codes themselves is pulled to the identity.

    λ_od Σ_{i≠j} Cov_ij² + λ_d Σ_i (Cov_ii − 1)²,        Cov = Cov_x(μ(x)) + diag(E_x σ²(x)) over the batch

the law of total covariance for z ~ q(z|x) with independent latents. The knob is λ_od, its companion the ratio λ_d/λ_od, 1 as published.

Source: Kumar et al. 2018, equation 7; disentanglement_lib: λ_od of 1 to 50, λ_d = λ_od. Latent space of a VAE; 2 %.
Pitfall: a covariance of a batch of B has rank B − 1 at most, so B should exceed the latent size. Latents that have collapsed onto the prior
satisfy it already.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._dip import covariance, departure
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="dip_ii",
    summary="weight of the covariances between codes",
    formula="λ[Σ_{i≠j} Cov_ij² + ratio·Σ_i (Cov_ii − 1)²], Cov of codes",
    unit="nats per squared covariance",
    default=0.0,
    low=1e-1,
    high=1e2,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="2 %",
    source="Kumar et al. 2018 (DIP-VAE-II)",
)
COMPANIONS = (
    Knob(
        name="dip_ii_ratio",
        summary="weight of the variances over that of the covariances",
        formula="λ_d/λ_od",
        unit="1",
        default=1.0,
        low=1e-1,
        high=1e2,
        log=True,
        where="latent",
        source="Kumar et al. 2018; disentanglement_lib",
    ),
)
ON = ("vae",)
CONFLICTS = (
    Rule(
        "dip_twice",
        "error",
        both("dip_i", "dip_ii"),
        "{}: both penalize the covariance of the codes. Keep one.",
        broken=sweep("vae", "dip_i", "dip_ii"),
        kept=sweep("vae", "dip_i", "beta"),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """Departure of the covariance of codes from the identity."""
    cov = of_codes(terms.values["mean"], terms.values["log_variance"])
    return departure(cov, terms.context.knobs["dip_ii_ratio"])


def of_codes(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Cov(z), (d, d), by the law of total covariance."""
    return covariance(mean) + torch.diag_embed(log_variance.exp().mean(0))


def examples() -> list[Example]:
    """By hand, and the covariance of many samples."""

    def found(mean: Tensor, log_variance: Tensor) -> Tensor:
        values = {"mean": mean, "log_variance": log_variance}
        return penalty(Terms(zero(), values, context=context(knobs={"dip_ii_ratio": 2.0})))

    codes = torch.tensor([[1.0, 2.0], [-1.0, -2.0]]).double()  # Cov of means [[1, 2], [2, 4]]
    variances = torch.tensor([[0.5, 1.0], [1.5, 3.0]]).double()  # means 1 and 2
    mean, log_variance = numbers(4, 2), numbers(4, 2, seed=1)
    samples = (mean + (0.5 * log_variance).exp() * numbers(50_000, 4, 2, seed=2)).reshape(-1, 2)
    return [
        Example("2·2² + 2·(1² + 5²)", found, (codes, variances.log()), 60.0),
        Example("sampled codes", of_codes, (mean, log_variance), torch.cov(samples.T), rtol=0.02, atol=0.02, smooth=False),
    ]


def effect() -> Effect:
    """Codes whose covariance is nearer to the identity."""

    def measure(trained: Trained) -> float:
        with torch.no_grad():
            return float(departure(of_codes(*trained.net("encoder", trained.images.val.flatten(1)).chunk(2, -1)), 1.0))

    return Effect("vae", {"dip_ii": 1.0}, measure, False, least=0.5, epochs=8, always={"beta": 0.1})
