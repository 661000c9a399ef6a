"""How much reconstructions differ from image to image. Near 0 an autoencoder gives one image for all, the mean."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor, double
from objectives.metrics._estimate import Estimate
from objectives.parts import Spread

METRIC = Metric(
    name="val_output_spread",
    summary="Variance of reconstructions over that of validation images, summed over pixels; 0 where the output is constant",
    formula="Tr Cov(x̂) / Tr Cov(x)",
    unit="1",
)


def of(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The ratio, 0-dim, of (n, ...) each: pixel by pixel variances over images, summed."""
    top, bottom = Spread(), Spread()
    top.add(reconstruction.flatten(1))
    bottom.add(target.flatten(1))
    return ratio(top, bottom)


def ratio(reconstruction: Spread, target: Spread) -> Tensor:
    """The ratio, 0-dim, of what came in parts."""
    return reconstruction.variance().sum() / target.variance().sum()


def estimate(reconstruction: Tensor, target: Tensor) -> Estimate:
    """The ratio in float64."""
    return Estimate(float(of(double(reconstruction.detach()), double(target))))
