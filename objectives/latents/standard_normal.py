"""N(0, I): the prior of a VAE. It is no density of an autoencoder's codes; the fitted densities are compared with it."""

from __future__ import annotations

from collections.abc import Mapping

from objectives.draws import Draws
from objectives.latents import Sample
from objectives.lazy import Tensor

SUMMARY = "N(0, I), whatever the codes are: the prior of a VAE"
SOURCE = "Kingma and Welling, arXiv 1312.6114; as the baseline: Ghosh et al., arXiv 1903.12436, table 1"
LEAST = 0


def fit(codes: Tensor) -> dict[str, Tensor]:
    """Zeros (z,): of the codes only their size is used."""
    return {"mean": codes.new_zeros(codes.shape[1])}


def sampler(fitted: Mapping[str, Tensor]) -> Sample:
    """Samples ε."""
    mean = fitted["mean"]

    def sample(n: int, draws: Draws) -> Tensor:
        return draws.normal((n, len(mean)), "latents").to(mean)

    return sample
