"""β of the β-VAE: the weight of the KL divergence in the loss. The score is always taken at β = 1.

Units: KL summed over latents beside a likelihood summed over pixels. A code with a mean squared error over D pixels and a weight w on the
KL has β = w·D/2.
"""

from __future__ import annotations

from collections.abc import Iterator

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._truths import Effect, Example, zero
from objectives.terms import Terms

KNOB = Knob(
    name="beta",
    summary="weight of the KL divergence",
    formula="β·KL(q(z|x) ‖ p(z))",
    unit="1",
    default=1.0,
    low=1e-2,
    high=1e1,
    log=True,
    off=1.0,
    more="high",
    where="latent",
    cost="0",
    source="Higgins et al. 2017; range of Bae et al. 2023 (multi-rate VAE)",
)
ON = ("vae",)


def _replaced(seen: Seen) -> Iterator[str]:
    if "beta" in seen.intent.searched:
        yield from (name for name in seen.having("replaces_beta") if seen.named(name))


CONFLICTS = (
    Rule(
        "beta_replaced",
        "error",
        _replaced,
        "{0} takes the place of β·KL, so a searched beta would be a second weight on the same KL. "
        "Leave beta out of the search (--set search.beta=null), or switch {0} off.",
        broken=sweep("vae", "beta", "capacity", searched=("beta",)),
        kept=sweep("vae", "beta", "capacity", searched=("capacity",)),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """KL(q(z|x) ‖ p(z)) in nats per image."""
    return terms.values["kl"]


def examples() -> list[Example]:
    """The KL of the batch, as it is."""
    return [Example("KL", lambda kl: penalty(Terms(zero(), {"kl": kl})), (torch.tensor(3.25).double(),), 3.25)]


def effect() -> Effect:
    """A posterior nearer to the prior."""
    return Effect("vae", {"beta": 4.0}, lambda trained: trained.reports[-1].metrics["val_kl_nats"], False)
