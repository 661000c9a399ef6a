"""The Dirac-GAN with R1, whose best γ is known: the smallest game in which a gradient penalty makes training converge. Pure Python.

Data are a point at 0, the generator is a point θ, the discriminator is D(x) = ψx. With the logistic loss and R1 the game is

    D minimizes  softplus(−ψ·0) + softplus(ψθ) + ½γψ²,        G minimizes  −softplus(ψθ)        (the slope of D is ψ, so R1 = ½ψ²)

and both descend at once: θ ← θ + hσ(ψθ)ψ, ψ ← ψ − h(σ(ψθ)θ + γψ), σ the logistic function. Around the equilibrium (0, 0), where σ = ½, this
is a linear system with the matrix [[0, ½], [−½, −γ]] and the eigenvalues −γ/2 ± √(γ²/4 − ¼). Without R1 the game circles. Because steps are
finite, it drifts outward. Up to γ = 1 it spirals in at the rate γ/2. Beyond γ = 1 one direction becomes ever slower, at about 1/(4γ). The
damping is critical, and convergence fastest, at **γ\\* = 1** (a little below in finite steps from a finite distance).

The score is log₁₀ of the distance from the equilibrium after 400 steps, because distances differ by factors. A game begins at
(θ, ψ) = (−1, 1), turned by a random angle of its seed with standard deviation `spread`. From (−1, 1) itself with h = 0.1, the distances
after 400 steps are

    γ     0      0.5       0.9       1         2         10
          2.1    4.6·10⁻⁵  5.5·10⁻⁹  3.1·10⁻⁸  4.7·10⁻³  0.37

Source: Mescheder et al. 2018 (section 2 and theorem 4.1).
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from objectives import base
from objectives.base import Knob, Member, Metric, Report, State
from objectives.families._computed import ComputedRun, option_faults, options
from objectives.regularizers import r1

STEPS = 400
STEP_SIZE = 0.1
START = (-1.0, 1.0)
FAR = 1e6  # at this distance the game has diverged: a step of γ > 2/h overshoots
OPTIONS: dict[str, Any] = {"name": "none", "root": None, "train_size": None, "spread": 0.1}

Point = tuple[float, float]  # (θ, ψ)


def move(point: Point, gamma: float, h: float = STEP_SIZE) -> Point:
    """One step of both players at once."""
    theta, psi = point
    x = psi * theta
    slope = 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
    return theta + h * slope * psi, psi - h * (slope * theta + gamma * psi)


def play(point: Point, gamma: float, steps: int, h: float = STEP_SIZE) -> Point:
    """The state of the game after some steps. It stops where it has diverged."""
    for _ in range(steps):
        if math.hypot(*point) > FAR:
            break
        point = move(point, gamma, h)
    return point


class Dirac(base.Objective):
    """log₁₀ of the distance from the equilibrium."""

    knobs: ClassVar[Mapping[str, Knob]] = {
        "r1": replace(r1.KNOB, low=1e-2, high=1e1, cost="0"),
        "lr": Knob("lr", "step size of both players", "h", "1", STEP_SIZE, 1e-2, 0.5, log=True, source="Mescheder et al. 2018"),
    }
    metrics: ClassVar[Mapping[str, Metric]] = {
        "log_distance": Metric("log_distance", "Distance from the equilibrium, its logarithm", "log₁₀ √(θ² + ψ²)", "decades", decides=True),
    }
    score: ClassVar[str] = "log_distance"
    default_search: ClassVar[tuple[str, ...]] = ("r1",)
    default_epochs: ClassVar[int] = 8
    models: ClassVar[tuple[str, ...]] = ("none",)
    datasets: ClassVar[tuple[str, ...]] = ("none",)
    likelihoods: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: base.Settings) -> None:
        self.settings = settings
        self.options = options("dirac", OPTIONS, settings.dataset)

    @classmethod
    def dataset_faults(cls, options: Mapping[str, Any]) -> list[str]:
        """Options that do not exist, or with values that they cannot have."""
        return option_faults("dirac", OPTIONS, options)

    def prepare(self) -> dict[str, Any]:
        """The options and the known answer."""
        dataset = {key: value for key, value in self.options.items() if value is not None}
        return {"dataset": dataset, "model": "none", "best_lambda": 1.0}

    def start(self, members: Sequence[Member]) -> ComputedRun:
        """Begin training."""
        return ComputedRun("dirac", members, self._report)

    def read_test(self, config: base.Config, weights: Path) -> dict[str, float]:
        """The score of a game from another start than that of validation. There is no model to keep, only the end of the game."""
        saved = json.loads(weights.read_text())
        value = self.after(config, int(saved["seed"]), STEPS, "test")
        return {"score": value, "test_log_distance": value}

    def after(self, config: base.Config, seed: int, steps: int, split: str = "val") -> float:
        """The score after some steps."""
        gamma, h = (float(config.get(name, self.knobs[name].default)) for name in ("r1", "lr"))
        angle = random.Random(f"{seed}/{split}").gauss(0, self.options["spread"])
        cos, sin = math.cos(angle), math.sin(angle)
        first = (cos * START[0] - sin * START[1], sin * START[0] + cos * START[1])
        return math.log10(max(math.hypot(*play(first, gamma, steps, h)), 1e-300))

    def _report(self, member: Member, epoch: int) -> Report:
        """The report of a game after an equal share of the 400 steps for each epoch. It is played again from its start (microseconds)."""
        epochs = self.settings.epochs
        value = self.after(member.config, member.seed, round(STEPS * epoch / epochs))
        report = Report(member.number, epoch, value, {"log_distance": value})
        if value > math.log10(FAR):
            return replace(report, state=State.DIVERGED, reason=f"the game was farther than {FAR:g} from its equilibrium")
        return replace(report, state=State.COMPLETE, score=value) if epoch >= epochs else report


OBJECTIVE = Dirac
