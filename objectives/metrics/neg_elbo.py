"""The negative evidence lower bound at β = 1, whatever β was trained with."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor
from objectives.metrics._estimate import Estimate, mean, per_image

METRIC = Metric(
    name="val_neg_elbo_nats",
    summary="−ELBO at β = 1 on validation images: an upper bound on the negative log-likelihood",
    formula="−E_q log p(x|z) + KL(q(z|x) ‖ p(z))",
    unit="nats per image",
    decides=True,
    source="Kingma and Welling, arXiv 1312.6114, equation 3",
)


def estimate(neg_log_likelihood: Tensor, kl: Tensor) -> Estimate:
    """Mean over images of reconstruction + KL; each (n,), or (n, ...) to be summed. The error respects that the two are correlated."""
    return mean(per_image(neg_log_likelihood) + per_image(kl))
