"""Layers of convolutional models. Every part takes and gives flat images, (n, D); inside they are maps (n, C, H, W).

Any image fits. A `Frame` pads it with zeros, which are black, to the multiple that the halvings need, and cuts generated images back to the
size of an image. So a network for 32 × 32 pixels takes 28 × 28 ones as it is published, and has the same parameters for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.models._layers import Act, Hidden, Stack


@dataclass(frozen=True)
class Frame:
    """Images of a shape (channels, height, width), in the middle of a frame. The sides of the frame are multiples of a number."""

    shape: tuple[int, int, int]
    multiple: int = 1

    @property
    def channels(self) -> int:
        """Channels of an image; packing multiplies them."""
        return self.shape[0]

    @property
    def rows(self) -> int:
        """Rows of the frame."""
        return self.shape[1] + self._more(self.shape[1])

    @property
    def columns(self) -> int:
        """Columns of the frame."""
        return self.shape[2] + self._more(self.shape[2])

    def area(self, scale: int) -> int:
        """Pixels of a map that is `scale` times smaller a side, rounded up."""
        return math.prod(self.sides(scale))

    def sides(self, scale: int) -> tuple[int, int]:
        """Rows and columns of such a map."""
        return -(-self.rows // scale), -(-self.columns // scale)

    def _more(self, side: int) -> int:
        return -side % self.multiple


class Maps(nn.Module):
    """Flat images (n, D) as maps (n, C, rows, columns) of their frame; with `centre`, [0, 1] becomes [−1, 1], the border −1."""

    def __init__(self, frame: Frame, centre: bool = False) -> None:
        super().__init__()
        height, width = (frame.rows - frame.shape[1], frame.columns - frame.shape[2])
        self._shape, self._centre = frame.shape, centre
        self._border = (width // 2, width - width // 2, height // 2, height - height // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, D) → (n, C, rows, columns)."""
        x = x.reshape(len(x), *self._shape)
        if any(self._border):
            x = functional.pad(x, self._border)
        return 2 * x - 1 if self._centre else x


class Pixels(nn.Module):
    """The way back: the image in the middle of maps (n, C, rows, columns), flat (n, D)."""

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        _, self._height, self._width = frame.shape
        self._top, self._left = (frame.rows - self._height) // 2, (frame.columns - self._width) // 2

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, rows, columns) → (n, D)."""
        return x[..., self._top : self._top + self._height, self._left : self._left + self._width].flatten(1)


class Cut(nn.Module):
    """The first rows and columns of a map, as many as are wanted."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self._rows, self._columns = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, H, W) → (n, C, rows, columns)."""
        return x[..., : self._rows, : self._columns]


class Deconv(nn.Module):
    """A transposed convolution whose kernel is (outputs, inputs, size, size), like the kernel of every other layer.

    torch's kernel is (inputs, outputs, …). A row of it is an input, so row norms, singular values of (filters, rest) and gates of inputs
    would not mean what they say. Starts as torch's does. Enlarges by `stride`, with the border of TensorFlow's `same`.
    """

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 2, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self._stride, self._border = stride, (size - stride) // 2
        bound = 1 / math.sqrt(outputs * size * size)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, H, W) → (n, outputs, stride·H, stride·W)."""
        rows, columns = (self._stride * side for side in x.shape[-2:])
        # An odd border is larger by one at the end, where the rest is cut off.
        return functional.conv_transpose2d(x, self.weight.transpose(0, 1), self.bias, self._stride, self._border)[..., :rows, :columns]


class Logit(nn.Module):
    """The last layer of a discriminator: (n, features) → (n,)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, features) → (n,)."""
        out: Tensor = self.linear(x)
        return out.squeeze(-1)


def halve(inputs: int, outputs: int, size: int = 4, bias: bool = True) -> nn.Conv2d:
    """A convolution of stride 2 that takes H rows to ⌈H/2⌉ (H even or the size odd)."""
    return nn.Conv2d(inputs, outputs, size, 2, (size - 1) // 2, bias=bias)


def map_norm(channels: int, eps: float = 1e-5) -> nn.BatchNorm2d:
    """Batch normalization of maps, by the batch at hand (see `Chain`)."""
    return nn.BatchNorm2d(channels, eps, track_running_stats=False)


def unit_norm(units: int, eps: float = 1e-5) -> nn.BatchNorm1d:
    """Batch normalization of units (n, F), likewise."""
    return nn.BatchNorm1d(units, eps, track_running_stats=False)


def started(part: Stack, deviation: float, convolutions_only: bool = False, scales: float = 0.0) -> Stack:
    """The part with kernels drawn from N(0, deviation²) and biases of 0; scales of normalizations from N(1, scales²).

    With `convolutions_only`, linear layers and all biases keep torch's defaults.
    """
    kernels = (nn.Conv2d, Deconv) if convolutions_only else (nn.Linear, nn.Conv2d, Deconv)
    for module in part.modules():
        if isinstance(module, kernels):
            nn.init.normal_(module.weight, std=deviation)
            if module.bias is not None and not convolutions_only:
                nn.init.zeros_(module.bias)
        elif scales and isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, scales)
    return part


def glorot_started(part: Stack) -> Stack:
    """The part with Glorot's uniform kernels, of a gain of √2 for convolutions, and biases of 0."""
    for module in part.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | Deconv):
            nn.init.xavier_uniform_(module.weight, 1.0 if isinstance(module, nn.Linear) else math.sqrt(2))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return part


def rae(shape: tuple[int, int, int], outputs: int, latent_dim: int, filters: int, probabilities: bool) -> dict[str, nn.Module]:
    """The networks of `rae_mnist32` with so many filters in the first layer; with `probabilities`, a sigmoid at the end."""
    frame, eps = Frame(shape, 16), 1e-3
    widths = [frame.channels, *(factor * filters for factor in (1, 2, 4, 8))]
    narrowing = [layer for a, b in pairwise(widths) for layer in (halve(a, b), map_norm(b, eps), Hidden(torch.relu))]
    widening = [layer for a, b in pairwise(widths[:1:-1]) for layer in (Deconv(a, b, 4), map_norm(b, eps), Hidden(torch.relu))]
    first = (nn.Linear(latent_dim, 8 * filters * frame.area(4)), nn.Unflatten(1, (8 * filters, *frame.sides(4))), Hidden())
    last = (Deconv(2 * filters, frame.channels, 4, stride=1), Pixels(frame), *([Act(torch.sigmoid)] if probabilities else []))
    return {
        "encoder": Stack(Maps(frame, centre=True), *narrowing, nn.Flatten(), nn.Linear(8 * filters * frame.area(16), outputs)),
        "decoder": Stack(*first, *widening, *last),
    }
