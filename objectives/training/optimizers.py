"""Adam on flat parameter vectors, one learning rate per member.

`torch.optim` takes scalar hyperparameters; here θ is (K, P) with hyperparameters (K, 1), or (P,) with floats.
Regularizers that act on the weights themselves (decoupled weight decay) do so before the step; see `regularizers/decoupled_wd.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Adam:
    """Adam (Kingma & Ba 2015), equal to `torch.optim.Adam`: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η·m̂ / (√v̂ + ε)."""

    def __init__(self, theta: Tensor, betas: tuple[Tensor | float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        self.betas = betas
        self.eps = eps
        self.steps = 0
        self.mean = torch.zeros_like(theta)
        self.square = torch.zeros_like(theta)
        self._scale = torch.zeros_like(theta)  # kept: new memory as long as θ in each step would cost more than the arithmetic in it

    def step(self, theta: Tensor, gradient: Tensor, lr: Tensor | float) -> None:
        """Move `theta` in place. `lr` and β₁ are floats, or (K, 1) beside θ of shape (K, P)."""
        self.steps += 1
        first, second = self.betas
        self.mean.lerp_(gradient, 1 - first)
        self.square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = self.scale()
        rate = lr / (1 - first**self.steps)
        if isinstance(rate, Tensor):
            theta.sub_(torch.div(self.mean, scale, out=scale).mul_(rate))
        else:
            theta.addcdiv_(self.mean, scale, value=-rate)

    def scale(self) -> Tensor:
        """The divisor of the mean gradient in the last step, √v̂ + ε: shape of θ. The next step overwrites it."""
        return torch.sqrt(self.square, out=self._scale).div_((1 - self.betas[1] ** max(self.steps, 1)) ** 0.5).add_(self.eps)

    def keep(self, members: Tensor) -> None:
        """Drop all members but `members` (indices into the first axis)."""
        self.mean = self.mean.index_select(0, members)
        self.square = self.square.index_select(0, members)
        self._scale = torch.zeros_like(self.mean)

    def state(self, members: Tensor) -> dict[str, Tensor | int]:
        """Everything that the next step of `members` (indices into the first axis) depends on."""
        return {"steps": self.steps, "mean": self.mean.index_select(0, members), "square": self.square.index_select(0, members)}

    def load_state(self, state: dict[str, Tensor | int]) -> None:
        """Go on from where `state` was taken."""
        mean, square = state["mean"], state["square"]
        assert isinstance(mean, Tensor) and isinstance(square, Tensor)
        self.steps = int(state["steps"])
        self.mean, self.square = mean.to(self.mean.device), square.to(self.mean.device)
        self._scale = torch.zeros_like(self.mean)


def clip(gradient: Tensor, longest: Tensor | float) -> None:
    """Rescale gradients in place, each member's by its own Euclidean norm: g ← g·min(1, c/‖g‖). c = 0 sets no limit, to the bit.

    `gradient` is (K, P), `longest` a float or (K, 1). A gradient that is not finite stays so.
    """
    bound = torch.as_tensor(longest, dtype=gradient.dtype, device=gradient.device)
    factor = bound / torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    gradient.mul_(torch.where(bound > 0, factor.clamp(max=1.0), torch.ones_like(factor)))
