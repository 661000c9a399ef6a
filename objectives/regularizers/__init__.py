"""Regularizers: one file each, and the file name is the name in a spec. To add one is to add a file: no list is edited.

All that a file may hold is listed here. Anything else in a file is private: no other file asks for it.

What it is
- `KNOB`: its λ, a `base.Knob`;
- `COMPANIONS`: a tuple of further knobs that belong to it (none is a λ). `COMPANIONS_ON` says, by name, where a companion acts if it has no
  meaning in all the places of `ON`. `INTERVAL` names the companion that says how often the penalty is computed: once in so many steps, with
  so many times the weight;
- `ON`: what it may act on: `"autoencoder"`, `"vae"`, `"gan.generator"`, `"gan.discriminator"`. If it fits both players of a GAN it becomes
  two knobs, with the suffixes `_g` and `_d`;
- `LIKELIHOODS`: the likelihoods beside which it has a meaning, if not all: others are refused where it is on;
- `ANY_MODEL`: of a choice, the values that every model can train with, if not all (not every model has maps that can be normalized);
- `DEFAULT_ON`: why it is on unless a spec says otherwise, in words. A λ without this has its off value as its default.

What it does: one or more of these functions (`Context`, `Terms` and `Update` are in `objectives/terms.py`)

    on the loss
    - `penalty(terms) -> Tensor`: the unweighted penalty, a scalar averaged over the batch; λ multiplies it once, in `terms.regularized`;
    - `adjust(terms, value) -> Terms`: changes the loss in another way: bounds a term from below, replaces it, scales another λ;
    - `observe(terms, value) -> None`: looks at a finished loss and writes into `terms.context.memory`;
    - `auxiliary(terms) -> Tensor`: a loss of its own trained parameters, which leaves the model alone (an adversary);
    on what goes in
    - `augment(x, context, value) -> Tensor`: the training images (B, D), before anything else; the target of a reconstruction too;
    - `corrupt(x, context, value) -> Tensor`: what the network sees during training, never the target; for a GAN both real and generated;
    - `takes(shape, value) -> Shape`: the shape of the images that the player's parts then take, where `corrupt` changes it (`packing`);
    on the network
    - `layer(hidden, context, value) -> Tensor`: every hidden activation during training (`ALWAYS = True`: during evaluation too). Where
      it depends on the batch (values in `COUPLES`), `moments(hidden)` is what it takes of it, and `fixed(hidden, *moments)` does without;
    - `weights(kernels, context, value) -> kernels`: the kernels that the network computes with (`context.training` is False at evaluation);
    on the weights, beside the optimizer, in place on the flat θ of all members, (K, P)
    - `before_step(theta, update, value) -> None`, `after_step(theta, update, value) -> None`;
    elsewhere
    - `ELSEWHERE = True`: the training loop itself does it, by the knob's name (the average of a generator's weights);
    and what it keeps
    - `memory(kernels) -> dict`: one member's first memory, by name; hooks on the flat θ use `step_memory(theta) -> dict` of (K, …);
    - `PROBED`: values of its memory at which it acts, if it does not at first (for the check that λ is alive);
    - `parameters(kernels, draws, latent_dim) -> dict`: parameters of its own, trained beside the player's;
    and of one whose weight changes in the course of training
    - `rest(value, epochs) -> float`: the epoch from which it stands still, so that a collapse after it is for good.

What is known of it beforehand (`_truths.py`); its contract suite holds it to them
- `examples()`: values known in closed form, or computed in another way;
- `effect()`: what it is there to move, on a small problem.

What it does not go with (`_rules.py`)
- `CONFLICTS`: a tuple of `Rule`, each with a sweep that breaks it. A rule about two λ stands in one file: that of the more special one,
  whose author had to know the other, so that a new file brings its rules along and an old one stays as it is;
- `TRAITS`: what kind of λ it is, in words that rules ask for, so that no rule is a list of names. What is about two traits and no single λ
  is in `objectives/checks/conflicts.py`. The traits:

    - "gradient_penalty": on the slope of a discriminator at single images;
    - "bounds_critic": keeps that slope bounded, as a Wasserstein loss needs;
    - "logit_scaled": acts in the unit of the discriminator's logits, which differs from loss to loss;
    - "shrinks_weights": pulls kernels toward 0;
    - "fixes_scale": makes what a layer computes independent of the length of its weights;
    - "replaces_beta": takes the place of β·KL.

Every hook but the flat ones is written for one model. Where one member of a population has a regularizer off, the hook runs with the off
value and must then change nothing, to the bit; where all have it off, it is not called.

A file takes torch from `objectives.lazy`: the driver of a sweep reads the knobs and never trains.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType, ModuleType

from objectives import base, registry

HOOKS = ("penalty", "adjust", "observe", "auxiliary", "augment", "corrupt", "layer", "weights", "before_step", "after_step")


@dataclass(frozen=True)
class Regularizer:
    """A regularizer on one player of one objective. `suffix` is the end of its knobs' names: `_g`, `_d` or nothing."""

    knob: base.Knob
    player: str
    module: ModuleType
    companions: tuple[base.Knob, ...] = ()
    suffix: str = ""

    def has(self, hook: str) -> bool:
        """True if the file defines the function `hook`."""
        return hasattr(self.module, hook)

    def idle(self, value: base.Value) -> bool:
        """True if the regularizer changes nothing at `value`: a penalty times 0, anything else at its off value."""
        return value == (0 if self.has("penalty") else self.knob.off)

    @property
    def own_names(self) -> dict[str, str]:
        """The names of its knobs in the objective, by the names that its file gives them."""
        return {knob.name.removesuffix(self.suffix): knob.name for knob in (self.knob, *self.companions)}

    @property
    def interval(self) -> str | None:
        """The name of the companion that says once in how many steps the penalty is computed."""
        own = getattr(self.module, "INTERVAL", None)
        return None if own is None else self.own_names[own]


def modules() -> dict[str, ModuleType]:
    """Every regularizer file by its name."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in registry.names("regularizer")}


@lru_cache
def acting_on(objective: str, players: tuple[str, ...]) -> Mapping[str, Regularizer]:
    """The regularizers of an objective by knob name: `l2`, or `l2_g` and `l2_d` for a GAN. Read once, because this is called often."""
    found = {}
    for module in modules().values():
        places = {player: objective if len(players) == 1 else f"{objective}.{player}" for player in players}
        mine = [player for player in players if places[player] in module.ON]
        for player in mine:
            suffix = f"_{player[0]}" if len(mine) > 1 else ""
            where = player if len(players) > 1 else module.KNOB.where
            likelihood = next(iter(getattr(module, "LIKELIHOODS", ("",))))
            knob = replace(module.KNOB, name=module.KNOB.name + suffix, where=where, likelihood=likelihood)
            meant = getattr(module, "COMPANIONS_ON", {})
            here = [other for other in getattr(module, "COMPANIONS", ()) if places[player] in meant.get(other.name, module.ON)]
            companions = tuple(replace(other, name=other.name + suffix) for other in here)
            found[knob.name] = Regularizer(knob, player, module, companions, suffix)
    return MappingProxyType(found)
