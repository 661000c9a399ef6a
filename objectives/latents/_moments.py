"""What the densities of codes share: mean, root of the covariance, and which latents vary. In float64."""

from __future__ import annotations

from objectives.lazy import Tensor, double, torch

DEAD = 1e-7  # of a latent's size: a standard deviation below this is the rounding of float32


def mean_and_root(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (z,) of codes (n, z) and a root L (z, z) of their covariance, Σ = LLᵀ. By eigenvalues, because dead latents make Σ singular."""
    x = double(x)
    values, vectors = torch.linalg.eigh(x.T.cov().reshape(x.shape[1], -1))
    return x.mean(0), vectors * values.clamp(min=0).sqrt() @ vectors.T


def alive(x: Tensor) -> Tensor:
    """Which latents differ from image to image: (n, z) -> bool (z,)."""
    x = double(x)
    found: Tensor = x.std(0) > DEAD * x.abs().amax(0)
    return found
