"""K members at once. The only file that knows the member axis.

Losses are written for one model. Here the parameters of each player are one flat vector θ, shape (P,), and a population is θ of shape
(K, P): one member is evaluated directly, several through `torch.func.vmap` of the gradient of the very same function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from objectives import draws as draws_
from objectives.draws import Draws, Listing, Live, Tape

Parts = Mapping[str, nn.Module]
Thetas = Mapping[str, Tensor]  # player -> flat parameters
Values = dict[str, Tensor]
# (θ by player, batch, draws, knobs) -> (total loss to differentiate, scalars to log)
Loss = Callable[[Thetas, Tensor, Draws, Mapping[str, Tensor]], tuple[Tensor, Values]]


class Layout:
    """Where each parameter of one player lies in its flat vector."""

    def __init__(self, parts: Parts) -> None:
        self.names = [(part, name) for part, module in parts.items() for name, _ in module.named_parameters()]
        self.shapes = [p.shape for module in parts.values() for p in module.parameters()]
        self.sizes = [shape.numel() for shape in self.shapes]
        self.size = sum(self.sizes)

    def flatten(self, parts: Parts) -> Tensor:
        """The parameters of freshly built modules as one vector (P,)."""
        return torch.cat([p.detach().reshape(-1) for module in parts.values() for p in module.parameters()])

    def unflatten(self, theta: Tensor) -> dict[str, dict[str, Tensor]]:
        """Views of θ (P,) by part and parameter name."""
        found: dict[str, dict[str, Tensor]] = {}
        for (part, name), shape, piece in zip(self.names, self.shapes, torch.split(theta, self.sizes), strict=True):
            found.setdefault(part, {})[name] = piece.view(shape)
        return found

    def kernels(self, theta: Tensor) -> dict[str, Tensor]:
        """The weights of rank ≥ 2, by their full names: what penalties act on. Biases and scales are left alone."""
        tree = self.unflatten(theta)
        return {f"{part}.{name}": tree[part][name] for (part, name), shape in zip(self.names, self.shapes, strict=True) if len(shape) > 1}

    def kernel_mask(self, like: Tensor) -> Tensor:
        """1 where θ holds a kernel, 0 elsewhere, shape (P,)."""
        return torch.cat([like.new_full((size,), float(len(shape) > 1)) for shape, size in zip(self.shapes, self.sizes, strict=True)])


def gradients(
    loss: Loss, player: str, thetas: Thetas, batch: Tensor, streams: Sequence[Live], knobs: Mapping[str, Tensor]
) -> tuple[Tensor, Values]:
    """Each member's gradient with respect to `player`'s θ, and its scalars.

    Args:
        loss: the loss of one model.
        player: whose parameters move; those of the others are constants.
        thetas: by player, (K, P).
        batch: (K, B, …), each member's own minibatch.
        streams: the K members' random streams.
        knobs: by name, (K,).

    Returns:
        The gradient (K, P) and the scalars, each (K,).
    """
    if len(streams) == 1:
        return _one(loss, player, thetas, batch, streams[0], knobs)
    tape = _draw_ahead(loss, thetas, batch, streams, knobs)

    def own(theta: Tensor, others: Thetas, batch: Tensor, tape: list[Tensor], knobs: Mapping[str, Tensor]) -> tuple[Tensor, Values]:
        return loss({**others, player: theta}, batch, Tape(tape), knobs)

    mapped = torch.func.vmap(torch.func.grad(own, has_aux=True))
    gradient, values = mapped(thetas[player], dict(thetas), batch, tape, dict(knobs))
    return gradient, values


def _one(loss: Loss, player: str, thetas: Thetas, batch: Tensor, stream: Live, knobs: Mapping[str, Tensor]) -> tuple[Tensor, Values]:
    """A population of one: ordinary autograd, without the mapping and its cost."""
    alone = {name: theta[0] for name, theta in thetas.items()}
    theta = alone[player] = alone[player].detach().requires_grad_()
    total, values = loss(alone, batch[0], stream, {name: value[0] for name, value in knobs.items()})
    (gradient,) = torch.autograd.grad(total, theta)
    return gradient[None], {name: value.detach()[None] for name, value in values.items()}


def _draw_ahead(loss: Loss, thetas: Thetas, batch: Tensor, streams: Sequence[Live], knobs: Mapping[str, Tensor]) -> list[Tensor]:
    """What every member's streams answer to the draws that `loss` asks for: (K, …) each, in the order of asking."""
    listing = Listing(like=next(iter(thetas.values())))
    with torch.no_grad():
        # A run without gradients on member 0 finds the requests; they depend on shapes, not on numbers.
        loss({name: theta[0] for name, theta in thetas.items()}, batch[0], listing, {name: value[0] for name, value in knobs.items()})
    drawn = [draws_.record(stream, listing.requests) for stream in streams]
    return [torch.stack(numbers) for numbers in zip(*drawn, strict=True)]
