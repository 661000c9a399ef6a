"""The VAE of Altosaar's tutorial code: D - 256 - 256 - z - 256 - 256 - D with ReLU, z = 128.

A latent space that large is mostly unused (few active units), which makes it a case for λ on the latent space. Starts with torch's
defaults. Source: altosaar/variational-autoencoder (sizes recalled, not looked up). It trains with RMSprop, so its learning rate is left
out.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    from torch import relu

    from objectives.models._layers import Chain

    size = math.prod(shape)
    return {
        "encoder": Chain([size, 256, 256, 2 * latent_dim], relu),
        "decoder": Chain([latent_dim, 256, 256, size], relu),
    }


BUILD = {"vae": vae}
RECIPE = {"vae": {"latent_dim": 128}}
# 784·256 + 256, 256·256 + 256, 256·256 + 256; 128·256 + 256, 256·256 + 256, 256·784 + 784
PUBLISHED = {"vae": ((1, 28, 28), 128, {"encoder": 200_960 + 65_792 + 65_792, "decoder": 33_024 + 65_792 + 201_488})}
