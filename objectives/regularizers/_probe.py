"""Jacobians without building them: Hutchinson's estimate with one probe of random signs, shared by the penalties on encoder and decoder.

E‖Jᵀv‖² = ‖J‖²_F for signs v; with signs (not Gaussian numbers) it is exact where JJᵀ is diagonal.
"""

from __future__ import annotations

from collections.abc import Callable

from objectives.draws import Draws
from objectives.lazy import Tensor, torch


def squared_jacobian(function: Callable[[Tensor], Tensor], x: Tensor, draws: Draws, stream: str) -> Tensor:
    """An unbiased estimate of ‖∂f/∂x‖²_F for each row of x (B, …) → (B,). `function` treats rows independently."""
    out, back = torch.func.vjp(function, x)  # type: ignore[misc]
    signs = 2 * (draws.uniform(out.shape, stream) < 0.5).to(out.dtype) - 1
    (pulled,) = back(signs)
    return squared_length(pulled)


def squared_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """‖∇_x f‖² for each row of x; `function` sums over rows."""
    gradient: Tensor = torch.func.grad(function)(x)
    return squared_length(gradient)


def squared_length(x: Tensor) -> Tensor:
    """Σ x² over everything but rows."""
    return x.square().flatten(1).sum(-1)
