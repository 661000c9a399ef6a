"""One fixed batch of a family's training. The check that λ is alive works on it.

The loss is the loss of training (`Regularization.loss`) on the first images, with the member's own first draws, in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from objectives import base
from objectives.checks import _model
from objectives.checks._measured import OWN
from objectives.data._kinds import ImageSet
from objectives.draws import Live
from objectives.training.loop import TrainingRun
from objectives.training.mathematics import Mathematics
from objectives.training.regularization import BUFFERS

IMAGES = 16
SPLIT = 128  # images of each split that a probe loads
SEED = 0
PILOT = 512  # images of each split that a short training sees
PROGRESS = 0.3  # share of the training that is done: inside a warm-up and inside a cycle
SETTLING = 100


def of(family: Mathematics, config: base.Config) -> Mapping[str, FamilyProbe]:
    """A probe for each player, of a member with this config."""
    return {player: FamilyProbe(family, config, player) for player in family.players}


def after(family: Mathematics, config: base.Config, epochs: int) -> Mapping[str, FamilyProbe]:
    """A probe for each player after `epochs` epochs of a training of the first images; nothing where the training was lost."""
    whole = family.load_data()
    few = replace(_few(whole), **{name: getattr(_few(whole, PILOT), name) for name in ("train", "train_target")})
    # One epoch more than are trained, so that the costly metrics of the last one are not measured.
    settings = replace(family.settings, epochs=epochs + 1)
    short: Any = type(type(family).__name__, (type(family),), {"load_data": lambda _: few})(settings)
    run = short.start([base.Member(0, dict(config), SEED)])
    if any(report.state is not None for _ in range(epochs) for report in run.step()):
        return {}
    thetas = {player: theta[0].detach().double() for player, theta in run.crew.thetas.items()}
    buffers = run.crew.memories.get(BUFFERS, {})
    return {player: FamilyProbe(family, config, player, thetas, buffers) for player in family.players}


class FamilyProbe:
    """An implementation of `base.Probe` for one player, at its first weights or at those of a training."""

    def __init__(
        self,
        family: Mathematics,
        config: base.Config,
        player: str,
        trained: Mapping[str, Tensor] | None = None,
        buffers: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._config, self._player = dict(config), player
        self._whole, few = family, _few(family.load_data())
        own = {"dtype": "float64", "load_data": lambda _: few}
        self._family: Any = type(type(family).__name__, (type(family),), own)(family.settings)
        self._run = self._begin(config)
        if trained is not None:
            self._run.crew.thetas = {name: theta[None] for name, theta in trained.items()}
            begun = self._run.crew.memories.get(BUFFERS, {})
            begun.update({name: value.to(begun[name].dtype) for name, value in (buffers or {}).items()})
        theta = self._run.crew.thetas[player][0].clone()
        # First weights are special (biases of 0, equal gates). A small random change makes them general.
        nudge = torch.randn(theta.shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64).to(theta)
        theta = theta + (0.01 * nudge if trained is None else 0.0)
        layout = self._run.regularization.layouts[player]
        named = dict(zip((f"{part}.{name}" for part, name in layout.names), torch.split(theta[: layout.size], layout.sizes), strict=True))
        shapes = dict(zip(named, layout.shapes, strict=True))
        self._leaves = {name: piece.view(shapes[name]).clone().requires_grad_() for name, piece in named.items()}
        self._leaves[OWN] = theta[layout.size :].clone().requires_grad_()
        self._memories = {name: {key: value[0] for key, value in memory.items()} for name, memory in self._run.crew.memories.items()}
        # A running mean or a singular vector is right only after some steps.
        for _ in range(SETTLING if set(self._memories) - {BUFFERS} else 0):
            self.loss(config)
            self._memories = self._after
        for name, found in self._run.regularization.on.items():
            for key, value in getattr(found.module, "PROBED", {}).items():
                self._memories[name][key] = torch.full_like(self._memories[name][key], value)

    def parameters(self) -> Mapping[str, Tensor]:
        """The player's parameters, and the parameters that regularizers train, as one vector."""
        return self._leaves

    def loss(self, config: base.Config) -> Tensor:
        """The loss that the player descends on the batch. Terms that are on in the probe's own config are computed, also at off values."""
        return self._loss(config, [self._config, config])

    def absent(self, config: base.Config) -> Tensor:
        """The loss without the terms that `config` has off."""
        return self._loss(config, [config])

    def unit(self, config: base.Config, name: str) -> float:
        """What one unit of a λ adds: its penalty as it is logged, times the steps for which it stands."""
        self._loss(config, [config])
        regularization = self._run.regularization
        return float(self._logged[f"penalty_{name}"].detach()) * regularization.every(regularization.all[name])

    def _loss(self, config: base.Config, computed: list[base.Config]) -> Tensor:
        run = self._run
        merged = {**self._config, **config}
        run.regularization.switch([{**self._config, **one} for one in computed])
        known = {name: knob for name, knob in self._family.knobs.items() if name in run.crew.knobs}
        knobs = {
            name: torch.tensor(float(merged.get(name, knob.default)), dtype=torch.float64, device=run.rows.device)
            for name, knob in known.items()
        }
        thetas = {player: theta[0] for player, theta in run.crew.thetas.items()}
        thetas[self._player] = torch.cat([leaf.reshape(-1) for leaf in self._leaves.values()])
        run.crew.clock.epochs.fill_(PROGRESS * run.settings.epochs)
        draws = Live(SEED, run.settings.device, run.dtype)
        _, (values, self._after) = run.regularization.loss(
            self._player, thetas, run.rows[:IMAGES], draws, knobs, self._memories, run.crew.clock, 0
        )
        self._logged = values
        return values["loss"]

    def score(self, config: base.Config) -> float:
        """The cheap score of the evaluated weights."""
        run = self._run
        with torch.no_grad():
            found = self._family.evaluate(run.regularization.plain(run.judge.current(0)), run.images)
        return float(found[self._family.cheap or self._family.score])

    def faults(self) -> list[tuple[str, str]]:
        """What makes every answer about the player's parts worthless: dead, blind or out of range."""
        run = self._run
        buffers = {BUFFERS: run.regularization.held.join(self._memories[BUFFERS], self._leaves[OWN])} if BUFFERS in self._memories else {}
        moved = {player: theta[0] for player, theta in run.crew.thetas.items()} | buffers
        moved[self._player] = torch.cat([leaf.reshape(-1) for leaf in self._leaves.values()])
        net = run.regularization.plain(moved)
        own = [leaf for name, leaf in self._leaves.items() if name != OWN]
        return _model.faults(self._family, net, self._family.players[self._player], own, self.loss({}), run.images)

    def trained(self, config: base.Config, epochs: int) -> Mapping[str, FamilyProbe]:
        """A probe for each player after a training of a few hundred images; none where that training was lost."""
        return after(self._whole, config, epochs)

    def moved(self, off: base.Config, on: base.Config) -> bool:
        """Whether the weights differ after a few steps with and without a regularizer that acts beside the optimizer."""
        runs = [self._begin({**self._config, **config}) for config in (off, on)]
        ends = []
        for run in runs:
            run.crew.clock.epochs.fill_(0.75 * run.settings.epochs)
            for _ in range(2):
                run._update(self._player, run.rows[None, :IMAGES])
                run.crew.average(run.decays)
                run.crew.steps += 1
            ends.append(run.judge.current(0))
        return any(not torch.equal(ends[0][player], ends[1][player]) for player in ends[0])

    def _begin(self, config: base.Config) -> TrainingRun:
        run: TrainingRun = self._family.start([base.Member(0, dict(config), SEED)])
        return run


def _few(images: ImageSet, count: int = SPLIT) -> ImageSet:
    """The first images of each split, because double precision is slow."""
    names = ("train", "val", "test", "train_target", "val_target", "test_target")
    return replace(images, **{name: value[:count] for name in names if (value := getattr(images, name)) is not None})
