"""Dropout on hidden activations: multiplicative noise during training, nothing at evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.base import Knob

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.draws import Draws

KNOB = Knob(
    name="dropout",
    summary="probability of dropping a hidden unit",
    formula="y = x ⊙ m / (1 − p), m ~ Bernoulli(1 − p)",
    unit="probability",
    default=0.0,
    low=0.0,
    high=0.7,
    off=0.0,
    more="high",
    where="hidden activations",
    cost="1–3 %",
    source="Srivastava et al. 2014",
)
# Not on a GAN's generator: its output noise is what the discriminator judges.
ON = ("autoencoder", "vae", "gan.discriminator")


def layer(hidden: Tensor, draws: Draws, value: Tensor | float) -> Tensor:
    """Inverted dropout of a hidden activation."""
    return draws.dropout(hidden, value)
