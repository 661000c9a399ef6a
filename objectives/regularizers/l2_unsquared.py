"""The Euclidean norm of all kernels as one vector, not squared. The source documents' `λ·torch.norm(parameters)` meant this.

It is *not* weight decay. Its gradient λ·w/‖w‖ has length λ wherever w is, so it pulls large weights no harder than small ones. Unlike
½λ‖w‖², it holds the whole vector at 0 once the data's gradient there is shorter than λ. It equals weight decay of strength λ/‖w‖, which
grows as the weights shrink.

Source: the code of the source documents on GANs (λ_G, λ_D) and on autoencoders, which raises an error as written (`torch.norm` of a list).
A small ε under the root keeps the gradient finite at w = 0.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, numbers, squared_norm, zero
from objectives.terms import Terms

KNOB = Knob(
    name="l2_unsquared",
    summary="Euclidean norm of all kernels together, not squared",
    formula="λ √(Σ ‖W‖²)",
    unit="nats per unit of length",
    default=0.0,
    low=1e-6,
    high=1e-1,
    log=True,
    off=0.0,
    more="high",
    cost="1 %",
    source="what the code of source documents S1 and S3 meant",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
TRAITS = ("shrinks_weights",)
EPS = 1e-12
CONFLICTS = (
    Rule(
        "l2_twice",
        "error",
        both("l2_unsquared", "l2"),
        "{}: both shrink the same weights, with the norm and its square. Keep one.",
        broken=sweep("gan", "l2_g", "l2_unsquared_g"),
        kept=sweep("gan", "l2_g", "l2_unsquared_d"),
    ),
    Rule(
        "l2_unsquared_decoder",
        "error",
        both("l2_unsquared", "l2_decoder"),
        "{}: the decoder's kernels would be penalized by both. Keep one.",
        broken=sweep("autoencoder", "l2_unsquared", "l2_decoder"),
        kept=sweep("autoencoder", "l2_decoder"),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """√(Σ w² + ε) over all kernels."""
    squares = sum((kernel.square().sum() for kernel in terms.kernels.values()), terms.data.new_zeros(()))
    return (squares + EPS).sqrt()


def examples() -> list[Example]:
    """The norm by hand, and a gradient of the same length 1 at any weights."""

    def found(a: Tensor, b: Tensor) -> Tensor:
        return penalty(Terms(zero(), kernels={"a": a, "b": b}))

    def slope(scale: Tensor) -> Tensor:
        filters, linear = torch.func.grad(found, argnums=(0, 1))(scale * numbers(2, 3, 2, 2), scale * numbers(4, 3))
        length: Tensor = (filters.square().sum() + linear.square().sum()).sqrt()
        return length

    def at_zero(a: Tensor) -> Tensor:
        pulled: Tensor = torch.func.grad(found)(a, a)
        return pulled

    first, second = torch.tensor([[3.0, 4.0]]).double(), torch.full((1, 3, 2, 2), 1.0).double()
    return [
        Example("√(9 + 16 + 12)", found, (first, second), 37.0**0.5),
        Example("the gradient of large weights has length 1", slope, (torch.tensor(100.0).double(),), 1.0, smooth=False),
        Example("the gradient of small weights has length 1", slope, (torch.tensor(1e-3).double(),), 1.0, smooth=False),
        Example("the gradient at 0 is 0, not NaN", at_zero, (torch.zeros(2, 2).double(),), 0.0, smooth=False),
    ]


def effect() -> Effect:
    """Smaller weights."""
    return Effect("autoencoder", {"l2_unsquared": 1.0}, squared_norm("model"), rises=False)
