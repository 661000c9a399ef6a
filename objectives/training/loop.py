"""The training loop. Read this file first: everything that happens to a member during a run is here.

    epoch:   shuffle → for every minibatch, for every player: loss → gradient, clipped → regularizers on the weights → a step → again
             → evaluate on validation images with fixed draws → one report per living member
    end:     the last report carries the state, and for a completed member all metrics and the score; a member whose training has come to
             nothing (`detectors/`) ends as collapsed, with the evidence

A loss is written for one model in its family's file; `regularization.py` adds the regularizers that are on; `population.py` maps it over
the members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from objectives.base import Member, ObjectiveError, Report, State
from objectives.draws import Draws
from objectives.pictures import Sheet, drawn, save
from objectives.terms import Update, Values
from objectives.training import checkpoint, kept
from objectives.training.built import begun, converted, shared_options
from objectives.training.judging import Judge, failure
from objectives.training.mathematics import Mathematics
from objectives.training.optimizers import clip, pace
from objectives.training.pictures import sheet
from objectives.training.population import Pieces, Scratch, gradients
from objectives.training.precision import products
from objectives.training.regularization import Memories
from objectives.training.traced import Replays


class TrainingRun:
    """Members in training: an implementation of `base.Run`. Tensors of K members have a first axis of length K."""

    def __init__(self, family: Mathematics, members: Sequence[Member]) -> None:
        self.family, self.settings = family, family.settings
        torch.set_num_threads(self.settings.threads)
        self.dtype = getattr(torch, family.dtype)
        self.images = converted(family.load_data(), self.dtype)
        self.rows = self.images.train.flatten(1)  # (n, D)
        self.options, self.ended = shared_options(family, members), dict[int, dict[str, Tensor]]()  # scored weights by number and player
        self.batch_size = min(self.settings.batch_size or family.default_batch_size, len(self.rows))
        self._steps = self.settings.epochs * max(1, len(self.rows) // self.batch_size)
        self.members = {member.number: member for member in members}
        self._heirlooms: dict[int, Path] = {}
        self._begin()
        self._read_knobs()

    def _begin(self) -> None:
        """Every member's first weights, from its own seed; the optimizers; and the first memories of regularizers."""
        family, members = self.family, list(self.members.values())
        self.crew, self.regularization = begun(family, members, self.images, self.options, self.dtype)
        self.masks = {player: layout.kernel_mask(self.crew.thetas[player][0]) for player, layout in self.regularization.layouts.items()}
        self.judge = Judge(family, self.images, self.options, self.regularization, self.crew)

    # The interface ----------------------------------------------------------------------------------------------------------------------

    def step(self) -> list[Report]:
        """Train every living member for one epoch. Returns one report for each; an empty list when no member lives."""
        if not self.crew.living:
            return []
        if any(self.crew.epoch in living.member.moves for living in self.crew.living):
            self._read_knobs()
        self.crew.epoch += 1
        try:
            reports = self.judge.reports(self._train_epoch())
        except Exception as error:  # a user's penalty or model may raise anything; it becomes the state of the member
            reports = [failure(living.member.number, self.crew.epoch, error) for living in self.crew.living]
        for k, report in enumerate(reports):
            if report.state is State.COMPLETE and report.number in self._heirlooms:
                checkpoint.write(self.crew.state([k]), self._heirlooms[report.number])
        self._keep([k for k, report in enumerate(reports) if report.state is None])
        return reports

    def stop(self, number: int) -> None:
        """Take a member out of the run. Its weights stay readable. A member that has already ended is left as it is."""
        self._keep([k for k, living in enumerate(self.crew.living) if living.member.number != number])

    def save(self, path: Path) -> None:
        """Write a checkpoint, atomically."""
        checkpoint.write(self.crew.state(range(len(self.crew.living))) | {"ended": self.ended}, path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote for the same members and settings."""
        state = checkpoint.read(path, self.settings.device)
        self.ended = state.get("ended", {})
        self._load(state, path)

    def save_each(self, paths: Mapping[int, Path]) -> None:
        """Write a checkpoint for each of these living members: the same file that the member alone would have written."""
        for k, living in enumerate(self.crew.living):
            if living.member.number in paths:
                checkpoint.write(self.crew.state([k]), paths[living.member.number])

    def restore_each(self, paths: Mapping[int, Path]) -> None:
        """Continue every member of the run from its own checkpoint, whatever run wrote it. All checkpoints must be of one epoch.

        Raises:
            ObjectiveError: a checkpoint is another member's, or they differ in their epoch.
        """
        own = [paths[number] for number in self.members]
        self._load(checkpoint.read_together(own, self.settings.device), own[0])

    def bequeath(self, paths: Mapping[int, Path]) -> None:
        """Write a checkpoint of each of these members, by number, in the epoch in which it is complete."""
        self._heirlooms = dict(paths)

    def inherit(self, path: Path, start: int) -> None:
        """Let the run's only member begin with what is in another member's checkpoint.

        Raises:
            ObjectiveError: the checkpoint is of another epoch or structure.
        """
        state = checkpoint.inherited(self.crew.state([0]), checkpoint.read(path, self.settings.device), start, path)
        self._load(state, path)

    def save_weights(self, number: int, path: Path) -> None:
        """Write a member's scored weights as safetensors, and beside them what the model needs to be used without its data (`kept.py`)."""
        member, net = self.members[number], self.regularization.plain(_weights(self, number))
        kept.write(self.family, net, self.images, path, config=dict(member.config), seed=member.seed, epoch=self.crew.epoch)

    def save_picture(self, number: int, path: Path) -> bool:
        """Write a large PNG of samples or reconstructions; False where the data are no pictures."""
        found = self.sheet(number)
        if found is not None:
            save(drawn(found), path)
        return found is not None

    def sheet(self, number: int) -> Sheet | None:
        """What a member, living or ended, shows of its scored weights; None where the data are no pictures."""
        return sheet(self.family, self.regularization.plain(_weights(self, number)), self.images, self.crew.epoch)

    # An epoch ---------------------------------------------------------------------------------------------------------------------------

    def train_steps(self, count: int) -> None:
        """Some steps of an epoch, without judging. A calibration times them."""
        self._train_epoch(count)

    def _train_epoch(self, steps: int | None = None) -> Values:
        """One pass over the training images, or `steps` of it. Returns the mean of each logged scalar, (K,), still on the device."""
        with products(self.settings.precision, self.settings.device):
            return self._pass(steps)

    def _pass(self, steps: int | None) -> Values:
        n = len(self.rows)
        size = self.batch_size
        orders = torch.stack([torch.randperm(n, generator=living.streams.generator("order")) for living in self.crew.living])
        orders = orders.to(self.rows.device)  # (K, n)
        logged: dict[str, list[Tensor]] = {}
        # All minibatches have one size. Which images are left over differs from epoch to epoch.
        for start in list(range(0, n - size + 1, size))[:steps]:
            batch = self.rows[orders[:, start : start + size]]  # (K, B, D)
            self.crew.clock.epochs.fill_(self.crew.epoch - 1 + start / n)
            for player in self.family.players:
                if self.crew.steps % self.family.every(player, self.options) == 0:
                    for name, value in self._update(player, batch).items():
                        logged.setdefault(name, []).append(value)
            self.crew.average(self.decays)
            self.crew.steps += 1
        return {name: torch.stack(values).mean(0) for name, values in logged.items()}

    def _update(self, player: str, batch: Tensor) -> Values:
        """One step of one player for every member. Returns the logged scalars, (K,) each."""
        crew = self.crew

        def loss(
            thetas: Mapping[str, Tensor | Pieces],
            batch: Tensor,
            draws: Draws,
            knobs: Mapping[str, Tensor],
            memories: Memories,
            epochs: Tensor,
        ) -> tuple[Tensor, tuple[Values, Memories]]:
            clock = replace(crew.clock, epochs=epochs)
            return self.regularization.loss(player, thetas, batch, draws, knobs, memories, clock, crew.steps)

        kind = (player, self.regularization.due(player, crew.steps))
        gradient, values, crew.memories = gradients(
            loss,
            self.regularization.cut,
            player,
            crew.thetas,
            batch,
            [living.streams for living in crew.living],
            {name: value for name, value in crew.knobs.items() if name not in self.regularization.unused},
            crew.memories,
            crew.clock.epochs,
            self._scratch,
            kind,
        )
        if self._clips:
            clip(gradient, self.columns["clip_norm"])
        rate = self.family.rate(player, self.columns) * self._pace(crew.steps)
        _act(self, "before_step", player, rate)
        crew.optimizers[player].step(crew.thetas[player], gradient, rate)
        _act(self, "after_step", player, rate)
        suffix = f"_{player[0]}" if len(self.family.players) > 1 else ""
        return {name if name.startswith("penalty_") else f"train_{name}{suffix}": value for name, value in values.items()}

    # Members ----------------------------------------------------------------------------------------------------------------------------

    def _load(self, state: Mapping[str, Any], path: Path) -> None:
        self.crew.load(state, self.members, self.settings.device, self.dtype, path)
        self._read_knobs()

    def _keep(self, positions: list[int]) -> None:
        """Go on with the members at `positions`; the scored weights of the others are put aside."""
        if len(positions) < len(self.crew.living):
            gone = {self.crew.living[k].member.number: k for k in range(len(self.crew.living)) if k not in positions}
            self.ended.update({number: self.judge.scored(k) for number, k in gone.items()})
            self.crew.keep(positions)
            self._read_knobs()

    def _read_knobs(self) -> None:
        """The living members' knobs: (K,) for the losses; (K, 1), or a number if there is one member, for what acts on flat weights."""
        values = self.crew.values(self.family.knobs, self.family.name)
        self.crew.knobs = {name: torch.tensor(value, dtype=self.dtype, device=self.settings.device) for name, value in values.items()}
        alone = len(self.crew.living) == 1
        self.columns = {name: value[0] if alone else self.crew.knobs[name][:, None] for name, value in values.items()}
        self.decays = {player: self.columns[name] for player, name in self.family.averaged.items()}
        self._clips = any(values["clip_norm"])
        for optimizer in self.crew.optimizers.values():
            optimizer.set(self.family.betas(self.columns), self.columns.get("momentum", 0.0))
        self._pace = partial(pace, self.options.get("lr_schedule"), self.columns, steps=self._steps)
        self.regularization.switch(self.crew.configs())
        about = (tuple(sorted(self.regularization.on)), tuple(sorted(self.options.items())), self.settings.precision)
        self._scratch = Scratch(Replays(self.family.traces, about))


def _weights(run: TrainingRun, number: int) -> dict[str, Tensor]:
    """The scored weights of a member, living or ended."""
    if number in run.ended:
        return run.ended[number]
    for k, living in enumerate(run.crew.living):
        if living.member.number == number:
            return run.judge.scored(k)
    raise ObjectiveError(f"number must be that of a member of this run, one of {sorted(run.members)}; got {number}.")


def _act(run: TrainingRun, hook: str, player: str, rate: Tensor | float) -> None:
    """Regularizers that act on the weights themselves."""
    crew = run.crew
    for name, found in run.regularization.active(hook, player).items():
        update = Update(rate, run.masks[player], crew.clock, crew.step_memories.get(name, {}), crew.optimizers[player].scale)
        getattr(found.module, hook)(crew.thetas[player], update, run.columns[name])
