"""Spectral normalization: the network computes with W/(λσ(W)), whose largest singular value is c = 1/λ.

λ = 1 is Miyato et al. 2018; smaller λ lets layers stretch more, larger ones less, and 0 is no normalization. A code with a scale c, such as
c·W/σ(W), has λ = 1/c. Layers with activations of slope at most 1 then give a network with Lipschitz constant at most cᴸ over L layers.

σ is estimated by one step of power iteration per training step and remembered, as torch does: u = Wv/‖Wv‖, v ← Wᵀu/‖Wᵀu‖, σ = uᵀWv. The
gradient flows through σ with u and v constant. An evaluation does not touch what is remembered; it takes one product, σ = ‖Wv‖. Torch's
own parametrization starts from 15 iterations, this from 100, and torch's cannot be mapped over members. It normalizes once per
step and player, where torch does so at every pass of a batch through a module.

A convolution's kernel counts as the matrix (filters, rest). On autoencoders and VAEs `spectral_norm_scope` says which part is normalized;
`decoder` is RAE-SN of Ghosh et al. 2020. Biases are left alone.

Pitfalls: the length of the raw W has no effect any more, so L2 or weight decay on it sets only the effective learning rate η/‖W‖². With R1
beside it, search both together. On a saturated decoder or encoder λ near 1 leaves little capacity: reconstructions need c > 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._kernels import singular, started
from objectives.regularizers._rules import Rule, both, sweep
from objectives.regularizers._truths import Effect, Example, Trained, context, numbers
from objectives.terms import Context

KNOB = Knob(
    name="spectral_norm",
    summary="largest singular value of every kernel fixed at 1/λ",
    formula="W ← W / (λσ(W))",
    unit="1 / gain",
    default=0.0,
    low=0.125,
    high=2.0,
    log=True,
    off=0.0,
    more="high",
    cost="3–8 %",
    source="Miyato et al. 2018 (λ = 1); Ghosh et al. 2020 for the decoder",
)
COMPANIONS = (
    Knob(
        name="spectral_norm_scope",
        summary="which part of an autoencoder spectral normalization acts on",
        formula="all, encoder or decoder",
        unit="-",
        default="all",
        choices=("all", "encoder", "decoder"),
        structural=True,
        source="Ghosh et al. 2020: decoder (RAE-SN)",
    ),
)
# A player of a GAN has one part, and its own λ.
COMPANIONS_ON = {"spectral_norm_scope": ("autoencoder", "vae")}
ON = ("autoencoder", "vae", "gan.generator", "gan.discriminator")
TRAITS = ("bounds_critic", "fixes_scale")
CONFLICTS = (
    Rule(
        "normalized_twice",
        "error",
        both("spectral_norm", "weight_norm"),
        "{}: both set the scale of the same kernels. Keep one.",
        broken=sweep("gan", "spectral_norm_d", "weight_norm_d"),
        kept=sweep("gan", "spectral_norm_d", "weight_norm_g"),
    ),
)


def memory(kernels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first right singular vectors, settled."""
    return started(kernels)


def weights(kernels: Mapping[str, Tensor], context: Context, value: Tensor | float) -> dict[str, Tensor]:
    """W/(λσ(W)) for every kernel in scope; W itself where λ = 0."""
    strength = torch.as_tensor(value)
    off = strength == 0
    divisor = torch.where(off, 1.0, strength)
    scope = context.options.get("spectral_norm_scope", "all")
    found = {}
    for name, kernel in kernels.items():
        if scope not in ("all", name.partition(".")[0]):
            continue
        if context.training:
            sigma, v = singular(kernel, context.memory[name])
            context.memory.put(name, v)
        else:
            sigma = torch.linalg.vector_norm(kernel.flatten(1) @ context.memory[name])
        found[name] = kernel * torch.where(off, 1.0, 1 / (divisor * sigma))  # times 1 is W to the bit
    return found


def examples() -> list[Example]:
    """Against a full decomposition; against torch's own parametrization, value and gradient, from the same vector; and what is in scope."""

    def normalized(kernel: Tensor) -> Tensor:
        return weights({"a": kernel}, context(memory=memory({"a": kernel})), 0.5)["a"]

    def largest(kernel: Tensor) -> Tensor:
        sigma: Tensor = torch.linalg.svdvals(normalized(kernel).flatten(1))[0]
        return sigma

    def once(kernel: Tensor) -> Tensor:
        return weights({"a": kernel}, context(memory={"a": vector}), 1.0)["a"]

    def pulled(kernel: Tensor) -> Tensor:
        gradient: Tensor = torch.func.grad(lambda w: (once(w) * probe).sum())(kernel)
        return gradient

    def scoped(kernel: Tensor) -> Tensor:
        kernels = {"encoder.a": kernel, "decoder.a": kernel}
        found = weights(kernels, context(memory=memory(kernels), options={"spectral_norm_scope": "decoder"}), 1.0)
        return torch.stack([kernels["encoder.a"] if name not in found else found[name] for name in kernels])

    def unchanged(kernel: Tensor) -> Tensor:
        return weights({"a": kernel}, context(memory=memory({"a": kernel})), 0.0)["a"]

    linear, filters = numbers(4, 6) + 3, numbers(3, 2, 2, 2, seed=1) - 2
    probe, vector = numbers(4, 6, seed=4), torch.nn.functional.normalize(numbers(6, seed=5), dim=0)
    layer: Any = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(6, 4, bias=False, dtype=torch.float64))
    raw, normalization = layer.parametrizations.weight.original, layer.parametrizations.weight[0]
    with torch.no_grad():
        raw.copy_(linear)
        normalization._v.copy_(vector)
    theirs = layer.weight
    (theirs * probe).sum().backward()
    sigma = torch.linalg.svdvals(linear)[0]
    return [
        Example("W/(λσ) by a full decomposition", normalized, (linear,), linear / (0.5 * sigma)),
        Example("σ = 1/λ = 2, random kernel", largest, (numbers(20, 30, seed=6),), 2.0, rtol=1e-3, smooth=False),
        Example("σ = 1/λ = 2, a convolution's kernel", largest, (filters,), 2.0, rtol=1e-3, smooth=False),
        Example("one step from the same vector as torch", once, (linear,), theirs.detach(), smooth=False),
        Example("its gradient, u and v constant, as torch's", pulled, (linear,), raw.grad, smooth=False),
        Example("the decoder only", scoped, (linear,), torch.stack([linear, linear / sigma])),
        Example("λ = 0 is absence", unchanged, (linear,), linear, rtol=0, atol=0),
    ]


def effect() -> Effect:
    """The largest singular value of the discriminator's kernels is nearer to 1: power iteration follows weights that move."""

    def distance(trained: Trained) -> float:
        found = [float(torch.linalg.matrix_norm(w.flatten(1), 2)) for w in trained.kernels["discriminator"].values()]
        return max(abs(sigma - 1) for sigma in found)

    # Over 24 seeds 0.02 on average, and 0.13 in the worst; without, 1.05.
    return Effect("gan", {"spectral_norm_d": 1.0}, distance, rises=False, least=0.8)
