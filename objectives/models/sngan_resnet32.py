"""SNGAN with residual networks for 32 × 32 images, in mimicry's sizes: 256 channels in the generator, 128 in the discriminator, z = 128.

Generator 256·(H/8)·(W/8) – three blocks that double the sides – BN, ReLU, conv, tanh; discriminator of four blocks, two of which halve,
ReLU, sum over pixels, linear. 4,276,739 and 1,053,825 parameters, without what spectral normalization remembers: here that is the λ
`spectral_norm_d`, 1 in the recipe. The published biases before a normalization are kept; it takes them out again. Starts as published:
Glorot's uniform with a gain of √2 inside blocks, 1 elsewhere. Its Adam has β₂ = 0.9 where ours is 0.999, and its learning rate falls
linearly to 0 over 100,000 steps of batches of 64. Source: Miyato et al. 2018; mimicry (`sngan_32.py`, `resblocks.py`). For a GPU.
"""

from __future__ import annotations

from objectives.base import Shape
from objectives.lazy import nn
from objectives.models import _fits

accepts, FITS = _fits.pictures, _fits.PICTURES


def gan(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """As published; sides are padded to multiples of 8 (generator) and 4 (discriminator)."""
    from objectives.models._residual import sngan

    return sngan(shape, latent_dim, generator=256, discriminator=128)


BUILD = {"gan": gan}
RECIPE = {"gan": {"loss": "hinge", "spectral_norm_d": 1.0, "n_dis": 5, "lr": 2e-4, "beta1": 0.0, "latent_dim": 128}}
# 128·4096 + 4096, 3·(2·(256·256·9 + 256) + 256·256 + 256 + 4·256), 2·256, 256·3·9 + 3
# 3·128·9 + 128 + 128·128·9 + 128 + 3·128 + 128, 2·(128·128·9 + 128) + 128·128 + 128, 4·(128·128·9 + 128), 128 + 1
PUBLISHED = {
    "gan": (
        (3, 32, 32),
        128,
        {"generator": 528_384 + 3 * 1_246_976 + 512 + 6_915, "discriminator": 151_680 + 311_680 + 590_336 + 129},
    )
}
