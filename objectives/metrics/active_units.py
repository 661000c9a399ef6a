"""Active units: how many latents of a VAE say anything about the image."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor, double
from objectives.metrics._estimate import Estimate
from objectives.metrics._subject import Subject

THRESHOLD = 0.01
LOOSE, STRICT = 0.001, 0.1
METRIC = Metric(
    name="val_active_units",
    summary="Latents whose posterior mean moves from one validation image to the next",
    formula="#{j : Var_x(E_q[z_j]) > 0.01}",
    unit="latents",
    source="Burda, Grosse and Salakhutdinov, arXiv 1509.00519, section 5",
    label="active units[n={n}]",
)
ALSO = tuple(
    Metric(
        f"val_active_units_{name}",
        f"Active units at a threshold of {value}",
        f"#{{j : Var_x(E_q[z_j]) > {value}}}",
        "latents",
        label=f"active units above {value}[n={{n}}]",
    )
    for name, value in (("loose", LOOSE), ("strict", STRICT))
)
NEEDS = ("posterior",)


def measure(subject: Subject) -> dict[str, Estimate]:
    """The count at the threshold, a tenth of it and ten times it: three points of the curve, which show whether the threshold matters."""
    mu, _ = subject.posterior
    return {
        "active_units": estimate(mu),
        "active_units_loose": estimate(mu, LOOSE),
        "active_units_strict": estimate(mu, STRICT),
    }


def curve(mu: Tensor) -> Tensor:
    """Var_x(E_q[z_j]), largest first, in float64: posterior means (n, z) -> (z,). Shows how near the count is to its threshold."""
    return double(mu.detach()).var(0, correction=1).sort(descending=True).values


def estimate(mu: Tensor, threshold: float = THRESHOLD) -> Estimate:
    """The count at `threshold`, from posterior means (n, z). A count has no useful standard error."""
    return Estimate(float((curve(mu) > threshold).sum()))
