"""The networks of `rae_mnist32` at an eighth of their widths, for a CPU: conv 16 – 32 – 64 – 128 and back, z = 16."""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Sigmoid at the end: for images in [0, 1]."""
    from objectives.models._convolutional import rae

    return rae(shape, latent_dim, latent_dim, filters=16, probabilities=True)


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    from objectives.models._convolutional import rae

    return rae(shape, 2 * latent_dim, latent_dim, filters=16, probabilities=False)


BUILD = {"autoencoder": autoencoder, "vae": vae}
RECIPE = {"autoencoder": {"latent_dim": 16, "lr": 5e-4}, "vae": {"latent_dim": 16, "lr": 5e-4}}
