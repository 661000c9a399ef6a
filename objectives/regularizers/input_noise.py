"""Gaussian noise on the network's input during training; the target stays clean.

For an autoencoder this is the denoising autoencoder, for a discriminator instance noise (on real and generated images alike).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.base import Knob

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.draws import Draws

KNOB = Knob(
    name="input_noise",
    summary="standard deviation of Gaussian noise on the input",
    formula="x̃ = x + σε, ε ~ N(0, I)",
    unit="pixel value",
    default=0.0,
    low=1e-2,
    high=1.0,
    log=True,
    off=0.0,
    more="high",
    where="input",
    cost="1 %",
    source="Vincent et al. 2008 (autoencoder); Sønderby et al. 2017 (discriminator)",
)
ON = ("autoencoder", "vae", "gan.discriminator")


def corrupt(x: Tensor, draws: Draws, value: Tensor | float) -> Tensor:
    """x + σε."""
    return x + value * draws.normal(x.shape, "input_noise")
