"""L1 (lasso) penalty on the kernels, in the loss.

The subgradient λ·sign(w) makes weights small but, with Adam, not exactly zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.base import Knob

if TYPE_CHECKING:
    from torch import Tensor

    from objectives.training import Terms

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


def examples() -> list[tuple[Terms, float]]:
    """Terms and their exact penalty."""
    import torch

    from objectives.training import Terms

    zero = torch.zeros(())
    return [
        (Terms(zero, kernels={"a": torch.tensor([[3.0, -4.0]])}), 7.0),
        (Terms(zero, kernels={"a": torch.tensor([[1.0], [-2.0]]), "b": torch.tensor([[0.5]])}), 3.5),
    ]
