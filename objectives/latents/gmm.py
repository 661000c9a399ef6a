"""A mixture of ten Gaussians with full covariances, fitted to the training codes by expectation maximization.

Latents are first divided by their standard deviations, so that the regularization of covariances (1e-6) means the same for each. Dead
latents are left out. scikit-learn fits, from a fixed start. The samples are drawn here, from the draws that are handed in.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from objectives.draws import Draws
from objectives.latents import Sample
from objectives.latents._moments import alive
from objectives.lazy import Tensor, double, torch

COMPONENTS = 10
LEAST = 2 * COMPONENTS  # with fewer than two codes for each component a mixture is a list of codes
SUMMARY = f"a mixture of {COMPONENTS} Gaussians with full covariances (scikit-learn)"
SOURCE = "Ghosh et al., arXiv 1903.12436, section 4 (10 components)"


def fit(codes: Tensor) -> dict[str, Tensor]:
    """`live` (z,) says which latents vary; of these weights (k,), means (k, l), Cholesky factors (k, l, l); of all `centre` and `scale`."""
    x = double(codes)
    live = alive(x)
    centre, scale = x.mean(0), x.std(0)
    shares, means, roots = _mixture((x[:, live] - centre[live]) / scale[live]) if bool(live.any()) else _nothing(x)
    return {"live": live, "centre": centre, "scale": scale, "shares": shares, "means": means, "roots": roots}


def sampler(fitted: Mapping[str, Tensor]) -> Sample:
    """Samples a component c with its weight, then μ_c + L_c ε with L_c L_cᵀ = Σ_c."""
    live, centre, shares, means, roots = (fitted[name] for name in ("live", "centre", "shares", "means", "roots"))
    ends, scale = shares.cumsum(0), fitted["scale"][live]

    def sample(n: int, draws: Draws) -> Tensor:
        chosen = torch.searchsorted(ends, draws.uniform((n,), "latents/component").to(ends)).clamp(max=len(shares) - 1)
        noise = draws.normal((n, len(centre)), "latents").to(ends)[:, live]
        found = centre.expand(n, -1).clone()
        found[:, live] += scale * (means[chosen] + torch.einsum("nij,nj->ni", roots[chosen], noise))
        return found

    return sample


def _mixture(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (k,), means (k, z) and Cholesky factors (k, z, z) of the mixture that fits x (n, z)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    with warnings.catch_warnings():
        # Fewer distinct codes than components, or 100 rounds without convergence: it is still a density, and a worse one scores worse.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = GaussianMixture(COMPONENTS, covariance_type="full", random_state=0).fit(x.cpu().numpy())
    weights, means, covariances = (torch.from_numpy(value).to(x) for value in (found.weights_, found.means_, found.covariances_))
    return weights, means, torch.linalg.cholesky(covariances)


def _nothing(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mixture over no latent at all."""
    return x.new_ones(1), x.new_zeros(1, 0), x.new_zeros(1, 0, 0)
