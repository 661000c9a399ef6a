"""Modes of a two-dimensional mixture that are sampled, and how many samples lie near one: mode collapse where the truth is known.

For data whose record holds the mixture (`ring`, `grid`): centres and one standard deviation. A sample is of high quality within three
standard deviations of its nearest centre (of the truth itself 1 − e^−4.5 = 98.9 % are, in two dimensions), and a mode is found if one such
sample lies there. Source: Srivastava et al. (VEEGAN), arXiv 1705.07761, section 4; Lin et al. (PacGAN), arXiv 1712.04086.
"""

from __future__ import annotations

from objectives.base import Metric
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.lazy import Tensor, double, torch
from objectives.metrics._estimate import Estimate, mean
from objectives.metrics._subject import Subject

NEAR = 3  # standard deviations
METRIC = Metric(
    name="val_modes_found",
    summary="Modes of the mixture with a generated point within three standard deviations (higher is better)",
    formula="#{modes c : ∃ sample y nearest to c, ‖y − c‖ ≤ 3σ}",
    unit="modes",
    costly=True,
    source="Srivastava et al., arXiv 1705.07761",
    label="modes found[n={n}]",
    better="higher",
    ends=(0.0, float("inf")),
)
ALSO = (
    Metric(
        name="val_high_quality",
        summary="Share of generated points within three standard deviations of a mode (higher is better; 0.989 for the mixture itself)",
        formula="mean of [min_c ‖y − c‖ ≤ 3σ]",
        unit="share",
        costly=True,
        source="Srivastava et al., arXiv 1705.07761",
        label="high quality[n={n}]",
        better="higher",
        ends=(0.0, 1.0),
    ),
    Metric(
        name="val_modes_reverse_kl",
        summary="Kullback-Leibler divergence of the modes nearest to generated points from equal shares; log(modes) if all are at one",
        formula="Σ_c q_c log(q_c · modes)",
        unit="nats",
        decides=True,
        costly=True,
        source="Lin et al. (PacGAN), arXiv 1712.04086",
        label="modes reverse KL[n={n}]",
        ends=(0.0, float("inf")),
    ),
)
NEEDS = ("samples",)


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """The mixture must be known."""
    name = images.record.get("name", "this data set")
    return "" if "modes" in images.record else f"modes are known for two-dimensional mixtures; got {name!r}. Choose dataset: ring or grid."


def measure(subject: Subject) -> dict[str, Estimate]:
    """All three."""
    truth = subject.images.record["modes"]
    points = subject.samples.flatten(1)
    centres = torch.tensor(truth["centers"], dtype=torch.float64, device=points.device)
    index, distance = nearest(points, centres)
    near = distance <= NEAR * truth["std"]
    share = torch.bincount(index, minlength=len(centres)).double() / len(index)
    quality = mean(double(near))
    return {
        "modes_found": Estimate(float(index[near].bincount(minlength=1).count_nonzero())),
        "high_quality": Estimate(quality.value, quality.se or None),
        "modes_reverse_kl": Estimate(max(0.0, float((share * (share * len(centres)).clamp(min=1e-300).log()).sum()))),
    }


def nearest(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the centres (k, D) is nearest to each point (n, D), and how far it is: (n,) each, in float64."""
    found = torch.cdist(double(points.detach()), double(centres), compute_mode="donot_use_mm_for_euclid_dist").min(1)
    return found.indices, found.values


def estimate(points: Tensor, centres: Tensor, std: float = 1.0) -> Estimate:
    """How many of the centres (k, D) have a point of (n, D) nearest to them and within three `std`."""
    index, distance = nearest(points, centres)
    return Estimate(float(index[distance <= NEAR * std].bincount(minlength=1).count_nonzero()))
