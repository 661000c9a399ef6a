"""KL warm-up: β grows linearly from 0 to its value over the first T epochs.

    β_t = β·min(1, t/T),        t in epochs, fractions included

Without it the KL may push latents onto the prior before the decoder has learnt to use them. `more` is the longer warm-up: it is further
from plain training, although β is smaller for longer. With cycles of β (`kl_cycles`) the two factors would multiply.

Source: Bowman et al. 2016; Sønderby et al. 2016 (200 epochs); VampPrior code 100 epochs. Latent space of a VAE; costs nothing.
Pitfall: the loss of an epoch in the warm-up is too good. Scores and rungs here are −ELBO at β = 1 whatever t is, so an early epoch does not
win. If T is beyond the end of training, β is never reached.
"""

from __future__ import annotations

from collections.abc import Iterator

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._truths import Effect, Example, context, zero
from objectives.terms import Terms

KNOB = Knob(
    name="kl_warmup",
    summary="epochs over which β grows from 0 to its value",
    formula="β_t = β·min(1, t/T)",
    unit="epochs",
    default=0.0,
    low=1.0,
    high=200.0,
    log=True,
    off=0.0,
    more="high",
    where="latent",
    cost="0",
    source="Bowman et al. 2016; Sønderby et al. 2016",
)
ON = ("vae",)


def _judged_early(seen: Seen) -> Iterator[str]:
    rung = seen.intent.first_rung
    for name in seen.named("kl_warmup").values():
        if rung is not None and seen.highest(name) > rung:
            yield f"{name} up to {seen.highest(name):g} epochs, first judged after {rung}"


def _never_warm(seen: Seen) -> Iterator[str]:
    for name in seen.named("kl_warmup").values():
        if seen.highest(name) >= seen.intent.epochs:
            yield f"{name} up to {seen.highest(name):g} of {seen.intent.epochs} epochs"


CONFLICTS = (
    Rule(
        "judged_while_warming",
        "warning",
        _judged_early,
        "{}: rungs compare members whose β still differs by the schedule. Lower kl_warmup, give more epochs, or set scheduler: none.",
        broken=sweep("vae", kl_warmup=(1, 10)),
        kept=sweep("vae", kl_warmup=(1, 8)),
    ),
    Rule(
        "never_warm",
        "warning",
        _never_warm,
        "{}: β is not reached before training ends. Lower kl_warmup's range or give more epochs.",
        broken=sweep("vae", kl_warmup=(1, 40)),
        kept=sweep("vae", kl_warmup=(1, 39)),
    ),
)


def adjust(terms: Terms, value: Tensor | float) -> Terms:
    """β times min(1, t/T)."""
    epochs = terms.context.clock.epochs
    length = torch.as_tensor(value).to(epochs)
    reached = (epochs / torch.where(length == 0, 1.0, length)).clamp(max=1)
    return terms.scaled("beta", torch.where(length == 0, 1.0, reached))


def rest(value: float, epochs: int) -> float:
    """The epoch from which β stands still."""
    return value


def examples() -> list[Example]:
    """t/T at a few moments."""

    def factor(epochs: float, value: float) -> Tensor:
        return torch.as_tensor(adjust(Terms(zero(), context=context(epochs=epochs)), value).factors["beta"])

    cases = {(0.0, 4.0): 0.0, (1.0, 4.0): 0.25, (2.5, 4.0): 0.625, (4.0, 4.0): 1.0, (9.0, 4.0): 1.0, (0.0, 0.0): 1.0}
    return [
        Example(f"t = {epochs}, T = {length}", lambda at=epochs, of=length: factor(at, of), (), expected, smooth=False)
        for (epochs, length), expected in cases.items()
    ]


def effect() -> Effect:
    """A larger KL while β is small."""
    return Effect("vae", {"kl_warmup": 100.0}, lambda trained: trained.reports[-1].metrics["val_kl_nats"], True, least=0.2)
