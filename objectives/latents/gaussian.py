"""One Gaussian with the mean and the full covariance of the training codes."""

from __future__ import annotations

from collections.abc import Mapping

from objectives.draws import Draws
from objectives.latents import Sample
from objectives.latents._moments import mean_and_root
from objectives.lazy import Tensor

SUMMARY = "one Gaussian with the mean and the full covariance of the training codes"
SOURCE = "Ghosh et al., arXiv 1903.12436, section 4"


def fit(codes: Tensor) -> dict[str, Tensor]:
    """μ (z,), and L (z, z) with LLᵀ = Σ."""
    mean, root = mean_and_root(codes)
    return {"mean": mean, "root": root}


def sampler(fitted: Mapping[str, Tensor]) -> Sample:
    """Samples μ + Lε."""
    mean, root = fitted["mean"], fitted["root"]

    def sample(n: int, draws: Draws) -> Tensor:
        noise = draws.normal((n, len(mean)), "latents").to(mean)
        found: Tensor = mean + noise @ root.T
        return found

    return sample
