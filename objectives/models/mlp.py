"""Multilayer perceptrons: an autoencoder D - 128 - z - 128 - D and a GAN whose generator widens z - 256 - 512 - 1024 - D.

They are what introductory texts mean: the autoencoder 784 - 128 - 784 with a bottleneck of its own (`shallow` is the literal one), and
a GAN that is called DCGAN there, with batch normalization after the leaky ReLU and not before. Both start with torch's defaults.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


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
RECIPE = {"gan": {"latent_dim": 100, "lr": 2e-4, "beta1": 0.5}}
# 784·128 + 128, 128·32 + 32; 32·128 + 128, 128·784 + 784
# 100·256 + 3·256, 256·512 + 3·512, 512·1024 + 3·1024, 1024·784 + 784; 784·512 + 512, 512·256 + 256, 256 + 1
PUBLISHED = {
    "autoencoder": ((1, 28, 28), 32, {"encoder": 100_480 + 4_128, "decoder": 4_224 + 101_136}),
    "gan": ((1, 28, 28), 100, {"generator": 26_368 + 132_608 + 527_360 + 803_600, "discriminator": 401_920 + 131_328 + 257}),
}
