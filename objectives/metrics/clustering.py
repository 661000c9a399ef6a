"""Clusters of codes against labels: does the latent space fall into classes by itself?"""

from __future__ import annotations

from objectives.base import Metric
from objectives.lazy import Tensor, torch
from objectives.metrics._codes import standardized
from objectives.metrics._estimate import Estimate
from objectives.metrics._subject import Subject

STARTS = 4
METRIC = Metric(
    name="val_nmi",
    summary="Agreement of k-means clusters of standardized codes, one for each class, with the labels: 0 none, 1 the same partition",
    formula="2 I(cluster; label) / (H(cluster) + H(label))",
    unit="1",
    costly=True,
    source="Strehl and Ghosh 2002; arithmetic mean, as scikit-learn",
    label="NMI[k-means, n={n}]",
    better="higher",
)
NEEDS = ("codes", "labels")


def measure(subject: Subject) -> dict[str, Estimate]:
    """Normalized mutual information on the split. Higher is better, so it cannot decide. The luck of k-means has no standard error."""
    (codes,) = standardized(subject.labelled(subject.split, subject.codes(subject.split)))
    labels = subject.labels(subject.split)
    return {"nmi": estimate(clusters(codes, len(torch.unique(labels))), labels)}


def estimate(cluster_labels: Tensor, labels: Tensor) -> Estimate:
    """Normalized mutual information of two partitions of the same images, of one shape each; 0 where either is a single part."""
    a, b = (torch.unique(part.reshape(-1), return_inverse=True)[1] for part in (cluster_labels, labels))
    width = int(b.max()) + 1
    joint = torch.bincount(a * width + b, minlength=(int(a.max()) + 1) * width).double().reshape(-1, width) / len(a)
    parts = [_entropy(joint.sum(1)), _entropy(joint.sum(0))]
    both = sum(parts)
    return Estimate(0.0 if min(parts) == 0 else 2 * (both - _entropy(joint.reshape(-1))) / both)


def clusters(codes: Tensor, count: int) -> Tensor:
    """The cluster (n,) of codes (n, z), by k-means from fixed starts."""
    from sklearn.cluster import KMeans

    x = codes.cpu().numpy()
    distinct = len(torch.unique(codes, dim=0))
    found = KMeans(min(count, distinct), n_init=STARTS, random_state=0).fit_predict(x)
    return torch.from_numpy(found).long().to(codes.device)


def _entropy(shares: Tensor) -> float:
    """−Σ p log p."""
    return float(-(shares * shares.clamp(min=1e-300).log()).sum())
