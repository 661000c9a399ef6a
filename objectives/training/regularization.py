"""The regularizers of one run at work: which are on, what each sees, and how they change the network.

Everything here is about one model. `loop.py` asks for the loss of one player and for the weights that are evaluated. `population.py` maps
the loss over members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from objectives import base, regularizers
from objectives.draws import Draws, Fixed, Live
from objectives.guests import IgnoredError
from objectives.models._borrowed import Borrowed, ignores_hook
from objectives.regularizers import Regularizer
from objectives.state import Held, State
from objectives.terms import Clock, Context, Corrupt, Memory, Net, Shape, Values, regularized
from objectives.training.mathematics import Mathematics
from objectives.training.population import Layout, Pieces

Thetas = Mapping[str, Tensor]
Parameters = Mapping[str, Mapping[str, Tensor]]  # part -> name -> tensor
Knobs = Mapping[str, Tensor]
Memories = dict[str, dict[str, Tensor]]  # regularizer -> name -> tensor
# What a user's modules keep from step to step lies beside the memories of regularizers, and behind the weights that are evaluated.
BUFFERS = "(buffers)"


@dataclass(frozen=True)
class Moment:
    """What changes from step to step for one model: its random draws, its knobs, the clock, and the memories, which hooks write."""

    draws: Draws
    knobs: Knobs
    clock: Clock
    memories: Mapping[str, Memory]


class Regularization:
    """The regularizers of a run, bound to its model. Functions of parameters, knobs and draws. The only state: which are on."""

    def __init__(self, family: Mathematics, parts: Mapping[str, nn.Module], shape: Shape, latent_dim: int, options: base.Config) -> None:
        self.family, self.parts, self.shape, self.latent_dim = family, parts, shape, latent_dim
        self.options = {name: value for name, value in options.items() if family.knobs[name].structural}
        self.all = regularizers.acting_on(family.name, tuple(family.players))
        self.layouts = {player: Layout({name: parts[name] for name in owned}) for player, owned in family.players.items()}
        self.trained: dict[str, dict[str, tuple[str, torch.Size]]] = {player: {} for player in family.players}
        self.held = Held(parts)
        self._stateful = any(isinstance(part, Borrowed) for part in parts.values())  # ours keep and draw nothing
        self.on: dict[str, Regularizer] = {}
        self.unused: frozenset[str] = frozenset()  # knobs of regularizers that are off

    def switch(self, configs: Sequence[base.Config]) -> None:
        """From now on only regularizers that any of these configs has on are computed. One that cannot act raises IgnoredError."""
        self.on = {
            name: found
            for name, found in self.all.items()
            if not all(found.idle(config.get(name, found.knob.default)) for config in configs)
        }
        self.unused = frozenset(own for name, found in self.all.items() if name not in self.on for own in found.own_names.values())

        for name, found in self.active("layer").items():
            _handed_out(name, self.family.model, [self.parts[part] for part in self.family.players[found.player]])

    def active(self, hook: str, player: str | None = None) -> dict[str, Regularizer]:
        """The regularizers that are on and have `hook`, by knob name; those of one player if one is named."""
        return {name: found for name, found in self.on.items() if found.has(hook) and player in (None, found.player)}

    def due(self, player: str, step: int) -> frozenset[str]:
        """The penalties of a player that are computed in this step. Some are computed only every so many steps of the player."""
        own_step = step // self.family.every(player, self.options)
        return frozenset(name for name, found in self.active("penalty", player).items() if own_step % self.every(found) == 0)

    def every(self, found: Regularizer) -> int:
        """A penalty is computed once in so many steps of its player, and then stands for all of them."""
        return int(self.options[found.interval]) if found.interval else 1

    # What is kept -----------------------------------------------------------------------------------------------------------------------

    def flatten(self, player: str, parts: Mapping[str, nn.Module], draws: Live) -> Tensor:
        """A player's freshly built parameters, and behind them the parameters that its regularizers train, as one vector (P,)."""
        layout = self.layouts[player]
        theta = layout.flatten({name: parts[name] for name in self.family.players[player]})
        found = [theta]
        for name, regularizer in self.active("parameters", player).items():
            for own, value in regularizer.module.parameters(layout.kernels(theta), draws, self.latent_dim).items():
                self.trained[player][f"{name}/{own}"] = (name, value.shape)
                found.append(value.detach().reshape(-1).to(theta))
        return torch.cat(found)

    def memories(self, thetas: Thetas, parts: Mapping[str, nn.Module]) -> Memories:
        """One member's first memories, and the buffers of its freshly built parts."""
        buffers = self.held.first(parts)
        found: Memories = {BUFFERS: buffers} if buffers else {}
        for name, regularizer in self.active("memory").items():
            kernels = self.layouts[regularizer.player].kernels(thetas[regularizer.player])
            found[name] = {key: value.detach().clone() for key, value in regularizer.module.memory(kernels).items()}
        return found

    # One model --------------------------------------------------------------------------------------------------------------------------

    def loss(
        self,
        player: str,
        thetas: Mapping[str, Tensor | Pieces],
        batch: Tensor,
        draws: Draws,
        knobs: Knobs,
        memories: Memories,
        clock: Clock,
        step: int,
    ) -> tuple[Tensor, tuple[Values, Memories]]:
        """What `player` descends on a batch (B, D), the scalars to log, and the new memories. A player's θ is whole (P,) or in pieces."""
        moment = Moment(draws, knobs, clock, {name: Memory(memories.get(name)) for name in self.on})
        # Cut only once: the gradient of a second cut would be a second vector as long as θ.
        pieces = {name: self.cut(name, theta) if isinstance(theta, Tensor) else theta for name, theta in thetas.items()}
        parameters, trained = self._tree(pieces), self._trained(pieces)

        def context(name: str) -> Context:
            return self._context(name, moment, trained)

        for name, found in self.active("augment").items():
            batch = found.module.augment(batch, context(name), self._value(name, knobs))
        state = State(self.held, memories.get(BUFFERS, {}), draws, training=True) if self._stateful else None
        net = self._net(parameters, moment, trained, training=True, state=state)
        terms = self.family.loss(player, net, batch, draws, knobs)
        if state is not None:
            state.freeze()
        terms = replace(terms, kernels=self._kernels(player, parameters), net=net)
        for name, found in self.active("adjust", player).items():
            terms = found.module.adjust(terms.within(context(name)), self._value(name, knobs))
        penalties = {}
        for name in sorted(self.due(player, step)):
            penalties[name] = (self.on[name].module, context(name))
            if (every := self.every(self.on[name])) > 1:
                terms = terms.scaled(name, every)
        total, values = regularized(terms, penalties, knobs)
        for name, found in self.active("auxiliary", player).items():
            total = total + found.module.auxiliary(terms.within(context(name)))
        for name, found in self.active("observe", player).items():
            found.module.observe(terms.within(context(name)), self._value(name, knobs))
        kept = {BUFFERS: state.values} if state is not None and state.values else {}
        return total, (values, kept | {name: dict(memory) for name, memory in moment.memories.items() if memory})

    def evaluated(self, thetas: Thetas, knobs: Knobs, memories: Memories, clock: Clock, draws: Draws) -> dict[str, Tensor]:
        """The weights of the network as it is evaluated, by player: plain parameters of the model, which need no regularizer any more."""
        moment = Moment(draws, knobs, clock, {name: Memory(memories.get(name)) for name in self.on})
        pieces = {player: self.cut(player, theta) for player, theta in thetas.items()}
        parameters = self._net(self._tree(pieces), moment, self._trained(pieces), training=False).parameters
        found = {player: layout.join(parameters) for player, layout in self.layouts.items()}
        return found | ({BUFFERS: self.held.join(memories[BUFFERS], next(iter(found.values())))} if BUFFERS in memories else {})

    def plain(self, thetas: Thetas) -> Net:
        """The network of evaluated weights."""
        parameters = {part: named for player, layout in self.layouts.items() for part, named in layout.unflatten(thetas[player]).items()}
        buffers = self.held.split(thetas[BUFFERS]) if BUFFERS in thetas else {}
        return evaluation_net(self.family, self.parts, parameters, self.shape, self.latent_dim, self.options, buffers)

    def cut(self, player: str, theta: Tensor) -> Pieces:
        """A player's θ (P,) in one flat piece for each parameter: the model's, then those that its regularizers train."""
        return torch.split(theta, [*self.layouts[player].sizes, *(shape.numel() for _, shape in self.trained[player].values())])

    def _tree(self, pieces: Mapping[str, Pieces]) -> dict[str, dict[str, Tensor]]:
        return {part: named for player, layout in self.layouts.items() for part, named in layout.tree(pieces[player]).items()}

    def _kernels(self, player: str, parameters: Parameters) -> dict[str, Tensor]:
        """The weights of rank ≥ 2 of one player, by their full names. A weight that parts share is listed once."""
        named = (((part, key), value) for part in self.family.players[player] for key, value in parameters[part].items())
        tied = self.layouts[player].tied
        return {f"{part}.{key}": value for (part, key), value in named if value.ndim > 1 and (part, key) not in tied}

    def _net(
        self,
        parameters: Parameters,
        moment: Moment,
        trained: Mapping[str, Mapping[str, Tensor]],
        training: bool,
        state: State | None = None,
    ) -> Net:
        """The model with these parameters as training sees it, or with its reparametrizations only."""
        computed = {part: dict(named) for part, named in parameters.items()}
        for name, found in self.active("weights").items():
            kernels = self._kernels(found.player, computed)
            context = replace(self._context(name, moment, trained), training=training)
            for full, value in found.module.weights(kernels, context, self._value(name, moment.knobs)).items():
                part, _, key = full.partition(".")
                computed[part][key] = value
            self.layouts[found.player].tie(computed)
        hidden: dict[str, Corrupt] = {}
        inputs: dict[str, Corrupt] = {}
        for player, parts in self.family.players.items():
            for hook, into in (("layer", hidden), ("corrupt", inputs)):
                if training and (active := self.active(hook, player)):
                    into.update(dict.fromkeys(parts, self._chain(hook, active, moment, trained)))
        own: Any = {"shape": self.shape, "latent_dim": self.latent_dim, "options": self.options}
        return Net(self.parts, computed, hidden=hidden, inputs=inputs, state=state, **own)

    def _chain(self, hook: str, active: Mapping[str, Regularizer], moment: Moment, trained: Mapping[str, Mapping[str, Tensor]]) -> Corrupt:
        """The hook `layer` or `corrupt` of several regularizers, one after the other."""
        steps = [
            (getattr(found.module, hook), self._context(name, moment, trained), self._value(name, moment.knobs))
            for name, found in active.items()
        ]

        def apply(x: Tensor) -> Tensor:
            for act, context, value in steps:
                x = act(x, context, value)
            return x

        return apply

    def _value(self, name: str, knobs: Knobs) -> Tensor | base.Value:
        """A λ as its hooks see it: a 0-dim tensor. A structural λ, which is the same for all members, is a plain value."""
        return knobs[name] if name in knobs else self.options[name]

    def _trained(self, pieces: Mapping[str, Pieces]) -> dict[str, dict[str, Tensor]]:
        """Regularizer -> its own trained parameters: those that lie in θ behind the model's parameters."""
        found: dict[str, dict[str, Tensor]] = {}
        for player, entries in self.trained.items():
            behind = pieces[player][len(self.layouts[player].sizes) :]
            for (key, (name, shape)), piece in zip(entries.items(), behind, strict=True):
                found.setdefault(name, {})[key.partition("/")[2]] = piece.view(shape)
        return found

    def _context(self, name: str, moment: Moment, trained: Mapping[str, Mapping[str, Tensor]]) -> Context:
        own = self.on[name].own_names
        return Context(
            draws=moment.draws,
            clock=moment.clock,
            shape=self.shape,
            knobs={short: moment.knobs[full] for short, full in own.items() if full in moment.knobs},
            options={short: self.options[full] for short, full in own.items() if full in self.options},
            memory=moment.memories[name],
            trained=trained.get(name, {}),
            player=self.on[name].player,
        )


