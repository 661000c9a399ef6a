"""How much generated images differ from one another, relative to real images. Near 0 a generator makes one image, whatever its noise is."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor
from objectives.metrics._estimate import Estimate, features
from objectives.metrics._subject import Subject

METRIC = Metric(
    name="val_diversity",
    summary="Mean squared distance between two generated images over that between two validation images, in features; 1 is as diverse",
    formula="Tr Σ_fake / Tr Σ_real = E‖f − f'‖² / E‖r − r'‖²",
    unit="1",
    source="a variance ratio; the mean squared distance of two independent draws is 2 Tr Σ",
    label="diversity[{features}, n={n}]",
)
NEEDS = ("samples", "features")


def measure(subject: Subject) -> dict[str, Estimate]:
    """The ratio on as many generated as real images."""
    return {"diversity": estimate(subject.sample_features, subject.real_features)}


def estimate(fake: Tensor, real: Tensor) -> Estimate:
    """Ratio of the variances, summed over features, of (n, d) and (m, d), with the delta method's standard error."""
    (top, top_error), (bottom, bottom_error) = _spread(features(fake, "diversity: fake")), _spread(features(real, "diversity: real"))
    if bottom == 0:
        return Estimate(float("nan"))
    return Estimate(top / bottom, ((top_error / bottom) ** 2 + (top * bottom_error / bottom**2) ** 2) ** 0.5)


def _spread(x: Tensor) -> tuple[float, float]:
    """Tr Σ of (n, d) and its standard error: the mean of squared distances from the mean."""
    squares = (x - x.mean(0)).square().sum(1)
    n = len(x)
    return float(squares.sum()) / (n - 1), float(squares.std(correction=1)) / n**0.5
