"""L1 (lasso) penalty on the kernels, in the loss.

The subgradient λ·sign(w) makes weights small. But with Adam they do not become exactly zero: they stay at about the learning rate. On
digits (256 images, 40 epochs, η = 3e-3, λ = 1e-2) 93 % of the weights end below 1e-3 in size and none at 0. With `l1_prox` the same λ
leaves 98 % at exactly 0. To count zeros after this penalty one must name a threshold.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, zero
from objectives.terms import Terms

KNOB = Knob(
    name="l1",
    summary="L1 penalty on the kernels, in the loss",
    formula="λ Σ |w|",
    unit="nats per weight",
    default=0.0,
    low=1e-8,
    high=1e-3,
    log=True,
    off=0.0,
    more="high",
    cost="1 %",
    source="Tibshirani 1996",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")


def penalty(terms: Terms) -> Tensor:
    """Σ |w| over all kernels."""
    return sum((kernel.abs().sum() for kernel in terms.kernels.values()), terms.data.new_zeros(()))


def examples() -> list[Example]:
    """Σ |w| by hand."""

    def found(a: Tensor, b: Tensor) -> Tensor:
        return penalty(Terms(zero(), kernels={"a": a, "b": b}))

    return [Example("3 + 4 + 1 + 2", found, (torch.tensor([[3.0, -4.0]]).double(), torch.tensor([[1.0], [-2.0]]).double()), 10.0)]


def effect() -> Effect:
    """Smaller weights; exact zeros are rare without a proximal step (`l1_prox`)."""
    return Effect("autoencoder", {"l1": 1e-3}, lambda trained: float(sum(w.abs().sum() for w in trained.kernels["model"].values())), False)
