"""Multilayer perceptrons: an autoencoder D - 128 - z - 128 - D and a GAN whose generator widens z - 256 - 512 - 1024 - D."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from objectives.models import Shape


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """D - 128 - z - 128 - D with ReLU; the output is linear, the mean of a unit Gaussian."""
    from torch import relu

    from objectives.models._layers import Chain

    size = math.prod(shape)
    return {"encoder": Chain([size, 128, latent_dim], relu), "decoder": Chain([latent_dim, 128, size], relu)}


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Generator with BatchNorm after the leaky ReLU, discriminator D - 512 - 256 - 1."""
    from objectives.models._layers import Chain, Judge, leaky, unit_interval

    size = math.prod(shape)
    return {
        "generator": Chain([latent_dim, 256, 512, 1024, size], leaky, unit_interval, normalize=True),
        "discriminator": Judge([size, 512, 256, 1]),
    }


BUILD = {"autoencoder": autoencoder, "gan": gan}
