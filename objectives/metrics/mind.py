"""Sliced Wasserstein distance between two sets of features: needs no covariance, so it holds for fewer images than features."""

from __future__ import annotations

from objectives.base import Metric, ObjectiveError
from objectives.lazy import Tensor, torch
from objectives.metrics._estimate import Estimate, features
from objectives.metrics._subject import Subject

DIRECTIONS = 1000
CHUNK = 100  # directions at once
METRIC = Metric(
    name="val_mind",
    summary="Sliced Wasserstein distance between generated and validation images in features; biased upward by about 1/n",
    formula="3d · mean over 1,000 directions of W₂² of the projections",
    unit="squared feature value",
    decides=True,
    ends=(0.0, float("inf")),
    costly=True,
    source="arXiv 2605.06797; Rabin et al. 2011 (sliced Wasserstein)",
    label="MIND[{features}, n={n}]",
)
NEEDS = ("samples", "features")


def measure(subject: Subject) -> dict[str, Estimate]:
    """MIND between as many generated as real images."""
    return {"mind": estimate(subject.sample_features, subject.real_features)}


def estimate(fake: Tensor, real: Tensor) -> Estimate:
    """3d times the mean of squared 1-D Wasserstein distances of features (n, d) and (m, d), with its standard error over images.

    The directions are the same at every call. In one dimension the best coupling pairs sorted values. So where the sets differ only by a
    shift δ, the value is 3‖δ‖² up to the choice of directions. The error is of first order: each image moves the value by a Kantorovich
    potential, and the error comes from the variance of this potential over images. Where the two sets agree, the bias
    is larger than this error.
    """
    x, y = features(fake, "MIND: fake"), features(real, "MIND: real")
    if x.shape[1] != y.shape[1]:
        raise ObjectiveError(f"MIND: fake and real must have the same number of features; got {x.shape[1]} and {y.shape[1]}.")
    along = _directions(x.shape[1]).to(x)
    total, potential_x, potential_y = 0.0, x.new_zeros(len(x)), x.new_zeros(len(y))
    for part in torch.split(along, CHUNK):
        value, of_x, of_y = _one_dimensional(x @ part.T, y @ part.T)
        total += value
        potential_x += of_x
        potential_y += of_y
    scale = 3 * x.shape[1] / len(along)
    variance = potential_x.var(correction=1) / len(x) + potential_y.var(correction=1) / len(y)
    return Estimate(scale * total, scale * float(variance) ** 0.5)


def _directions(d: int) -> Tensor:
    """Unit vectors (1000, d), uniform on the sphere and always the same."""
    found = torch.randn(DIRECTIONS, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit: Tensor = found / found.norm(dim=1, keepdim=True)
    return unit


def _one_dimensional(x: Tensor, y: Tensor) -> tuple[float, Tensor, Tensor]:
    """W₂² of projections x (n, P) and y (m, P), summed over the P directions, and the potentials of the images, (n,) and (m,)."""
    (x, order_x), (y, order_y) = x.sort(0), y.sort(0)
    weight, i, j = _coupling(len(x), len(y), x.device)
    moved = x[i] - y[j]  # (n + m − 1, P) at most
    value = float((weight[:, None] * moved.square()).sum())
    return value, _potential(x, i, weight, moved, order_x), _potential(y, j, weight, -moved, order_y)


def _coupling(n: int, m: int, device: object) -> tuple[Tensor, Tensor, Tensor]:
    """The monotone coupling of n and m equal weights: its masses, and which pair of sorted values each joins."""
    if n == m:
        index = torch.arange(n)
        mass = torch.full((n,), 1 / n, dtype=torch.float64)
    else:
        ends = torch.unique(torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]))  # in units of 1/(nm), without rounding
        starts = torch.cat([ends.new_zeros(1), ends[:-1]])
        mass = (ends - starts).double() / (n * m)
        index = starts
    i, j = (index, index) if n == m else (index // m, index // n)
    return mass.to(device), i.to(device), j.to(device)  # type: ignore[call-overload]


def _potential(x: Tensor, i: Tensor, weight: Tensor, moved: Tensor, order: Tensor) -> Tensor:
    """∫ 2(u − T(u)) du up to each sorted value of x (n, P), T the transport map; per image, summed over directions."""
    n = len(x)
    gap = x.new_zeros(x.shape).index_add_(0, i, n * weight[:, None] * moved)  # x − T(x)
    steps = (gap[1:] + gap[:-1]) * x.diff(dim=0)  # the trapezoid rule, times 2
    found = x.new_zeros(x.shape)
    found[1:] = steps.cumsum(0)
    found = found - found.mean(0)
    return x.new_zeros(x.shape).scatter_(0, order, found).sum(1)