def _handed_out(name: str, model: str, parts: Sequence[nn.Module]) -> None:
    """Refuse a λ on hidden activations that a user's modules do not hand out.

    Raises:
        IgnoredError: none of the parts hands out its activations.
    """
    if why := ignores_hook(parts):
        remedy = f"Write forward(self, x, hidden) and pass activations through `hidden`, or leave {name} out"
        raise IgnoredError(f"{name} acts on hidden activations, and {model} {why}. {remedy}.")


def evaluation_net(
    family: Mathematics,
    parts: Mapping[str, nn.Module],
    parameters: Mapping[str, Mapping[str, Tensor]],
    shape: Shape,
    latent_dim: int,
    options: base.Config,
    buffers: Mapping[str, Tensor] | None = None,
) -> Net:
    """The network of given weights as it is evaluated: without noise, with the normalization layers that `options` asks for."""
    hidden: dict[str, Corrupt] = {}
    for name, found in regularizers.acting_on(family.name, tuple(family.players)).items():
        if getattr(found.module, "ALWAYS", False) and not found.idle(value := options.get(name, found.knob.default)):
            own = {short: options[full] for short, full in found.own_names.items() if full in options}
            context = Context(Draws(), Clock(torch.ones(()), 1), shape, options=own, training=False, player=found.player)
            hidden.update(dict.fromkeys(family.players[found.player], _fixed_layer(found, context, value)))
    state = None
    if any(isinstance(part, Borrowed) for part in parts.values()):
        like = next(value for named in parameters.values() for value in named.values())
        state = State(Held(parts), buffers or {}, Fixed("module", like), training=False)
    return Net(parts, parameters, shape=shape, latent_dim=latent_dim, options=options, hidden=hidden, state=state)


def _fixed_layer(found: Regularizer, context: Context, value: base.Value) -> Callable[[Tensor], Tensor]:
    return lambda x: found.module.layer(x, context, value)
