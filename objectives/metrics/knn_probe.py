"""k-nearest-neighbour probe: what codes know of the labels, without a model of how."""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor, torch
from objectives.metrics._codes import standardized_of
from objectives.metrics._estimate import Estimate, mean, per_image
from objectives.metrics._subject import Subject

K = 5
ROWS = 500  # codes whose distances to all training codes are held at once
METRIC = Metric(
    name="val_knn_error",
    summary=f"Share of validation images whose {K} nearest training codes (standardized) vote for another class",
    formula="mean [majority of the nearest labels ≠ label]",
    unit="share of images",
    decides=True,
    ends=(0.0, 1.0),
    costly=True,
    source="Cover and Hart 1967",
    label=f"{K}-NN error of codes[n={{n}}]",
)
ALSO = (
    Metric(
        "val_knn_accuracy",
        f"Accuracy of the {K} nearest neighbours among standardized training codes",
        "1 − val_knn_error",
        "share of images",
        costly=True,
        source="Cover and Hart 1967",
        label=f"{K}-NN accuracy of codes[n={{n}}]",
        better="higher",
    ),
)
NEEDS = ("codes", "labels")


def measure(subject: Subject) -> dict[str, Estimate]:
    """Error and accuracy on the split."""
    train, codes = standardized_of(subject)
    found = estimate(predicted(train, subject.labels("train"), codes) != subject.labels(subject.split))
    return {"knn_error": found, "knn_accuracy": Estimate(1 - found.value, found.se)}


def estimate(wrong: Tensor) -> Estimate:
    """Share of images that are wrong, (n,) of 0 and 1, with the binomial standard error."""
    return mean(per_image(wrong))


def predicted(train: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    """The class (m,) with most votes among the k nearest of n training codes; among equals the smallest label. All vote where n < k."""
    classes = int(labels.max()) + 1
    found = []
    for rows in torch.split(codes, ROWS):
        nearest = torch.cdist(rows, train, compute_mode="donot_use_mm_for_euclid_dist").topk(min(K, len(train)), largest=False).indices
        votes = torch.nn.functional.one_hot(labels[nearest], classes).sum(1)  # (rows, classes)
        found.append(votes.argmax(1))
    return torch.cat(found)
