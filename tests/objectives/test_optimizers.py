"""Our optimizers on flat vectors, and their learning rates, are those of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from objectives import registry
from objectives.base import Member, Settings
from objectives.regularizers import decoupled_wd
from objectives.terms import Clock, Update
from objectives.training.loop import TrainingRun
from objectives.training.optimizers import KINDS, Adam, pace

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


# The other optimizers ---------------------------------------------------------------------------------------------------------------------

SGD, RMSPROP = torch.optim.SGD, torch.optim.RMSprop
TORCHS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0}),
    "sgd": (SGD, {"momentum": 0.9}),
    "rmsprop": (RMSPROP, {}),
}


def stepped(kind: str, start: torch.Tensor, lr: Any, momentum: Any = 0.9) -> torch.Tensor:
    theta = start.clone()
    optimizer = KINDS[kind](theta)
    optimizer.set((0.9, 0.999), momentum)
    for step in range(STEPS):
        optimizer.step(theta, gradients(theta, step), lr)
    return theta


@pytest.mark.parametrize("kind", KINDS)
def test_each_optimizer_is_that_of_torch(start: torch.Tensor, kind: str) -> None:
    """Alone, and each member of a pack with a rate of its own, to the rounding of single precision and of double."""
    theirs, options = TORCHS[kind]
    rates = torch.tensor([[3e-3], [1e-3], [3e-4]], dtype=torch.float64)
    for dtype, allowed in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        together = stepped(kind, start.to(dtype), rates.to(dtype))
        for k in range(3):
            expected = torchs(theirs, start[k].to(dtype), lr=rates[k].item(), **options)
            torch.testing.assert_close(together[k], expected, rtol=allowed, atol=allowed)
            torch.testing.assert_close(stepped(kind, start[k].to(dtype), rates[k].item()), expected, rtol=allowed, atol=allowed)


def test_members_have_their_own_momentum(start: torch.Tensor) -> None:
    momenta = torch.tensor([[0.0], [0.5], [0.99]], dtype=torch.float64)
    together = stepped("sgd", start, 0.01, momenta)
    for k in range(3):
        torch.testing.assert_close(together[k], torchs(SGD, start[k], lr=0.01, momentum=momenta[k].item()), rtol=0, atol=1e-12)


# Schedules --------------------------------------------------------------------------------------------------------------------------------

TOTAL = 30
LAMBDAS = {
    "constant": lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL),
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=10, gamma=0.1),
}
COLUMNS = {"lr_step": 1 / 3, "lr_gamma": 0.1, "warmup": 0.0}


@pytest.mark.parametrize("schedule", LAMBDAS)
def test_a_schedule_is_that_of_torch(schedule: str) -> None:
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = LAMBDAS[schedule](optimizer)
    for step in range(TOTAL):
        assert pace(schedule, COLUMNS, step, TOTAL) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_a_warm_up_is_that_of_torch() -> None:
    """Of 10 of 30 steps: the rate is k/10 of the full one in step k. In a pack each member has its own, and 0 is none."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=9)
    for step in range(TOTAL):
        alone = pace("constant", {**COLUMNS, "warmup": 1 / 3}, step, TOTAL)
        assert alone == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        together = pace("constant", {**COLUMNS, "warmup": torch.tensor([[1 / 3], [0.0]], dtype=torch.float64)}, step, TOTAL)
        assert isinstance(together, torch.Tensor)
        assert float(together[0]) == pytest.approx(float(alone)) and float(together[1]) == 1.0
        optimizer.step()
        scheduler.step()


PACK = [{"warmup": 0.5, "lr": 3e-3}, {"momentum": 0.5, "warmup": 0.2, "lr_gamma": 0.3}, {"lr_step": 0.6}]


def begin(configs: list[dict[str, Any]], kind: str, schedule: str, dtype: str = "float64", first: int = 0) -> TrainingRun:
    family: Any = type("Own", (registry.load("autoencoder"),), {"dtype": dtype})
    common = {"optimizer": kind, "lr_schedule": schedule}
    members = [Member(first + n, {**common, **config}, 7 + first + n) for n, config in enumerate(configs)]
    run: TrainingRun = family(Settings({"name": "digits", "train_size": 96}, epochs=3, batch_size=32)).start(members)
    return run


@pytest.mark.parametrize(("kind", "schedule"), [("adam", "cosine"), ("adamw", "constant"), ("sgd", "step"), ("rmsprop", "step")])
def test_members_together_move_as_members_alone(kind: str, schedule: str) -> None:
    together = begin(PACK, kind, schedule)
    together.step(), together.step()
    for k, config in enumerate(PACK):
        alone = begin([config], kind, schedule, first=k)
        alone.step(), alone.step()
        torch.testing.assert_close(together.crew.thetas["model"][k], alone.crew.thetas["model"][0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "schedule"), [("sgd", "cosine"), ("rmsprop", "step")])
@pytest.mark.parametrize("count", [1, 3])
def test_an_interrupted_training_goes_on_with_the_same_rate(kind: str, schedule: str, count: int, tmp_path: Path) -> None:
    whole, before, after = (begin(PACK[:count], kind, schedule, "float32") for _ in range(3))
    whole.step(), whole.step()
    before.step()
    paths = {n: tmp_path / f"{n}.pt" for n in range(count)}
    before.save_each(paths)
    after.restore_each(paths)
    after.step()
    assert torch.equal(whole.crew.thetas["model"], after.crew.thetas["model"])


def test_a_constant_rate_without_a_warm_up_changes_no_bit() -> None:
    plain, named = begin([{}], "adam", "constant", "float32"), begin([{"warmup": 0.0}], "adamw", "constant", "float32")
    plain.step(), named.step()
    assert torch.equal(plain.crew.thetas["model"], named.crew.thetas["model"])
