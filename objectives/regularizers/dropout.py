"""Dropout on hidden activations: multiplicative noise during training, nothing at evaluation."""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, context
from objectives.terms import Context

KNOB = Knob(
    name="dropout",
    summary="probability of dropping a hidden unit",
    formula="y = x ⊙ m / (1 − p), m ~ Bernoulli(1 − p)",
    unit="probability",
    default=0.0,
    low=0.0,
    high=0.7,
    off=0.0,
    more="high",
    where="hidden activations",
    cost="1–3 %",
    source="Srivastava et al. 2014",
)
# Not on a GAN's generator, because the discriminator would judge the noise in its output.
ON = ("autoencoder", "vae", "gan.discriminator")


def layer(hidden: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """Inverted dropout of a hidden activation."""
    return context.draws.dropout(hidden, value)


def examples() -> list[Example]:
    """E[y] = x: the mean over many draws, and the share of what is dropped."""
    x = torch.linspace(-1, 2, 6).double()

    def mean(x: Tensor) -> Tensor:
        return layer(x.expand(40_000, -1), context(), 0.3).mean(0)

    def dropped(x: Tensor) -> Tensor:
        return (layer(x.expand(40_000, -1), context(), 0.3) == 0).double().mean()

    return [
        Example("E[y] = x", mean, (x,), x, rtol=0, atol=0.03, smooth=False),
        Example("a share p is dropped", dropped, (x + 2,), 0.3, rtol=0.02, smooth=False),
    ]


def effect() -> Effect:
    """Units that do not rely on one another: the encoder's kernels spread over more inputs, and training fits less closely."""
    return Effect("autoencoder", {"dropout": 0.5}, lambda trained: trained.reports[-1].metrics["train_data"], True)
