"""What both DIP-VAEs share: a covariance pulled to the identity."""

from __future__ import annotations

from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Trained


def covariance(codes: Tensor) -> Tensor:
    """Cov(z) over the batch, (B, d) → (d, d), with 1/B."""
    centred = codes - codes.mean(0)
    return centred.mT @ centred / len(codes)


def departure(cov: Tensor, ratio: Tensor | float) -> Tensor:
    """Σ_{i≠j} Cov_ij² + ratio·Σ_i (Cov_ii − 1)²."""
    diagonal = cov.diagonal(dim1=-2, dim2=-1)
    return off_diagonal(cov) + ratio * (diagonal - 1).square().sum()


def off_diagonal(cov: Tensor) -> Tensor:
    """Σ_{i≠j} Cov_ij²."""
    return (cov - torch.diag_embed(cov.diagonal(dim1=-2, dim2=-1))).square().sum()


def of_validation(trained: Trained) -> float:
    """How far the covariance of posterior means is from the identity, on validation images."""
    with torch.no_grad():
        mean, _ = trained.net("encoder", trained.images.val.flatten(1)).chunk(2, -1)
    return float(departure(covariance(mean), 1.0))
