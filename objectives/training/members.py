"""The members of a run that are still in training, with everything on which their next step depends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from objectives.base import Config, Knob, Member, ObjectiveError
from objectives.draws import Live
from objectives.registry import unknown
from objectives.terms import Clock
from objectives.training.optimizers import Optimizer
from objectives.training.regularization import Memories


@dataclass
class Living:
    """A member in training: its random streams, the cheap score of every epoch, the metrics that detectors of collapse read, and the
    weights of its best epoch if those will be scored."""

    member: Member
    streams: Live
    rungs: list[float] = field(default_factory=list)
    first_loss: float = math.nan
    best: dict[str, Tensor] | None = None
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Crew:
    """The living members of a run. Tensors of K members have a first axis of length K.

    `thetas` are each player's weights (K, P), `averages` their moving averages. `memories` and `step_memories` are what regularizers keep.
    `knobs` are the members' values (K,).
    """

    living: list[Living]
    thetas: dict[str, Tensor]
    averages: dict[str, Tensor]
    memories: Memories
    step_memories: Memories
    optimizers: dict[str, Optimizer]
    clock: Clock
    knobs: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    steps: int = 0

    def configs(self) -> list[Config]:
        """The config with which each member goes on now."""
        return [living.member.config_after(self.epoch) for living in self.living]

    def values(self, knobs: Mapping[str, Knob], objective: str) -> dict[str, list[float]]:
        """The members' value of every knob that is a number and not structural.

        Raises:
            ObjectiveError: a config names a knob that the objective does not have.
        """
        configs = self.configs()
        if strange := [name for config in configs for name in config if name not in knobs]:
            raise ObjectiveError(unknown(f"knob of the objective {objective!r}", strange[0], list(knobs)))
        free = {name: knob.default for name, knob in knobs.items() if not knob.structural and not knob.choices}
        return {name: [float(config.get(name, default)) for config in configs] for name, default in free.items()}

    def average(self, decays: Mapping[str, Tensor | float]) -> None:
        """Exponential moving average of the weights, with a decay that warms up: θ̄ ← aθ̄ + (1 − a)θ, a = min(decay, (1 + t)/(10 + t)).

        `decays` are (K, 1), or a number if there is one member, by player.
        """
        warm = (1 + self.steps) / (10 + self.steps)
        for player, average in self.averages.items():
            decay = decays[player]
            kept = decay.clamp(max=warm) if isinstance(decay, Tensor) else min(decay, warm)
            average.add_((self.thetas[player] - average) * (1 - kept))

    def keep(self, positions: Sequence[int]) -> None:
        """Go on with the members at these positions."""
        self.living = [self.living[k] for k in positions]
        first = next(iter(self.thetas.values()), None)
        if first is None:
            return
        index = torch.tensor(list(positions), dtype=torch.long, device=first.device)
        self.thetas = _chosen(self.thetas, index)
        self.averages = _chosen(self.averages, index)
        for memories in (self.memories, self.step_memories):
            for memory in memories.values():
                memory.update(_chosen(memory, index))
        for optimizer in self.optimizers.values():
            optimizer.keep(index)

    def state(self, positions: Sequence[int]) -> dict[str, Any]:
        """What a checkpoint holds of the members at these positions: plain tensors, numbers and words."""
        chosen = [self.living[k] for k in positions]
        index = torch.tensor(list(positions), dtype=torch.long, device=self.clock.epochs.device)
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            "members": [[living.member.number, living.member.seed] for living in chosen],
            "rungs": [living.rungs for living in chosen],
            "first_loss": [living.first_loss for living in chosen],
            "best": [living.best for living in chosen],
            "history": [living.history for living in chosen],
            "streams": [living.streams.state() for living in chosen],
            "thetas": _chosen(self.thetas, index),
            "averages": _chosen(self.averages, index),
            "memories": {name: _chosen(memory, index) for name, memory in self.memories.items()},
            "step_memories": {name: _chosen(memory, index) for name, memory in self.step_memories.items()},
            "optimizers": {player: optimizer.state(index) for player, optimizer in self.optimizers.items()},
        }

    def load(self, state: Mapping[str, Any], known: Mapping[int, Member], device: str, dtype: torch.dtype, path: Path) -> None:
        """Take over what `state` returned for some of the members in `known`. `path` is the file from which it was read.

        Raises:
            ObjectiveError: it is of other members.
        """
        seeds = {number: member.seed for number, member in known.items()}
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
            streams = Live(seed, device, dtype)
            # Generator states are on the CPU, whatever the device of the generator.
            streams.load_state({name: value.cpu() for name, value in state["streams"][position].items()})
            kept = (state[key][position] for key in ("rungs", "first_loss", "best", "history"))
            self.living.append(Living(known[number], streams, *kept))


def _chosen(tensors: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    return {name: value.index_select(0, index) for name, value in tensors.items()}
