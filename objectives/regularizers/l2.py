"""L2 (ridge) penalty on the kernels, in the loss: with Adam this is *not* decoupled weight decay.

Units: ½λ‖W‖², so the gradient is λW. A code that adds λ·Σw² (gradient 2λw) has half the λ; one that averages ½‖W‖² over kernels
(compare_gan) has #kernels times the λ.
"""

from __future__ import annotations

from collections.abc import Iterator

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._rules import Rule, Seen, sweep
from objectives.regularizers._truths import Effect, Example, squared_norm, zero
from objectives.terms import Terms

KNOB = Knob(
    name="l2",
    summary="L2 penalty on the kernels, in the loss",
    formula="½λ Σ ‖W‖²",
    unit="nats per squared weight",
    default=0.0,
    low=1e-7,
    high=1e-1,
    log=True,
    off=0.0,
    more="high",
    cost="1 %",
    source="compare_gan v2 (mean per kernel, default 1e-2); Kunin et al. 2019 for the linear autoencoder",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
TRAITS = ("shrinks_weights",)


def _on_critic(seen: Seen) -> Iterator[str]:
    name = seen.discriminator("l2")
    if name and seen.may_be("loss", "wasserstein"):
        yield name


CONFLICTS = (
    Rule(
        "wasserstein_l2",
        "warning",
        _on_critic,
        "{} with loss=wasserstein: decay on the critic was reported to break it; watch it.",
        broken=sweep("gan", "l2_d", "wgan_gp", loss=("wasserstein",)),
        kept=sweep("gan", "l2_g", "wgan_gp", loss=("wasserstein",)),
    ),
)


def penalty(terms: Terms) -> Tensor:
    """½ Σ w² over all kernels."""
    return 0.5 * sum((kernel.square().sum() for kernel in terms.kernels.values()), terms.data.new_zeros(()))


def examples() -> list[Example]:
    """½‖W‖² by hand."""

    def found(a: Tensor, b: Tensor) -> Tensor:
        return penalty(Terms(zero(), kernels={"a": a, "b": b}))

    first, second = torch.tensor([[3.0, 4.0]]).double(), torch.tensor([[1.0], [-2.0]]).double()
    return [Example("½(9 + 16 + 1 + 4)", found, (first, second), 15.0)]


def effect() -> Effect:
    """Smaller weights."""
    return Effect("autoencoder", {"l2": 1e-2}, squared_norm("model"), rises=False)
