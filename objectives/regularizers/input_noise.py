"""Gaussian noise on the network's input during training; the target stays clean.

For an autoencoder this is the denoising autoencoder, for a discriminator instance noise (on real and generated images alike).
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="input_noise",
    summary="standard deviation of Gaussian noise on the input",
    formula="x̃ = x + σε, ε ~ N(0, I)",
    unit="pixel value",
    default=0.0,
    low=1e-2,
    high=1.0,
    log=True,
    off=0.0,
    more="high",
    where="input",
    cost="1 %",
    source="Vincent et al. 2008 (autoencoder); Sønderby et al. 2017 (discriminator)",
)
ON = ("autoencoder", "vae", "gan.discriminator")


def corrupt(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """x + σε."""
    return x + value * context.draws.normal(x.shape, "input_noise")


def examples() -> list[Example]:
    """E‖x̃ − x‖² = Dσ²."""

    def found(x: Tensor) -> Tensor:
        return (corrupt(x, context(), 0.5) - x).square().sum(-1).mean()

    return [Example("Dσ² with D = 64, σ = 0.5", found, (torch.zeros(4000, 64).double(),), 16.0, rtol=0.02, smooth=False)]


def effect() -> Effect:
    """A reconstruction that changes less when the input does."""

    def sensitivity(trained: Trained) -> float:
        x = trained.images.val.flatten(1)
        noisy = x + 0.3 * numbers(*x.shape).to(x)
        with torch.no_grad():
            moved = trained.net("decoder", trained.net("encoder", noisy)) - trained.net("decoder", trained.net("encoder", x))
        return float(moved.square().sum(-1).mean())

    return Effect("autoencoder", {"input_noise": 0.5}, sensitivity, False, epochs=8)
