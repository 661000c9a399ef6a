"""B7: how many of the nats that fixed binarization loses does a searched regularizer win back?"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from objectives._family import loaded
from objectives.vae import VAE

if TYPE_CHECKING:
    from torch import nn

    from objectives.data import ImageSet
    from objectives.models import Shape


def iwae(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """The VAE of the importance-weighted autoencoder, D - 200 - 200 - z - 200 - 200 - D with tanh, started as published (Burda et al. 2016)."""
    from torch import nn, tanh

    from objectives.models._layers import Chain

    size = math.prod(shape)
    parts = {
        "encoder": Chain([size, 200, 200, 2 * latent_dim], tanh),
        "decoder": Chain([latent_dim, 200, 200, size], tanh),
    }
    for chain in parts.values():
        for layer in chain.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return dict(parts)


class FixedVAE(VAE):
    """A VAE that sees one binarization of every training image. It is judged on the binary images that every VAE is judged on."""

    def load_data(self) -> ImageSet:
        """Training images whose pixels are drawn once; redrawing a pixel that is 0 or 1 changes nothing."""
        return fixed(self.options_key(), self.settings.device)


@lru_cache(maxsize=1)
def fixed(options: str, device: str) -> ImageSet:
    """A data set with binary training images; `options` is JSON."""
    from objectives.draws import Fixed

    images = loaded(options, device)
    drawn = Fixed("published/binarization", images.train).uniform(images.train.shape) < images.train
    return replace(images, train=drawn.to(images.train.dtype))
