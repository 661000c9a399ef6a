"""Likelihoods p(x | z): minus the log of each, in nats per image, summed over pixels.

Only a real likelihood may be quoted in nats: Bernoulli needs binary images (cross-entropy on gray pixels is no likelihood: its minimum is
above zero), and a Gaussian needs its normalizer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NAMES = ("bernoulli", "gaussian")


def bernoulli_nats(logits: Tensor, x: Tensor) -> Tensor:
    """−log p(x | z) of binary x under independent Bernoulli pixels: Σ softplus(logit) − x·logit, summed over the last axis."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)


def gaussian_nats(mean: Tensor, x: Tensor, variance: Tensor | None = None) -> Tensor:
    """−log p(x | z) of x under N(mean, σ²I): ½‖x − mean‖²/σ² + (D/2)·log 2πσ², over the last axis of length D; σ = 1 if not given."""
    size, error = x.shape[-1], half_squared_error(mean, x)
    if variance is None:
        return error + 0.5 * size * math.log(2 * math.pi)
    return error / variance + 0.5 * size * (2 * math.pi * variance).log()


def half_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """½‖target − prediction‖² over the last axis."""
    return 0.5 * (target - prediction).square().sum(-1)


def gaussian_kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½(μ² + σ² − 1 − log σ²) for each latent: not yet summed (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
