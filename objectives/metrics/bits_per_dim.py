"""Bits per dimension: the negative log-likelihood in the unit of lossless compression, per pixel and channel.

For a Bernoulli likelihood of binarized images it is the same number in another unit. A Gaussian is a density. A density of pixels that take
L values bounds no code length. So every pixel is first spread uniformly over its cell (dequantization: y = (k + u)/L for the k-th of L gray
levels), and log₂ L bits are added. With 8 bits per channel this is the convention of the literature. Always IWAE: an upper bound.
"""

from __future__ import annotations

import math

from objectives.base import Metric, ObjectiveError
from objectives.draws import Fixed
from objectives.lazy import Tensor, torch
from objectives.metrics._estimate import Estimate, mean, per_image
from objectives.metrics._subject import Subject
from objectives.parts import in_parts

MOST_LEVELS = 256
METRIC = Metric(
    name="val_bits_per_dim",
    summary="IWAE bound on the negative log-likelihood in bits per pixel and channel; a density is that of uniformly dequantized pixels",
    formula="−log p(x) / (D ln 2) [+ log₂ L for a density of pixels with L gray levels]",
    unit="bits per dimension",
    decides=True,
    costly=True,
    source="Theis, van den Oord and Bethge, arXiv 1511.01844, section 3.1",
    label="bits/dim[IWAE-{k}, n={n}]",
)
NEEDS = ("likelihood",)


def measure(subject: Subject) -> dict[str, Estimate]:
    """The bound on the split's images, by as many importance samples as the family takes.

    Raises:
        ObjectiveError: the likelihood is a density, and the pixels are no gray levels.
    """
    x, levels = subject.real, 1
    if subject.density:
        levels = gray_levels(x)
        draws = Fixed(f"bits_per_dim/{subject.split}", x)
        spread = (dequantized(part, levels, draws.uniform(part.shape)) for part in in_parts(x))
    return {"bits_per_dim": estimate(subject.neg_log_likelihood(spread if subject.density else x), math.prod(x.shape[1:]), levels)}


def estimate(nats: Tensor, pixels: int = 1, levels: int = 1) -> Estimate:
    """Mean over images of bits per dimension, from nats per image (n,), or (n, ...) to be summed."""
    return mean(per_image(nats) / (pixels * math.log(2)) + math.log2(levels))


def dequantized(x: Tensor, levels: int, noise: Tensor) -> Tensor:
    """Pixels k/(L − 1) at (k + u)/L, u uniform on [0, 1)."""
    return ((x * (levels - 1)).round() + noise) / levels


def gray_levels(x: Tensor) -> int:
    """The smallest number L of equally spaced levels in [0, 1] that holds every pixel: 256 for 8 bits, 17 for digits, 2 for binary.

    Raises:
        ObjectiveError: more than 256 would be needed.
    """
    values = torch.unique(torch.cat([torch.unique(part) for part in in_parts(x)])).double()
    for levels in range(2, MOST_LEVELS + 1) if len(values) <= MOST_LEVELS else ():
        scaled = values * (levels - 1)
        if float((scaled - scaled.round()).abs().max()) < 1e-4 and 0 <= float(values.min()) <= float(values.max()) <= 1:
            return levels
    rule = f"bits per dimension of a density need pixels of at most {MOST_LEVELS} gray levels in [0, 1]"
    raise ObjectiveError(f"{rule}; these have {len(values)} values from {float(values.min()):.3g} to {float(values.max()):.3g}.")
