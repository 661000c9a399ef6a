"""L2 penalty on the lengths g of weight normalization, and on nothing else.

    ½ Σ g² = ½ Σ ‖W‖²,  W = g·v/‖v‖

It is computed from the weights W with which the network computes. Their rows have length g, so the sum is that of g². W does not depend on
the length of v, so the gradient reaches g alone. `l2` sees the raw v and cannot do this beside `weight_norm`. Without `weight_norm` W is
the raw weight, and this is `l2`.

Source: weight normalization is Salimans & Kingma 2016; the range of λ is that of the project's reference. Unit as for `l2`: the gradient is
λg, so a code that adds λΣg² has half the λ. Beside `l0` the gates count: W is the gated and normalized weight.
"""

from __future__ import annotations

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers import weight_norm
from objectives.regularizers._truths import Effect, Example, context, numbers, squared_norm, zero
from objectives.terms import Net, Terms

KNOB = Knob(
    name="weight_norm_l2",
    summary="L2 penalty on the row lengths of weight normalization",
    formula="½λ Σ g²",
    unit="nats per squared weight",
    default=0.0,
    low=1e-6,
    high=1e-2,
    log=True,
    off=0.0,
    more="high",
    cost="1 %",
    source="Salimans & Kingma 2016 for g",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")


def penalty(terms: Terms) -> Tensor:
    """½ Σ ‖W‖² over the kernels that the player's network computes with."""
    total = terms.data.new_zeros(())
    for name in terms.kernels:
        part, _, key = name.partition(".")
        total = total + 0.5 * terms.net.parameters[part][key].square().sum()
    return total


def examples() -> list[Example]:
    """½Σg² whatever the direction, and a gradient that is g on g and 0 on v."""

    def found(g: Tensor, v: Tensor) -> Tensor:
        raw = {"part.a": v}
        known = weight_norm.weights(raw, context(trained={"part.a": g}), 1)
        net = Net({}, {"part": {"a": known["part.a"]}}, shape=(1, 8, 8), latent_dim=2)
        return penalty(Terms(zero(), kernels=raw, net=net))

    def gradient(g: Tensor, v: Tensor) -> Tensor:
        of_g, of_v = torch.func.grad(found, argnums=(0, 1))(g, v)
        return torch.cat([of_g, of_v.flatten()])

    g, v = torch.tensor([3.0, 4.0]).double(), numbers(2, 3, 2, 2)
    return [
        Example("½(9 + 16)", found, (g, v), 12.5),
        Example("its gradient is (g, 0)", gradient, (g, v), torch.cat([g, 0 * v.flatten()]), smooth=False),
    ]


def effect() -> Effect:
    """Shorter rows under weight normalization."""
    return Effect("autoencoder", {"weight_norm_l2": 1e-1}, squared_norm("model"), False, always={"weight_norm": 1}, epochs=20)
