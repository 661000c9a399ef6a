"""The pilot finds where a λ is alive: against closed forms, and on trainings whose answer is known otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from objectives import base
from objectives.base import Knob
from objectives.checks.pilot import LEAST, LOST, find
from objectives.registry import load
from search.spec.reading import read

pytestmark = pytest.mark.turns(3)

PENALTY = Knob("l2", "", "", "1", 0.0, low=1e-3, high=10.0, log=True, off=0.0, more="high")
RATIO = 1.35  # seven halvings of the widest interval, and three significant digits


class Linear:
    """A linear autoencoder ½ mean ‖x − W₂W₁x‖² + ½λ(‖W₁‖² + ‖W₂‖²) whose data has these second moments (Kunin et al. 2019)."""

    def __init__(self, moments: list[float], scale: float = 0.3) -> None:
        self.root = torch.diag(torch.tensor(moments, dtype=torch.float64).sqrt())
        start = scale * torch.eye(len(moments), dtype=torch.float64)
        self.weights = {name: (start + 0.01).requires_grad_() for name in ("down", "up")}

    def parameters(self) -> Mapping[str, Tensor]:
        return self.weights

    def loss(self, config: base.Config) -> Tensor:
        down, up = self.weights["down"], self.weights["up"]
        data = 0.5 * (self.root - up @ down @ self.root).square().sum()
        return data + 0.5 * float(config["l2"]) * (down.square().sum() + up.square().sum())

    def score(self, config: base.Config) -> float:
        return 0.0


class OneMean:
    """The toy's own loss: ½(x̄ − m)² + ½λm², whose minimum is m = x̄/(1 + λ), for x̄ = 3."""

    def __init__(self, power: float = 1.0, start: float = 1.0) -> None:
        self.m, self.power = torch.tensor([start], dtype=torch.float64, requires_grad=True), power

    def parameters(self) -> Mapping[str, Tensor]:
        return {"m": self.m}

    def loss(self, config: base.Config) -> Tensor:
        found: Tensor = 0.5 * (3.0 - self.m).square().sum() + 0.5 * float(config["l2"]) ** self.power * self.m.square().sum()
        return found

    def score(self, config: base.Config) -> float:
        return 0.0


class Probed(base.Objective):
    """An objective of a user's, with probes and without a short training of its own."""

    knobs: ClassVar[Mapping[str, Knob]] = {
        "l2": PENALTY,
        "dropout": Knob("dropout", "", "", "1", 0.0, low=0.0, high=0.8, off=0.0, more="high"),
    }

    def __init__(self, make: Any) -> None:
        self.make = make

    def probes(self, config: base.Config) -> Mapping[str, base.Probe]:
        return {"model": self.make()} if self.make is not None else {}


def found(make: Any, name: str = "l2") -> dict[str, Any]:
    return find(Probed(make), {name: {}})[name]


def test_the_upper_end_of_a_linear_autoencoder_is_where_its_largest_moment_dies() -> None:
    # Singular values of W₂W₁ are (1 − λ/σ²)₊, so training gains ½(σ² − λ²/σ²) of each σ² > λ. All of it is lost at the largest σ².
    moments = [4.0, 1.0, 0.2]
    gain = sum(moments) / 2
    left = lambda lam: sum(max(s - lam**2 / s, 0.0) / 2 for s in moments if s > lam)  # noqa: E731
    wanted = next(lam for lam in (4.0 * k / 1000 for k in range(1, 1001)) if left(lam) <= (1 - LOST) * gain)
    high = found(lambda: Linear(moments))["high"]
    assert wanted / RATIO < high < wanted * RATIO and high < 4.0 * RATIO


def test_the_lower_end_is_where_the_penalty_has_a_thousandth_of_the_gradient() -> None:
    moments = [4.0, 1.0, 0.2]
    probe = Linear(moments)
    data, both = (torch.autograd.grad(probe.loss({"l2": lam}), list(probe.weights.values())) for lam in (0.0, 1.0))
    norm = math.sqrt(sum(float(g.square().sum()) for g in data))
    penalty = math.sqrt(sum(float((b - g).square().sum()) for g, b in zip(data, both, strict=True)))
    low = found(lambda: Linear(moments))["low"]
    # After the training next to nothing is left of the data's gradient, so the first weights or the knob's reach decide.
    assert low == pytest.approx(max(1e-5, min(LEAST * norm / penalty, low)), rel=0.05)
    assert low <= LEAST * norm / penalty * 1.05


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_the_toys_ridge_dies_where_only_a_twentieth_of_the_gain_is_left(start: float) -> None:
    # D = ½x̄²r² with r = λ/(1 + λ), against the lesser of ½x̄² (a constant) and ½(x̄ − start)² (untrained).
    r = math.sqrt(LOST) * (3.0 - start) / 3.0
    assert r / (1 - r) / RATIO < found(lambda: OneMean(start=start))["high"] < r / (1 - r) * RATIO


@pytest.mark.parametrize(
    ("make", "name", "why"),
    [
        (None, "l2", "no probes"),
        (OneMean, "dropout", "no range of orders of magnitude"),
        (lambda: OneMean(2.0), "l2", "does not multiply a penalty"),
        (lambda: OneMean(0.0), "l2", "in no loss"),
    ],
)
def test_a_lambda_without_a_range_to_find_keeps_its_own_and_says_why(make: Any, name: str, why: str) -> None:
    one = found(make, name)
    assert one["low"] is one["high"] is None and why in one["said"]


def test_an_error_in_a_users_loss_is_said_and_stops_nothing() -> None:
    class Breaking(OneMean):
        def loss(self, config: base.Config) -> Tensor:
            raise ValueError("too strong")

    assert "ValueError: too strong" in found(Breaking)["said"]


@pytest.mark.trains
@pytest.mark.slow
def test_beta_and_l2_of_the_digits_vae_die_where_its_trainings_do() -> None:
    spec = read({"objective": "vae", "dataset": "digits", "search": {"beta": {}, "l2": {}}})
    made = load("vae")(spec.settings())
    ends = find(made, {"beta": {"beta": 1.0}, "l2": {"l2": 1e-3}})
    # All trainings with β > 3.3 collapse (docs/log.md).
    assert 1.5 < ends["beta"]["high"] < 7 and ends["beta"]["low"] < 0.01
    assert 0.02 < ends["l2"]["high"] < 0.5 and 1e-5 < ends["l2"]["low"] < 0.01


@pytest.mark.trains
def test_the_linear_autoencoder_dies_at_the_largest_second_moment_of_its_data() -> None:
    # It has no bias, so the moments are not about the mean (Kunin et al. 2019).
    spec = read({"objective": "autoencoder", "model": "linear", "dataset": "digits", "search": {"l2": {}}, "fixed": {"lr": 0.01}})
    made = load("autoencoder")(spec.settings())
    images = made.load_data().train.flatten(1)[:512].double()  # type: ignore[attr-defined]
    largest = float(torch.linalg.eigvalsh(images.T @ images / len(images))[-1])
    high = find(made, {"l2": {"l2": 1e-3, "lr": 0.01}})["l2"]["high"]
    assert largest / 1.5 < high < 1.5 * largest
