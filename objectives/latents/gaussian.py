"""One Gaussian with the mean and the full covariance of the training codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.draws import Draws
    from objectives.latents import Sample

SUMMARY = "one Gaussian with the mean and the full covariance of the training codes"
SOURCE = "Ghosh et al., arXiv 1903.12436, section 4"


def fit(codes: Tensor) -> Sample:
    """Samples μ + Lε with LLᵀ = Σ; a root by eigenvalues, for dead latents make Σ singular."""
    import torch

    x = codes.double()
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh(x.T.cov().reshape(x.shape[1], -1))
    root = vectors * values.clamp(min=0).sqrt()

    def sample(n: int, draws: Draws) -> Tensor:
        noise = draws.normal((n, x.shape[1]), "latents").to(x)
        found: Tensor = (mean + noise @ root.T).to(codes.dtype)
        return found

    return sample
