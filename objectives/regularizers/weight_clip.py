"""Weight clipping: after every step each kernel's weights are put back into [−c, c], c = 1/λ.

The first way to keep a Wasserstein critic's slope bounded. λ is the reciprocal of the bound, so that more is stricter and 0 is no bound:
the published c = 0.01 is λ = 100, c from 1 to 1e-3 is λ from 1 to 1000. It bounds the slope by a number that depends on depth and
width, pushes weights to ±c, which makes a critic too simple, and lets gradients vanish or explode; gradient penalties replaced it. Other
codes clip biases too (StudioGAN's `wc_bound`); this leaves them.

Source: Arjovsky et al. 2017. On the discriminator.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, context
from objectives.terms import Update

KNOB = Knob(
    name="weight_clip",
    summary="bound 1/λ on the size of each kernel weight, by clipping after the step",
    formula="w ← clip(w, −1/λ, 1/λ)",
    unit="1 / weight",
    default=0.0,
    low=1.0,
    high=1000.0,
    log=True,
    off=0.0,
    more="high",
    cost="0–1 %",
    source="Arjovsky et al. 2017 (c = 0.01, λ = 100)",
)
ON = ("gan.discriminator",)
TRAITS = ("bounds_critic",)


def after_step(theta: Tensor, update: Update, value: Tensor | float) -> None:
    """Clip kernels to ±1/λ, which is infinite where λ = 0."""
    bound = torch.as_tensor(value, dtype=theta.dtype, device=theta.device).reciprocal()
    theta.copy_(torch.where(update.kernels > 0, theta.clamp(-bound, bound), theta))


def examples() -> list[Example]:
    """By hand, for one member and for three with bounds of their own; biases stay."""
    mask = torch.tensor([1.0, 1.0, 1.0, 0.0]).double()

    def clipped(theta: Tensor, value: Tensor | float) -> Tensor:
        found = theta.clone()
        after_step(found, Update(0.1, mask, context().clock), value)
        return found

    start = torch.tensor([[0.5, -3.0, 0.1, 7.0]]).double()
    bounds = torch.tensor([[0.0], [0.5], [4.0]]).double()
    expected = torch.tensor([[0.5, -3.0, 0.1, 7.0], [0.5, -2.0, 0.1, 7.0], [0.25, -0.25, 0.1, 7.0]]).double()
    published = torch.tensor([[0.01, -0.01, 0.01, 7.0]]).double()
    return [
        Example("λ = 100 is c = 0.01", lambda w: clipped(w, 100.0), (start,), published, smooth=False),
        Example("λ = 0, 0.5, 4", lambda w: clipped(w, bounds), (start.expand(3, 4),), expected, rtol=0, atol=0, smooth=False),
    ]


def effect() -> Effect:
    """No weight of the discriminator is larger than 0.01 any more."""

    def beyond(trained: Trained) -> float:
        return max(0.0, max(float(kernel.abs().max()) for kernel in trained.kernels["discriminator"].values()) - 0.010001)

    return Effect("gan", {"weight_clip": 100.0}, beyond, rises=False, least=1.0, signed=True)
