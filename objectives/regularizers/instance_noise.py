"""Instance noise: Gaussian noise on what the discriminator sees, real and generated images, which fades to nothing over the training.

    x̃ = x + σ_t ε,    ε ~ N(0, I),    σ_t = σ₀·(1 − t/T)

It makes the two distributions overlap while they are far apart, so that D's slope tells G where to go. `input_noise` is the same without
fading. Units: pixel values in [0, 1]. Where: the discriminator's input, in both players' steps. Cost: 1 %.

Pitfalls: noise that has not faded (a stopped training) leaves G no reason to draw fine detail. Not beside `input_noise` on D (an error).
"""

from __future__ import annotations

from collections.abc import Callable

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._gradients import on_real
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._transforms import EAGER
from objectives.regularizers._truths import Effect, Example, context
from objectives.terms import Context

KNOB = Knob(
    name="instance_noise",
    summary="standard deviation of fading Gaussian noise on what the discriminator sees",
    formula="x̃ = x + σ₀(1 − t/T)ε, ε ~ N(0, I)",
    unit="pixel value",
    default=0.0,
    low=1e-2,
    high=0.5,
    log=True,
    off=0.0,
    more="high",
    where="discriminator's input",
    cost="1 %",
    source="Sønderby et al. 2017; Arjovsky & Bottou 2017",
)
ON = ("gan.discriminator",)
CONFLICTS = (
    Rule(
        "noise_twice",
        "error",
        both("instance_noise", "input_noise"),
        "{}: the discriminator's input would get noise twice. Keep one.",
        broken=sweep("gan", "instance_noise", "input_noise"),
        kept=sweep("gan", "instance_noise"),
    ),
)


def corrupt(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """x + σ_t ε."""
    return x + value * (1 - context.clock.progress) * context.draws.normal(x.shape, "instance_noise")


def examples() -> list[Example]:
    """E‖x̃ − x‖² = Dσ_t² at the beginning, in the middle and at the end."""

    def found(epochs: float) -> Callable[[Tensor], Tensor]:
        return lambda x: (corrupt(x, context(epochs=epochs), 0.5) - x).square().sum(-1).mean()

    x = torch.zeros(4000, 64).double()
    return [
        Example(f"64·(0.5·{left})²", found(10 * (1 - left)), (x,), 64 * (0.5 * left) ** 2, rtol=0.02, smooth=False)
        for left in (1.0, 0.5, 0.0)
    ]


def effect() -> Effect:
    """A flatter discriminator at real images, which it saw blurred by noise."""
    # Seen while the noise is strong, in three epochs of a discriminator that is far ahead. Not seen after twelve epochs of it, nor in an
    # even game (n_dis 1) of four.
    return Effect("gan", {"instance_noise": 0.5}, on_real, rises=False, least=0.1, always=EAGER, epochs=3, seeds=16)
