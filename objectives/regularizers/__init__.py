"""Regularizers: one file each, and the file name is the name in a spec.

A file holds

- `KNOB`: its λ, a `base.Knob` (further knobs that belong to it: `COMPANIONS`, a tuple),
- `ON`: what it may act on: `"autoencoder"`, `"vae"`, `"gan.generator"`, `"gan.discriminator"`. If it fits both players of a GAN it becomes
  two knobs, with the suffixes `_g` and `_d`,
- `examples()`: pairs of terms and the exact penalty of each, which its contract suite checks (penalties only),
- and what it does, one or more of these functions:
    - `penalty(terms) -> Tensor`: the unweighted penalty, a scalar averaged over the batch; λ multiplies it once, in `training.py`;
    - `layer(hidden, draws, value) -> Tensor`: acts on every hidden activation during training, never during evaluation;
    - `corrupt(x, draws, value) -> Tensor`: acts on the network's input during training, never on the target;
    - `before_step(theta, lr, value, kernels) -> None`: acts on the flat weights in place, before the optimizer; `kernels` is a 0/1 mask.

torch is imported inside these functions only: the driver of a sweep reads the knobs and never trains.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from types import ModuleType

from objectives import base


@dataclass(frozen=True)
class Regularizer:
    """A regularizer on one player of one objective."""

    knob: base.Knob
    player: str
    module: ModuleType
    companions: tuple[base.Knob, ...] = ()

    def has(self, hook: str) -> bool:
        """True if the file defines the function `hook`."""
        return hasattr(self.module, hook)

    def idle(self, value: float) -> bool:
        """True if the regularizer changes nothing at `value`: a penalty times 0, anything else at its off value."""
        return value == (0 if self.has("penalty") else self.knob.off)


def modules() -> dict[str, ModuleType]:
    """Every regularizer file by its name."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in base.names("regularizer")}


def acting_on(objective: str, players: tuple[str, ...]) -> dict[str, Regularizer]:
    """The regularizers of an objective by the name of their knob, e.g. `l2`, or `l2_g` and `l2_d` for a GAN."""
    found = {}
    for module in modules().values():
        mine = [player for player in players if (objective if len(players) == 1 else f"{objective}.{player}") in module.ON]
        for player in mine:
            suffix = f"_{player[0]}" if len(mine) > 1 else ""
            where = player if len(players) > 1 else module.KNOB.where
            knob = replace(module.KNOB, name=module.KNOB.name + suffix, where=where)
            companions = tuple(replace(other, name=other.name + suffix) for other in getattr(module, "COMPANIONS", ()))
            found[knob.name] = Regularizer(knob, player, module, companions)
    return found
