"""Random numbers come from outside: a loss never draws for itself.

Every *use* of randomness (initialization, data order, reparametrization noise, dropout masks, …) has its own stream, seeded by (member
seed, name of the stream). So two members of the same seed see the same initialization, data order and noise, whatever their λ are (common
random numbers, which pair their scores). And switching dropout on does not shift the noise of anything else.

A single member draws with `Live`. For a population, `Listing` writes down once which draws a loss asks for, `Live` draws them for each
member, and `Tape` hands them out again inside `torch.func.vmap`, where drawing is impossible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from objectives.lazy import Tensor, torch


def stream_seed(seed: int, stream: str) -> int:
    """The seed of one stream of one member: 63 bits of SHA-256, so that neighbouring seeds and streams are unrelated."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class Request:
    """One draw that a loss asks for: standard normal or uniform on [0, 1), its shape and its stream."""

    kind: Literal["normal", "uniform"]
    shape: tuple[int, ...]
    stream: str


class Draws:
    """What a loss sees: `normal`, `uniform`, `dropout`. Subclasses say where the numbers come from."""

    _aside = ""

    @contextmanager
    def aside(self, name: str) -> Iterator[None]:
        """Draw from streams of `name`'s own for a while: a penalty that runs the network again must not shift the dropout of its loss."""
        before, self._aside = self._aside, f"{name}/"
        try:
            yield
        finally:
            self._aside = before

    def _draw(self, request: Request) -> Tensor:
        raise NotImplementedError

    def normal(self, shape: Sequence[int], stream: str = "noise") -> Tensor:
        """Standard normal numbers of `shape`."""
        return self._draw(Request("normal", tuple(shape), self._aside + stream))

    def uniform(self, shape: Sequence[int], stream: str = "noise") -> Tensor:
        """Uniform numbers on [0, 1) of `shape`."""
        return self._draw(Request("uniform", tuple(shape), self._aside + stream))

    def dropout(self, x: Tensor, p: Tensor | float, stream: str = "dropout") -> Tensor:
        """Inverted dropout, y = x ⊙ m / (1 − p) with m ~ Bernoulli(1 − p), so that E[y] = x.

        The mask is u ≥ p for uniform u. So members that differ in p share u, and p = 0 returns x to the bit.
        """
        keep = self.uniform(x.shape, stream) >= p
        return x * keep / (1 - p)


class Live(Draws):
    """Draws from the streams of one member. Each stream is a generator of its own, made when it is first asked for."""

    def __init__(self, seed: int, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        self.seed = seed
        self.device = device
        self.dtype = dtype or torch.float32
        self._generators: dict[str, torch.Generator] = {}

    def generator(self, stream: str) -> torch.Generator:
        """The generator of a stream. The data order is drawn on the CPU, everything else where the training is."""
        if stream not in self._generators:
            device = "cpu" if stream == "order" else self.device
            self._generators[stream] = torch.Generator(device).manual_seed(stream_seed(self.seed, stream))
        return self._generators[stream]

    def _draw(self, request: Request) -> Tensor:
        draw = torch.randn if request.kind == "normal" else torch.rand
        return draw(request.shape, generator=self.generator(request.stream), device=self.device, dtype=self.dtype)

    def state(self) -> dict[str, Tensor]:
        """The position of every stream."""
        return {stream: generator.get_state() for stream, generator in self._generators.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from the positions in `state`. Streams that did not exist then start from their beginning."""
        self._generators = {}
        for stream, value in state.items():
            self.generator(stream).set_state(value)


class Listing(Draws):
    """Writes down which draws are asked for, and answers with zeros."""

    def __init__(self, like: Tensor) -> None:
        self.requests: list[Request] = []
        self._like = like

    def _draw(self, request: Request) -> Tensor:
        self.requests.append(request)
        return self._like.new_zeros(request.shape)


class Tape(Draws):
    """Hands out recorded numbers, in the order of their recording."""

    def __init__(self, numbers: Sequence[Tensor]) -> None:
        self._numbers = iter(numbers)

    def _draw(self, request: Request) -> Tensor:
        return next(self._numbers)


class Fixed(Draws):
    """For evaluation: the same numbers at every call, for every member and on every device. Dropout is the identity."""

    def __init__(self, name: str, like: Tensor) -> None:
        self._live = Live(stream_seed(0, name), "cpu", like.dtype)
        self._like = like

    def _draw(self, request: Request) -> Tensor:
        return self._live._draw(request).to(self._like.device)

    def dropout(self, x: Tensor, p: Tensor | float, stream: str = "dropout") -> Tensor:
        """The identity: an evaluation never drops."""
        return x


def record(live: Live, requests: Sequence[Request]) -> list[Tensor]:
    """Draw, for one member, what a `Listing` wrote down."""
    return [live._draw(request) for request in requests]


def initialized(seed: int, build: Any) -> Any:
    """Call `build()` with torch's global generator at the member's `init` stream. Then put the global generator back.

    Layers initialize themselves on the CPU from the global generator, so the same seed gives the same weights on every device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "init"))
        return build()
