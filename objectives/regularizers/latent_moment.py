"""The latent penalty of source document S4, called L2 there: the second moment of each posterior is pulled to 1.

    ½λ·mean((μ² + σ² − 1)²),        mean over batch *and* latents, as its code has it

Caveat: it is no distance to the prior. It vanishes at μ = ±1, σ → 0, where the KL is ½(σ² − log σ²) = 10.4 nats at σ² = 1e-9, and grows
without bound as σ → 0; so it does not replace the KL. As a mean it is d times weaker than a sum over d latents, and does not
transfer from one latent size to another. Latent space of a VAE; costs nothing.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.losses import gaussian_kl_nats
from objectives.regularizers._truths import Effect, Example, Trained, zero
from objectives.terms import Terms

KNOB = Knob(
    name="latent_moment",
    summary="weight of the posterior's second moment being 1 (S4's latent penalty)",
    formula="½λ·mean((μ² + σ² − 1)²)",
    unit="nats",
    default=0.0,
    low=1e-5,
    high=1e1,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="0",
    source="source document S4",
)
ON = ("vae",)


def penalty(terms: Terms) -> Tensor:
    """½ mean((μ² + σ² − 1)²)."""
    return half_squared_excess(terms.values["mean"], terms.values["log_variance"])


def half_squared_excess(mean: Tensor, log_variance: Tensor) -> Tensor:
    """½ mean((μ² + σ² − 1)²) over everything."""
    return 0.5 * (mean.square() + log_variance.exp() - 1).square().mean()


def examples() -> list[Example]:
    """By hand; and the place where it vanishes although the KL is large."""
    import math

    def found(mean: Tensor, log_variance: Tensor) -> Tensor:
        return penalty(Terms(zero(), {"mean": mean, "log_variance": log_variance}))

    def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
        return gaussian_kl_nats(mean, log_variance).mean()

    mean, variance = torch.tensor([[0.0, 2.0]]).double(), torch.tensor([[3.0, 1.0]]).double()
    ends, narrow = torch.tensor([[1.0, -1.0]]).double(), torch.full((1, 2), math.log(1e-9)).double()
    return [
        Example("½·½·(2² + 4²)", found, (mean, variance.log()), 5.0),
        Example("the prior", found, (0 * mean, 0 * variance), 0.0),
        Example("μ = ±1, σ² = 1e-9: nothing", found, (ends, narrow), 0.0, atol=1e-15),
        Example("where the KL is 10.4 nats", kl, (ends, narrow), 10.36, rtol=1e-3),
    ]


def effect() -> Effect:
    """Second moments nearer to 1."""

    def measure(trained: Trained) -> float:
        with torch.no_grad():
            return float(half_squared_excess(*trained.net("encoder", trained.images.val.flatten(1)).chunk(2, -1)))

    return Effect("vae", {"latent_moment": 10.0}, measure, False, least=0.2, epochs=8)
