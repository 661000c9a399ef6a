"""The VAE of the importance-weighted autoencoder with one stochastic layer: D - 200 - 200 - z - 200 - 200 - D with tanh, z = 50.

Starts as published with Glorot's uniform weights and biases of 0; there the last bias starts at the log-odds of the training images'
mean, which a model does not see here. The published learning rate falls from 1e-3 to 1e-4 in eight stages; ours is one number, so it is
left open. Source: Burda et al. 2016, section 5; `iwae.py` and `nnet.py` of its code.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def vae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """Encoder to means and log-variances, decoder to logits (Bernoulli) or means (Gaussian)."""
    from torch import nn, tanh

    from objectives.models._layers import Chain, glorot

    size = math.prod(shape)
    encoder = Chain([size, 200, 200, 2 * latent_dim], tanh)
    decoder = Chain([latent_dim, 200, 200, size], tanh)
    for chain in (encoder, decoder):
        for layer in chain.layers:
            assert isinstance(layer, nn.Linear)
            # Two heads of z outputs each are one layer here; each starts by its own width.
            glorot(layer, latent_dim if layer is encoder.layers[-1] else None)
    return {"encoder": encoder, "decoder": decoder}


BUILD = {"vae": vae}
RECIPE = {"vae": {"latent_dim": 50}}
# 784·200 + 200, 200·200 + 200, 200·100 + 100; 50·200 + 200, 200·200 + 200, 200·784 + 784
PUBLISHED = {"vae": ((1, 28, 28), 50, {"encoder": 157_000 + 40_200 + 20_100, "decoder": 10_200 + 40_200 + 157_584})}
