"""What a user's modules have beside their parameters: buffers, which they keep from step to step, and random numbers, which they draw.

Both come from outside, as everything on which a step of a member depends. Buffers (running statistics of batch normalization) are handed
in, and what a module has made of them is handed back: so a pack maps over them, and a checkpoint keeps them. Draws (`nn.Dropout`,
`torch.randn_like`) are answered by the member's own streams: so a pack draws for each member what the member alone would have drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from objectives.draws import Draws

STREAM = "module"


class Held:
    """The buffers of every part of one model. A buffer that several parts share (one module with `encode` and `decode`) is one buffer."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        named = {f"{part}.{name}": buffer for part, module in parts.items() for name, buffer in module.named_buffers()}
        owners: dict[int, str] = {}
        for full, buffer in named.items():
            owners.setdefault(id(buffer), full)
        self._owner = {full: owners[id(buffer)] for full, buffer in named.items()}
        self._of = {
            part: [name for name, _ in module.named_buffers()] for part, module in parts.items() if next(module.buffers(), None) is not None
        }
        self._forms = {full: (buffer.shape, buffer.dtype) for full, buffer in named.items() if self._owner[full] == full}

    def first(self, parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
        """The buffers of freshly built modules, by full name."""
        return {full: self._read(parts, full).detach().clone() for full in self._forms}

    def of(self, values: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
        """The buffers of one part by its own names."""
        return {name: values[self._owner[f"{part}.{name}"]] for name in self._of.get(part, ())}

    def put(self, values: dict[str, Tensor], part: str, after: Mapping[str, Tensor], kept: Container[str] | None) -> None:
        """Keep what a part has made of its buffers, or of those in `kept`."""
        for name in self._of.get(part, ()):
            if kept is not None and name not in kept:
                continue
            full = self._owner[f"{part}.{name}"]
            values[full] = after[name].detach().to(self._forms[full][1])

    def join(self, values: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """The buffers as one vector of the type of `like`. Whole numbers are exact in it up to 2²⁴."""
        return torch.cat([values[full].reshape(-1).to(like) for full in self._forms]) if self._forms else like.new_zeros(0)

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """The way back, by full name."""
        pieces = torch.split(vector, [shape.numel() for shape, _ in self._forms.values()])
        return {
            full: piece.view(shape).to(kind if kind in (torch.bool, torch.int64, torch.int32) else piece.dtype)
            for (full, (shape, kind)), piece in zip(self._forms.items(), pieces, strict=True)
        }

    @staticmethod
    def _read(parts: Mapping[str, nn.Module], full: str) -> Tensor:
        part, _, name = full.partition(".")
        return parts[part].get_buffer(name)


class State:
    """What the modules of one model keep and draw during one step, or during an evaluation.

    Args:
        held: which buffers there are.
        values: their values, by full name; none where there are no buffers.
        draws: where random numbers come from.
        training: whether modules are in training (batch normalization by the batch, dropout active).
    """

    def __init__(self, held: Held, values: Mapping[str, Tensor], draws: Draws, *, training: bool) -> None:
        self.held, self.values, self._draws, self._training = held, dict(values), draws, training
        self._keeps = training

    def freeze(self) -> None:
        """From now on modules still use and change buffers, and nothing of it is kept: a penalty that runs the network again."""
        self._keeps = False

    def call(self, part: str, module: nn.Module, parameters: Mapping[str, Tensor], inputs: Sequence[Any]) -> Tensor:
        """The output of a part with these parameters."""
        if module.training != self._training:
            module.train(self._training)
        # Modules write into their buffers in place.
        own = {**parameters, **{name: value.clone() for name, value in self.held.of(self.values, part).items()}}
        with Answers(self._draws) if getattr(module, "draws", False) else nullcontext():
            out: Tensor = torch.func.functional_call(module, own, tuple(inputs), tie_weights=False)
        if self._keeps:
            self.held.put(self.values, part, own, getattr(module, "keeps", None))
        return out


@contextmanager
def apart(module: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Try a module out without a trace: its parameters, buffers and mode, and torch's generator, are afterwards as before.

    Yields its parameters by name, which may be changed.
    """
    values = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    before = {name: value.detach().clone() for name, value in values.items()}
    modes = {owner: owner.training for owner in module.modules()}
    try:
        with torch.random.fork_rng(devices=[]):
            yield {name: value.data for name, value in module.named_parameters()}
    finally:
        for name, value in values.items():
            value.data.copy_(before[name])
        for owner, mode in modes.items():
            owner.training = mode


class Answers(TorchFunctionMode):
    """Calls of torch that draw are answered by a member's streams; all other calls go through."""

    def __init__(self, draws: Draws) -> None:
        super().__init__()
        self._draws = draws

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Called by torch in place of `func`."""
        answer = ANSWERS.get(func)
        return func(*args, **(kwargs or {})) if answer is None else answer(self._draws, *args, **(kwargs or {}))


def _shape(args: Sequence[Any], given: Mapping[str, Any]) -> tuple[int, ...]:
    sizes = given.get("size", args)
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else tuple(sizes)


def _cast(x: Tensor, given: Mapping[str, Any]) -> Tensor:
    return x.to(given["dtype"]) if given.get("dtype") is not None else x


def _dropped(draws: Draws, x: Tensor, p: float, shape: Sequence[int]) -> Tensor:
    """Inverted dropout of rate p with a mask of this shape. Unlike `Draws.dropout` it also acts in an evaluation that asks for it."""
    if p == 0.0:
        return x
    keep = draws.uniform(shape, STREAM) >= p
    return x * keep / (1 - p) if p < 1 else x * 0.0


def _dropout(draws: Draws, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return _dropped(draws, input, p, input.shape) if training else input


def _dropout_maps(draws: Draws, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    shape = [*input.shape[:2], *(1 for _ in input.shape[2:])]
    return _dropped(draws, input, p, shape) if training else input


def _normal(draws: Draws, mean: Any = 0.0, std: Any = 1.0, size: Sequence[int] | None = None, **given: Any) -> Tensor:
    """torch.normal in each of its forms."""
    shape = tuple(size) if size is not None else tuple((mean * torch.ones_like(std) if isinstance(std, Tensor) else mean).shape)
    return _cast(mean + std * draws.normal(shape, STREAM), given)


def _bernoulli(draws: Draws, input: Tensor, p: float | None = None, **given: Any) -> Tensor:
    return (draws.uniform(input.shape, STREAM) < (input if p is None else p)).to(input.dtype)


def _put(x: Tensor, value: Tensor) -> Tensor:
    return x.copy_(value)


def _cast_like(x: Tensor, given: Mapping[str, Any], like: Tensor) -> Tensor:
    return x.to(given.get("dtype") or like.dtype)


# How each call that draws is answered. A call that is not here draws from torch's own generator; `models/_tried.py` finds it and says so.
ANSWERS: dict[Any, Callable[..., Any]] = {
    functional.dropout: _dropout,
    functional.dropout1d: _dropout_maps,
    functional.dropout2d: _dropout_maps,
    functional.dropout3d: _dropout_maps,
    torch.randn_like: lambda draws, input, **given: _cast_like(draws.normal(input.shape, STREAM), given, input),
    torch.rand_like: lambda draws, input, **given: _cast_like(draws.uniform(input.shape, STREAM), given, input),
    torch.randn: lambda draws, *sizes, **given: _cast(draws.normal(_shape(sizes, given), STREAM), given),
    torch.rand: lambda draws, *sizes, **given: _cast(draws.uniform(_shape(sizes, given), STREAM), given),
    torch.normal: _normal,
    torch.bernoulli: _bernoulli,
    Tensor.normal_: lambda draws, x, mean=0.0, std=1.0, **_: _put(x, mean + std * draws.normal(x.shape, STREAM)),
    Tensor.uniform_: lambda draws, x, low=0.0, high=1.0, **_: _put(x, low + (high - low) * draws.uniform(x.shape, STREAM)),
    Tensor.bernoulli_: lambda draws, x, p=0.5, **_: _put(x, (draws.uniform(x.shape, STREAM) < p).to(x.dtype)),
    Tensor.bernoulli: _bernoulli,
}
