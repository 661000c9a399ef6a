"""Orthogonal regularization: kernels whose rows (or columns) are orthonormal keep the length of what passes through them.

`full`: ‖G − I‖²_F with G the smaller of WWᵀ and WᵀW; only the smaller one can equal I. The two penalties differ by a constant, |rows −
columns|, so the gradient, 4(WWᵀ − I)W, is that of ‖WᵀW − I‖²_F for any shape. `off_diagonal`: ‖G ⊙ (1 − I)‖²_F, angles only, lengths are
free. BigGAN chose this form, because fixed lengths cost quality. BigGAN's code always takes WWᵀ (rows), which is the smaller one for its
convolutions, and adds the gradient 2·(WWᵀ ⊙ (1 − I))W, that of half this penalty: its 1e-4 is λ = 5e-5 here.

A convolution's kernel counts as the matrix (filters, rest). Source: Brock et al. 2017 (full), Brock et al. 2019 (off-diagonal). The usual
1e-4 is recalled, not looked up. Cost: one product of matrices per kernel, whatever the batch is. So it costs most for small batches and
wide layers.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="orthogonal",
    summary="distance of the kernels from orthonormal rows or columns",
    formula="λ Σ ‖WᵀW − I‖²_F, of WᵀW and WWᵀ the smaller",
    unit="nats per fourth power of a weight",
    default=0.0,
    low=1e-6,
    high=1e-1,
    log=True,
    off=0.0,
    more="high",
    cost="2–10 %",
    source="Brock et al. 2017, 2019 (BigGAN)",
)
COMPANIONS = (
    Knob(
        name="orthogonal_form",
        summary="whether orthogonality is asked of angles and lengths, or of angles only",
        formula="full: G − I; off_diagonal: G ⊙ (1 − I)",
        unit="-",
        default="full",
        choices=("full", "off_diagonal"),
        structural=True,
        source="Brock et al. 2019: off_diagonal",
    ),
)
ON = ("gan.generator", "gan.discriminator")


def penalty(terms: Terms) -> Tensor:
    """Σ ‖G − I‖²_F, or Σ ‖G ⊙ (1 − I)‖²_F, over all kernels."""
    full = terms.context.options["orthogonal_form"] == "full"
    total = terms.data.new_zeros(())
    for kernel in terms.kernels.values():
        rows = kernel.flatten(1)
        gram = rows @ rows.mT if rows.shape[0] <= rows.shape[1] else rows.mT @ rows
        unit = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
        total = total + (gram - unit if full else gram * (1 - unit)).square().sum()
    return total


def examples() -> list[Example]:
    """Σ(σ² − 1)² over singular values, against WᵀW of any shape, by hand off the diagonal, and BigGAN's gradient."""

    def form(name: str, *kernels: Tensor) -> Tensor:
        known = context(options={"orthogonal_form": name})
        return penalty(Terms(zero(), kernels=dict(zip("ab", kernels, strict=False)), context=known))

    def full(*kernels: Tensor) -> Tensor:
        return form("full", *kernels)

    def angles(*kernels: Tensor) -> Tensor:
        return form("off_diagonal", *kernels)

    def pulled(kernel: Tensor) -> Tensor:
        gradient: Tensor = torch.func.grad(angles)(kernel)
        return gradient

    wide, tall, filters = numbers(2, 5), numbers(5, 3, seed=1), numbers(3, 2, 2, 2, seed=2)
    sigmas = torch.cat([torch.linalg.svdvals(w.flatten(1)) for w in (wide, filters)])
    whole = (wide.mT @ wide - torch.eye(5)).square().sum() - 3
    matrix = filters.flatten(1)
    biggan = 2 * (matrix @ matrix.mT * (1 - torch.eye(3))) @ matrix
    return [
        Example("Σ(σ² − 1)², one kernel a convolution's", full, (wide, filters), (sigmas.square() - 1).square().sum()),
        Example("a tall kernel: WᵀW is the smaller", full, (tall,), (tall.mT @ tall - torch.eye(3)).square().sum()),
        Example("‖WᵀW − I‖² of a wide kernel is larger by 5 − 2", full, (wide,), whole),
        Example("orthonormal rows cost nothing", full, (torch.linalg.qr(tall).Q.mT.contiguous(),), 0.0),
        Example("2·(3·1 + 4·2)² off the diagonal", angles, (torch.tensor([[3.0, 4.0], [1.0, 2.0]]).double(),), 242.0),
        Example("twice what BigGAN's code adds to the gradient", pulled, (filters,), 2 * biggan.view_as(filters), smooth=False),
    ]


def effect() -> Effect:
    """Rows of the generator's kernels nearer to orthonormal."""

    def distance(trained: Trained) -> float:
        found = [torch.linalg.svdvals(kernel.flatten(1)) for kernel in trained.kernels["generator"].values()]
        return float(sum((sigma.square() - 1).square().sum() for sigma in found))

    return Effect("gan", {"orthogonal_g": 1e-1}, distance, rises=False, least=0.1)
