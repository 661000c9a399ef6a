"""Kernel inception distance: an unbiased squared distance between two sets of features, meaningful for few images."""

from __future__ import annotations

from objectives.base import Metric, ObjectiveError
from objectives.lazy import Tensor
from objectives.metrics._estimate import Estimate, features
from objectives.metrics._subject import Subject

BLOCK = 1000
METRIC = Metric(
    name="val_kid",
    summary="Kernel distance between generated and validation images in features; unbiased, so it can be negative",
    formula="MMD² with k(x, y) = (x·y/d + 1)³",
    unit="1",
    decides=True,
    costly=True,
    source="Binkowski, Sutherland, Arbel and Gretton, arXiv 1801.01401, section 4",
    label="KID[{features}, n={n}]",
)
NEEDS = ("samples", "features")


def measure(subject: Subject) -> dict[str, Estimate]:
    """KID between as many generated as real images."""
    return {"kid": estimate(subject.sample_features, subject.real_features)}


def estimate(fake: Tensor, real: Tensor, block: int = BLOCK) -> Estimate:
    """Unbiased MMD² of features (n, d) and (m, d), and its jackknife standard error.

    Both sets are cut, in their order, into disjoint blocks of at most `block` rows, equally many blocks in each. The value is the mean over
    the blocks. Disjoint blocks are independent, so their squared errors add. (Other codes print the spread over overlapping subsets; that
    is no standard error.) Where the two distributions agree, the jackknife is too wide rather than too narrow.
    """
    fake, real = features(fake, "KID: fake"), features(real, "KID: real")
    if fake.shape[1] != real.shape[1]:
        raise ObjectiveError(f"KID: fake and real must have the same number of features; got {fake.shape[1]} and {real.shape[1]}.")
    blocks = min(-(-max(len(fake), len(real)) // block), len(fake) // 2, len(real) // 2)
    pairs = zip(fake.tensor_split(blocks), real.tensor_split(blocks), strict=True)
    found = [_one_block(x, y) for x, y in pairs]
    squared = [se**2 for _, se in found]
    undefined = any(len(part) < 3 for part in (fake.tensor_split(blocks)[-1], real.tensor_split(blocks)[-1]))
    return Estimate(sum(value for value, _ in found) / blocks, None if undefined else sum(squared) ** 0.5 / blocks)


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) = (x·y/d + 1)³: (n, d), (m, d) -> (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _one_block(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Unbiased MMD² of x (n, d) and y (m, d), and the two-sample jackknife error.

    With row sums, leaving out one row costs O(1): for U = Σ_{i≠j} k(x_i, x_j) / (n(n−1)) without i the sum loses twice row i.
    """
    n, m = len(x), len(y)
    k_xx, k_yy, k_xy = kernel(x, x), kernel(y, y), kernel(x, y)
    row_x = k_xx.sum(1) - k_xx.diagonal()  # (n,)
    row_y = k_yy.sum(1) - k_yy.diagonal()  # (m,)
    within_x, within_y, across = row_x.sum(), row_y.sum(), k_xy.sum()
    u_x, u_y, u_xy = within_x / (n * (n - 1)), within_y / (m * (m - 1)), across / (n * m)
    value = float(u_x + u_y - 2 * u_xy)
    if min(n, m) < 3:
        return value, float("nan")
    without_x = (within_x - 2 * row_x) / ((n - 1) * (n - 2)) + u_y - 2 * (across - k_xy.sum(1)) / ((n - 1) * m)  # (n,)
    without_y = u_x + (within_y - 2 * row_y) / ((m - 1) * (m - 2)) - 2 * (across - k_xy.sum(0)) / (n * (m - 1))  # (m,)
    variance = (n - 1) * without_x.var(correction=0) + (m - 1) * without_y.var(correction=0)
    return value, float(variance) ** 0.5
