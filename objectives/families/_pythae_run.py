"""Members in training with pythae's models: like `training/loop.py`, but pythae computes the loss, and torch's own Adam takes the steps.

pythae draws from torch's global generator. Each member has its own state of this generator. It is put in place for the member's epochs and
kept with the checkpoint. So a member is the same alone, among others, and after an interruption. Initialization, data order and
binarization come from the member's streams, as everywhere: for the same seed they are the same as those of `vae` and `autoencoder`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from objectives import base, registry
from objectives.checks._probe import IMAGES, PROGRESS, SEED
from objectives.data._kinds import SPLITS, ImageSet
from objectives.draws import Live, initialized, stream_seed
from objectives.terms import Clock, Net, Values
from objectives.training.built import built, options_of
from objectives.training.judging import Judge
from objectives.training.loop import TrainingRun
from objectives.training.members import Crew, Living
from objectives.training.regularization import Regularization

Parts = Mapping[str, nn.Module]


class NotFiniteError(ArithmeticError):
    """The decoder's output is NaN or infinite: the member has diverged."""


def assembled(objective: Any, config: base.Config, parts: Parts, shape: tuple[int, int, int], device: str) -> Any:
    """pythae's model of this config around the parts of one of our models. Draws no random numbers."""
    from pythae import models
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    variational = hasattr(objective, "_expected")

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.part = parts["encoder"]

        def forward(self, x: Tensor) -> Any:
            out = self.part(x)
            if not variational:
                return ModelOutput(embedding=out)
            mean, log_variance = out.chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.part = parts["decoder"]

        def forward(self, z: Tensor) -> Any:
            out = self.part(z)
            if not bool(out.isfinite().all()):  # pythae's cross-entropy would raise on a CPU, and end the process on a GPU
                raise NotFiniteError
            return ModelOutput(reconstruction=objective._expected(out) if variational else out)

    kind = getattr(models, objective.pythae)
    facts = getattr(models, f"{objective.pythae}{'_' if '_' in objective.pythae else ''}Config")
    shared = {"lr", "latent_dim", "weight_decay"}
    own = {name: config.get(name, knob.default) for name, knob in objective.knobs.items() if name not in shared}
    if variational:
        own["reconstruction_loss"] = "bce" if objective.likelihood == "bernoulli" else "mse"
    size = int(options_of(objective, config)["latent_dim"])
    model = kind(facts(input_dim=shape, latent_dim=size, **own), encoder=Encoder(), decoder=Decoder())
    model.device = device  # pythae's own trainer sets it, and RAE_GP reads it
    return model


def adam(objective: Any, config: base.Config, model: Any) -> torch.optim.Adam:
    """The optimizer of pythae's trainer: Adam. For RAE_L2 the decoder has a weight decay of its own."""
    knobs = {name: config.get(name, objective.knobs[name].default) for name in ("lr", "weight_decay")}
    decay = float(knobs["weight_decay"])
    extra = float(config.get("reg_weight", objective.knobs["reg_weight"].default)) if objective.pythae == "RAE_L2" else 0.0
    groups = [
        {"params": list(model.encoder.parameters()), "weight_decay": decay},
        {"params": list(model.decoder.parameters()), "weight_decay": decay + extra},
    ]
    return torch.optim.Adam(groups, lr=float(knobs["lr"]))


