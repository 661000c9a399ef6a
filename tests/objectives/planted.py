"""A user's own objective with one of ten bugs in it: linear regression with an L2 penalty, or a gradient penalty.

Not one of them raises, and each gives a search that looks fine and means nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from objectives.base import Config, Knob, Metric, Objective, Settings

L2 = Knob("l2", "ridge", "½λ Σ ‖W‖²", "1", 0.0, low=1e-4, high=1.0, log=True, off=0.0, more="high")
SMOOTH = Knob("smooth", "gradient penalty", "½λ E‖∇f‖²", "1", 0.0, low=1e-4, high=1.0, log=True, off=0.0, more="high")
# Which knob each bug is about; "none" has no bug.
BUGS = {
    "none": "l2",
    "unused coefficient": "l2",
    "detached penalty": "l2",
    "penalty on a copy": "l2",
    "mean for sum": "l2",
    "doubled weight decay": "l2",
    "λ on an activation": "l2",
    "wrong sign": "l2",
    "stale closure": "l2",
    "penalty on frozen parameters": "l2",
    "double backward without create_graph": "smooth",
    "λ in the score": "l2",
}


class Planted(Objective):
    """Regression of 3 numbers on 5 by a frozen and a trained layer. `settings.dataset["bug"]` says what is wrong with it."""

    knobs: ClassVar[Mapping[str, Knob]] = {"l2": L2, "smooth": SMOOTH}
    metrics: ClassVar[Mapping[str, Metric]] = {"val_error": Metric("val_error", "squared error", "½‖y − f(x)‖²", "1", decides=True)}
    score = "val_error"
    default_search: ClassVar[tuple[str, ...]] = ("l2",)
    default_epochs = 2
    models: ClassVar[tuple[str, ...]] = ("none",)
    datasets: ClassVar[tuple[str, ...]] = ("none",)
    likelihoods: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Settings) -> None:
        self.bug = settings.dataset.get("bug", "none")
        generator = torch.Generator().manual_seed(0)
        self.x, self.y = (torch.randn(32, n, dtype=torch.float64, generator=generator) for n in (5, 3))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.frozen_layer = nn.Linear(5, 4).double().requires_grad_(False)
            self.layer = nn.Linear(4, 3).double()
        self.copy = copy.deepcopy(self.layer)
        self.before = 0.5 * self.layer.weight.square().sum()

    def prepare(self) -> dict[str, Any]:
        return {"dataset": {"name": "none"}}

    def start(self, members: Any) -> Any:
        raise NotImplementedError

    def read_test(self, config: Config, weights: Any) -> dict[str, float]:
        raise NotImplementedError

    def probes(self, config: Config) -> Mapping[str, Any]:
        return {"model": _View(self)}

    def parameters(self) -> Mapping[str, Tensor]:
        return dict(self.layer.named_parameters())

    def frozen(self) -> Mapping[str, Tensor]:
        return dict(self.frozen_layer.named_parameters())

    def optimizer(self, config: Config) -> torch.optim.Optimizer:
        decay = float(config.get("l2", 0.0)) if self.bug == "doubled weight decay" else 0.0
        return torch.optim.Adam(self.layer.parameters(), weight_decay=decay)

    def score_of(self, config: Config) -> float:
        error = 0.5 * (self._predict(self.x) - self.y).square().sum(-1).mean()
        return float(error.detach()) + (float(config.get("l2", 0.0)) if self.bug == "λ in the score" else 0.0)

    def loss(self, config: Config) -> Tensor:
        lam, smooth = float(config.get("l2", 0.0)), float(config.get("smooth", 0.0))
        out = self._predict(self.x)
        if self.bug == "λ on an activation":
            out = out + lam * self.layer.weight.abs().sum()
        data = 0.5 * (out - self.y).square().sum(-1).mean()
        return data + self._l2(lam) + (smooth * self._smooth() if smooth else 0.0)

    def _l2(self, lam: float) -> Tensor | float:
        weight = self.layer.weight
        right = 0.5 * weight.square().sum()
        return {
            "unused coefficient": 0.0 * right,
            "detached penalty": lam * right.detach(),
            "penalty on a copy": lam * 0.5 * self.copy.weight.square().sum(),
            "mean for sum": lam * 0.5 * weight.square().mean(),
            "λ on an activation": 0.0,
            "wrong sign": -lam * right,
            "stale closure": lam * self.before,
            "penalty on frozen parameters": lam * 0.5 * self.frozen_layer.weight.square().sum(),
        }.get(self.bug, lam * right)

    def _smooth(self) -> Tensor:
        """½E‖∇ₓ Σ tanh f(x)‖²."""
        x = self.x.clone().requires_grad_()
        create = self.bug != "double backward without create_graph"
        (gradient,) = torch.autograd.grad(self._predict(x).tanh().sum(), x, create_graph=create, retain_graph=True)
        return 0.5 * gradient.square().sum(-1).mean() + 0.0 * self.layer.weight.sum()

    def _predict(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(self.frozen_layer(x).tanh())
        return out


class _View:
    """A probe of a planted objective."""

    def __init__(self, of: Planted) -> None:
        self.parameters, self.frozen, self.optimizer, self.loss, self.score = of.parameters, of.frozen, of.optimizer, of.loss, of.score_of
