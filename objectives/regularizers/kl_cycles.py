"""Cyclical schedule of the KL: training is M cycles. In each cycle β grows from 0 to its value over the first half and then stays.

    β_t = β·min(1, 2·frac(M·progress))

Each restart lets the decoder use latents again that the last cycle closed. M = 1 is a warm-up over half of the training. `more` is the
larger number of cycles: β is at 0 more often. Together with `kl_warmup` the two factors would multiply.

Source: Fu et al. 2019 (M = 4, R = ½, linear). Latent space of a VAE; costs nothing. Pitfall: while β rises in a cycle, the model is that of
a smaller β. The last epoch, which is scored, ends a cycle; rungs are −ELBO at β = 1.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, context, zero
from objectives.terms import Terms

KNOB = Knob(
    name="kl_cycles",
    summary="cycles in which β grows from 0 to its value",
    formula="β_t = β·min(1, 2·frac(M·progress))",
    unit="cycles per training",
    default=0,
    low=1,
    high=8,
    off=0,
    more="high",
    integer=True,
    where="latent",
    cost="0",
    source="Fu et al. 2019",
)
ON = ("vae",)
CONFLICTS = (
    Rule(
        "two_schedules",
        "error",
        both("kl_warmup", "kl_cycles"),
        "{}: both are a schedule of β. Keep one.",
        broken=sweep("vae", "kl_cycles", kl_warmup=(1, 5)),
        kept=sweep("vae", kl_warmup=(1, 5)),
    ),
)


def adjust(terms: Terms, value: Tensor | float) -> Terms:
    """β times how far the first half of the cycle is."""
    progress = terms.context.clock.progress
    cycles = torch.as_tensor(value).to(progress)
    reached = (2 * (cycles * progress).frac()).clamp(max=1)
    return terms.scaled("beta", torch.where(cycles == 0, 1.0, reached))


def rest(value: float, epochs: int) -> float:
    """The middle of the last cycle, from which β stands still."""
    return epochs * (1 - 0.5 / value)


def examples() -> list[Example]:
    """Two cycles of five epochs each: 0 to 1 in two and a half, and once more."""

    def factor(epochs: float, value: float) -> Tensor:
        return torch.as_tensor(adjust(Terms(zero(), context=context(epochs=epochs)), value).factors["beta"])

    cases = {(0.0, 2): 0.0, (1.0, 2): 0.4, (2.5, 2): 1.0, (4.9, 2): 1.0, (5.0, 2): 0.0, (6.0, 2): 0.4, (9.0, 2): 1.0, (3.0, 0): 1.0}
    return [
        Example(f"t = {epochs} of 10, M = {cycles}", lambda at=epochs, of=cycles: factor(at, of), (), expected, smooth=False)
        for (epochs, cycles), expected in cases.items()
    ]


def effect() -> Effect:
    """A larger KL in the first cycle's rise."""
    return Effect("vae", {"kl_cycles": 1}, lambda trained: trained.reports[3].metrics["val_kl_nats"], True, 0.5, {"beta": 4.0}, 20)
