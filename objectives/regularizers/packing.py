"""Packing (PacGAN): images are shown to the discriminator together, m at once. So it sees when a generator always draws the same.

    D(x₁, …, xₘ), the m images side by side as channels: (B, C·H·W) → (⌊B/m⌋, mC·H·W)

Images that do not fill a group of m are left out of the step. All m images of a group are real, or all are generated. m changes the shape
of D's first layer, so members that differ in m are not stacked; m = 1 is plain. Packing acts after every other corruption of D's input,
because hooks run in the alphabetical order of their files. Whatever looks at images afterwards (CR, the gradient penalties) gets groups.
Units: images in a group. Where: the discriminator's input; evaluation does not use D. Cost: 1–5 %.

Pitfalls: D has B/m examples a step instead of B, so its gradient is noisier; the paper keeps the number of groups by larger batches.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._gradients import generated
from objectives.regularizers._truths import Effect, Example, Trained, context
from objectives.terms import Context

KNOB = Knob(
    name="packing",
    summary="images that the discriminator judges together; 1 is plain",
    formula="D(x₁, …, xₘ)",
    unit="images",
    default=1,
    low=1,
    high=4,
    off=1,
    more="high",
    integer=True,
    structural=True,
    where="discriminator",
    cost="1–5 %",
    source="Lin et al. 2018 (PacGAN, 2–4)",
)
ON = ("gan.discriminator",)


def takes(shape: tuple[int, int, int], value: int) -> tuple[int, int, int]:
    """The shape of what D judges: m images as channels."""
    return (shape[0] * int(value), shape[1], shape[2])


def corrupt(x: Tensor, context: Context, value: int) -> Tensor:
    """Images (B, D) in groups (⌊B/m⌋, mD)."""
    groups = len(x) // int(value)
    return x[: groups * int(value)].reshape(groups, -1)


def examples() -> list[Example]:
    """Seven images of 1×1×2 in groups of three: the images of a group are its channels."""
    x = torch.arange(14).double().view(7, 2)

    def found(x: Tensor) -> Tensor:
        return corrupt(x, context(shape=(1, 1, 2)), 3).view(2, *takes((1, 1, 2), 3))

    return [Example("the seventh is left out", found, (x,), torch.arange(12).double().view(2, 3, 1, 2))]


def effect() -> Effect:
    """A generator whose images differ more, early in a game that swings (β₁ = 0.9) and so loses images again and again."""

    def diversity(trained: Trained) -> float:
        return float(generated(trained, 256).var(0).sum() / trained.images.val.flatten(1).var(0).sum())

    # Seen after 15 epochs of the non-saturating loss. After 40 epochs 8 seeds show it and 24 others did not; with the minimax loss images
    # differ rather less.
    always = {"ema": 0.0, "beta1": 0.9}
    return Effect("gan", {"packing": 4}, diversity, rises=True, least=0.1, always=always, epochs=15, seeds=16, signed=True)
