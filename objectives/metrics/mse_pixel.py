"""Mean squared error per pixel: the unit that other projects print."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor
from objectives.metrics import half_sse
from objectives.metrics._estimate import Estimate

METRIC = Metric(
    name="val_mse_pixel",
    summary="Squared reconstruction error, averaged over pixels and validation images",
    formula="mean_pixels (x̂ − x)² = 2 · val_half_sse / pixels",
    unit="squared pixel value",
    decides=True,
    ends=(0.0, float("inf")),
)


def estimate(reconstruction: Tensor, target: Tensor) -> Estimate:
    """Mean of (x̂ − x)² over pixels and images; both (n, ...) of one shape."""
    return of_half(half_sse.estimate(reconstruction, target), target[0].numel())


def of_half(half: Estimate, pixels: int) -> Estimate:
    """The same from half the squared error of images of so many pixels."""
    scale = 2 / pixels
    return Estimate(half.value * scale, None if half.se is None else half.se * scale)
