"""The reconstruction term of the ELBO, a negative log-likelihood."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor
from objectives.metrics._estimate import Estimate, mean, per_image

METRIC = Metric(
    name="val_reconstruction_nats",
    summary="Negative log-likelihood of validation images given their latents, summed over pixels",
    formula="−E_q log p(x|z)",
    unit="nats per image",
    better="lower",
)


def estimate(neg_log_likelihood: Tensor) -> Estimate:
    """Mean over images of −log p(x|z): (n,), or (n, ...) to be summed over pixels."""
    return mean(per_image(neg_log_likelihood))
