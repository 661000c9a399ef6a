"""Images as they are kept, and as they are seen: bytes in memory or on the device, or rows of a mapped file; float32 to whoever takes some.

A byte takes a quarter of a float32. An array that is mapped takes no memory of its own: its pages are read when a batch asks for them,
and all processes of a machine share them. `Stored` looks like the tensor of all images, so nobody who has an `ImageSet` must know how its
images are kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map

from objectives.data._kinds import Take
from objectives.parts import rows


class Source(Protocol):
    """Where images come from."""

    def rows(self, index: Tensor) -> Tensor:
        """The images at the positions `index` (n,), float32 (n, C, H, W)."""
        ...

    def part(self, start: int, stop: int, step: int) -> Tensor:
        """The images of a slice, float32 (n, C, H, W)."""
        ...


class InMemory:
    """Bytes (n, C, H, W) on a device, in 0..white."""

    def __init__(self, pixels: Tensor, white: int) -> None:
        self._pixels, self._white = pixels, white

    def rows(self, index: Tensor) -> Tensor:
        """See `Source`."""
        return decoded(self._pixels.index_select(0, index.to(self._pixels.device)), self._white)

    def part(self, start: int, stop: int, step: int) -> Tensor:
        """See `Source`."""
        return decoded(self._pixels[start:stop:step], self._white)


class ByIndex:
    """Images that stay where `take` finds them, at `positions` (n,) there; each batch is moved to the device."""

    def __init__(self, take: Take, positions: NDArray[np.int64], white: int, device: str) -> None:
        self._take, self._positions, self._white, self._device = take, positions, white, device

    def rows(self, index: Tensor) -> Tensor:
        """See `Source`."""
        return self._found(self._positions[index.cpu().numpy()])

    def part(self, start: int, stop: int, step: int) -> Tensor:
        """See `Source`."""
        return self._found(self._positions[start:stop:step])

    def _found(self, positions: NDArray[np.int64]) -> Tensor:
        return decoded(torch.from_numpy(self._take(positions)).to(self._device), self._white)


class _Some:
    """`n` images of another source, from `first` on."""

    def __init__(self, source: Source, first: int, n: int) -> None:
        self._source, self._first, self._n = source, first, n

    def rows(self, index: Tensor) -> Tensor:
        """See `Source`."""
        return self._source.rows(torch.where(index < 0, index + self._n, index) + self._first)

    def part(self, start: int, stop: int, step: int) -> Tensor:
        """See `Source`."""
        return self._source.part(self._first + start, self._first + stop, step)


def decoded(pixels: Tensor, white: int) -> Tensor:
    """Bytes in 0..white as float32 in [0, 1], the same bits on every device; float32 stays as it is.

    Other devices than the CPU may divide with another rounding, so they look the quotients up.
    """
    if pixels.dtype == torch.float32:
        return pixels
    if pixels.device.type == "cpu":
        return pixels.to(torch.float32).div_(white)
    quotients = torch.arange(256, dtype=torch.float32).div_(white).to(pixels.device)
    return quotients.index_select(0, pixels.reshape(-1).int()).view(pixels.shape)


class Stored(Tensor):
    """Images (n, C, H, W), or rows of numbers (n, D), that are read when they are asked for.

    Its shape, type and device are those of the float32 tensor that it stands for. An index or a slice along the first axis reads those
    images only, and gives an ordinary tensor; `flatten(1)` and `narrow(0, …)` read nothing; `min()` and `max()` read some at a time.
    Whatever else is asked for is asked of the whole tensor. The memory below holds one NaN: should anything get past
    `__torch_function__`, it cannot go unnoticed.
    """

    source: Source

    @staticmethod
    def of(source: Source, n: int, row: Sequence[int], device: str) -> Stored:
        """`n` images of the shape `row`, from a source."""
        found = torch.full((), math.nan, device=device).expand(n, *row).as_subclass(Stored)
        found.source = source
        return found

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Facts are read off; an index and `flatten(1)` are answered here; everything else sees the whole tensor."""
        with torch._C.DisableTorchFunctionSubclass():
            if func in _FACTS or (func is Tensor.to and not isinstance(args[0], Stored)):
                return func(*args, **(kwargs or {}))
            if func is Tensor.__getitem__:
                return _picked(args[0], args[1])
            if func is Tensor.narrow and args[1] == 0:
                return Stored.of(_Some(args[0].source, args[2], args[3]), args[3], args[0].shape[1:], str(args[0].device))
            if func in _ENDS and len(args) == 1 and not kwargs:
                return func(torch.stack([func(args[0].source.part(start, stop, 1)) for start, stop in _chunks(args[0])]))
            if func is Tensor.flatten and tuple(args[1:]) == (1,) and not kwargs:
                return Stored.of(args[0].source, len(args[0]), (math.prod(args[0].shape[1:]),), str(args[0].device))
            return func(*tree_map(_whole, tuple(args)), **tree_map(_whole, dict(kwargs or {})))


_ENDS = frozenset([Tensor.min, Tensor.max])
_FACTS = frozenset(
    [
        *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "layout", "requires_grad", "is_cuda")),
        *(getattr(Tensor, name) for name in ("__len__", "size", "dim", "numel", "new_empty", "new_zeros", "new_ones", "new_full")),
        Tensor.is_floating_point,
    ]
)


def _chunks(stored: Stored) -> list[tuple[int, int]]:
    n, step = len(stored), rows(math.prod(stored.shape[1:]))
    return [(start, min(n, start + step)) for start in range(0, n, step)]


def _whole(one: Any) -> Any:
    """The tensor that a `Stored` stands for; anything else as it is."""
    return one.source.part(0, len(one), 1).reshape(one.shape) if isinstance(one, Stored) else one


def _picked(stored: Stored, index: Any) -> Tensor:
    """`stored[index]`, of which only the chosen images are read where the index is along the first axis."""
    row = stored.shape[1:]
    if isinstance(index, slice) and (index.step or 1) > 0:
        found = stored.source.part(*index.indices(len(stored)))
        return found.reshape(len(found), *row)
    if isinstance(index, Tensor) and index.dtype in (torch.int64, torch.int32):
        return stored.source.rows(index.reshape(-1)).reshape(*index.shape, *row)
    whole: Tensor = _whole(stored)
    return whole[index]
