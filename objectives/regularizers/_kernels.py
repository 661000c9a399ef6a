"""What several regularizers of kernels share: kernels as matrices, power iteration, counts of zeros."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from objectives.lazy import Tensor, functional, torch
from objectives.regularizers._truths import Trained

EPS = 1e-12  # torch's, in spectral_norm
FIRST = 100  # power iterations for the first estimate


def singular(kernel: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """σ ≈ uᵀWv and the next v, by one step of power iteration: u = Wv/‖Wv‖, v ← Wᵀu/‖Wᵀu‖, as torch does.

    The gradient flows through W alone. u and v are constants: at the maximum of σ, a small change of u and v does not change σ.
    """
    rows = kernel.flatten(1)
    fixed = rows.detach()
    u = functional.normalize(fixed @ v, dim=0, eps=EPS)
    v = functional.normalize(fixed.mT @ u, dim=0, eps=EPS)
    return torch.dot(u, rows @ v), v


def started(kernels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A first v for every kernel: power iteration from fixed noise, until it is settled."""
    found = {}
    for name, kernel in kernels.items():
        size = kernel.flatten(1).shape[1]
        v = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(kernel)
        for _ in range(FIRST):
            _, v = singular(kernel.detach(), v)
        found[name] = v
    return found


def largest(player: str) -> Callable[[Trained], float]:
    """The largest singular value of a player's kernels, by a full decomposition."""
    return lambda trained: max(float(torch.linalg.matrix_norm(kernel.flatten(1), 2)) for kernel in trained.kernels[player].values())


def zeros(player: str) -> Callable[[Trained], float]:
    """The share of a player's kernel weights that are exactly 0."""
    return lambda trained: float(torch.cat([(kernel == 0).flatten() for kernel in trained.kernels[player].values()]).double().mean())
