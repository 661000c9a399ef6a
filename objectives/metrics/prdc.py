"""Precision, recall, density and coverage: whether samples look real, and whether what is real is sampled, told apart.

A set's manifold is the union of the balls around its features that reach to their k-th nearest neighbour. k is 3 for precision and recall
and 5 for density and coverage, as published. Balls are closed, as in both papers: a sample that equals a real image is on the manifold
(`prdc` uses `<`, by which two identical sets score 0; torch-fidelity uses `<=`). "Closed" holds up to rounding of squared distances.

Higher is better, so none of them decides. Density depends on the number of images below 10,000, coverage hardly; recall falls with the
number of features.
Source: Kynkäänniemi et al., arXiv 1904.06991, equations 1 to 3; Naeem et al., arXiv 2002.09797, equations 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from objectives.base import Metric, ObjectiveError
from objectives.metrics._estimate import Estimate, features, mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from objectives.data import ImageSet
    from objectives.features import Extractor
    from objectives.subject import Subject

NEIGHBOURS = 3  # of precision and recall
NEIGHBOURS_DC = 5  # of density and coverage
CHUNK = 1000  # rows of distances at once
_ROUNDING = 1e-12  # of squared distances, relative to squared norms
METRIC = Metric(
    name="val_precision",
    summary="Share of generated images within the manifold of validation images (higher is better)",
    formula="mean over samples y of [∃ real x : ‖y − x‖ ≤ NND_k(x)], k = 3",
    unit="share",
    costly=True,
    source="Kynkäänniemi et al., arXiv 1904.06991",
    label="precision[{features}, n={n}, k=3]",
)
ALSO = (
    Metric(
        name="val_recall",
        summary="Share of validation images within the manifold of generated images (higher is better)",
        formula="mean over real x of [∃ sample y : ‖x − y‖ ≤ NND_k(y)], k = 3",
        unit="share",
        costly=True,
        source="Kynkäänniemi et al., arXiv 1904.06991",
        label="recall[{features}, n={n}, k=3]",
    ),
    Metric(
        name="val_density",
        summary="In how many balls around validation images a generated image lies, over k; 1 on average where the two agree",
        formula="mean over samples y of #{x : ‖y − x‖ ≤ NND_k(x)} / k, k = 5",
        unit="1",
        costly=True,
        source="Naeem et al., arXiv 2002.09797",
        label="density[{features}, n={n}, k=5]",
    ),
    Metric(
        name="val_coverage",
        summary="Share of validation images that have a generated one nearer than their k-th real neighbour (higher is better)",
        formula="mean over real x of [∃ y : ‖y − x‖ ≤ NND_k(x)], k = 5",
        unit="share",
        costly=True,
        source="Naeem et al., arXiv 2002.09797",
        label="coverage[{features}, n={n}, k=5]",
    ),
)
NEEDS = ("samples", "features")


@dataclass(frozen=True)
class Manifolds:
    """The four numbers per image: `precision` and `density` of the samples (n,), `recall` and `coverage` of real images (m,)."""

    precision: Tensor
    recall: Tensor
    density: Tensor
    coverage: Tensor


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """A k-th neighbour must exist."""
    n = min(len(images.val), len(images.test))
    return "" if n > NEIGHBOURS_DC else f"precision and coverage need more than {NEIGHBOURS_DC} images in a split; got {n}."


def measure(subject: Subject) -> dict[str, Estimate]:
    """All four."""
    found = compare(subject.sample_features, subject.real_features)
    return {name: _share(getattr(found, name)) for name in ("precision", "recall", "density", "coverage")}


def estimate(fake: Tensor, real: Tensor) -> Estimate:
    """Precision (k = 3) of features (n, d) against (m, d)."""
    return _share(compare(fake, real).precision)


def compare(fake: Tensor, real: Tensor, k: int = NEIGHBOURS, k_dc: int = NEIGHBOURS_DC) -> Manifolds:
    """All four per image, in float64, from a thousand rows of distances at a time.

    Raises:
        ObjectiveError: a set has not more than k images, or the features are unlike.
    """
    import torch

    x, y = features(real, "precision and recall: real"), features(fake, "precision and recall: fake")
    if x.shape[1] != y.shape[1]:
        raise ObjectiveError(f"precision and recall: fake and real must have as many features; got {y.shape[1]} and {x.shape[1]}.")
    if min(len(x), len(y)) <= max(k, k_dc):
        raise ObjectiveError(f"precision and coverage need more than {max(k, k_dc)} images; got {len(y)} fake and {len(x)} real ones.")
    real_radius, fake_radius = _radii(x, (k, k_dc)), _radii(y, (k,))[0]
    precise, dense, recalled, covered = [], [], [], []
    for rows, squared, slack in _distances(y, x):  # samples against all real images
        precise.append((squared <= real_radius[0] + slack).any(1))
        dense.append((squared <= real_radius[1] + slack).sum(1) / k_dc)
        del rows
    for rows, squared, slack in _distances(x, y):
        recalled.append((squared <= fake_radius + slack).any(1))
        covered.append((squared <= real_radius[1][rows, None] + slack).any(1))
    return Manifolds(*(torch.cat(found).double() for found in (precise, recalled, dense, covered)))


def _share(per_image: Tensor) -> Estimate:
    """A mean and its standard error over the images that are judged, the balls held fixed; none where all are judged alike."""
    found = mean(per_image)
    return Estimate(found.value, found.se or None)


def _radii(x: Tensor, neighbours: tuple[int, ...]) -> list[Tensor]:
    """Squared distance of every row of x (n, d) to its k-th nearest other row, (n,) for each k."""
    import torch

    parts = [squared.kthvalue(k + 1, dim=1).values for _, squared, _ in _distances(x, x) for k in neighbours]  # itself is the nearest
    return [torch.cat(parts[i :: len(neighbours)]) for i in range(len(neighbours))]


def _distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Squared distances (rows, m) of some rows of a (n, d) to all of b (m, d), which rows, and how far they may be off."""
    norm_a, norm_b = a.square().sum(1), b.square().sum(1)
    for start in range(0, len(a), CHUNK):
        rows = slice(start, start + CHUNK)
        norms = norm_a[rows, None] + norm_b
        yield rows, (norms - 2 * a[rows] @ b.T).clamp(min=0), _ROUNDING * norms
