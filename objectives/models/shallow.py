"""An autoencoder with one hidden layer, which is its bottleneck: D - z - D with ReLU. With z = 128 it is the net of introductory texts,
784 - 128 - 784, whose "hidden layer of 128" is all the latent space there is."""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder D - z with ReLU on the latent, decoder z - D, linear."""
    from torch import relu

    from objectives.models._layers import Chain, as_is

    size = math.prod(shape)
    return {"encoder": Chain([size, latent_dim], relu, relu), "decoder": Chain([latent_dim, size], as_is)}


BUILD = {"autoencoder": autoencoder}
# 784·128 + 128; 128·784 + 784
PUBLISHED = {"autoencoder": ((1, 28, 28), 128, {"encoder": 100_480, "decoder": 101_136})}
