"""The residual networks of `sngan_resnet32` at a quarter of their widths: 64 channels in the generator, 32 in the discriminator.

Ours, for a GPU and minutes. Its recipe is the large one's, but for a latent space of 64 and one step of the discriminator for one of the
generator.
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """As `sngan_resnet32`."""
    from objectives.models._residual import sngan

    return sngan(shape, latent_dim, generator=64, discriminator=32)


BUILD = {"gan": gan}
RECIPE = {"gan": {"loss": "hinge", "spectral_norm_d": 1.0, "lr": 2e-4, "beta1": 0.0, "latent_dim": 64}}
