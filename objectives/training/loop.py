"""The training loop. Read this file first: everything that happens to a member during a run is here.

    epoch:   shuffle → for every minibatch, for every player: loss → gradient, clipped → regularizers on the weights → Adam → again
             → evaluate on validation images with fixed draws → one report per living member
    end:     the last report carries the state, and for a completed member all metrics and the score; a member whose training has come to
             nothing (`detectors/`) ends as collapsed, with the evidence

A loss is written for one model in its family's file; `regularization.py` adds the regularizers that are on; `population.py` maps it over
the members.
"""

from __future__ import annotations

import json
import math
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from objectives import base, detectors, metrics, models, registry, regularizers
from objectives.base import OUT_OF_MEMORY, SPOILED, Member, ObjectiveError, Report, SpoiledError, State, out_of_memory
from objectives.data._kinds import ImageSet
from objectives.draws import Draws, Fixed, Live, initialized
from objectives.metrics._subject import Subject
from objectives.terms import Clock, Update, Values
from objectives.training.mathematics import Mathematics
from objectives.training.optimizers import Adam, clip
from objectives.training.population import Pieces, Scratch, each, gradients
from objectives.training.precision import products
from objectives.training.regularization import Memories, Regularization, evaluation_net
from objectives.training.traced import Replays

BLOW_UP = 1e3  # a training loss this many times its first value (or this large, if that was below 1) has diverged
TOGETHER = 4_000  # images that members evaluate as one program, at most, for a convolution's activations are many times its input


# Several members ----------------------------------------------------------------------


@dataclass
class Living:
    """A member in training: its random streams, the cheap score of every epoch, what detectors of collapse look at, and the weights of its
    best epoch if those will be scored."""

    member: Member
    streams: Live
    rungs: list[float] = field(default_factory=list)
    first_loss: float = math.nan
    best: dict[str, Tensor] | None = None
    history: list[dict[str, float]] = field(default_factory=list)


