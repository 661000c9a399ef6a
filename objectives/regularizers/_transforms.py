"""Transforms of images (B, D). Their strength is a tensor, random numbers are handed in: so they work on the device and under vmap."""

from __future__ import annotations

import math

from objectives.base import Value
from objectives.draws import Draws
from objectives.lazy import Tensor, torch
from objectives.regularizers._truths import Trained

Shape = tuple[int, int, int]
SHIFT = 1 / 8  # of the side: 4 pixels of 32, as in DiffAugment and CR
CUTOUT = 1 / 2  # side of the square that is cut out, as a share of the image's side
EAGER: dict[str, Value] = {"n_dis": 5, "lr_ratio": 3.0}  # a discriminator that is far ahead of its generator; for effects
LIGHT = 0.5  # brightness changes by up to half of this in both directions, in units of the range [0, 1]


def shifted(x: Tensor, shape: Shape, draws: Draws, stream: str) -> Tensor:
    """Every image moved by a whole number of pixels per axis: up to an eighth of the side, and at least up to one. Pixels that enter are 0.

    Rows of x may hold several images (`packing`): (n, m·D) are n·m images.
    """
    images = x.reshape(-1, *shape)
    for axis in (2, 3):
        images = _moved(images, axis, draws.uniform((len(images),), stream))
    return images.reshape(x.shape)


def differentiable(x: Tensor, shape: Shape, p: Tensor | float, draws: Draws, stream: str) -> Tensor:
    """DiffAugment's color, translation and cutout; each image gets each of the four with probability p. p = 0 returns x to the bit.

    Brightness: + U(−¼, ¼). Contrast: deviations from the image's mean times U(½, 1½). Translation: `shifted`. Cutout: a square of half the
    side is 0.
    """
    images = x.reshape(-1, *shape)
    n = len(images)
    chosen = (draws.uniform((4, n, 1, 1, 1), stream) < p).unbind(0)
    amounts = draws.uniform((6, n), stream)
    brightness, contrast = (amount.view(n, 1, 1, 1) for amount in amounts[:2])
    images = torch.where(chosen[0], images + LIGHT * (brightness - 0.5), images)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = torch.where(chosen[1], mean + (images - mean) * (contrast + 0.5), images)
    images = torch.where(chosen[2], _moved(_moved(images, 2, amounts[2]), 3, amounts[3]), images)
    hole = _span(shape[1], amounts[4]).view(n, 1, -1, 1) & _span(shape[2], amounts[5]).view(n, 1, 1, -1)
    return torch.where(chosen[3] & hole, torch.zeros_like(images), images).reshape(x.shape)


def turned(x: Tensor, shape: Shape, degrees: Tensor, shifts: Tensor) -> Tensor:
    """Every image rotated about its middle by its own angle (B,) and moved by its own shares of the sides, (B, 2) across and down.

    Bilinear; what enters is 0.
    """
    from torch.nn.functional import grid_sample

    _, height, width = shape
    radians = (degrees * (math.pi / 180)).view(-1, 1, 1)
    cos, sin = radians.cos(), radians.sin()
    # Where each pixel comes from, in pixels from the middle: first the shift is undone, then the rotation. (torch's affine_grid cannot be
    # mapped over members.)
    across = (torch.arange(width).to(x) - (width - 1) / 2).view(1, 1, -1) - (shifts[:, 0] * width).view(-1, 1, 1)  # (B, 1, W)
    down = (torch.arange(height).to(x) - (height - 1) / 2).view(1, -1, 1) - (shifts[:, 1] * height).view(-1, 1, 1)  # (B, H, 1)
    column, row = cos * across - sin * down, sin * across + cos * down  # (B, H, W)
    grid = torch.stack([column * (2 / width), row * (2 / height)], -1)
    moved: Tensor = grid_sample(x.reshape(-1, *shape), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.reshape(x.shape)


def _moved(images: Tensor, axis: int, u: Tensor) -> Tensor:
    """Images (n, C, H, W) moved along an axis by a whole number of pixels that u (n,), uniform on [0, 1), chooses."""
    side = images.shape[axis]
    most = max(round(SHIFT * side), 1) if side > 1 else 0
    by = ((2 * most + 1) * u).floor() - most
    source = torch.arange(side, device=images.device) - by.long()[:, None]  # (n, side)
    along = [len(images), 1, 1, 1]
    along[axis] = side
    picked = images.gather(axis, source.clamp(0, side - 1).view(along).expand(images.shape))
    inside = ((source >= 0) & (source < side)).view(along)
    return torch.where(inside, picked, torch.zeros_like(picked))


def _span(side: int, u: Tensor) -> Tensor:
    """The pixels of a side that the cutout takes, (n, side). The middle of the cutout lies anywhere on the side."""
    size = round(CUTOUT * side)
    first = ((side + 1 - size % 2) * u).floor() - size // 2
    position = torch.arange(side, device=u.device) - first[:, None]
    return (position >= 0) & (position < size)


def memorized(trained: Trained) -> float:
    """How much more a discriminator likes its training images than validation images, on average, in logits; for effects."""
    with torch.no_grad():
        train, val = (trained.net("discriminator", images.flatten(1)).mean() for images in (trained.images.train, trained.images.val))
    return float(train - val)
