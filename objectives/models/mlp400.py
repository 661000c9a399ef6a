"""The VAE D - 400 - z - 400 - D with ReLU (the VAE of pytorch/examples; its two heads are one layer of width 2z here)."""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    from torch import relu

    from objectives.models._layers import Chain

    size = math.prod(shape)
    return {"encoder": Chain([size, 400, 2 * latent_dim], relu), "decoder": Chain([latent_dim, 400, size], relu)}


BUILD = {"vae": vae}
# 784·400 + 400, 400·40 + 40; 20·400 + 400, 400·784 + 784: 652,824 in all
PUBLISHED = {"vae": ((1, 28, 28), 20, {"encoder": 314_000 + 16_040, "decoder": 8_400 + 314_384})}
