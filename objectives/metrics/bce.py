"""Binary cross-entropy of a reconstruction: the other loss that is quoted for autoencoders.

Pixels are targets between 0 and 1. For gray pixels the smallest value is not 0 but the entropy of the pixels. So this is no likelihood and
must not be compared with nats. A λ found beside it does not carry over to the squared error either.
"""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor, double
from objectives.metrics._estimate import Estimate, mean, per_image

EDGE = 1 / 512  # half an 8-bit gray level: an output of 0 for a dark gray pixel is no certainty, and a linear decoder leaves [0, 1]
METRIC = Metric(
    name="val_bce",
    summary="Binary cross-entropy of reconstructions, summed over pixels; no likelihood of gray pixels. Outputs stay 1/512 from 0 and 1",
    formula="−Σ_pixels x log x̂ + (1 − x) log(1 − x̂)",
    unit="cross-entropy per image (not to be compared with nats)",
    better="lower",
)


def estimate(reconstruction: Tensor, target: Tensor) -> Estimate:
    """Mean over images of the cross-entropy summed over pixels; both (n, ...) of one shape."""
    return mean(of_each(reconstruction, target))


def of_each(reconstruction: Tensor, target: Tensor) -> Tensor:
    """The cross-entropy of each image, (n,)."""
    guess, x = double(reconstruction).clamp(EDGE, 1 - EDGE), double(target)
    return per_image(-(x * guess.log() + (1 - x) * (-guess).log1p()))
