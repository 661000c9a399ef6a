"""Precision, recall, density and coverage. They tell apart whether samples look real, and whether all that is real is sampled.

A set's manifold is the union of the balls around its features; each ball reaches to the k-th nearest neighbour. k is 3 for precision and
recall and 5 for density and coverage, as published. Balls are closed, as in both papers: a sample that equals a real image is on the
manifold. (`prdc` uses `<`, so two identical sets score 0; torch-fidelity uses `<=`.) "Closed" holds up to rounding of squared distances.

Higher is better, so none of the four decides. Below 10,000 images density depends on their number, coverage hardly. Recall falls with the
number of features.
Source: Kynkäänniemi et al., arXiv 1904.06991, equations 1 to 3; Naeem et al., arXiv 2002.09797, equations 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator

from objectives.base import Metric, ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.lazy import Tensor, torch
from objectives.metrics._estimate import Estimate, features
from objectives.metrics._subject import Subject

NEIGHBOURS = 3  # of precision and recall
NEIGHBOURS_DC = 5  # of density and coverage
CHUNK = 1000  # rows of distances at once
GROUPS = 10  # of the jackknife
FEWEST = 60  # images for which there is one
SPARE = 25  # neighbours beyond the k-th that are remembered: a tenth of the images may be struck out
_ROUNDING = 1e-12  # of squared distances, relative to squared norms
METRIC = Metric(
    name="val_precision",
    summary="Share of generated images within the manifold of validation images (higher is better)",
    formula="mean over samples y of [∃ real x : ‖y − x‖ ≤ NND_k(x)], k = 3",
    unit="share",
    costly=True,
    source="Kynkäänniemi et al., arXiv 1904.06991",
    label="precision[{features}, n={n}, k=3]",
    better="higher",
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
        better="higher",
    ),
    Metric(
        name="val_density",
        summary="In how many balls around validation images a generated image lies, over k; 1 on average where the two agree",
        formula="mean over samples y of #{x : ‖y − x‖ ≤ NND_k(x)} / k, k = 5",
        unit="1",
        costly=True,
        source="Naeem et al., arXiv 2002.09797",
        label="density[{features}, n={n}, k=5]",
        better="higher",
    ),
    Metric(
        name="val_coverage",
        summary="Share of validation images that have a generated one nearer than their k-th real neighbour (higher is better)",
        formula="mean over real x of [∃ y : ‖y − x‖ ≤ NND_k(x)], k = 5",
        unit="share",
        costly=True,
        source="Naeem et al., arXiv 2002.09797",
        label="coverage[{features}, n={n}, k=5]",
        better="higher",
    ),
)
NEEDS = ("samples", "features")


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """A k-th neighbour must exist."""
    n = min(len(images.val), len(images.test))
    return "" if n > NEIGHBOURS_DC else f"precision and coverage need more than {NEIGHBOURS_DC} images in a split; got {n}."


def measure(subject: Subject) -> dict[str, Estimate]:
    """All four."""
    found = compare(subject.sample_features, subject.real_features)
    return {name: _with_error(shares) for name, shares in found.items()}


def estimate(fake: Tensor, real: Tensor) -> Estimate:
    """Precision (k = 3) of features (n, d) against (m, d)."""
    return _with_error(compare(fake, real)["precision"])


def compare(fake: Tensor, real: Tensor, k: int = NEIGHBOURS, k_dc: int = NEIGHBOURS_DC, groups: int = GROUPS) -> dict[str, Tensor]:
    """All four, (1 + groups,) each: of all images, then without each group of both sets (no groups where there are few images).

    In float64, from a thousand rows of distances at a time.

    Raises:
        ObjectiveError: a set has not more than k images, or the features are of different sizes.
    """
    x, y = features(real, "precision and recall: real"), features(fake, "precision and recall: fake")
    if x.shape[1] != y.shape[1]:
        raise ObjectiveError(f"precision and recall: fake and real must have as many features; got {y.shape[1]} and {x.shape[1]}.")
    if min(len(x), len(y)) <= max(k, k_dc):
        raise ObjectiveError(f"precision and coverage need more than {max(k, k_dc)} images; got {len(y)} fake and {len(x)} real ones.")
    groups = groups if min(len(x), len(y)) >= FEWEST else 0
    (near, balls), (fakes,) = _radii(x, (k, k_dc), groups), _radii(y, (k,), groups)  # (1 + G, m) or (1 + G, n) each
    precise, dense = x.new_zeros(1 + groups), x.new_zeros(1 + groups)
    recalled, covered = (torch.zeros(1 + groups, len(x), dtype=torch.bool, device=x.device) for _ in range(2))
    for rows, squared, slack in _distances(y, x):  # samples against all real images
        for g in range(1 + groups):
            stays = _stays(rows, len(y), g, x)
            within = (squared <= balls[g] + slack) & stays[:, None]
            precise[g] += ((squared <= near[g] + slack).any(1) & stays).sum()
            dense[g] += within.sum()
            recalled[g] |= (squared <= fakes[g][rows, None] + slack).any(0)
            covered[g] |= within.any(0)
    samples, reals = (torch.stack([_stays(slice(0, len(of)), len(of), g, x) for g in range(1 + groups)]) for of in (y, x))
    n, m = samples.sum(1).double(), reals.sum(1).double()
    return {
        "precision": precise / n,
        "recall": (recalled & reals).sum(1) / m,
        "density": dense / (k_dc * n),
        "coverage": (covered & reals).sum(1) / m,
    }


def _stays(rows: slice, n: int, g: int, like: Tensor) -> Tensor:
    """Which of these rows of n stay when group g is left out."""
    return _without(torch.arange(rows.start, min(rows.stop, n), device=like.device), g)


def _without(index: Tensor, g: int) -> Tensor:
    """Which images stay when group g is left out; none is left out for g = 0, else every tenth."""
    return index % GROUPS != g - 1


def _with_error(shares: Tensor) -> Estimate:
    """The value and its jackknife error over groups. The error is too wide (up to twice) rather than too narrow.

    The error of a mean over images with the balls held fixed is too narrow, because the balls move with the images.
    """
    groups = len(shares) - 1
    if not groups:
        return Estimate(float(shares[0]))
    return Estimate(float(shares[0]), ((groups - 1) * float(shares[1:].var(correction=0))) ** 0.5 or None)


def _radii(x: Tensor, neighbours: tuple[int, ...], groups: int) -> list[Tensor]:
    """Squared distance of every row of x (n, d) to its k-th nearest other row, (1 + G, n) for each k: of all rows, then without each group.

    A row that is left out has no ball: −∞. A few more than k neighbours are kept; those of the left-out group are then removed.
    """
    most = min(len(x), max(neighbours) + 1 + (SPARE if groups else 0))
    tops = [squared.topk(most, dim=1, largest=False, sorted=True) for _, squared, _ in _distances(x, x)]  # itself is the nearest
    values, index = torch.cat([top.values for top in tops]), torch.cat([top.indices for top in tops])  # (n, most)
    found: list[list[Tensor]] = [[] for _ in neighbours]
    for g in range(1 + groups):
        left = values.masked_fill(~_without(index, g), torch.inf).sort(1).values if g else values
        gone = ~_stays(slice(0, len(x)), len(x), g, x)
        for radii, k in zip(found, neighbours, strict=True):
            radii.append(left[:, k].minimum(values[:, -1]).masked_fill(gone, -torch.inf))
    return [torch.stack(radii) for radii in found]


def _distances(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Squared distances (rows, m) of some rows of a (n, d) to all of b (m, d), which rows, and how far they may be off."""
    norm_a, norm_b = a.square().sum(1), b.square().sum(1)
    for start in range(0, len(a), CHUNK):
        rows = slice(start, start + CHUNK)
        norms = norm_a[rows, None] + norm_b
        yield rows, (norms - 2 * a[rows] @ b.T).clamp(min=0), _ROUNDING * norms