class TrainingRun:
    """Members in training: an implementation of `base.Run`. Tensors of K members have a first axis of length K."""

    def __init__(self, family: Mathematics, members: Sequence[Member]) -> None:
        settings = family.settings
        torch.set_num_threads(settings.threads)
        check_device(settings.device)
        self.family, self.settings = family, settings
        self.dtype = getattr(torch, family.dtype)
        self.images = _converted(family.load_data(), self.dtype)
        self.rows = self.images.train.flatten(1)  # (n, D)
        self.options = _shared_options(family, members)
        self.latent_dim = int(self.options["latent_dim"])
        self.epoch = 0
        self.steps = 0
        self.members = {member.number: member for member in members}
        self.ended: dict[int, dict[str, Tensor]] = {}  # number -> scored weights by player, each (P,)
        self.living = [Living(member, Live(member.seed, settings.device, self.dtype)) for member in members]
        self._build()
        self._read_knobs()

    # The interface ----------------------------------------------------------------------------------------------------------------------

    def step(self) -> list[Report]:
        """Train every living member for one epoch; one report each. Empty when none lives."""
        if not self.living:
            return []
        self.epoch += 1
        try:
            reports = self._judge(self._train_epoch())
        except Exception as error:  # a user's penalty or model may raise anything; how a member ended is data
            reports = [_failure(living.member.number, self.epoch, error) for living in self.living]
        self._keep([k for k, report in enumerate(reports) if report.state is None])
        return reports

    def stop(self, number: int) -> None:
        """Take a member out of the run; its weights stay readable. A member that has ended already is left as it is."""
        self._keep([k for k, living in enumerate(self.living) if living.member.number != number])

    def save(self, path: Path) -> None:
        """Write a checkpoint, atomically. It holds plain tensors, numbers and strings only, so that loading it executes nothing."""
        _write(self._state(range(len(self.living))) | {"ended": self.ended}, path)

    def restore(self, path: Path) -> None:
        """Continue from a checkpoint that `save` wrote for the same members and settings."""
        state = torch.load(path, map_location=self.settings.device, weights_only=True)
        self.ended = state.get("ended", {})
        self._load(state, path)

    def save_each(self, paths: Mapping[int, Path]) -> None:
        """Write a checkpoint for each of these living members: the same file that the member alone would have written."""
        for k, living in enumerate(self.living):
            if living.member.number in paths:
                _write(self._state([k]), paths[living.member.number])

    def restore_each(self, paths: Mapping[int, Path]) -> None:
        """Continue every member of the run from a checkpoint of its own, whatever run wrote it; they must be of one epoch.

        Raises:
            ObjectiveError: a checkpoint is another member's, or they differ in their epoch.
        """
        states = [torch.load(paths[number], map_location=self.settings.device, weights_only=True) for number in self.members]
        epochs = sorted({state["epoch"] for state in states})
        if len(epochs) > 1:
            raise ObjectiveError(f"members that go on together must have trained equally long; got epochs {epochs}.")
        self._load(_joined(states), next(iter(paths.values())))

    def _state(self, positions: Sequence[int]) -> dict[str, Any]:
        """Everything that the next step of the members at these positions depends on. Tensors of members have a first axis."""
        chosen = [self.living[k] for k in positions]
        index = torch.tensor(list(positions), dtype=torch.long, device=self.rows.device)

        def of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: value.index_select(0, index) for name, value in tensors.items()}

        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "members": [[living.member.number, living.member.seed] for living in chosen],
            "rungs": [living.rungs for living in chosen],
            "first_loss": [living.first_loss for living in chosen],
            "best": [living.best for living in chosen],
            "history": [living.history for living in chosen],
            "streams": [living.streams.state() for living in chosen],
            "thetas": of(self.thetas),
            "averages": of(self.averages),
            "memories": {name: of(memory) for name, memory in self.memories.items()},
            "step_memories": {name: of(memory) for name, memory in self.step_memories.items()},
            "optimizers": {player: optimizer.state(index) for player, optimizer in self.optimizers.items()},
        }

    def _load(self, state: Mapping[str, Any], path: Path) -> None:
        seeds = {number: member.seed for number, member in self.members.items()}
        unknown = [number for number, seed in state["members"] if seeds.get(number) != seed]
        if unknown:
            raise ObjectiveError(f"{path} must be a checkpoint of members {sorted(seeds)} and their seeds; it holds member {unknown[0]}.")
        self.epoch, self.steps = state["epoch"], state["steps"]
        self.thetas, self.averages = state["thetas"], state["averages"]
        self.memories, self.step_memories = state["memories"], state["step_memories"]
        for player, optimizer in self.optimizers.items():
            optimizer.load_state(state["optimizers"][player])
        self.living = []
        for position, (number, seed) in enumerate(state["members"]):
            streams = Live(seed, self.settings.device, self.dtype)
            # Generator states live on the CPU, whatever the device of the generator.
            streams.load_state({name: value.cpu() for name, value in state["streams"][position].items()})
            kept = (state[key][position] for key in ("rungs", "first_loss", "best", "history"))
            self.living.append(Living(self.members[number], streams, *kept))
        self._read_knobs()

    def save_weights(self, number: int, path: Path) -> None:
        """Write a member's scored weights as safetensors, with config, seed, model and shape as metadata."""
        from safetensors.torch import save_file

        member, tree = self.members[number], self.regularization.plain(self._weights(number)).parameters
        tensors = {f"{part}.{name}": value.detach().cpu().clone() for part, named in tree.items() for name, value in named.items()}
        facts = {"config": dict(member.config), "seed": member.seed, "shape": list(self.images.shape), "epoch": self.epoch}
        named_facts = {"objective": self.family.name, "model": self.family.model, "likelihood": self.family.likelihood}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            save_file(tensors, temporary, {key: json.dumps(value) for key, value in (facts | named_facts).items()})
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def save_picture(self, number: int, path: Path) -> bool:
        """Write a PNG of samples or reconstructions; False where the data are no pictures."""
        from objectives.training.pictures import save_grid

        if self.images.shape[0] not in (1, 3) or min(self.images.shape[1:]) < 2:
            return False
        with torch.no_grad():
            shown = self.family.picture(self.regularization.plain(self._weights(number)), self.images)
        if shown is None:
            return False
        save_grid(shown[0], path, shown[1])
        return True

    # An epoch ---------------------------------------------------------------------------------------------------------------------------

    def train_steps(self, count: int) -> None:
        """Some steps of an epoch, without judging: what a calibration times."""
        self._train_epoch(count)

    def _train_epoch(self, steps: int | None = None) -> Values:
        """One pass over the training images, or `steps` of it; the mean of each logged scalar, (K,), still on the device."""
        with products(self.settings.precision, self.settings.device):
            return self._pass(steps)

    def _pass(self, steps: int | None) -> Values:
        n = len(self.rows)
        size = self.batch_size
        orders = torch.stack([torch.randperm(n, generator=living.streams.generator("order")) for living in self.living])
        orders = orders.to(self.rows.device)  # (K, n)
        logged: dict[str, list[Tensor]] = {}
        # Minibatches all have one size; the images left over differ from epoch to epoch.
        for start in list(range(0, n - size + 1, size))[:steps]:
            batch = self.rows[orders[:, start : start + size]]  # (K, B, D)
            self.clock.epochs.fill_(self.epoch - 1 + start / n)
            for player in self.family.players:
                if self.steps % self.family.every(player, self.options) == 0:
                    for name, value in self._update(player, batch).items():
                        logged.setdefault(name, []).append(value)
            self._average()
            self.steps += 1
        return {name: torch.stack(values).mean(0) for name, values in logged.items()}

    def _update(self, player: str, batch: Tensor) -> Values:
        """One step of one player for every member. Returns the logged scalars, (K,) each."""
        theta = self.thetas[player]

        def loss(
            thetas: Mapping[str, Tensor | Pieces],
            batch: Tensor,
            draws: Draws,
            knobs: Mapping[str, Tensor],
            memories: Memories,
            epochs: Tensor,
        ) -> tuple[Tensor, tuple[Values, Memories]]:
            clock = replace(self.clock, epochs=epochs)
            return self.regularization.loss(player, thetas, batch, draws, knobs, memories, clock, self.steps)

        streams = [living.streams for living in self.living]
        kind = (player, self.regularization.due(player, self.steps))
        knobs = {name: value for name, value in self.knobs.items() if name not in self.regularization.unused}
        gradient, values, self.memories = gradients(
            loss, self.regularization.cut, player, self.thetas, batch, streams, knobs, self.memories, self.clock.epochs, self._scratch, kind
        )
        if self._clips:
            clip(gradient, self.columns["clip_norm"])
        optimizer, rate = self.optimizers[player], self.family.rate(player, self.columns)
        self._act("before_step", player, rate)
        optimizer.step(theta, gradient, rate)
        self._act("after_step", player, rate)
        suffix = f"_{player[0]}" if len(self.family.players) > 1 else ""
        return {name if name.startswith("penalty_") else f"train_{name}{suffix}": value for name, value in values.items()}

    def _act(self, hook: str, player: str, rate: Tensor | float) -> None:
        """Regularizers that act on the weights themselves."""
        for name, found in self.regularization.active(hook, player).items():
            update = Update(rate, self.masks[player], self.clock, self.step_memories.get(name, {}), self.optimizers[player].scale)
            getattr(found.module, hook)(self.thetas[player], update, self.columns[name])

    def _average(self) -> None:
        """Exponential moving average of the weights, with a decay that warms up: θ̄ ← aθ̄ + (1 − a)θ, a = min(decay, (1 + t)/(10 + t))."""
        warm = (1 + self.steps) / (10 + self.steps)
        for player, average in self.averages.items():
            decay = self.columns[self.family.averaged[player]]
            kept = decay.clamp(max=warm) if isinstance(decay, Tensor) else min(decay, warm)
            average.add_((self.thetas[player] - average) * (1 - kept))

    # Judging ----------------------------------------------------------------------------------------------------------------------------

    def _judge(self, trained: Values) -> list[Report]:
        """Evaluate every living member and report; a member that has diverged or is done gets its state."""
        with torch.no_grad(), products("float32", self.settings.device):
            columns = {**trained, **self.evaluated_together()}
            # The one time per epoch that the host waits for the device.
            table = torch.stack([column.to(self.rows) for column in columns.values()]).T.tolist()
            return [self._report(k, dict(zip(columns, row, strict=True))) for k, row in enumerate(table)]

    def evaluated_together(self) -> Values:
        """What every living member reports after an epoch, (K,) each: as one program where the family's `evaluate` can be mapped."""
        if len(self.living) > 1 and self.family.evaluates_together:
            state = (self.thetas, self.averages, self.knobs, self.memories)
            return each(self._evaluated, state, TOGETHER // self.family.evaluated_images(self.images, self.options))
        found = [self.evaluated(k) for k in range(len(self.living))]
        return {name: torch.stack([torch.as_tensor(values[name], device=self.rows.device) for values in found]) for name in found[0]}

    @torch.no_grad()
    def evaluated(self, k: int) -> dict[str, Tensor | float]:
        """The metrics that the living member at position k reports after an epoch."""
        return self.family.evaluate(self.regularization.plain(self._current(k)), self.images)

    def _evaluated(self, *own: Any) -> Values:
        """The same of one model's θ, averages, knobs and memories."""
        found = self.family.evaluate(self.regularization.plain(self._working(*own)), self.images)
        return {name: torch.as_tensor(value, device=self.rows.device) for name, value in found.items()}

    def _report(self, k: int, metrics: dict[str, float]) -> Report:
        living = self.living[k]
        cheap = self.family.cheap or self.family.score
        rung = metrics[cheap]
        loss = sum(abs(value) for name, value in metrics.items() if name.startswith("train_loss"))
        report = Report(living.member.number, self.epoch, rung, metrics)
        if math.isnan(living.first_loss):
            living.first_loss = loss
        if not math.isfinite(loss) or not math.isfinite(rung):
            what = "training loss" if not math.isfinite(loss) else cheap
            return replace(report, state=State.DIVERGED, reason=f"{what} was not finite in epoch {self.epoch}")
        if loss > BLOW_UP * max(1.0, living.first_loss):
            return replace(report, state=State.DIVERGED, reason=f"training loss rose from {living.first_loss:.4g} to {loss:.4g}")
        if self.settings.score == "best_epoch" and not any(before <= rung for before in living.rungs):
            living.best = self._current(k)
        living.rungs.append(rung)
        living.history.append({name: metrics[name] for name in detectors.reads(self.family.name) if name in metrics})
        if evidence := self._collapse(living):
            return replace(report, state=State.COLLAPSED, reason=evidence)
        return self._complete(k, report) if self.epoch >= self.settings.epochs else report

    def _collapse(self, living: Living) -> str:
        """The evidence that a member's training has come to nothing. One that is scored by an epoch before its collapse is sound."""
        settings, config = self.settings, living.member.config
        on = regularizers.acting_on(self.family.name, tuple(self.family.players))
        values = {name: config.get(name, found.knob.default) for name, found in on.items() if found.has("rest")}
        rests = [on[name].module.rest(value, settings.epochs) for name, value in values.items() if not on[name].idle(value)]
        history = detectors.History(living.history, settings.epochs, config, max(rests, default=0.0))
        sound = living.best is not None and _scored_epoch(living) <= self.epoch - history.length()
        return "" if sound else detectors.find(self.family.name, history)

    def _complete(self, k: int, report: Report) -> Report:
        """The last report of a member that trained to the end: every metric, of the weights that are scored."""
        living = self.living[k]
        rungs = [min(living.rungs)] if living.best is not None else living.rungs
        try:
            net = self.regularization.plain(self._scored(k))
            asked = metrics.measured(Subject(self.family, net, self.images, "val"), self.family.measured[living.member.phase])
            final = {**asked, **self.family.finish(net, self.images, rungs)}
        except Exception as error:
            return replace(_failure(report.number, report.epoch, error), metrics=report.metrics)
        score = final[self.family.deciding]
        numbers = {**report.metrics, **final, "scored_epoch": float(_scored_epoch(living))}
        if not math.isfinite(score):
            reason = f"{self.family.deciding} was not finite in epoch {self.epoch}"
            return replace(report, metrics=numbers, rung_score=math.nan, state=State.DIVERGED, reason=reason)
        return replace(report, metrics=numbers, state=State.COMPLETE, score=score)

    # Members ----------------------------------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        """Every member's first weights, from its own seed; the optimizers, and what regularizers remember."""
        device, family = self.settings.device, self.family
        self.batch_size = min(self.settings.batch_size or family.default_batch_size, len(self.rows))
        build = partial(built, family, self.images.shape, self.options)
        freshly = [initialized(living.member.seed, build) for living in self.living]
        freshly = [{name: part.to(device, self.dtype) for name, part in parts.items()} for parts in freshly]
        self.parts = freshly[0]
        self.regularization = Regularization(family, self.parts, self.images.shape, self.latent_dim, self.options)
        self.regularization.switch([living.member.config for living in self.living])
        rows = [
            {
                player: self.regularization.flatten(player, parts, Live(living.member.seed)).to(device, self.dtype)
                for player in family.players
            }
            for living, parts in zip(self.living, freshly, strict=True)
        ]
        self.thetas = {player: torch.stack([row[player] for row in rows]) for player in family.players}
        self.memories = _stacked([self.regularization.memories(row) for row in rows])
        self.step_memories = {
            name: found.module.step_memory(self.thetas[found.player])
            for name, found in self.regularization.on.items()
            if found.has("step_memory")
        }
        self.masks = {player: layout.kernel_mask(self.thetas[player][0]) for player, layout in self.regularization.layouts.items()}
        self.optimizers = {player: Adam(theta) for player, theta in self.thetas.items()}
        self.averages = {player: self.thetas[player].clone() for player in family.averaged}
        self.clock = Clock(torch.zeros((), dtype=self.dtype, device=device), self.settings.epochs)

    def _keep(self, positions: list[int]) -> None:
        """Go on with the members at `positions`; the scored weights of the others are put aside."""
        if len(positions) == len(self.living):
            return
        for k, living in enumerate(self.living):
            if k not in positions:
                self.ended[living.member.number] = self._scored(k)
        index = torch.tensor(positions, dtype=torch.long, device=self.rows.device)
        self.living = [self.living[k] for k in positions]
        self.thetas = {player: theta.index_select(0, index) for player, theta in self.thetas.items()}
        self.averages = {player: theta.index_select(0, index) for player, theta in self.averages.items()}
        for memories in (self.memories, self.step_memories):
            for memory in memories.values():
                memory.update({key: value.index_select(0, index) for key, value in memory.items()})
        for optimizer in self.optimizers.values():
            optimizer.keep(index)
        self._read_knobs()

    def _read_knobs(self) -> None:
        """The living members' knobs: (K,) for the losses; (K, 1), or a number if there is one member, for what acts on flat weights."""
        known = self.family.knobs
        for living in self.living:
            for name in living.member.config:
                if name not in known:
                    raise ObjectiveError(registry.unknown(f"knob of the objective {self.family.name!r}", name, list(known)))
        values = {
            name: [float(living.member.config.get(name, knob.default)) for living in self.living]
            for name, knob in known.items()
            if not knob.structural and not knob.choices
        }
        self.knobs = {name: torch.tensor(value, dtype=self.dtype, device=self.settings.device) for name, value in values.items()}
        self.columns: dict[str, Tensor | float] = {
            name: value[0] if len(value) == 1 else self.knobs[name][:, None] for name, value in values.items()
        }
        self._clips = any(values["clip_norm"])
        for optimizer in self.optimizers.values():
            optimizer.betas = self.family.betas(self.columns)
        self.regularization.switch([living.member.config for living in self.living])
        about = (tuple(sorted(self.regularization.on)), tuple(sorted(self.options.items())), self.settings.precision)
        self._scratch = Scratch(Replays(self.family.traces, about))

    def _current(self, k: int) -> dict[str, Tensor]:
        """Member k's weights as they are evaluated."""
        thetas, averages, knobs = ({name: value[k] for name, value in found.items()} for found in (self.thetas, self.averages, self.knobs))
        memories = {name: {key: value[k] for key, value in memory.items()} for name, memory in self.memories.items()}
        with torch.no_grad():
            return self._working(thetas, averages, knobs, memories)

    def _working(
        self, thetas: Mapping[str, Tensor], averages: Mapping[str, Tensor], knobs: Mapping[str, Tensor], memories: Memories
    ) -> dict[str, Tensor]:
        """One model's weights as they are evaluated: averaged where the family averages, and with every reparametrization worked in."""
        # A weight that a regularizer holds at exactly 0 is 0 in the average too, which would only creep towards it.
        kept = {player: averages[player] * (theta != 0) if player in averages else theta for player, theta in thetas.items()}
        return self.regularization.evaluated(kept, knobs, memories, self.clock, Fixed("evaluation", self.rows))

    def _scored(self, k: int) -> dict[str, Tensor]:
        best = self.living[k].best
        return self._current(k) if best is None else best

    def _weights(self, number: int) -> dict[str, Tensor]:
        """The scored weights of a member, living or ended."""
        if number in self.ended:
            return self.ended[number]
        found = [k for k, living in enumerate(self.living) if living.member.number == number]
        if not found:
            raise ObjectiveError(f"number must be that of a member of this run, one of {sorted(self.members)}; got {number}.")
        return self._scored(found[0])


def built(family: Mathematics, shape: base.Shape, options: base.Config) -> dict[str, nn.Module]:
    """The freshly initialized parts of a family's model; a player whose regularizer changes what it takes (packing) gets that."""
    latent_dim = int(options["latent_dim"])
    parts = dict(models.build(family.model, family.name, shape, latent_dim))
    for name, found in regularizers.acting_on(family.name, tuple(family.players)).items():
        if found.has("takes") and not found.idle(options[name]):
            wider = models.build(family.model, family.name, found.module.takes(shape, options[name]), latent_dim)
            parts.update({part: wider[part] for part in family.players[found.player]})
    return parts


def _write(state: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(dict(state), temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _joined(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One state of all members: lists end to end, tensors along the axis of members, and what is one number for all from the first."""

    def join(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, Tensor):
            return torch.cat(list(values))
        if isinstance(first, Mapping):
            return {key: join([value[key] for value in values]) for key in first}
        return [item for value in values for item in value] if isinstance(first, list) else first

    return {key: join([state[key] for state in states]) for key in states[0]}


def _stacked(memories: Sequence[Memories]) -> Memories:
    """One memory of (K, …) tensors out of K memories."""
    return (
        {name: {key: torch.stack([memory[name][key] for memory in memories]) for key in first} for name, first in memories[0].items()}
        if memories
        else {}
    )


def _failure(number: int, epoch: int, error: Exception) -> Report:
    """The report of a member whose training raised."""
    known = SPOILED if isinstance(error, SpoiledError) else OUT_OF_MEMORY if out_of_memory(error) else ""
    reason = f"{known or type(error).__name__}: {error}"
    return Report(number, epoch, math.nan, state=State.FAILED, reason=reason, traceback="".join(traceback.format_exception(error)))


def _scored_epoch(living: Living) -> int:
    return living.rungs.index(min(living.rungs)) + 1 if living.best is not None else len(living.rungs)


def options_of(family: Mathematics, config: base.Config) -> dict[str, base.Value]:
    """The structural knobs of a config."""
    return {name: config.get(name, knob.default) for name, knob in family.knobs.items() if knob.structural}


def _shared_options(family: Mathematics, members: Sequence[Member]) -> dict[str, base.Value]:
    """The members' common structural knobs; they must agree in every one, for one tensor holds all of them."""
    for name, knob in family.knobs.items():
        values = {member.config.get(name, knob.default) for member in members} if knob.structural else set()
        if len(values) > 1:
            raise ObjectiveError(f"members of one run must agree in the structural knob {name!r}; got {sorted(values, key=str)}.")
    return options_of(family, members[0].config if members else {})


def _converted(images: ImageSet, dtype: torch.dtype) -> ImageSet:
    """The image set with its images in another precision (tests of equality use float64)."""
    if images.train.dtype == dtype:
        return images
    names = ("train", "val", "test", "train_target", "val_target", "test_target", "val_novel", "test_novel")
    converted: dict[str, Any] = {name: value.to(dtype) for name in names if (value := getattr(images, name)) is not None}
    return replace(images, **converted)


# Around a run ----------------------------------------------------------------------


def check_device(device: str) -> None:
    """Refuse a device that this process cannot use."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ObjectiveError(f"device must be one that torch finds here; got {device!r}, and there is no CUDA device. Choose device: cpu.")


def parameter_counts(family: Mathematics, shape: base.Shape) -> dict[str, int]:
    """Trainable numbers per part of the family's model, at the default structure."""
    parts = initialized(0, lambda: built(family, shape, options_of(family, {})))
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def read_test(family: Mathematics, config: base.Config, weights: Path) -> dict[str, float]:
    """Score saved weights on the test split."""
    from safetensors.torch import load_file

    torch.set_num_threads(family.settings.threads)
    images, options = family.load_data(), options_of(family, config)
    parts = initialized(0, lambda: built(family, images.shape, options))
    tensors = load_file(weights, device=family.settings.device)
    parameters: dict[str, dict[str, Tensor]] = {}
    for part, module in parts.items():
        module.to(family.settings.device)
        parameters[part] = {name: tensors.get(f"{part}.{name}", p.new_empty(0)) for name, p in module.named_parameters()}
        wrong = [name for name, p in module.named_parameters() if parameters[part][name].shape != p.shape]
        if wrong:
            raise ObjectiveError(f"{weights} must hold weights of model {family.model!r} with this config; {part}.{wrong[0]} does not fit.")
    net = evaluation_net(family, parts, parameters, images.shape, int(options["latent_dim"]), options)
    with torch.no_grad(), products("float32", family.settings.device):
        asked = metrics.measured(Subject(family, net, images, "test"), family.measured[base.Phase.CONFIRM])
        found = {**asked, **family.test(net, images)}
    return {**found, "score": found[family.deciding.replace("val_", "test_", 1)]}
