"""The Dirac-GAN with R1, whose best γ is known: the smallest game in which a gradient penalty makes training converge. Pure Python.

Data are a point at 0, the generator is a point θ, the discriminator is D(x) = ψx. With the logistic loss and R1 the game is

    D minimizes  softplus(−ψ·0) + softplus(ψθ) + ½γψ²,        G minimizes  −softplus(ψθ)        (the slope of D is ψ, so R1 = ½ψ²)

and both descend at once: θ ← θ + hσ(ψθ)ψ, ψ ← ψ − h(σ(ψθ)θ + γψ), σ the logistic function. Around the equilibrium (0, 0), where σ = ½,
this is a linear system with the matrix [[0, ½], [−½, −γ]] and the eigenvalues −γ/2 ± √(γ²/4 − ¼). Without R1 it circles, and, for steps
are finite, drifts outward; up to γ = 1 it spirals in at the rate γ/2; beyond that one direction is ever slower, at about 1/(4γ). The
damping is critical, and convergence fastest, at **γ\\* = 1** (a little below in finite steps from a finite distance).

The score is log₁₀ of the distance from the equilibrium after 400 steps, for distances differ by factors. A game begins at (θ, ψ) = (−1, 1),
turned by a random angle of its seed, of standard deviation `spread`. From (−1, 1) itself with h = 0.1, the distances after 400 steps are

    γ     0      0.5       0.9       1         2         10
          2.1    4.6·10⁻⁵  5.5·10⁻⁹  3.1·10⁻⁸  4.7·10⁻³  0.37

Source: Mescheder et al. 2018 (section 2 and theorem 4.1).
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from objectives import base
from objectives.base import Knob, Member, Metric, ObjectiveError, Report, State
from objectives.regularizers import r1

STEPS = 400
STEP_SIZE = 0.1
START = (-1.0, 1.0)
FAR = 1e6  # a distance at which the game has diverged: a step of γ > 2/h overshoots
OPTIONS: dict[str, Any] = {"name": "none", "root": None, "train_size": None, "spread": 0.1}

Point = tuple[float, float]  # (θ, ψ)


def move(point: Point, gamma: float, h: float = STEP_SIZE) -> Point:
    """One step of both players at once."""
    theta, psi = point
    x = psi * theta
    slope = 1 / (1 + math.exp(-x)) if x > 0 else math.exp(x) / (1 + math.exp(x))
    return theta + h * slope * psi, psi - h * (slope * theta + gamma * psi)


def play(point: Point, gamma: float, steps: int, h: float = STEP_SIZE) -> Point:
    """Where the game is after some steps; it stops where it has diverged."""
    for _ in range(steps):
        if math.hypot(*point) > FAR:
            break
        point = move(point, gamma, h)
    return point


class Dirac:
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
        unknown = [key for key in settings.dataset if key not in OPTIONS]
        if unknown:
            raise ObjectiveError(base.unknown("option of dataset 'none'", unknown[0], list(OPTIONS)))
        self.options = {**OPTIONS, **settings.dataset}
        if self.options["name"] not in self.datasets:
            raise ObjectiveError(base.unknown("dataset of the objective 'dirac'", str(self.options["name"]), self.datasets))

    def prepare(self) -> dict[str, Any]:
        """The options and the known answer."""
        dataset = {key: value for key, value in self.options.items() if value is not None}
        return {"dataset": dataset, "model": "none", "best_lambda": 1.0}

    def start(self, members: Sequence[Member]) -> DiracRun:
        """Begin training."""
        return DiracRun(self, members)

    def read_test(self, config: base.Config, weights: Path) -> dict[str, float]:
        """The score of a game from a start that is not that of validation: there is no model to keep, only where it leads to."""
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


class DiracRun:
    """Games being played: an implementation of `base.Run`. A game is replayed from its start at every epoch; it takes microseconds."""

    def __init__(self, dirac: Dirac, members: Sequence[Member]) -> None:
        self.dirac = dirac
        self.epoch = 0
        self.members = {member.number: member for member in members}
        self.living = [member.number for member in members]

    def step(self) -> list[Report]:
        """One epoch of every living member: an equal share of the 400 steps."""
        if not self.living:
            return []
        self.epoch += 1
        reports = [self._report(self.members[number]) for number in self.living]
        self.living = [report.number for report in reports if report.state is None]
        return reports

    def _report(self, member: Member) -> Report:
        epochs = self.dirac.settings.epochs
        value = self.dirac.after(member.config, member.seed, round(STEPS * self.epoch / epochs))
        report = Report(member.number, self.epoch, value, {"log_distance": value})
        if value > math.log10(FAR):
            return replace(report, state=State.DIVERGED, reason=f"the game was farther than {FAR:g} from its equilibrium")
        return replace(report, state=State.COMPLETE, score=value) if self.epoch >= epochs else report

    def stop(self, number: int) -> None:
        """Take a member out."""
        self.living = [other for other in self.living if other != number]

    def save(self, path: Path) -> None:
        """Write a JSON checkpoint, atomically."""
        _write(path, {"epoch": self.epoch, "living": self.living, "seeds": [self.members[number].seed for number in self.living]})

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = json.loads(path.read_text())
        known = {member.number: member.seed for member in self.members.values()}
        if any(known.get(number) != seed for number, seed in zip(state["living"], state["seeds"], strict=True)):
            raise ObjectiveError(f"{path} must be a checkpoint of members {sorted(known)} and their seeds; it holds {state['living']}.")
        self.epoch, self.living = state["epoch"], state["living"]

    def save_weights(self, number: int, path: Path) -> None:
        """Write what `read_test` needs: JSON, whatever the suffix."""
        member = self.members[number]
        _write(path, {"objective": "dirac", "config": dict(member.config), "seed": member.seed})

    def save_picture(self, number: int, path: Path) -> bool:
        """There is nothing to see."""
        return False


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


OBJECTIVE = Dirac
