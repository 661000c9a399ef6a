"""L0 with hard-concrete gates: a price on every input unit that a layer uses, so that units without use are switched off exactly.

Every input unit j of every kernel has a gate z_j in [0, 1] that multiplies its weights, W ← W ⊙ z. A gate is random in training,

    s = σ((log u − log(1 − u) + log α)/b),  z = clip(s·(ζ − γ) + γ, 0, 1),  u uniform,  b = 2/3, γ = −0.1, ζ = 1.1,

with log α trained beside the weights; stretched beyond [0, 1], s makes z exactly 0 or 1 with positive probability. The penalty is the
expected number of open gates, Σ_j P(z_j > 0) = Σ_j σ(log α_j − b·log(−γ/ζ)), which is smooth. An evaluation takes
z = clip(σ(log α)(ζ − γ) + γ, 0, 1): whole columns are 0, and the unit can be cut out. One draw serves the whole minibatch.

Source: Louizos et al. 2018 and its code AMLab-Amsterdam/L0_regularization, from which the constants come: gates start with a probability
of about 0.5 of being dropped (0.2 in the first layer), log α in [log 1e-2, log 1e2]. Units: λ is in nats per image and open unit, so a
unit goes if it is worth less than λ nats. That code counts each of a unit's m weights and divides by the size n of the training set:
λ = m·λ_theirs/n. There, 1e-3 to 1e1 is usual.

Pitfalls: λ near 0 is not the plain network: gates begin half closed and are noisy, and only the data opens them; only λ = 0 is absence.
Gates move by about the learning rate per step, from log α = 0 to −2.4 where they close, so short trainings at small learning rates
end before any does. Beyond its bounds log α gets no gradient, where that code puts it back instead: a gate that reaches a bound stays.
`l2` sees the raw weights, also those of closed gates. Input pixels and latents are units too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from objectives.base import Knob
from objectives.draws import Draws, Request
from objectives.lazy import Tensor, torch
from objectives.regularizers._kernels import zeros
from objectives.regularizers._truths import Effect, Example, context, numbers, zero
from objectives.terms import Context, Terms

KNOB = Knob(
    name="l0",
    summary="price of every input unit that a layer uses, by random gates that close",
    formula="λ Σ_j σ(log α_j − b·log(−γ/ζ)), W ← W ⊙ z",
    unit="nats per unit",
    default=0.0,
    low=1e-5,
    high=1.0,
    log=True,
    off=0.0,
    more="high",
    cost="3–5 %",
    source="Louizos et al. 2018",
)
# On parts that draw or rebuild images: there one wants a smaller network.
ON = ("autoencoder", "vae", "gan.generator")
B, GAMMA, ZETA = 2 / 3, -0.1, 1.1
LOWEST, HIGHEST = math.log(1e-2), math.log(1e2)
DROPPED, DROPPED_FIRST = 0.5, 0.2  # about how probably a gate is closed in the first step: in general, and in the first layer
EPS = 1e-6  # keeps u off 0 and 1


def parameters(kernels: Mapping[str, Tensor], draws: Draws, latent_dim: int) -> dict[str, Tensor]:
    """log α of every input unit: log((1 − p)/p), with a little noise."""
    found = {}
    for index, (name, kernel) in enumerate(kernels.items()):
        p = DROPPED if index else DROPPED_FIRST
        found[name] = math.log((1 - p) / p) + 0.01 * draws.normal((kernel.shape[1],), "l0_first")
    return found


def weights(kernels: Mapping[str, Tensor], context: Context, value: Tensor | float) -> dict[str, Tensor]:
    """W ⊙ z, one gate per input unit (of a convolution, per input channel); W itself where λ = 0."""
    off = torch.as_tensor(value) == 0
    found = {}
    for name, kernel in kernels.items():
        gate = torch.where(off, 1.0, _gate(context.trained[name], context))  # times 1 is W to the bit
        found[name] = kernel * gate.view(1, -1, *[1] * (kernel.ndim - 2))
    return found


def penalty(terms: Terms) -> Tensor:
    """The expected number of open gates."""
    log_alphas = terms.context.trained.values()
    return sum((open_probability(log_alpha).sum() for log_alpha in log_alphas), terms.data.new_zeros(()))


def open_probability(log_alpha: Tensor) -> Tensor:
    """P(z > 0)."""
    return (log_alpha.clamp(LOWEST, HIGHEST) - B * math.log(-GAMMA / ZETA)).sigmoid()


def _gate(log_alpha: Tensor, context: Context) -> Tensor:
    log_alpha = log_alpha.clamp(LOWEST, HIGHEST)
    if context.training:
        u = context.draws.uniform(log_alpha.shape, "l0").clamp(EPS, 1 - EPS)
        concrete = ((u.logit() + log_alpha) / B).sigmoid()
    else:
        concrete = log_alpha.sigmoid()
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def examples() -> list[Example]:
    """P(z > 0) and P(z = 1) by Monte Carlo, the gate of given u by hand, the gate of an evaluation, and the count."""
    from dataclasses import replace

    many = 400_000  # standard error of a share: at most 8e-4

    def gates(log_alpha: Tensor) -> Tensor:
        known = context(trained={"a": log_alpha.repeat_interleave(many)})
        return weights({"a": torch.ones(1, many * len(log_alpha)).double()}, known, 1.0)["a"].view(len(log_alpha), many)

    def half_open(kernel: Tensor, log_alpha: Tensor) -> Tensor:
        # The one draw, u = ½, leaves z = clip(σ(log α/b)·1.2 − 0.1, 0, 1).
        known = replace(context(trained={"a": log_alpha}), draws=Halves())
        return (weights({"a": kernel}, known, 1.0)["a"] * probe).sum()

    def evaluated(kernel: Tensor, log_alpha: Tensor) -> Tensor:
        known = replace(context(trained={"a": log_alpha}), training=False)
        return (weights({"a": kernel}, known, 1.0)["a"] * probe).sum()

    def absent(kernel: Tensor, log_alpha: Tensor) -> Tensor:
        known = replace(context(trained={"a": log_alpha}), draws=Halves())
        return (weights({"a": kernel}, known, 0.0)["a"] * probe).sum()

    def count(a: Tensor, b: Tensor) -> Tensor:
        return penalty(Terms(zero(), context=context(trained={"a": a, "b": b})))

    class Halves(Draws):
        def _draw(self, request: Request) -> Tensor:
            return torch.full(request.shape, 0.5, dtype=torch.float64)

    alphas = torch.tensor([-3.0, -1.0, 0.0, 2.0]).double()
    shift = (2 / 3) * math.log(11)
    opened, whole = torch.sigmoid(alphas + shift), torch.sigmoid(alphas - shift)
    kernel, probe, three = numbers(2, 3, 2, 2), numbers(2, 3, 2, 2, seed=1), torch.tensor([-3.0, 0.2, 3.0]).double()
    by_hand = torch.tensor([0.0, 1.2 / (1 + math.exp(-0.3)) - 0.1, 1.0]).double().view(1, 3, 1, 1)
    at_rest = torch.tensor([0.0, 1.2 / (1 + math.exp(-0.2)) - 0.1, 1.0]).double().view(1, 3, 1, 1)
    total = 1 / (1 + math.exp(3 - shift)) + 2 / (1 + math.exp(-1 - shift))
    return [
        Example("P(z > 0)", lambda a: (gates(a) > 0).double().mean(1), (alphas,), opened, rtol=0, atol=3e-3, smooth=False),
        Example("P(z = 1)", lambda a: (gates(a) == 1).double().mean(1), (alphas,), whole, rtol=0, atol=3e-3, smooth=False),
        Example("gates of u = ½ on a convolution's input channels", half_open, (kernel, three), (kernel * by_hand * probe).sum()),
        Example("gates at evaluation", evaluated, (kernel, three), (kernel * at_rest * probe).sum()),
        Example("λ = 0 is absence", absent, (kernel, three), (kernel * probe).sum(), rtol=0, atol=0),
        Example("one gate of log α = −3 and two of 1", count, (torch.tensor([-3.0]).double(), torch.ones(2).double()), total),
    ]


def effect() -> Effect:
    """Units that are switched off: columns of the scored kernels that are exactly 0."""
    return Effect("autoencoder", {"l0": 1.0}, zeros("model"), rises=True, always={"lr": 1e-2}, epochs=40, signed=True)
