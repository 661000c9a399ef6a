"""Masking noise: each pixel of the network's input is set to 0 with probability p; the target stays whole.

    x̃ = x ⊙ m,    m ~ Bernoulli(1 − p) per pixel, no rescaling

This is the denoising autoencoder of Vincent et al.; `input_noise` adds Gaussian noise instead. Unlike in dropout, kept pixels are not
scaled up, so the input at evaluation is like an input in training (with p = 0). Units: a probability. Where: the encoder's input of
autoencoders and VAEs. Cost: 1 %.

Pitfalls: on images with a black background most masked pixels were already 0, so p looks stronger than it is.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="mask_noise",
    summary="probability of setting a pixel of the input to 0",
    formula="x̃ = x ⊙ m, m ~ Bernoulli(1 − p)",
    unit="probability",
    default=0.0,
    low=0.0,
    high=0.6,
    off=0.0,
    more="high",
    where="input",
    cost="1 %",
    source="Vincent et al. 2008",
)
ON = ("autoencoder", "vae")


def corrupt(x: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """x ⊙ m."""
    return x * (context.draws.uniform(x.shape, "mask_noise") >= value)


def examples() -> list[Example]:
    """The share of masked pixels, and that the others keep their value."""

    def masked(x: Tensor) -> Tensor:
        return (corrupt(x, context(), 0.4) == 0).double().mean()

    def kept(x: Tensor) -> Tensor:
        noisy = corrupt(x, context(), 0.4)
        return torch.where(noisy == 0, x, noisy)

    x = numbers(500, 64)
    return [
        Example("a share p is 0", masked, (x,), 0.4, rtol=0.02, smooth=False),
        Example("the others stay", kept, (x,), x, smooth=False),
        Example("p = 0", lambda x: corrupt(x, context(), 0.0), (x[:3],), x[:3], rtol=0, atol=0),
    ]


def effect() -> Effect:
    """A smaller error of the reconstruction of a whole image from a masked one."""

    def error_from_masked(trained: Trained) -> float:
        x = trained.images.val.flatten(1)
        masked = x * (numbers(*x.shape) > -0.25).to(x)  # about 40 % are lost
        with torch.no_grad():
            rebuilt = trained.net("decoder", trained.net("encoder", masked))
        return float(0.5 * (rebuilt - x).square().sum(-1).mean())

    return Effect("autoencoder", {"mask_noise": 0.4}, error_from_masked, rises=False, epochs=10)
