"""Spectral norm regularization: half the squared largest singular value of every kernel, a soft form of spectral normalization.

    ½ Σ_l σ(W_l)²,  gradient σ·uvᵀ

Unlike `spectral_norm`, which fixes σ, it shrinks σ by degrees. σ is estimated by power iteration, one step per training step, from singular
vectors that are kept (Yoshida & Miyato 2017). W moves little in a step, so the estimate, always a lower bound, stays close. The gradient
flows through uᵀWv with u and v constant, which is exact where they have converged. They start converged (100 iterations at the beginning).

A convolution's kernel counts as the matrix (filters, rest). That is the norm of the reshaped kernel, not of the convolution as a map of
images. Cost: as spectral normalization, two products of matrix and vector per kernel. Range and usual 1e-2: recalled, not looked up.
"""

from __future__ import annotations

from collections.abc import Mapping

from objectives.base import Knob
from objectives.lazy import Tensor, torch
from objectives.regularizers._kernels import largest, singular, started
from objectives.regularizers._truths import Effect, Example, context, numbers, zero
from objectives.terms import Terms

KNOB = Knob(
    name="spectral_penalty",
    summary="half the squared largest singular value of every kernel",
    formula="½λ Σ σ(W)²",
    unit="nats per squared weight",
    default=0.0,
    low=1e-4,
    high=1.0,
    log=True,
    off=0.0,
    more="high",
    cost="3–8 %",
    source="Yoshida & Miyato 2017",
)
ON = ("autoencoder", "vae", "gan.discriminator")
TRAITS = ("bounds_critic",)


def memory(kernels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first right singular vectors, settled."""
    return started(kernels)


def penalty(terms: Terms) -> Tensor:
    """½ Σ (uᵀWv)², after one more step of power iteration."""
    total = terms.data.new_zeros(())
    for name, kernel in terms.kernels.items():
        sigma, v = singular(kernel, terms.context.memory[name])
        terms.context.memory.put(name, v)
        total = total + 0.5 * sigma.square()
    return total


def examples() -> list[Example]:
    """Against a full singular value decomposition, and a kernel that moves while the estimate follows it step by step."""

    def found(a: Tensor, b: Tensor) -> Tensor:
        kernels = {"a": a, "b": b}
        return penalty(Terms(zero(), kernels=kernels, context=context(memory=memory(kernels))))

    def followed(start: Tensor, end: Tensor) -> Tensor:
        known = context(memory=memory({"a": start}))
        for share in torch.linspace(0, 1, 50).tolist() + [1.0] * 10:
            last = penalty(Terms(zero(), kernels={"a": start + share * (end - start)}, context=known))
        return last

    # One direction stands out, so that power iteration settles whatever is added.
    linear, filters = numbers(4, 6) + 3 * torch.ones(4, 6), numbers(3, 2, 2, 2, seed=1) - 2
    first, second = (torch.linalg.svdvals(w.flatten(1))[0] for w in (linear, filters))
    half = 0.5 * float(torch.linalg.svdvals(numbers(4, 6, seed=3))[0]) ** 2
    return [
        Example("½(σ₁² + σ₂²), one kernel a convolution's", found, (linear, filters), 0.5 * (first**2 + second**2)),
        Example("one step per step follows a moving kernel", followed, (linear, numbers(4, 6, seed=3)), half, rtol=1e-3, smooth=False),
    ]


def effect() -> Effect:
    """A smaller largest singular value."""
    return Effect("autoencoder", {"spectral_penalty": 1.0}, largest("model"), rises=False, least=0.2, epochs=20)
