"""What a regularizer's file states beforehand. Its contract suite tests the regularizer against it.

`examples()` returns values that are known in closed form, or computed in another way. `effect()` says which quantity the regularizer must
move, on a small problem that trains in a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from objectives.base import Report, Value
from objectives.data._kinds import ImageSet
from objectives.draws import Draws, Live
from objectives.lazy import Tensor, torch
from objectives.terms import Clock, Context, Memory, Net


@dataclass(frozen=True)
class Example:
    """`found(*inputs)` is a tensor that must equal `expected` within `rtol` (and `atol`).

    Where `smooth`, its gradient is compared with finite differences too, second derivatives included; it is also mapped over a stack of
    members. Inputs are float64, so that finite differences are accurate.
    """

    why: str
    found: Callable[..., Tensor]
    inputs: Sequence[Tensor]
    expected: float | Tensor
    rtol: float = 1e-6
    atol: float = 1e-9
    smooth: bool = True


@dataclass(frozen=True)
class Trained:
    """A member after training: the scored network, its weights by player as plain kernels, the data, and its reports."""

    net: Net
    kernels: Mapping[str, Mapping[str, Tensor]]
    images: ImageSet
    reports: Sequence[Report]
    family: Any


@dataclass(frozen=True)
class Effect:
    """Trained with the knobs `on`, `measure` is higher (`rises`) or lower than without them, by at least the share `least`.

    `always` holds knobs that both trainings have. Both start from the same seed, on `images` images of digits. They are compared over
    `seeds` seeds, because one training alone is luck. The share is that of the geometric mean over seeds, or, where the measure may be 0 or
    negative (`signed`), that of the mean.
    """

    objective: str
    on: Mapping[str, Value]
    measure: Callable[[Trained], float]
    rises: bool
    least: float = 0.02
    always: Mapping[str, Value] = field(default_factory=dict)
    epochs: int = 4
    images: int = 256
    seeds: int = 8
    model: str | None = None
    likelihood: str | None = None
    signed: bool = False

    def margins(self, without: Sequence[float], with_it: Sequence[float]) -> list[float]:
        """By how much each seed exceeds what is demanded. The mean of these must lie above 0, by more than the seeds' spread allows."""
        if self.signed:
            return [self._way() * (b - a) - self.least * abs(a) for a, b in zip(without, with_it, strict=True)]
        demanded = math.log1p(self._way() * self.least)
        return [self._way() * (math.log(b / a) - demanded) for a, b in zip(without, with_it, strict=True)]

    def _way(self) -> int:
        return 1 if self.rises else -1


def context(
    *,
    shape: tuple[int, int, int] = (1, 8, 8),
    draws: Draws | None = None,
    epochs: float = 0.0,
    total_epochs: int = 10,
    knobs: Mapping[str, float | Tensor] | None = None,
    options: Mapping[str, Value] | None = None,
    memory: Mapping[str, Tensor] | None = None,
    trained: Mapping[str, Tensor] | None = None,
) -> Context:
    """A context for an example; make it inside `found`, so that every call draws the same numbers."""
    return Context(
        draws=draws or Live(0, "cpu", torch.float64),
        clock=Clock(torch.tensor(epochs, dtype=torch.float64), total_epochs),
        shape=shape,
        knobs={name: torch.as_tensor(value, dtype=torch.float64) for name, value in (knobs or {}).items()},
        options=dict(options or {}),
        memory=Memory(memory),
        trained=dict(trained or {}),
    )


class Functions:
    """A stand-in for a `Net` whose parts are plain functions: `Functions(discriminator=lambda x: x @ w)`."""

    def __init__(self, *, shape: tuple[int, int, int] = (1, 8, 8), latent_dim: int = 2, **parts: Callable[[Tensor], Tensor]) -> None:
        self._parts = parts
        self.shape, self.latent_dim = shape, latent_dim
        self.options: dict[str, Value] = {}

    def __call__(self, part: str, x: Tensor) -> Tensor:
        """The output of a part."""
        return self._parts[part](x)

    def corrupt(self, part: str, x: Tensor) -> Tensor:
        """The input, as it is."""
        return x


def zero() -> Tensor:
    """A data term of no interest."""
    return torch.zeros((), dtype=torch.float64)


def squared_norm(player: str) -> Callable[[Trained], float]:
    """Σ w² over the kernels of a player."""
    return lambda trained: float(sum(w.square().sum() for w in trained.kernels[player].values()))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Fixed standard normal numbers in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
