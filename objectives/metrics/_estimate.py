"""A value with its standard error, and the mean over images from which most metrics are made. Imports no torch by itself."""

from __future__ import annotations

from dataclasses import dataclass

from objectives.base import ObjectiveError
from objectives.lazy import Tensor, double


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error over images; `se` is None where no standard error exists."""

    value: float
    se: float | None = None

    def as_metrics(self, name: str) -> dict[str, float]:
        """`{name: value, name_se: se}`, the second only where it exists: ready for a report."""
        return {name: self.value} if self.se is None else {name: self.value, f"{name}_se": self.se}


def per_image(x: Tensor) -> Tensor:
    """Sum over everything but images, in float64: (n, ...) -> (n,)."""
    return double(x.detach()).reshape(len(x), -1).sum(1)


def mean(x: Tensor) -> Estimate:
    """Mean over images of x (n,) and its standard error, the sample standard deviation / √n (None for one image)."""
    n = len(x)
    if n == 0:
        raise ObjectiveError("a metric needs at least one image; got none.")
    x = double(x)
    return Estimate(float(x.mean()), float(x.std(correction=1)) / n**0.5 if n > 1 else None)


def features(x: Tensor, name: str) -> Tensor:
    """x (n, d) in float64. A tensor of another rank is refused."""
    if x.ndim != 2 or len(x) < 2:
        raise ObjectiveError(f"{name} must be features of shape (n, d) with n at least 2; got shape {tuple(x.shape)}.")
    return double(x.detach())
