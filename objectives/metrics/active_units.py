"""Active units: how many latents of a VAE say anything about the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from objectives.base import Metric
from objectives.metrics._estimate import Estimate

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 0.01
METRIC = Metric(
    name="val_active_units",
    summary="Latents whose posterior mean moves from one validation image to the next",
    formula="#{j : Var_x(E_q[z_j]) > 0.01}",
    unit="latents",
    source="Burda, Grosse and Salakhutdinov, arXiv 1509.00519, section 5",
)


def curve(mu: Tensor) -> Tensor:
    """Var_x(E_q[z_j]), largest first, in float64: posterior means (n, z) -> (z,). Says how near the count is to its threshold."""
    return mu.detach().double().var(0, correction=1).sort(descending=True).values


def estimate(mu: Tensor, threshold: float = THRESHOLD) -> Estimate:
    """The count at `threshold`, from posterior means (n, z). A count has no standard error worth the name."""
    return Estimate(float((curve(mu) > threshold).sum()))
