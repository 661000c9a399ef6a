"""A Gaussian kernel on every training code: a code is picked, and noise is added.

    z = μ + (x_i − μ + h·Lε) / √(1 + h²),    LLᵀ = Σ,    h = n^(−1/(z + 4))

h is Scott's rule: best for Gaussian codes, too wide for codes in clusters. A kernel estimate has (1 + h²) times the covariance of the
codes: a half more with a thousand codes of 16 latents. Codes that are too far out decode into nothing. The division prevents this: samples
keep the mean and the covariance of the codes. With many latents h is near 1, and the samples are nearly those of one Gaussian.
"""

from __future__ import annotations

from collections.abc import Mapping

from objectives.draws import Draws
from objectives.latents import Sample
from objectives.latents._moments import mean_and_root
from objectives.lazy import Tensor, double

SUMMARY = "a Gaussian kernel on every training code, with Scott's bandwidth and the codes' own covariance"
SOURCE = "Scott 1992, section 6.3 (bandwidth); Silverman 1986, section 6.4.1 (sampling with the sample's mean and variance)"


def bandwidth(n: int, size: int) -> float:
    """Scott's h for `n` codes of `size` latents, in standard deviations."""
    return float(n ** (-1 / (size + 4)))


def fit(codes: Tensor) -> dict[str, Tensor]:
    """The codes themselves (n, z), μ (z,), and L (z, z) with LLᵀ = Σ."""
    mean, root = mean_and_root(codes)
    return {"codes": codes, "mean": mean, "root": root}


def sampler(fitted: Mapping[str, Tensor]) -> Sample:
    """Samples a code with replacement, and noise of the codes' covariance."""
    mean, root, x = fitted["mean"], fitted["root"], double(fitted["codes"])
    h = bandwidth(*x.shape)

    def sample(n: int, draws: Draws) -> Tensor:
        picked = (draws.uniform((n,), "latents/picked").to(x) * len(x)).long().clamp(max=len(x) - 1)
        noise = draws.normal((n, x.shape[1]), "latents").to(x)
        found: Tensor = mean + (x[picked] - mean + h * noise @ root.T) / (1 + h * h) ** 0.5
        return found

    return sample
