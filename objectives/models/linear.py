"""Linear models without biases, D - z - D: their regularized optima are known in closed form.

Autoencoder: Kunin et al. 2019. VAE, with posterior variances that do not depend on the image, hence probabilistic PCA: Lucas et al. 2019.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """x̂ = W₂W₁x."""
    from objectives.models._layers import Chain, as_is

    size = math.prod(shape)
    return {
        "encoder": Chain([size, latent_dim], as_is, bias=False),
        "decoder": Chain([latent_dim, size], as_is, bias=False),
    }


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """q(z|x) = N(Vx, diag(s²)), x̂ = Wz. Made for a Gaussian likelihood of centred data."""
    from objectives.models._layers import Chain, LinearPosterior, as_is

    size = math.prod(shape)
    return {"encoder": LinearPosterior(size, latent_dim), "decoder": Chain([latent_dim, size], as_is, bias=False)}


BUILD = {"autoencoder": autoencoder, "vae": vae}
