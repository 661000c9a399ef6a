"""Slopes of a discriminator. Every gradient penalty is made of them."""

from __future__ import annotations

from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Functions, Trained, context, numbers, zero
from objectives.terms import Terms

EPSILON = 1e-4  # under the root of a slope, whose gradient would be infinite at 0; the value of compare_gan


def squared_slopes(terms: Terms, x: Tensor) -> Tensor:
    """‖∇D‖² at each row of x (n, D): shape (n,). Right where D looks at one row at a time, hence without batch normalization."""
    slopes: Tensor = torch.func.grad(lambda x: terms.net("discriminator", x).sum())(x)
    return slopes.square().sum(-1)


def slopes(terms: Terms, x: Tensor) -> Tensor:
    """√(‖∇D‖² + ε) at each row of x (n, D): shape (n,)."""
    return (squared_slopes(terms, x) + EPSILON).sqrt()


def between(terms: Terms, stream: str) -> Tensor:
    """A point on each line from a real to a generated image, as D saw them: (n, D)."""
    real, fake = terms.values["seen_real"], terms.values["seen_fake"]
    share = terms.context.draws.uniform((len(real), 1), stream)
    return real + share * (fake - real)


def linear(w: Tensor, **values: Tensor) -> Terms:
    """Terms with D(x) = w·x, whose slope is ‖w‖ everywhere; for examples."""
    seen = {"seen_real": numbers(6, w.shape[-1], seed=1), "seen_fake": numbers(6, w.shape[-1], seed=2), **values}
    return Terms(zero(), seen, net=Functions(discriminator=lambda x: x @ w), context=context())


def quadratic(w: Tensor, **values: Tensor) -> Terms:
    """Terms with D(x) = ½ Σ wᵢxᵢ², whose gradient at x is w ⊙ x; for examples."""
    terms = linear(w, **values)
    from dataclasses import replace

    return replace(terms, net=Functions(discriminator=lambda x: 0.5 * (w * x.square()).sum(-1)))


def on_real(trained: Trained) -> float:
    """Mean ‖∇D‖² on validation images."""
    return _mean(trained, trained.images.val.flatten(1))


def on_generated(trained: Trained) -> float:
    """Mean ‖∇D‖² on images of the scored generator."""
    return _mean(trained, generated(trained, 256))


def generated(trained: Trained, n: int) -> Tensor:
    """Images (n, D) from fixed noise."""
    with torch.no_grad():
        return trained.net("generator", numbers(n, trained.net.latent_dim).to(trained.images.val))


def _mean(trained: Trained, x: Tensor) -> float:
    return float(squared_slopes(Terms(zero(), net=trained.net), x).mean())
