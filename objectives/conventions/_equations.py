"""Equations that several projects share."""

from __future__ import annotations

from objectives.conventions._parameters import Case

ADAM_ALL = "Adam decays biases and normalization too; l2 acts on kernels"


def same(case: Case) -> float:
    """λ = w."""
    return case.value


def double(case: Case) -> float:
    """λ = 2w: the project leaves out a ½ that our term has."""
    return 2 * case.value


def reciprocal(case: Case) -> float:
    """λ = 1/c."""
    return 1 / case.value


def of_mean(case: Case) -> float:
    """λ = w·D/2: the loss is (2/D)·½SSE + w·Ω."""
    return case.value * case.pixels / 2


def alpha_as_gamma(case: Case) -> str:
    """The same condition for the other parameter."""
    return gamma_as_alpha(Case(case.number("gamma"), case.size, {"alpha": case.value}))


def gamma_as_alpha(case: Case) -> str:
    """A fault where mutual information and dimension-wise KL have different weights: no β and tc can express that."""
    if case.number("alpha") == case.value:
        return ""
    return (
        "alpha must equal gamma, for β·KL weighs the mutual information and the dimension-wise KL alike; "
        f"got alpha={case.number('alpha'):g}, gamma={case.value:g}. Give both the same value."
    )
