"""The default network of pythae, D - 512 - z - 512 - D with ReLU; its two heads are one layer of width 2z here.

On MNIST with z = 10 its VAE has 401,920 + 10,260 + 5,632 + 402,192 = 820,004 parameters. The autoencoder's output is a sigmoid, as there;
the VAE's are logits (Bernoulli) or means (Gaussian). Starts with torch's defaults, as there. Source: pythae, `default_architectures.py`;
a latent space of 10 and a learning rate of 1e-4 are its configurations' defaults (recalled).
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """D - 512 - z - 512 - D, sigmoid at the end: for images in [0, 1]."""
    from torch import relu, sigmoid

    from objectives.models._layers import Chain

    size = math.prod(shape)
    return {"encoder": Chain([size, 512, latent_dim], relu), "decoder": Chain([latent_dim, 512, size], relu, sigmoid)}


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """The same with means beside log-variances, and a linear output."""
    from torch import relu

    from objectives.models._layers import Chain

    size = math.prod(shape)
    return {"encoder": Chain([size, 512, 2 * latent_dim], relu), "decoder": Chain([latent_dim, 512, size], relu)}


BUILD = {"autoencoder": autoencoder, "vae": vae}
RECIPE = {"autoencoder": {"latent_dim": 10, "lr": 1e-4}, "vae": {"latent_dim": 10, "lr": 1e-4}}
PUBLISHED = {
    "autoencoder": ((1, 28, 28), 10, {"encoder": 401_920 + 5_130, "decoder": 5_632 + 402_192}),
    "vae": ((1, 28, 28), 10, {"encoder": 401_920 + 10_260, "decoder": 5_632 + 402_192}),
}
