"""Anomaly detection: does a model find images of a class that it was not trained on stranger than others?

The data set's option `hold_out: CLASS` takes a class out of every split and puts its validation and test images aside. Only this metric
sees them. The family says how an image is scored: by reconstruction error, −ELBO, or −D(x).
"""

from __future__ import annotations

from objectives.base import Metric
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.lazy import Tensor, torch
from objectives.metrics._estimate import Estimate, per_image
from objectives.metrics._subject import Subject

SOURCE = "Hanley and McNeil 1982; standard error: DeLong, DeLong and Clarke-Pearson 1988"
METRIC = Metric(
    name="val_anomaly_error",
    summary="How often an image of the held-out class seems less strange than one of the known classes; 0.5 is chance",
    formula="P(score of novel < score of known) + ½ P(=)",
    unit="share of pairs",
    decides=True,
    ends=(0.0, 1.0),
    costly=True,
    source=SOURCE,
    label="1 − AUROC[n={n}]",
)
ALSO = (
    Metric(
        "val_anomaly_auroc",
        "Area under the ROC curve of the held-out class",
        "1 − val_anomaly_error",
        "1",
        costly=True,
        source=SOURCE,
        label="AUROC[n={n}]",
        better="higher",
    ),
)
NEEDS = ("anomaly",)


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """It needs a class that is held out."""
    if images.val_novel is not None and len(images.val_novel) and images.test_novel is not None and len(images.test_novel):
        return ""
    return "it needs a class that is held out: add hold_out: CLASS to the options of a labelled data set."


def measure(subject: Subject) -> dict[str, Estimate]:
    """Error and area under the curve on the split."""
    found = estimate(subject.anomaly(subject.real), subject.anomaly(subject.novel))
    return {"anomaly_error": found, "anomaly_auroc": Estimate(1 - found.value, found.se)}


def estimate(known: Tensor, novel: Tensor) -> Estimate:
    """1 − AUROC of scores (n,) of known and (m,) of novel images (or (n, ...), to be summed), with DeLong's standard error.

    For each known image take the share of novel images that score lower; for each novel image the share of known images that score higher.
    The variance of the area is the sum of the variances of these two means.
    """
    known, novel = per_image(known), per_image(novel)
    of_known, of_novel = 1 - _below(known, novel), _below(novel, known)
    area = float(of_novel.mean())
    if min(len(known), len(novel)) < 2:
        return Estimate(1 - area)
    variance = of_known.var(correction=1) / len(known) + of_novel.var(correction=1) / len(novel)
    return Estimate(1 - area, float(variance) ** 0.5)


def _below(x: Tensor, others: Tensor) -> Tensor:
    """The share of `others` (m,) below each x (n,), equal ones counting half."""
    ordered = others.sort().values
    lower, upper = torch.searchsorted(ordered, x), torch.searchsorted(ordered, x, right=True)
    return (lower + upper).double() / (2 * len(others))
