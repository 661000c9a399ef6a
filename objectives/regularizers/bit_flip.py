"""Bit-flip noise: each pixel that the encoder sees is flipped, x → 1 − x, with probability p; the target stays clean.

For binary images, as a VAE with Bernoulli likelihood sees them, this is the natural corruption. A gray pixel is mirrored at ½. It was
published as a guard against overfitting of static binarization. p = ½ would leave no information.

Source: Im et al. 2017 (denoising criterion for VAEs); Vincent et al. 2008. Input of an autoencoder or VAE with pixels in [0, 1]; 1 %.
Pitfalls: for real-valued data 1 − x is no flip. With bit flips a VAE's training loss is no bound on log p(x) any more (scores see no
noise).
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="bit_flip",
    summary="probability of flipping a pixel of the input",
    formula="x̃ = 1 − x with probability p, else x",
    unit="probability",
    default=0.0,
    low=0.0,
    high=0.3,
    off=0.0,
    more="high",
    where="input",
    cost="1 %",
    source="Im et al. 2017; Vincent et al. 2008",
)
ON = ("autoencoder", "vae")


def corrupt(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """x with some pixels flipped. Members that differ in p share the uniform numbers."""
    return torch.where(context.draws.uniform(x.shape, "bit_flip") < value, 1 - x, x)


def examples() -> list[Example]:
    """The share of flips; what becomes of gray pixels; nothing at p = 0, everything at p = 1."""

    def flipped(x: Tensor, p: float = 0.2) -> Tensor:
        return corrupt(x, context(), p)

    gray = numbers(3, 4).sigmoid()
    return [
        Example("a share p of 0 becomes 1", lambda x: flipped(x).mean(), (torch.zeros(200, 200).double(),), 0.2, rtol=0.02, smooth=False),
        Example("gray: x or 1 − x", lambda x: (flipped(x) - 0.5).abs() - (x - 0.5).abs(), (gray,), 0.0, smooth=False),
        Example("p = 1", lambda x: flipped(x, 1.0), (gray,), 1 - gray),
        Example("p = 0", lambda x: flipped(x, 0.0), (gray,), gray),
    ]


def effect() -> Effect:
    """A reconstruction that changes less when pixels flip."""

    def sensitivity(trained: Trained) -> float:
        x = trained.images.val.flatten(1)
        noisy = corrupt(x.double(), context(), 0.1).to(x)
        with torch.no_grad():
            moved = trained.net("decoder", trained.net("encoder", noisy)) - trained.net("decoder", trained.net("encoder", x))
        return float(moved.square().sum(-1).mean())

    return Effect("autoencoder", {"bit_flip": 0.2}, sensitivity, False, least=0.1, epochs=8)
