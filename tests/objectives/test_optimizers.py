"""Our Adam on flat vectors is torch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from objectives.regularizers import decoupled_wd
from objectives.terms import Clock, Update
from objectives.training.optimizers import Adam

pytestmark = pytest.mark.trains

SIZE, STEPS = 7, 40


def gradients(theta: torch.Tensor, step: int) -> torch.Tensor:
    return torch.sin(theta * (step + 1)) + 0.1 * theta


def torchs(optimizer: type[torch.optim.Optimizer], start: torch.Tensor, **options: Any) -> torch.Tensor:
    theta = start.clone().requires_grad_()
    found = optimizer([theta], **options)
    for step in range(STEPS):
        theta.grad = gradients(theta.detach(), step)
        found.step()
    return theta.detach()


def ours(start: torch.Tensor, lr: Any, decay: Any = 0.0, betas: tuple[float, float] = (0.9, 0.999)) -> torch.Tensor:
    theta = start.clone()
    adam, kernels = Adam(theta, betas), torch.ones(theta.shape[-1], dtype=theta.dtype)
    update = Update(lr, kernels, Clock(torch.zeros(()), 1))
    for step in range(STEPS):
        gradient = gradients(theta, step)
        decoupled_wd.before_step(theta, update, decay)
        adam.step(theta, gradient, lr)
    return theta


@pytest.fixture
def start() -> torch.Tensor:
    return torch.randn(3, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.999)])
def test_adam_is_that_of_torch(start: torch.Tensor, betas: tuple[float, float]) -> None:
    torch.testing.assert_close(
        ours(start[0], 0.01, betas=betas), torchs(torch.optim.Adam, start[0], lr=0.01, betas=betas), rtol=0, atol=1e-12
    )


def test_decoupled_decay_before_adam_is_adamw(start: torch.Tensor) -> None:
    expected = torchs(torch.optim.AdamW, start[0], lr=0.01, weight_decay=0.3)
    torch.testing.assert_close(ours(start[0], 0.01, 0.3), expected, rtol=0, atol=1e-12)


def test_members_with_their_own_rate_and_decay_step_as_if_alone(start: torch.Tensor) -> None:
    rates, decays = (torch.tensor([values], dtype=torch.float64).T for values in ([0.1, 0.01, 0.001], [0.0, 0.3, 0.1]))
    together = ours(start, rates, decays)
    for k in range(3):
        expected = torchs(torch.optim.AdamW, start[k], lr=rates[k].item(), weight_decay=decays[k].item())
        torch.testing.assert_close(together[k], expected, rtol=0, atol=1e-12)


def test_a_dropped_member_leaves_the_others_their_state(start: torch.Tensor) -> None:
    theta, adam = start.clone(), Adam(start)
    adam.step(theta, gradients(theta, 0), 0.1)
    alone, single = start[2].clone(), Adam(start[2])
    single.step(alone, gradients(alone, 0), 0.1)
    adam.keep(torch.tensor([0, 2]))
    theta = theta[[0, 2]]
    adam.step(theta, gradients(theta, 1), 0.1)
    single.step(alone, gradients(alone, 1), 0.1)
    torch.testing.assert_close(theta[1], alone, rtol=0, atol=1e-15)
