"""The rate of a VAE: KL from the posterior of an image to the prior."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor, double
from objectives.metrics._estimate import Estimate, mean, per_image

METRIC = Metric(
    name="val_kl_nats",
    summary="KL divergence from the posterior of a validation image to the prior, summed over latents",
    formula="KL(q(z|x) ‖ p(z))",
    unit="nats per image",
    source="Kingma and Welling, arXiv 1312.6114, appendix B",
)


def gaussian(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − log σ²) per latent, in float64: (n, z) each -> (n, z)."""
    mu, log_var = double(mu), double(log_var)
    return 0.5 * (mu**2 + log_var.expm1() - log_var)


def estimate(kl: Tensor) -> Estimate:
    """Mean over images of the KL: (n,), or (n, z) to be summed over latents."""
    return mean(per_image(kl))
