"""Images in parts: a split is scored some images at a time, so that no more than 64 MiB of floats are made of it at once.

A part is as many times 2,000 images as fit. 2,000 is what a network is shown at once, and a part of it that normalizes by the batch
computes its statistics of these. Of larger images than 8,388 numbers 2,000 do not fit; a part is then 100, 200, … or at least four.

Random numbers do not depend on how large a part is. Uniform ones come out of a stream one after the other. Normal ones, of which torch
draws 16 at a time, are drawn for all codes at once, or as many times 16 for each part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from objectives.lazy import Tensor, torch

FLOATS = 2**24  # numbers of a part, at most: 64 MiB in float32
AT_ONCE = 2000  # images in one call of a network, at most, where no gradient is needed
STEPS = (AT_ONCE, 100, 4)  # a part has a multiple of the first of these that fits


def rows(size: int) -> int:
    """How many images of `size` numbers are one part."""
    most = FLOATS // max(1, size)
    return next((most - most % step for step in STEPS if most >= step), STEPS[-1])


def in_parts(x: Tensor | Iterable[Tensor], size: int | None = None) -> Iterator[Tensor]:
    """Images (n, …), some at a time; at least one part, which is empty where there are none. What comes in parts already stays as it is.

    `size` is the number of floats that are made of an image, if that is not what it has itself.
    """
    if not isinstance(x, torch.Tensor):
        yield from x
        return
    step = rows(size or math.prod(x.shape[1:]))
    for start in range(0, max(1, len(x)), step):
        yield x[start : start + step]


def first(x: Tensor, n: int) -> Tensor:
    """The first n images, or all of fewer. Nothing is read or copied."""
    return x.narrow(0, 0, min(n, len(x)))


def pooled(means: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
    """The mean over all images, of the means of parts and their numbers of images. Of one part it is that mean to the bit."""
    if len(means) == 1:
        return means[0]
    total = sum(counts)
    return torch.stack([mean * (count / total) for mean, count in zip(means, counts, strict=True)]).sum(0)


def mean_image(x: Tensor) -> Tensor:
    """The mean of images (n, D), (D,)."""
    found = [(part.mean(0), len(part)) for part in in_parts(x)]
    return pooled([mean for mean, _ in found], [count for _, count in found])


class Spread:
    """The variance over n of numbers (n, D) that come in parts: σ² = Σ n_i(σ_i² + (μ_i − μ)²) / n. Of one part it is torch's to the bit."""

    def __init__(self) -> None:
        self._means: list[Tensor] = []
        self._variances: list[Tensor] = []
        self._counts: list[int] = []

    def add(self, part: Tensor) -> None:
        """Some more rows."""
        self._means.append(part.mean(0))
        self._variances.append(part.var(0, correction=0))
        self._counts.append(len(part))

    def variance(self) -> Tensor:
        """(D,)."""
        if len(self._counts) == 1:
            return self._variances[0]
        centre = pooled(self._means, self._counts)
        own = [variance + (mean - centre).square() for mean, variance in zip(self._means, self._variances, strict=True)]
        return pooled(own, self._counts)
