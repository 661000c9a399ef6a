"""Optimizers on flat parameter vectors, with hyperparameters of each member.

`torch.optim` takes scalar hyperparameters; here θ is (K, P) with hyperparameters (K, 1), or (P,) with floats.
Regularizers that act on the weights themselves (decoupled weight decay) do so before the step; see `regularizers/decoupled_wd.py`. So AdamW
is Adam beside that λ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from objectives.base import Value

Numbers = Tensor | float


class Optimizer:
    """What every optimizer keeps: how many steps it took, and moments of the gradients, each of the shape of θ."""

    names: tuple[str, ...] = ()

    def __init__(self, theta: Tensor) -> None:
        self.steps = 0
        self.moments = {name: torch.zeros_like(theta) for name in self.names}
        self._kept = torch.zeros_like(theta)  # new memory as long as θ in each step would cost more than the arithmetic in it

    def set(self, betas: tuple[Numbers, float], momentum: Numbers) -> None:
        """Take over the members' hyperparameters, those that this optimizer uses."""

    def step(self, theta: Tensor, gradient: Tensor, lr: Numbers) -> None:
        """Move `theta` in place. Hyperparameters are floats, or (K, 1) beside θ of shape (K, P)."""
        raise NotImplementedError

    def scale(self) -> Tensor:
        """By what the last step divided a gradient: shape of θ. The next step overwrites it."""
        raise NotImplementedError

    def keep(self, members: Tensor) -> None:
        """Drop all members but `members` (indices into the first axis)."""
        self.moments = {name: value.index_select(0, members) for name, value in self.moments.items()}
        self._kept = self._kept.index_select(0, members)

    def state(self, members: Tensor) -> dict[str, Tensor | int]:
        """Everything that the next step of `members` (indices into the first axis) depends on."""
        return {"steps": self.steps, **{name: value.index_select(0, members) for name, value in self.moments.items()}}

    def load_state(self, state: Mapping[str, Tensor | int]) -> None:
        """Go on from where `state` was taken."""
        self.steps = int(state["steps"])
        for name in self.names:
            value = state[name]
            assert isinstance(value, Tensor)
            self.moments[name] = value.to(self._kept.device)
        self._kept = torch.zeros_like(self.moments[self.names[0]])


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), equal to `torch.optim.Adam`: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η·m̂ / (√v̂ + ε)."""

    names = ("mean", "square")

    def __init__(self, theta: Tensor, betas: tuple[Numbers, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(theta)
        self.betas, self.eps = betas, eps

    def set(self, betas: tuple[Numbers, float], momentum: Numbers) -> None:
        """β₁ and β₂."""
        self.betas = betas

    def step(self, theta: Tensor, gradient: Tensor, lr: Numbers) -> None:
        """As the class says; `lr` and β₁ may be each member's own."""
        self.steps += 1
        first, second = self.betas
        mean = self.moments["mean"].lerp_(gradient, 1 - first)
        self.moments["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = self.scale()
        rate = lr / (1 - first**self.steps)
        if isinstance(rate, Tensor):
            theta.sub_(torch.div(mean, scale, out=scale).mul_(rate))
        else:
            theta.addcdiv_(mean, scale, value=-rate)

    def scale(self) -> Tensor:
        """√v̂ + ε."""
        square, correction = self.moments["square"], (1 - self.betas[1] ** max(self.steps, 1)) ** 0.5
        return torch.sqrt(square, out=self._kept).div_(correction).add_(self.eps)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, equal to `torch.optim.SGD`: b ← μb + g, θ ← θ − ηb."""

    names = ("buffer",)
    momentum: Numbers = 0.9

    def set(self, betas: tuple[Numbers, float], momentum: Numbers) -> None:
        """μ."""
        self.momentum = momentum

    def step(self, theta: Tensor, gradient: Tensor, lr: Numbers) -> None:
        """As the class says; `lr` and μ may be each member's own."""
        self.steps += 1
        buffer = self.moments["buffer"].mul_(self.momentum).add_(gradient)
        theta.sub_(torch.mul(buffer, lr, out=self._kept))

    def scale(self) -> Tensor:
        """1: a step has the scale of the gradient."""
        return self._kept.fill_(1.0)


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012), equal to `torch.optim.RMSprop` without momentum: v ← αv + (1−α)g², θ ← θ − η·g / (√v + ε)."""

    names = ("square",)
    alpha, eps = 0.99, 1e-8

    def step(self, theta: Tensor, gradient: Tensor, lr: Numbers) -> None:
        """As the class says; `lr` may be each member's own."""
        self.steps += 1
        self.moments["square"].mul_(self.alpha).addcmul_(gradient, gradient, value=1 - self.alpha)
        scale = self.scale()
        theta.sub_(torch.div(gradient, scale, out=scale).mul_(lr))

    def scale(self) -> Tensor:
        """√v + ε."""
        return torch.sqrt(self.moments["square"], out=self._kept).add_(self.eps)


KINDS: Mapping[str, type[Optimizer]] = {"adam": Adam, "adamw": Adam, "sgd": SGD, "rmsprop": RMSprop}


def pace(schedule: Value | None, columns: Mapping[str, Numbers], step: int, steps: int) -> Numbers:
    """The factor on the learning rate in the next step, a float or (K, 1).

    Args:
        schedule: the knob `lr_schedule`; None: constant.
        columns: the members' knobs, floats or (K, 1).
        step: how many minibatches are done. steps: how many there are in all. The t of the formulas is their ratio.
    """
    done = step / steps
    factor: Numbers = 1.0
    if schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    elif schedule == "step":
        # A little more, because a third of the steps may be rounded to just below a third.
        drops = (done + 1e-9) / columns["lr_step"]
        factor = columns["lr_gamma"] ** (drops.floor() if isinstance(drops, Tensor) else math.floor(drops))
    warmup = columns.get("warmup", 0.0)  # a factor of exactly 1 where there is none
    if isinstance(warmup, Tensor):
        risen = (step + 1) / (warmup * steps)
        return factor * torch.where(warmup > 0, risen.clamp(max=1.0), torch.ones_like(warmup))
    return factor * (min(1.0, (step + 1) / (warmup * steps)) if warmup else 1.0)


def clip(gradient: Tensor, longest: Tensor | float) -> None:
    """Rescale gradients in place, each member's by its own Euclidean norm: g ← g·min(1, c/‖g‖). c = 0 sets no limit, to the bit.

    `gradient` is (K, P), `longest` a float or (K, 1). A gradient that is not finite stays so.
    """
    bound = torch.as_tensor(longest, dtype=gradient.dtype, device=gradient.device)
    factor = bound / torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    gradient.mul_(torch.where(bound > 0, factor.clamp(max=1.0), torch.ones_like(factor)))
