"""Half the squared error per image: the autoencoder's score."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor, double
from objectives.metrics._estimate import Estimate, mean, per_image

METRIC = Metric(
    name="val_half_sse",
    summary="Half the squared reconstruction error, summed over pixels, averaged over validation images",
    formula="½ Σ_pixels (x̂ − x)²",
    unit="squared pixel value per image",
    decides=True,
    ends=(0.0, float("inf")),
)


def estimate(reconstruction: Tensor, target: Tensor) -> Estimate:
    """Mean of ½‖x̂ − x‖² over images; both (n, ...) of one shape."""
    return mean(of_each(reconstruction, target))


def of_each(reconstruction: Tensor, target: Tensor) -> Tensor:
    """½‖x̂ − x‖² of each image, (n,)."""
    return per_image(0.5 * (double(reconstruction) - double(target)) ** 2)