class Learner:
    """One member's model, optimizer, and position in torch's own random numbers."""

    def __init__(self, objective: Any, member: base.Member, parts: Parts, shape: tuple[int, int, int], device: str) -> None:
        self.objective, self.parts, self.device = objective, parts, device
        self.model = assembled(objective, member.config, parts, shape, device)
        self.optimizer = adam(objective, member.config, self.model)
        self.random = torch.Generator(device).manual_seed(stream_seed(member.seed, "pythae")).get_state()

    def epoch(self, rows: Tensor, order: Tensor, size: int, number: int, streams: Live) -> Tensor:
        """Train on the rows (n, D) in this order. Returns the mean loss. An output that is not finite ends the epoch with NaN."""
        losses = []
        with self._own_random_numbers():
            for start in range(0, len(rows) - size + 1, size):
                batch = rows[order[start : start + size]]
                x = self.objective._observed(batch, streams) if hasattr(self.objective, "_observed") else batch
                try:
                    loss = self.model({"data": x}, epoch=number, dataset_size=len(rows)).loss
                except NotFiniteError:
                    return rows.new_tensor(math.nan)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                losses.append(loss.detach())
            self.model.update()
        return torch.stack(losses).mean()

    def state(self, members: Tensor) -> dict[str, Any]:
        """Plain tensors and numbers. The learner has one member, so `members` selects nothing."""
        return {"parts": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "random": self.random}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.model.load_state_dict(state["parts"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random = state["random"].cpu()

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        kind = self.device.partition(":")[0]
        there = torch if kind == "cpu" else torch.get_device_module(kind)
        with torch.random.fork_rng(devices=[] if kind == "cpu" else [self.device], device_type="cuda" if kind == "cpu" else kind):
            there.set_rng_state(self.random)
            yield
            self.random = there.get_rng_state()


class PythaeRun(TrainingRun):
    """Members in training, one after the other within an epoch. Its checkpoints hold the learners in the place of optimizers."""

    def _begin(self) -> None:
        family, shape, device = self.family, self.images.shape, self.settings.device
        self.learners: dict[int, Learner] = {}
        for member in self.members.values():
            fresh = initialized(member.seed, partial(built, family, shape, self.options))
            parts = {name: part.to(device, self.dtype) for name, part in fresh.items()}
            self.learners[member.number] = Learner(family, member, parts, shape, device)
        first = next(iter(self.learners.values())).parts
        self.regularization = Regularization(family, first, shape, int(self.options["latent_dim"]), self.options)
        living = [Living(member, Live(member.seed, device, self.dtype)) for member in self.members.values()]
        learners: Any = {str(number): learner for number, learner in self.learners.items()}
        clock = Clock(torch.zeros((), dtype=self.dtype, device=device), self.settings.epochs)
        # This run has no regularizers of ours and no averages.
        self.crew = Crew(living, {}, {}, {}, {}, learners, clock)
        self.judge = _Judge(self)

    def _train_epoch(self, steps: int | None = None) -> Values:
        losses = []
        for living in self.crew.living:
            order = torch.randperm(len(self.rows), generator=living.streams.generator("order")).to(self.rows.device)
            learner = self.learners[living.member.number]
            losses.append(learner.epoch(self.rows, order, self.batch_size, self.crew.epoch, living.streams))
        return {"train_loss": torch.stack(losses)}

    def _read_knobs(self) -> None:
        known = list(self.family.knobs)
        strange = [name for living in self.crew.living for name in living.member.config if name not in known]
        if strange:
            raise base.ObjectiveError(registry.unknown(f"knob of the objective 'pythae:{self.family.pythae}'", strange[0], known))  # type: ignore[attr-defined]


class _Judge(Judge):
    """The judge of members whose weights are in pythae's models."""

    def __init__(self, run: PythaeRun) -> None:
        super().__init__(run.family, run.images, run.options, run.regularization, run.crew)
        self._learners = run.learners

    def current(self, k: int) -> dict[str, Tensor]:
        """Member k's weights, by player."""
        learner = self._learners[self.crew.living[k].member.number]
        return {player: layout.flatten(learner.parts) for player, layout in self.regularization.layouts.items()}


class PythaeProbe:
    """An implementation of `base.Probe`: pythae's loss on a few images, in double precision."""

    def __init__(self, objective: Any, config: base.Config) -> None:
        self._objective, self._config = objective, dict(config)
        self._images = _few(objective.load_data())
        options = options_of(objective, config)
        fresh = initialized(SEED, lambda: built(objective, self._images.shape, options))
        self._parts = {name: part.to(objective.settings.device, torch.float64) for name, part in fresh.items()}
        self._latent_dim, self._options = int(options["latent_dim"]), options

    def parameters(self) -> Mapping[str, Tensor]:
        """The parameters of both parts."""
        return {f"{part}.{name}": p for part, module in self._parts.items() for name, p in module.named_parameters()}

    def loss(self, config: base.Config) -> Tensor:
        """The loss that pythae descends on the batch."""
        rows, device = self._images.train.flatten(1), self._objective.settings.device
        x = self._objective._observed(rows, Live(SEED, device, torch.float64)) if hasattr(self._objective, "_observed") else rows.clone()
        epoch = max(1, round(PROGRESS * self._objective.settings.epochs))
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            model = self._assembled(config)
            loss: Tensor = model({"data": x.clone()}, epoch=epoch, dataset_size=len(self._images.train)).loss
        return loss

    def score(self, config: base.Config) -> float:
        """The cheap score of these weights."""
        parameters = {part: dict(module.named_parameters()) for part, module in self._parts.items()}
        net = Net(self._parts, parameters, shape=self._images.shape, latent_dim=self._latent_dim, options=self._options)
        with torch.no_grad():
            found = self._objective.evaluate(net, self._images)
        return float(found[self._objective.cheap or self._objective.score])

    def optimizer(self, config: base.Config) -> torch.optim.Adam:
        """The optimizer that would train with this config."""
        return adam(self._objective, {**self._config, **config}, self._assembled(config))

    def _assembled(self, config: base.Config) -> Any:
        return assembled(self._objective, {**self._config, **config}, self._parts, self._images.shape, self._objective.settings.device)


def _few(images: ImageSet) -> ImageSet:
    """The first images of each split, in double precision."""
    names = [f"{split}{kind}" for split in SPLITS for kind in ("", "_target")]
    return replace(images, **{name: value[:IMAGES].double() for name in names if (value := getattr(images, name)) is not None})
