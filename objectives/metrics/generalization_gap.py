"""How much worse a model does on images that it was not trained on."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor
from objectives.metrics._estimate import Estimate, mean, per_image

METRIC = Metric(
    name="generalization_gap",
    summary="Validation minus training of the same loss per image, in evaluation mode; a loss in nats adds _nats to the name",
    formula="loss(validation) − loss(training)",
    unit="that of the loss, per image",
)


def estimate(validation: Tensor, training: Tensor) -> Estimate:
    """Difference of the means of two losses per image, (n,) and (m,); the splits are disjoint, so their variances add."""
    val, train = mean(per_image(validation)), mean(per_image(training))
    se = None if val.se is None or train.se is None else (val.se**2 + train.se**2) ** 0.5
    return Estimate(val.value - train.value, se)
