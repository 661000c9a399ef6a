"""Decoupled weight decay, as in AdamW. It is a different regularizer from L2 in the loss.

Adam divides the gradient of an L2 penalty by √v̂, together with the gradient of the data. So weights with large gradients are decayed less.
The decoupled decay shrinks every weight by the same factor 1 − ηλ.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, context, squared_norm
from objectives.terms import Update

KNOB = Knob(
    name="decoupled_wd",
    summary="decoupled weight decay of the kernels, beside Adam's step",
    formula="w ← w − ηλw",
    unit="1 / (learning rate × step)",
    default=0.0,
    low=1e-6,
    high=3e-1,
    log=True,
    off=0.0,
    more="high",
    cost="0",
    source="Loshchilov & Hutter 2019 (AdamW)",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
TRAITS = ("shrinks_weights",)
CONFLICTS = (
    Rule(
        "two_decays",
        "warning",
        both("l2", "decoupled_wd"),
        "{}: both shrink the same weights, one through Adam's gradient and one beside it. Search one, unless you compare them.",
        broken=sweep("gan", "l2_d", "decoupled_wd_d"),
        kept=sweep("gan", "l2_d", "decoupled_wd_g"),
    ),
)


def before_step(theta: Tensor, update: Update, value: Tensor | float) -> None:
    """w ← w·(1 − ηλ) on kernels only."""
    theta.mul_(update.kernels.mul(-update.lr * value).add_(1))


def examples() -> list[Example]:
    """One step of torch's AdamW from a gradient of zero moves a weight by the factor 1 − ηλ."""

    def found(theta: Tensor) -> Tensor:
        moved = theta.clone()[None]
        mask = torch.tensor([1.0, 1.0, 0.0]).double()
        before_step(moved, Update(0.1, mask, context().clock), 0.3)
        return moved[0]

    weight = torch.nn.Parameter(torch.tensor([2.0, -1.0]).double())
    weight.grad = torch.zeros_like(weight)
    torch.optim.AdamW([weight], lr=0.1, weight_decay=0.3).step()
    start = torch.tensor([2.0, -1.0, 5.0]).double()
    return [Example("AdamW with a gradient of 0; biases stay", found, (start,), torch.cat([weight.detach(), start[2:]]), smooth=False)]


def effect() -> Effect:
    """Smaller weights."""
    return Effect("autoencoder", {"decoupled_wd": 0.3}, squared_norm("model"), rises=False, least=0.002)
