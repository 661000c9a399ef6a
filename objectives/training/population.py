"""K members at once. Only this file knows the member axis.

Losses are written for one model. Here the parameters of each player are one flat vector θ, shape (P,), and a population is θ of shape
(K, P). One member is evaluated directly; several are evaluated through `torch.func.vmap` of the gradient of the very same function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from objectives import draws as draws_
from objectives.draws import Draws, Listing, Live, Request, Tape
from objectives.terms import Values
from objectives.training.traced import Replays
from objectives.training.uncompiled import leave_unloaded

leave_unloaded()

Parts = Mapping[str, nn.Module]
Pieces = tuple[Tensor, ...]  # a flat θ cut into one flat tensor for each parameter
Thetas = Mapping[str, Tensor]  # player -> flat parameters
Memories = dict[str, dict[str, Tensor]]
# (θ by player, whole or in pieces; batch, draws, knobs, memories, epochs done) -> (total to differentiate, (scalars to log, new memories))
Loss = Callable[
    [Mapping[str, Tensor | Pieces], Tensor, Draws, Mapping[str, Tensor], Memories, Tensor], tuple[Tensor, tuple[Values, Memories]]
]


class Layout:
    """Where each parameter of one player lies in its flat vector. A parameter that two parts share (tied weights) lies there once."""

    def __init__(self, parts: Parts) -> None:
        named = [((part, name), p) for part, module in parts.items() for name, p in module.named_parameters()]
        owners: dict[int, tuple[str, str]] = {}
        for full, p in named:
            owners.setdefault(id(p), full)
        self.names = list(owners.values())
        self.tied = {full: owners[id(p)] for full, p in named if owners[id(p)] != full}  # the other names of shared parameters
        self.shapes = [parts[part].get_parameter(name).shape for part, name in self.names]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.size = sum(self.sizes)

    def flatten(self, parts: Parts) -> Tensor:
        """The parameters of freshly built modules as one vector (P,)."""
        return torch.cat([parts[part].get_parameter(name).detach().reshape(-1) for part, name in self.names])

    def unflatten(self, theta: Tensor) -> dict[str, dict[str, Tensor]]:
        """Views of θ (P,) by part and parameter name. Parameters behind them, which regularizers train, are not among the views."""
        return self.tree(torch.split(theta[: self.size], self.sizes))

    def tree(self, pieces: Pieces) -> dict[str, dict[str, Tensor]]:
        """The parameters by part and name, from θ's pieces. Further pieces are ignored."""
        found: dict[str, dict[str, Tensor]] = {}
        for (part, name), shape, piece in zip(self.names, self.shapes, pieces, strict=False):
            found.setdefault(part, {})[name] = piece.view(shape)
        self.tie(found)
        return found

    def tie(self, parameters: dict[str, dict[str, Tensor]]) -> None:
        """Put each shared parameter under all its names."""
        for (part, name), (owner, key) in self.tied.items():
            parameters.setdefault(part, {})[name] = parameters[owner][key]

    def join(self, parameters: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """The way back: parameters by part and name as one vector (P,)."""
        return torch.cat([parameters[part][name].reshape(-1) for part, name in self.names])

    def kernels(self, theta: Tensor) -> dict[str, Tensor]:
        """The weights of rank ≥ 2, by their full names: what penalties act on. Biases and scales are left alone."""
        tree = self.unflatten(theta)
        return {f"{part}.{name}": tree[part][name] for (part, name), shape in zip(self.names, self.shapes, strict=True) if len(shape) > 1}

    def kernel_mask(self, like: Tensor) -> Tensor:
        """1 where θ holds a kernel, 0 elsewhere, shape (P,): as long as `like`, which may hold more than the model's parameters."""
        own = [like.new_full((size,), float(len(shape) > 1)) for shape, size in zip(self.shapes, self.sizes, strict=True)]
        return torch.cat([*own, like.new_zeros(len(like) - self.size)])


@dataclass
class Scratch:
    """What is kept from step to step for speed: traced losses, the draws that each kind of loss asks for, and the memory for gradients."""

    replays: Replays
    listed: dict[Any, list[Request]] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)


