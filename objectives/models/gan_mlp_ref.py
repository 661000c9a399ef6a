"""The usual GAN of multilayer perceptrons: generator z - 128 - 256 - 512 - 1024 - D, discriminator D - 512 - 256 - 1, z = 100.

Batch normalization stands before the leaky ReLU, after all layers but the first. Its ε is 0.8: in that code the value stands in the place
of ε, where perhaps a momentum was meant. It is part of how these nets train. So are biases before a normalization, which takes them out
again. Starts with torch's defaults. Source: eriklindernoren/PyTorch-GAN, `families/gan.py`.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Generator with BatchNorm before the leaky ReLU, plain discriminator."""
    from itertools import pairwise

    from objectives.models._convolutional import unit_norm
    from objectives.models._layers import Act, Hidden, Judge, Stack, leaky, unit_interval

    size = math.prod(shape)
    blocks = [
        layer
        for inputs, outputs in pairwise([128, 256, 512, 1024])
        for layer in (nn.Linear(inputs, outputs), unit_norm(outputs, 0.8), Hidden(leaky))
    ]
    first, last = nn.Linear(latent_dim, 128), nn.Linear(1024, size)
    return {
        "generator": Stack(first, Hidden(leaky), *blocks, last, Act(unit_interval)),
        "discriminator": Judge([size, 512, 256, 1]),
    }


BUILD = {"gan": gan}
RECIPE = {"gan": {"latent_dim": 100, "lr": 2e-4, "beta1": 0.5}}
# 100·128 + 128, 128·256 + 3·256, 256·512 + 3·512, 512·1024 + 3·1024, 1024·784 + 784; 784·512 + 512, 512·256 + 256, 256 + 1
PUBLISHED = {
    "gan": (
        (1, 28, 28),
        100,
        {"generator": 12_928 + 33_536 + 132_608 + 527_360 + 803_600, "discriminator": 401_920 + 131_328 + 257},
    )
}
