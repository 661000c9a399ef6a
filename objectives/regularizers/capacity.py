"""Controlled capacity: the KL is held at C_t nats, which grow linearly from 0 to C over the first half of training and then stay.

    loss = −E log p(x|z) + γ·|KL − C_t|,        C_t = C·min(1, 2·progress)

KL is the mean over the batch of the sum over latents, so one image may have more than C and another less. Where γ is on it *replaces* β·KL;
β is then without effect. The logged penalty is |KL − C_t|.

Source: Burgess et al. 2018, equation 8. disentanglement_lib has γ = 1000 and C of 5, 10, 25, 50, 75, 100 nats, and lets C grow over a
number of steps; pythae takes |KL − C| of each image before the mean. Latent space of a VAE; costs nothing.
Pitfall: if C is above what the decoder can use, noise fills it. If C is below about one nat, nothing is learnt, whatever γ is.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, Trained, context, zero
from objectives.terms import Terms

KNOB = Knob(
    name="capacity",
    summary="weight that holds the KL divergence at a capacity; replaces β",
    formula="γ·|KL − C_t|",
    unit="1",
    default=0.0,
    low=1e0,
    high=1e3,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="0",
    source="Burgess et al. 2018; 1000 in disentanglement_lib",
)
COMPANIONS = (
    Knob(
        name="capacity_nats",
        summary="the capacity C that is reached in the middle of training",
        formula="C",
        unit="nats per image",
        default=25.0,
        low=5.0,
        high=100.0,
        log=True,
        where="latent",
        source="Burgess et al. 2018 (25); grid of disentanglement_lib",
    ),
)
ON = ("vae",)
TRAITS = ("replaces_beta",)
CONFLICTS = (
    Rule(
        "two_floors",
        "error",
        both("free_bits", "capacity"),
        "{}: both fix how many nats the KL may have. Keep one.",
        broken=sweep("vae", "free_bits", "capacity"),
        kept=sweep("vae", "free_bits", "beta"),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """|KL − C_t|."""
    reached = (2 * terms.context.clock.progress).clamp(max=1)
    return (terms.values["kl"] - terms.context.knobs["capacity_nats"] * reached).abs()


def adjust(terms: Terms, value: Tensor | float) -> Terms:
    """Where γ is on, β·KL is removed."""
    kl = terms.values["kl"]
    return terms.scaled("beta", torch.where(torch.as_tensor(value) == 0, torch.ones_like(kl), torch.zeros_like(kl)))


def rest(value: float, epochs: int) -> float:
    """The middle of training, where C is reached."""
    return epochs / 2


def examples() -> list[Example]:
    """By hand: C = 25 is reached in the middle, a quarter of the way it is 12.5."""

    def at(epochs: float, kl: Tensor) -> Tensor:
        return penalty(Terms(zero(), {"kl": kl}, context=context(epochs=epochs, knobs={"capacity_nats": 25.0})))

    def beta_factor(value: float) -> Tensor:
        return torch.as_tensor(adjust(Terms(zero(), {"kl": zero()}), value).factors["beta"])

    kl = (torch.tensor(20.0).double(),)
    return [
        Example("start: C_0 = 0", lambda kl: at(0, kl), kl, 20.0),
        Example("a quarter of the way: |20 − 12.5|", lambda kl: at(2.5, kl), kl, 7.5),
        Example("second half: |20 − 25|", lambda kl: at(8, kl), kl, 5.0),
        Example("β·KL is gone where γ is on", lambda: beta_factor(100.0), (), 0.0, smooth=False),
        Example("and there where it is off", lambda: beta_factor(0.0), (), 1.0, smooth=False),
    ]


def effect() -> Effect:
    """A KL nearer to C."""

    def distance(trained: Trained) -> float:
        return abs(float(trained.reports[-1].metrics["val_kl_nats"]) - 8)

    on = {"capacity": 100.0}
    return Effect("vae", on, distance, False, least=0.5, always={"capacity_nats": 8.0, "beta": 4.0}, epochs=16, signed=True)
