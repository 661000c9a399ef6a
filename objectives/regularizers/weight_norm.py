"""Weight normalization: direction and length of every row are trained separately, W = g·v/‖v‖.

A row makes one output unit: a row of a linear layer, or a filter of a convolution. g has one number per row and starts at ‖v‖, so the
network starts as the plain one. It is a switch, not a strength: it changes how the optimizer moves. The gradient of v is orthogonal to v.
So v only ever grows, and the direction's learning rate η/‖v‖² falls by itself. The strength that belongs to it is `weight_norm_l2`, a
penalty on g alone.

Source: Salimans & Kingma 2016, as in `torch.nn.utils.parametrizations.weight_norm` (dim 0). The start that depends on data is left
out. Structural, because it adds trained parameters.

Pitfall: the length of v has no effect, so `l2`, `l1` or weight decay, which act on v, only set the effective learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objectives.base import Knob, Value
from objectives.draws import Draws, Live
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="weight_norm",
    summary="train each row's length and direction apart (1) or not (0)",
    formula="W = g·v/‖v‖ per output row",
    unit="switch",
    default=0,
    low=0,
    high=1,
    off=0,
    more="high",
    integer=True,
    structural=True,
    cost="2–3 %",
    source="Salimans & Kingma 2016",
)
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
TRAITS = ("fixes_scale",)
EPS = 1e-12  # keeps a row of zeros at 0


def lengths(kernel: Tensor) -> Tensor:
    """‖v‖ of each row or filter."""
    return kernel.flatten(1).square().sum(1).clamp(min=EPS**2).sqrt()  # a norm's own gradient takes two passes more


def parameters(kernels: Mapping[str, Tensor], draws: Draws, latent_dim: int) -> dict[str, Tensor]:
    """g = ‖v‖: W is v at first."""
    return {name: lengths(kernel) for name, kernel in kernels.items()}


def weights(kernels: Mapping[str, Tensor], context: Context, value: Value) -> dict[str, Tensor]:
    """g·v/‖v‖."""
    return {name: kernel * (context.trained[name] / lengths(kernel)).view(-1, *[1] * (kernel.ndim - 1)) for name, kernel in kernels.items()}


def examples() -> list[Example]:
    """Against torch's own parametrization, value and gradients; the start; the length of every row."""

    def computed(g: Tensor, v: Tensor) -> Tensor:
        return weights({"a": v}, context(trained={"a": g}), 1)["a"]

    def gradient(g: Tensor, v: Tensor) -> Tensor:
        of_g, of_v = torch.func.grad(lambda g, v: (computed(g, v) * probe).sum(), argnums=(0, 1))(g, v)
        return torch.cat([of_g, of_v.flatten()])

    def first(v: Tensor) -> Tensor:
        return computed(parameters({"a": v}, Live(0), 2)["a"], v)

    def squared_lengths(g: Tensor, v: Tensor) -> Tensor:
        return computed(g, v).flatten(1).square().sum(1)

    g, v, probe = numbers(3), numbers(3, 2, 2, 2, seed=1), numbers(3, 2, 2, 2, seed=2)
    layer: Any = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(2, 3, 2, bias=False, dtype=torch.float64))
    known = layer.parametrizations.weight
    with torch.no_grad():
        known.original0.copy_(g.view(3, 1, 1, 1))
        known.original1.copy_(v)
    theirs = layer.weight
    (theirs * probe).sum().backward()
    pulled = torch.cat([known.original0.grad.flatten(), known.original1.grad.flatten()])
    return [
        Example("torch's parametrization", computed, (g, v), theirs.detach()),
        Example("its gradients", gradient, (g, v), pulled, smooth=False),
        Example("at first the plain network", first, (v,), v),
        Example("a row is |g| long", squared_lengths, (g, v), g.square()),
    ]


def effect() -> Effect:
    """Rows keep nearer to the length that they began with, √⅓: it moves with one parameter, not with each weight of the row."""

    def drift(trained: Trained) -> float:
        return float(torch.cat([(lengths(kernel) - 3**-0.5).abs() for kernel in trained.kernels["model"].values()]).mean())

    return Effect("autoencoder", {"weight_norm": 1}, drift, rises=False, least=0.2, epochs=20)
