"""A GAN small enough for dozens of trainings on a laptop: generator z - 128 - 128 - D, discriminator D - 128 - 64 - 1."""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Leaky ReLU of slope 0.2 in both, no normalization."""
    from objectives.models._layers import Chain, Judge, leaky, unit_interval

    size = math.prod(shape)
    return {"generator": Chain([latent_dim, 128, 128, size], leaky, unit_interval), "discriminator": Judge([size, 128, 64, 1])}


BUILD = {"gan": gan}
