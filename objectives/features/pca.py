"""Principal components of the training images: features of any data, two-dimensional points included. They need no labels.

They are linear: a number in them compares means, covariances and third moments of pixels, not what an image shows. For points there is
nothing more to compare. For images it is a coarse measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.data._kinds import ImageSet
from objectives.features import Extractor, fitting_images, no_options, tensor_hash
from objectives.lazy import Tensor, double, torch

SUMMARY = "the first 64 principal components of the training images, for any data"
RANK = 3
MOST = 64  # components
TINY = 8  # pixels a side below which it is the default without labels: there is nothing for a convolution to see
_NOTHING = 1e-10  # a variance below this share of the largest is rounding


def faults(options: Mapping[str, Any]) -> list[str]:
    """It has no options."""
    return no_options("pca", options)


def suits(images: ImageSet) -> bool:
    """Points, vectors and the smallest images; larger ones may ask for it by name."""
    return min(images.shape[1:]) < TINY


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any]) -> Extractor:
    """min(64, D, n − 1) components of n images of D pixels, fewer where pixels are linearly dependent.

    Centred, and divided by one number for all, so that their mean square over the training images is 1: KID's kernel depends on the scale.
    """
    x = fitting_images(images).cpu().flatten(1).double()  # (n, D)
    mean = x.mean(0)
    values, axes = _components(x - mean)
    scale = values.mean().sqrt()
    projection = axes / scale  # (D, d)
    shift = mean @ projection
    weights = {"projection": projection, "shift": shift}
    sha256 = tensor_hash(weights)
    dim = projection.shape[1]
    facts = {"dim": dim, "sha256": sha256, "explained_variance": float(values.sum() / (x - mean).square().sum(1).mean())}
    projection, shift = projection.to(images.val.device), shift.to(images.val.device)

    def of(part: Tensor) -> Tensor:
        return (double(part.flatten(1)) @ projection - shift).float()

    return Extractor(f"pca-{dim}@{sha256[:8]}", images.shape, dim, of, facts)


def _components(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Variances (d,), largest first, and directions (D, d) of centred data (n, D); the sign makes each direction's largest entry positive.

    From the smaller of the two Gram matrices: of D pixels, or of n images.
    """
    n, pixels = centred.shape
    wide = pixels > n
    gram = (centred @ centred.T if wide else centred.T @ centred) / n
    values, vectors = (found.flip(-1) for found in torch.linalg.eigh(gram))  # largest first
    rank = int((values > _NOTHING * values[0].clamp(min=torch.finfo(torch.float64).tiny)).sum())
    dim = max(1, min(MOST, pixels, n - 1, rank))
    values, vectors = values[:dim].clamp(min=torch.finfo(torch.float64).tiny), vectors[:, :dim]
    axes = centred.T @ vectors / (n * values).sqrt() if wide else vectors
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    return values, axes * torch.where(largest == 0, 1.0, largest)
