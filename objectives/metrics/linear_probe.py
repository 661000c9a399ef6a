"""Linear probe: what a logistic regression on codes knows of the labels."""

from __future__ import annotations

import warnings

from objectives.base import Metric
from objectives.lazy import Tensor, torch
from objectives.metrics._codes import standardized_of
from objectives.metrics._estimate import Estimate, mean, per_image
from objectives.metrics._subject import Subject

STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # of 1/L2, the same for every λ
FOLDS = 3
SOURCE = "Alain and Bengio, arXiv 1610.01644"
METRIC = Metric(
    name="val_probe_error",
    summary="Share of validation images that a logistic regression on standardized codes gets wrong; its L2 by cross-validation",
    formula="mean [class of the probe ≠ label]",
    unit="share of images",
    decides=True,
    ends=(0.0, 1.0),
    costly=True,
    source=SOURCE,
    label="linear probe error[n={n}]",
)
ALSO = (
    Metric(
        "val_probe_accuracy",
        "Accuracy of a logistic regression on standardized codes",
        "1 − val_probe_error",
        "share of images",
        costly=True,
        source=SOURCE,
        label="linear probe accuracy[n={n}]",
        better="higher",
    ),
)
NEEDS = ("codes", "labels")


def measure(subject: Subject) -> dict[str, Estimate]:
    """Error and accuracy on the split of a probe that is fitted to training codes."""
    train, codes = standardized_of(subject)
    wrong = predicted(train, subject.labels("train"), codes) != subject.labels(subject.split)
    found = estimate(wrong)
    return {"probe_error": found, "probe_accuracy": Estimate(1 - found.value, found.se)}


def estimate(wrong: Tensor) -> Estimate:
    """Share of images that are wrong, (n,) of 0 and 1, with the binomial standard error."""
    return mean(per_image(wrong))


def predicted(train: Tensor, labels: Tensor, codes: Tensor) -> Tensor:
    """Classes (m,) of codes (m, z), by a regression on training codes (n, z) and labels (n,). No fold lacks a class."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    x, y = train.cpu().numpy(), labels.cpu().numpy()
    fewest = int(np.unique(y, return_counts=True)[1].min())
    if len(np.unique(y)) < 2:
        return labels[:1].expand(len(codes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the weakest penalties may not converge in time; then they are not chosen
        warnings.simplefilter("ignore", FutureWarning)
        model = LogisticRegressionCV(Cs=STRENGTHS, cv=FOLDS, max_iter=200) if fewest >= FOLDS else LogisticRegression(max_iter=200)
        model.fit(x, y)
    return torch.from_numpy(model.predict(codes.cpu().numpy())).to(labels)
