"""Linear autoencoder without biases: D - z - D. Its regularized optimum is known in closed form (Kunin et al. 2019)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from objectives.models import Shape


def autoencoder(shape: Shape, latent_dim: int) -> dict[str, nn.Module]:
    """x̂ = W₂W₁x."""
    from objectives.models._layers import Chain, as_is

    size = math.prod(shape)
    return {
        "encoder": Chain([size, latent_dim], as_is, bias=False),
        "decoder": Chain([latent_dim, size], as_is, bias=False),
    }


BUILD = {"autoencoder": autoencoder}
