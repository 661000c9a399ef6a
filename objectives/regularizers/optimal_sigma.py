"""σ-VAE: for each batch the decoder's variance is the best one, in closed form. So nobody has to choose β or σ.

    −log p(x|z) = (D/2)(log 2πσ̂² + 1),        σ̂² = mean over batch and pixels of (x − x̂)²

It is a switch. The off arm has σ = 1. The score is the likelihood of the model that was trained. At evaluation σ̂² is estimated once, on at
most 2,000 training images, and used for validation and test images alike. So scores of both arms are nats of real densities.

Source: Rybkin et al. 2021 (optimal σ-VAE). Decoder of a VAE with a Gaussian likelihood: a Bernoulli has no variance, and is refused.
Costs nothing in training, an evaluation of 2,000 more images per epoch. Relation to β: at its optimum it trains as β = σ̂² does with σ = 1.
Pitfalls: do not search β with it. Where the decoder can copy its input, σ̂ → 0 and the loss has no lower bound.
With `geco`, which replaces the same term, this one wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from objectives.base import Knob, Value
from objectives.lazy import Tensor, torch
from objectives.losses import gaussian_nats
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._truths import Effect, Example, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="optimal_sigma",
    summary="1: the decoder's variance is the mean squared error, in closed form",
    formula="(D/2)(log 2πσ̂² + 1), σ̂² = mean (x − x̂)²",
    unit="switch",
    default=0,
    low=0,
    high=1,
    off=0,
    more="high",
    integer=True,
    structural=True,
    where="decoder",
    cost="0–1 %",
    source="Rybkin et al. 2021 (σ-VAE)",
)
ON = ("vae",)
LIKELIHOODS = ("gaussian",)


def _of_bernoulli(seen: Seen) -> Iterator[str]:
    if seen.named("optimal_sigma") and seen.intent.likelihood == "bernoulli":
        yield "optimal_sigma"


def _beside_beta(seen: Seen) -> Iterator[str]:
    if seen.named("optimal_sigma") and "beta" in seen.intent.searched:
        yield "beta and optimal_sigma"


CONFLICTS = (
    Rule(
        "sigma_of_bernoulli",
        "error",
        _of_bernoulli,
        "{} is the variance of a Gaussian; the likelihood is bernoulli, which has none. Set likelihood: gaussian, or switch it off.",
        broken=sweep("vae", optimal_sigma=(1.0,), facts={"likelihood": "bernoulli"}),
        kept=sweep("vae", optimal_sigma=(1.0,), facts={"likelihood": "gaussian"}),
    ),
    Rule(
        "two_variances",
        "warning",
        _beside_beta,
        "{}: β and the decoder's variance are one knob but for the normalizer. Search one.",
        broken=sweep("vae", "optimal_sigma", "beta", searched=("beta",)),
        kept=sweep("vae", "optimal_sigma", "beta"),
    ),
)


def adjust(terms: Terms, value: Tensor | Value) -> Terms:
    """The Gaussian data term at the batch's own variance."""
    x, expected = terms.values["observed"], terms.link(terms.values["output"])
    variance = (x - expected).square().mean()
    return replace(terms, data=gaussian_nats(expected, x, variance).mean())


def examples() -> list[Example]:
    """The closed form, which no other variance improves."""
    import math

    def found(x: Tensor, expected: Tensor) -> Tensor:
        return adjust(Terms(zero(), {"observed": x, "output": expected}), 1).data

    def best(x: Tensor, expected: Tensor) -> float:
        """The smallest of many fixed variances, by torch's own density."""
        sigmas = torch.linspace(0.5, 3, 5001).double()[:, None, None]
        log_density = torch.distributions.Normal(expected, sigmas).log_prob(x)  # type: ignore[no-untyped-call]
        return float(-log_density.sum(-1).mean(-1).max())

    x, expected = numbers(5, 3), numbers(5, 3, seed=1)
    flat = torch.zeros(2, 3).double()
    return [
        Example("σ̂² = 4: 1.5·(log 8π + 1)", found, (flat + 2, flat), 1.5 * (math.log(8 * math.pi) + 1)),
        Example("the best fixed σ", found, (x, expected), best(x, expected)),
    ]


def effect() -> Effect:
    """A better density: σ = 1 is far too wide for pixels in [0, 1]."""
    return Effect(
        "vae", {"optimal_sigma": 1}, lambda trained: float(trained.reports[-1].score or 0), False, least=0.3, likelihood="gaussian"
    )