def gradients(
    loss: Loss,
    cut: Callable[[str, Tensor], Pieces],
    player: str,
    thetas: Thetas,
    batch: Tensor,
    streams: Sequence[Live],
    knobs: Mapping[str, Tensor],
    memories: Memories,
    epochs: Tensor,
    scratch: Scratch,
    key: Any = None,
) -> tuple[Tensor, Values, Memories]:
    """Each member's gradient with respect to `player`'s θ, its scalars and its new memories.

    Args:
        loss: the loss of one model.
        cut: a player's θ (P,) in pieces.
        player: whose parameters move; those of the others are constants.
        thetas: by player, (K, P).
        batch: (K, B, …), each member's own minibatch.
        streams: the K members' random streams.
        knobs: by name, (K,).
        memories: by regularizer and name, (K, …).
        epochs: how many are done, for all members, 0-dim.
        scratch: kept from call to call.
        key: names the kind of loss; one that asks for other draws needs another key.

    Returns:
        The gradient (K, P), which the next call may overwrite, the scalars (K,) and the memories (K, …).
    """
    if len(streams) == 1:
        return _one(loss, cut, player, thetas, batch, streams[0], knobs, memories, epochs, scratch)
    if key not in scratch.listed:
        scratch.listed[key] = _requests(loss, thetas, batch, knobs, memories, epochs)
    drawn = [draws_.record(stream, scratch.listed[key]) for stream in streams]
    tape = [torch.stack(numbers) for numbers in zip(*drawn, strict=True)]

    def own(
        theta: Tensor, others: Thetas, batch: Tensor, tape: list[Tensor], knobs: Mapping[str, Tensor], memories: Memories, epochs: Tensor
    ) -> tuple[Tensor, tuple[Values, Memories]]:
        return loss({**others, player: theta}, batch, Tape(tape), knobs, memories, epochs)

    mapped = torch.func.vmap(torch.func.grad(own, has_aux=True), in_dims=(0, 0, 0, 0, 0, 0, None))
    others = {name: theta for name, theta in thetas.items() if name != player}
    gradient, (values, memories) = scratch.replays(key, mapped, thetas[player], others, batch, tape, dict(knobs), memories, epochs)
    # The gradient is used before the next call overwrites it; the other results are kept.
    return gradient, _cloned(values), {name: _cloned(memory) for name, memory in memories.items()}


def each(function: Callable[..., Values], state: Sequence[Any], at_once: int) -> Values:
    """`function` of each member's part of `state`, trees of tensors (K, …), without gradients; results (K, …).

    Args:
        function: for one model. It makes tensors from tensors, and may draw from generators of its own, the same for all members.
        state: its arguments.
        at_once: at most so many members are one program, because of the memory that `function` needs meanwhile.
    """
    with torch.no_grad():
        found: Values = torch.func.vmap(function, randomness="same", chunk_size=max(1, at_once))(*state)
    return found


def rehearse() -> None:
    """Map a function once, so that this process has set up what mapping needs."""
    torch.func.vmap(torch.func.grad(torch.square))(torch.zeros(2))


def _one(
    loss: Loss,
    cut: Callable[[str, Tensor], Pieces],
    player: str,
    thetas: Thetas,
    batch: Tensor,
    stream: Live,
    knobs: Mapping[str, Tensor],
    memories: Memories,
    epochs: Tensor,
    scratch: Scratch,
) -> tuple[Tensor, Values, Memories]:
    """A population of one: ordinary autograd of the pieces of θ, without mapping and its cost."""
    first = _first(thetas, batch, knobs, memories, stream)
    pieces = tuple(piece.detach().requires_grad_() for piece in cut(player, first[0][player]))
    total, (values, after) = loss({**first[0], player: pieces}, *first[1:], epochs)
    found = torch.autograd.grad(total, pieces, allow_unused=True, materialize_grads=True)
    # New memory as long as θ in each step would cost more than the arithmetic in it.
    if player not in scratch.gradients:
        scratch.gradients[player] = torch.empty_like(first[0][player])
    gradient = torch.cat(found, out=scratch.gradients[player])
    remembered = {name: {key: value.detach()[None] for key, value in memory.items()} for name, memory in after.items()}
    return gradient[None], {name: value.detach()[None] for name, value in values.items()}, remembered


def _cloned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors.items()}


def _requests(loss: Loss, thetas: Thetas, batch: Tensor, knobs: Mapping[str, Tensor], memories: Memories, epochs: Tensor) -> list[Request]:
    """The draws that `loss` asks for, in their order. Found by running it once on member 0: draws depend on shapes, not on numbers."""
    listing = Listing(like=next(iter(thetas.values())))
    with torch.no_grad():
        loss(*_first(thetas, batch, knobs, memories, listing), epochs)
    return listing.requests


def _first(
    thetas: Thetas, batch: Tensor, knobs: Mapping[str, Tensor], memories: Memories, draws: Draws
) -> tuple[Thetas, Tensor, Draws, Mapping[str, Tensor], Memories]:
    """The arguments of the loss of member 0."""
    remembered = {name: {key: value[0] for key, value in memory.items()} for name, memory in memories.items()}
    return {name: theta[0] for name, theta in thetas.items()}, batch[0], draws, {name: v[0] for name, v in knobs.items()}, remembered
