"""The residual networks of SNGAN, which differ in widths only (Miyato et al. 2018, table 4; mimicry's sizes and initialization).

The shortcut of a discriminator's block takes the block's input, as in the paper; mimicry's ReLU works in place, so that its shortcut takes
the activation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.models._convolutional import Frame, Logit, Maps, Pixels, map_norm
from objectives.models._layers import Act, Hidden, Hook, Hooked, Stack, as_is, unit_interval


class Up(Hooked):
    """A generator's block, which doubles the sides: BN – ReLU – up – 3×3 – BN – ReLU – 3×3, beside up – 1×1; up is bilinear."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second, self.shortcut = _conv(inputs, outputs), _conv(outputs, outputs), _conv(inputs, outputs, 1)
        self.first_norm, self.second_norm = map_norm(inputs), map_norm(outputs)

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, inputs, H, W) → (n, outputs, 2H, 2W)."""
        inside = self.first(_doubled(hidden(torch.relu(self.first_norm(x)))))
        inside = self.second(hidden(torch.relu(self.second_norm(inside))))
        out: Tensor = inside + self.shortcut(_doubled(x))
        return out


class Down(Hooked):
    """A discriminator's block: ReLU – 3×3 – ReLU – 3×3 beside a shortcut, 1×1 if it `halves` the sides (by the mean of 2×2 pixels).

    The `first` block of a discriminator has no ReLU at its beginning, and halves before its 1×1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, halves: bool, first: bool = False) -> None:
        super().__init__()
        self.first, self.second = _conv(inputs, outputs), _conv(outputs, outputs)
        self.shortcut = _conv(inputs, outputs, 1) if halves else None
        self._begins, self._halves = first, halves

    def forward(self, x: Tensor, hidden: Hook = as_is) -> Tensor:
        """(n, inputs, H, W) → (n, outputs, H, W), or half the sides."""
        inside = self.first(x if self._begins else hidden(torch.relu(x)))
        inside = self.second(hidden(torch.relu(inside)))
        if self.shortcut is None:
            return x + inside  # type: ignore[no-any-return]
        if self._begins:
            return self.shortcut(_halved(x)) + _halved(inside)  # type: ignore[no-any-return]
        return _halved(self.shortcut(x) + inside)


def sngan(shape: tuple[int, int, int], latent_dim: int, generator: int, discriminator: int) -> dict[str, nn.Module]:
    """Generator of three blocks and discriminator of four, of so many channels; hidden maps of 1/8 and 1/4 of the sides."""
    frame, narrow = Frame(shape, 8), Frame(shape, 4)
    first = nn.Linear(latent_dim, generator * frame.area(8))
    nn.init.xavier_uniform_(first.weight)
    last = Logit(discriminator)
    nn.init.xavier_uniform_(last.linear.weight)
    return {
        "generator": Stack(
            first,
            nn.Unflatten(1, (generator, *frame.sides(8))),
            *(Up(generator, generator) for _ in range(3)),
            map_norm(generator),
            Hidden(torch.relu),
            _conv(generator, frame.channels, gain=1.0),
            Pixels(frame),
            Act(unit_interval),
        ),
        "discriminator": Stack(
            Maps(narrow, centre=True),
            Down(frame.channels, discriminator, halves=True, first=True),
            Down(discriminator, discriminator, halves=True),
            *(Down(discriminator, discriminator, halves=False) for _ in range(2)),
            Hidden(torch.relu),
            Act(lambda x: x.sum((2, 3))),
            last,
        ),
    }


def _conv(inputs: int, outputs: int, size: int = 3, gain: float | None = None) -> nn.Conv2d:
    """A convolution that keeps the sides, started as Glorot's with a gain of √2, or 1 for a shortcut."""
    made = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    nn.init.xavier_uniform_(made.weight, gain or (math.sqrt(2) if size > 1 else 1.0))
    return made


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _halved(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 2)
