"""Group lasso: a penalty on the norms of whole rows or filters, so that units die as a whole and can be cut out of the network.

A group makes one output unit: a row of a linear layer, or a filter of a convolution. The factor √|g|, the root of the group's size, makes
groups of different size pay the same per weight. The gradient λ√|g|·w/‖W_g‖ has constant length; a unit of little use cannot resist it.
Within a surviving group the penalty shrinks weights but sets none to 0.

Source: Yuan & Lin 2006; on filters Wen et al. 2016. The range is recalled, not looked up. As with every subgradient, Adam brings groups
near 0, not to exactly 0: they stay at about the learning rate. A small ε under the root keeps the gradient finite at 0. Kernels of a
normalized layer (BatchNorm, `norm`) keep their function when scaled, so there the penalty only sets the effective learning rate.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, zero
from objectives.terms import Terms

KNOB = Knob(
    name="group_lasso",
    summary="norms of the rows (filters) of the kernels, which switches whole units off",
    formula="λ Σ_g √|g| ‖W_g‖₂, g = output row or filter",
    unit="nats per weight",
    default=0.0,
    low=1e-6,
    high=1e-2,
    log=True,
    off=0.0,
    more="high",
    cost="1–2 %",
    source="Yuan & Lin 2006; Wen et al. 2016",
)
# On parts that draw or rebuild images: there one wants a smaller network.
ON = ("autoencoder", "vae", "gan.generator")
EPS = 1e-12


def penalty(terms: Terms) -> Tensor:
    """Σ √|g|·√(‖W_g‖² + ε) over the rows of all kernels."""
    total = terms.data.new_zeros(())
    for kernel in terms.kernels.values():
        rows = kernel.flatten(1)
        norms = torch.linalg.vector_norm(rows, dim=1)
        total = total + rows.shape[1] ** 0.5 * (norms.square() + EPS).sqrt().sum()
    return total


def examples() -> list[Example]:
    """Rows and filters by hand."""

    def found(a: Tensor, b: Tensor) -> Tensor:
        return penalty(Terms(zero(), kernels={"a": a, "b": b}))

    def at_zero(a: Tensor) -> Tensor:
        pulled: Tensor = torch.func.grad(found)(a, a + 1)
        return pulled

    linear = torch.tensor([[3.0, 4.0], [5.0, 12.0]]).double()
    filters = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 2.0)]).double()
    return [
        Example("√2·(5 + 13) + √4·(2 + 4)", found, (linear, filters), 2**0.5 * 18 + 12),
        Example("the gradient at 0 is 0, not NaN", at_zero, (torch.zeros(2, 2).double(),), 0.0, smooth=False),
    ]


def effect() -> Effect:
    """Rows that have died, beside others that live."""

    def dead(trained: Trained) -> float:
        norms = [kernel.flatten(1).norm(dim=1) for kernel in trained.kernels["model"].values()]
        return float(torch.cat([(norm < 0.1 * norm.max()).float() for norm in norms]).mean())

    return Effect("autoencoder", {"group_lasso": 1e-2}, dead, rises=True, always={"lr": 1e-2}, epochs=20, signed=True)
