"""The importance-weighted bound on the negative log-likelihood: tighter than −ELBO, and tighter the more samples."""

from __future__ import annotations

import math

from objectives.base import Metric
from objectives.lazy import Tensor, double
from objectives.metrics._estimate import Estimate, mean

METRIC = Metric(
    name="val_nll_nats",
    summary="IWAE bound on the negative log-likelihood of validation images, with k importance samples (always state k)",
    formula="−(logsumexp_k log w − log k), w = p(x|z) p(z) / q(z|x)",
    unit="nats per image",
    decides=True,
    costly=True,
    source="Burda, Grosse and Salakhutdinov, arXiv 1509.00519, equation 8",
    label="IWAE-{k} NLL[n={n}]",
)


def nll(log_w: Tensor) -> Tensor:
    """The bound per image in float64: log weights (n, k) -> (n,). In expectation it falls with k; k = 1 is −ELBO with one sample."""
    log_w = double(log_w.detach())
    return math.log(log_w.shape[1]) - log_w.logsumexp(1)


def estimate(log_w: Tensor) -> Estimate:
    """Mean over images of the bound, from log weights (n, k)."""
    return mean(nll(log_w))
