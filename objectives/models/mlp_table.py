"""A GAN for tables: generator z - 128 - 128 - D whose output is linear, discriminator D - 128 - 64 - 1 on the values as they are.

It is `mlp_small` without the tanh that keeps images in [0, 1]. The autoencoder `mlp` and the VAE `mlp400` (likelihood gaussian) make real
values as they are.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import Later, nn

layers, convolutional = Later("objectives.models._layers"), Later("objectives.models._convolutional")  # they need torch
REAL_VALUED = True  # what it generates is not held in [0, 1]


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Leaky ReLU of slope 0.2 in both, no normalization."""
    size, leaky = math.prod(shape), layers.leaky
    hidden = [nn.Linear(size, 128), layers.Hidden(leaky), nn.Linear(128, 64), layers.Hidden(leaky)]
    judge = layers.Stack(*hidden, convolutional.Logit(64))
    return {"generator": layers.Chain([latent_dim, 128, 128, size], leaky), "discriminator": judge}


BUILD = {"gan": gan}
