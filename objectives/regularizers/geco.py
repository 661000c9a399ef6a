"""GECO: the KL is minimized under a constraint on the reconstruction. The constraint's multiplier finds its own value.

    loss = β·KL + λ_t·(½SSE − ½Dκ²),        λ_{t+1} = λ_t · exp(ν·clip(C̄_t, ±1)),        C = SSE/(Dκ²) − 1

κ is the root mean squared error per pixel that is allowed, D the number of pixels. C̄ is an exponential moving average of the relative
violation (decay 0.9), ν = 0.01: λ_t grows while the error is above κ, and falls once it is below. It starts at 1 and stays within
1e-4 … 1e4. For a unit Gaussian likelihood λ_t = 1/β: GECO is a β-VAE whose β is chosen by a target that has a unit.

`more`: a larger κ allows more error and leaves the KL more room, so it regularizes more. κ = 0 is off, plain training. This is *not* the
limit of small κ, which is an autoencoder. Where κ is on, the constraint replaces the likelihood in training, also a Bernoulli likelihood.
Scores use the likelihood.

Source: Rezende & Viola 2018, algorithm 1. There C is not divided by Dκ² and the average decays with 0.99. The division makes one ν fit
images of every size. Decoder of a VAE; costs nothing. Pitfalls: a κ below what the model can reach drives λ_t to its upper bound, where the
KL does not count. A κ above the data's standard deviation drives λ_t to its lower bound, and the codes collapse. Fix β at 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, Trained, context, zero
from objectives.terms import Terms

KNOB = Knob(
    name="geco",
    summary="root mean squared error per pixel that a constraint allows; replaces the likelihood in training",
    formula="KL + λ_t·(½SSE − ½Dκ²)",
    unit="pixel value",
    default=0.0,
    low=1e-3,
    high=0.5,
    log=True,
    off=0.0,
    more="high",
    where="decoder",
    cost="0",
    source="Rezende & Viola 2018 (GECO)",
)
ON = ("vae",)
TRAITS = ("replaces_beta",)
DECAY = 0.9  # of the violation's moving average
SPEED = 0.01  # ν: how much log λ_t moves in a step at most
LIMIT = 1e4  # λ_t stays within 1/LIMIT … LIMIT
CONFLICTS = (
    Rule(
        "two_targets",
        "error",
        both("capacity", "geco"),
        "{}: each sets the weight of the KL by a target of its own. Keep one.",
        broken=sweep("vae", "capacity", "geco"),
        kept=sweep("vae", "capacity"),
    ),
    Rule(
        "two_reconstructions",
        "error",
        both("geco", "optimal_sigma"),
        "{}: each sets the weight of the reconstruction. Keep one.",
        broken=sweep("vae", "geco", optimal_sigma=(1.0,), facts={"likelihood": "gaussian"}),
        kept=sweep("vae", optimal_sigma=(1.0,), facts={"likelihood": "gaussian"}),
    ),
)


def memory(kernels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """λ_t, the moving average of the violation, and how many steps there were."""
    like = next(iter(kernels.values()))
    return {"multiplier": torch.ones_like(like.sum()), "violation": torch.zeros_like(like.sum()), "steps": torch.zeros_like(like.sum())}


def adjust(terms: Terms, value: Tensor | float) -> Terms:
    """The constraint in place of the likelihood; λ_t moves for the next step."""
    kept = terms.context.memory
    error = (terms.values["observed"] - terms.link(terms.values["output"])).square()
    kappa = torch.as_tensor(value).to(error)
    allowed = torch.where(kappa == 0, 1.0, kappa).square()
    now = error.mean().detach() / allowed - 1
    violation = torch.where(kept["steps"] == 0, now, DECAY * kept["violation"] + (1 - DECAY) * now)
    multiplier = kept["multiplier"]
    kept.put("multiplier", (multiplier * (SPEED * violation.clamp(-1, 1)).exp()).clamp(1 / LIMIT, LIMIT))
    kept.put("violation", violation)
    kept.put("steps", kept["steps"] + 1)
    constraint = 0.5 * error.shape[-1] * (error.mean() - allowed)
    return replace(terms, data=torch.where(kappa == 0, terms.data, multiplier * constraint))


def rest(value: float, epochs: int) -> float:
    """Never: the weight of the reconstruction moves to the end."""
    return float("inf")


def examples() -> list[Example]:
    """The constraint by hand, and λ_t after a violated and after a satisfied one."""
    import math

    def after(x: Tensor, expected: Tensor, kappa: float, steps: int = 1) -> tuple[Terms, Tensor]:
        one = torch.ones(()).double()
        now = context(memory={"multiplier": 3 * one, "violation": 0 * one, "steps": 0 * one})
        for _ in range(steps):
            terms = adjust(Terms(zero() + 7, {"observed": x, "output": expected}, context=now), kappa)
        return terms, now.memory["multiplier"]

    x, expected = torch.zeros(2, 4).double(), torch.full((2, 4), 0.5).double()
    return [
        Example("3·½·4·(0.25 − 0.01)", lambda x, y: after(x, y, 0.1)[0].data, (x, expected), 1.44),
        Example("κ = 0: the likelihood", lambda x, y: after(x, y, 0.0)[0].data, (x, expected), 7.0),
        Example("κ = 0.1, far off: λ grows by e^ν", lambda x, y: after(x, y, 0.1)[1], (x, expected), 3 * math.exp(0.01), smooth=False),
        Example(
            "κ = 1, C = −¾: it falls, step by step",
            lambda x, y: after(x, y, 1.0, 2)[1],
            (x, expected),
            3 * math.exp(-0.015),
            smooth=False,
        ),
    ]


def effect() -> Effect:
    """An error nearer to κ, from above or from below."""

    def distance(trained: Trained) -> float:
        x = trained.images.val.flatten(1)
        with torch.no_grad():
            mean, _ = trained.net("encoder", x).chunk(2, -1)
            error = (trained.net("decoder", mean) - x).square().mean().sqrt()
        return abs(float(error) - 0.15)

    return Effect("vae", {"geco": 0.15}, distance, False, least=0.3, epochs=40, likelihood="gaussian")
