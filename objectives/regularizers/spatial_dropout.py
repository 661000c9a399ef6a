"""Spatial dropout: whole feature maps of a hidden activation are dropped during training, nothing at evaluation.

    y = x ⊙ m / (1 − p),    m ~ Bernoulli(1 − p), one per image and feature map

Neighbouring pixels of a map hold nearly the same, so dropping them one by one (`dropout`) drops little. Where an activation has no maps,
(n, F), it drops single units and is `dropout` with random numbers of its own.
Units: a probability. Where: hidden activations of autoencoders, VAEs and discriminators (not of a generator: its output noise is what the
discriminator judges). Cost: 1–3 %.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="spatial_dropout",
    summary="probability of dropping a whole feature map",
    formula="y = x ⊙ m / (1 − p), m ~ Bernoulli(1 − p) per map",
    unit="probability",
    default=0.0,
    low=0.0,
    high=0.7,
    off=0.0,
    more="high",
    where="hidden activations",
    cost="1–3 %",
    source="Tompson et al. 2015; Dropout2d .25 in DCGAN discriminators",
)
ON = ("autoencoder", "vae", "gan.discriminator")


def layer(hidden: Tensor, context: Context, value: Tensor | float) -> Tensor:
    """Maps of (n, C, H, W), or units of (n, F), dropped and the others scaled up."""
    maps = (*hidden.shape[:2], *(1 for _ in hidden.shape[2:]))
    keep = context.draws.uniform(maps, "spatial_dropout") >= value
    return hidden * keep / (1 - value)


def examples() -> list[Example]:
    """E[y] = x; a map is dropped whole or not at all, as torch's Dropout2d does; a share p of them; and units where there are no maps."""
    x = numbers(2, 3, 4, 4).abs() + 0.1

    def dropped(x: Tensor) -> Tensor:
        """Per map, the share of its pixels that are 0: (n, C)."""
        return (layer(x, context(), 0.3) == 0).double().mean((2, 3))

    def units(x: Tensor) -> Tensor:
        return (layer(x, context(), 0.3) == 0).double().mean()

    many = x.repeat(8000, 1, 1, 1)
    return [
        Example("E[y] = x", lambda x: layer(x.repeat(8000, 1, 1, 1), context(), 0.3).view(8000, *x.shape).mean(0), (x,), x, 0.03, 0, False),
        Example("whole maps", lambda x: (dropped(x) - dropped(x).round()).abs().max(), (many,), 0.0, smooth=False),
        Example("a share p of the maps", lambda x: dropped(x).mean(), (many,), 0.3, rtol=0.02, smooth=False),
        Example("a share p of the units", units, (torch.ones(300, 100).double(),), 0.3, rtol=0.02, smooth=False),
        Example("p = 0", lambda x: layer(x, context(), 0.0), (x,), x, rtol=0, atol=0),
    ]


def effect() -> Effect:
    """Units that do not rely on one another: training fits less closely."""
    return Effect("autoencoder", {"spatial_dropout": 0.5}, lambda trained: trained.reports[-1].metrics["train_data"], True)
