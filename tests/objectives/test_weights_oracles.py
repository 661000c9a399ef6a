"""Answers known beforehand for regularizers of weights: Adam's L2 against AdamW, the lasso, hard-concrete gates."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

from objectives.regularizers import decoupled_wd, l0, l1_prox, l2
from objectives.regularizers._truths import context, zero
from objectives.terms import Terms, Update
from objectives.training.optimizers import Adam

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

AIM = 2.0
CURVATURES = torch.tensor([1e-3, 1.0], dtype=torch.float64)  # Σ c(w − 2)²
DECAY, RATE = 0.01, 0.01


def minimized(regularizer: ModuleType, steps: int, value: float | torch.Tensor = DECAY) -> torch.Tensor:
    """Σ c(w − 2)² from w = 0 by our Adam, with a regularizer's own hooks; several members if `value` is (K, 1)."""
    theta = torch.zeros(len(value) if isinstance(value, torch.Tensor) else 1, 2, dtype=torch.float64)
    adam, mask, clock = Adam(theta), torch.ones(2, dtype=torch.float64), context().clock

    def penalty(w: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = regularizer.penalty(Terms(zero(), kernels={"w": w}))
        return found

    for _ in range(steps):
        gradient = 2 * CURVATURES * (theta - AIM)
        if hasattr(regularizer, "penalty"):
            gradient += value * torch.func.grad(penalty)(theta)
        if hasattr(regularizer, "before_step"):
            regularizer.before_step(theta, Update(RATE, mask, clock), value)
        adam.step(theta, gradient, RATE)
        if hasattr(regularizer, "after_step"):
            regularizer.after_step(theta, Update(RATE, mask, clock, scale=adam.scale), value)
    return theta.squeeze(0)


def test_adams_l2_ends_at_the_exact_minimum_of_the_penalized_loss() -> None:
    """2c(w − 2) + λw = 0: 0.333 where the data hardly curves, 1.990 where it does."""
    exact = 2 * CURVATURES * AIM / (2 * CURVATURES + DECAY)
    assert [round(w, 3) for w in exact.tolist()] == [0.333, 1.99]
    torch.testing.assert_close(minimized(l2, 3500), exact, rtol=1e-3, atol=0)


def test_adamw_forgets_the_curvature() -> None:
    """Adam's step has no scale, so the decay beside it is the same for both: 1.998 and 1.998 on the way to 2. It is another regularizer."""
    found = minimized(decoupled_wd, 3500)
    torch.testing.assert_close(found, torch.full_like(found, 1.998), rtol=1e-3, atol=0)
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=0)


def test_adamw_is_that_of_torch_on_the_way() -> None:
    weight = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.AdamW([weight], lr=RATE, weight_decay=DECAY)
    for _ in range(500):
        weight.grad = 2 * CURVATURES * (weight.detach() - AIM)
        theirs.step()
    torch.testing.assert_close(minimized(decoupled_wd, 500), weight.detach(), rtol=1e-12, atol=0)


def test_the_proximal_step_ends_at_the_exact_lasso() -> None:
    """2c(w − 2) + λ·sign(w) = 0, or w = 0 exactly where λ ≥ 4c."""
    values = torch.tensor([[0.0], [1e-3], [3e-3], [0.5]], dtype=torch.float64)
    exact = (AIM - values / (2 * CURVATURES)).clamp(min=0)
    found = minimized(l1_prox, 6000, values)
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=0)
    assert (found == 0).tolist() == [[False, False], [False, False], [False, False], [True, False]]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("log_alpha", [-4.0, -2.0, 0.0, 1.0, 3.0])
def test_gates_open_as_often_as_the_penalty_says(log_alpha: float) -> None:
    """P(z > 0) and P(z < 1) by 4 million draws, whose standard error is at most 2.5e-4; the first is also the penalty of one gate."""
    count = 4_000_000
    alphas = torch.full((count,), log_alpha, dtype=torch.float64)
    gates = l0.weights({"a": torch.ones(1, count, dtype=torch.float64)}, context(trained={"a": alphas}), 1.0)["a"]
    one = l0.penalty(Terms(zero(), context=context(trained={"a": alphas[:1]})))
    shift = (2 / 3) * torch.tensor(11.0, dtype=torch.float64).log()
    torch.testing.assert_close(one, torch.sigmoid(log_alpha + shift))
    torch.testing.assert_close((gates > 0).double().mean(), one, rtol=0, atol=1e-3)
    torch.testing.assert_close((gates < 1).double().mean(), torch.sigmoid(shift - log_alpha), rtol=0, atol=1e-3)
    assert gates.min() >= 0 and gates.max() <= 1
