"""Decoupled weight decay: what AdamW does, a different regularizer from L2 in the loss.

Adam divides the gradient of an L2 penalty by √v̂ together with that of the data, so weights with large gradients are decayed less; the
decoupled decay shrinks every weight by the same factor 1 − ηλ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.base import Knob

if TYPE_CHECKING:
    from torch import Tensor

KNOB = Knob(
    name="decoupled_wd",
    summary="decoupled weight decay of the kernels, beside Adam's step",
    formula="w ← w − ηλw",
    unit="1 / (learning rate × step)",
    default=0.0,
    low=1e-6,
    high=3e-1,
    log=True,
    off=0.0,
    more="high",
    cost="0",
    source="Loshchilov & Hutter 2019 (AdamW)",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")


def before_step(theta: Tensor, lr: Tensor | float, value: Tensor | float, kernels: Tensor) -> None:
    """w ← w·(1 − ηλ) on kernels only. θ (P,) with floats or (K, P) with (K, 1); `kernels` is a 0/1 mask (P,)."""
    theta.mul_(1 - kernels * (lr * value))
