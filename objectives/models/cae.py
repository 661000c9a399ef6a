"""The contractive autoencoder's net: D - 1000 - D with sigmoids, and one kernel for both ways: x̂ = σ(Wᵀσ(Wx + b) + c).

z is the hidden layer, 1000 units, more than there are pixels. Only its λ keeps it from copying: `contractive` (CAE), or `mask_noise` and
`input_noise` (DAE). Tied weights are part of that. With kernels of their own, the encoder shrinks, the decoder grows by as much, and the
contraction costs nothing. The decoder's kernel is the encoder's parameter: penalties on weights count it once, as the encoder's, and
`l2_decoder` finds nothing to act on. Starts with torch's default for the encoder. Source: Rifai et al. 2011; Vincent et al. 2010 (1000
hidden units, tied). Its λ was chosen by classification, so there is no recipe for it.
"""

from __future__ import annotations

import math

from objectives.base import Shape
from objectives.lazy import nn


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """σ(Wx + b) and σ(Wᵀz + c): for images in [0, 1]."""
    from torch import sigmoid

    from objectives.models._layers import Chain, Tied

    encoder = Chain([math.prod(shape), latent_dim], sigmoid, sigmoid)
    return {"encoder": encoder, "decoder": Tied(encoder.layers[0], sigmoid)}


BUILD = {"autoencoder": autoencoder}
RECIPE = {"autoencoder": {"latent_dim": 1000}}
# 784·1000 + 1000; the same kernel, + 784
PUBLISHED = {"autoencoder": ((1, 28, 28), 1000, {"encoder": 785_000, "decoder": 784_784})}
