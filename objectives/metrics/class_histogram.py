"""Which classes are generated, and how often, according to a frozen classifier: mode collapse in numbers.

Generated images get the class with the highest score. The shares q of the classes are compared with the shares p of the training labels.
The classifier's own mistakes are in q: with accuracy a, up to 1 − a of the total variation. On stacked MNIST the 1,000 combinations of
three digits are the modes that the literature counts. Sampling alone gives a χ² of about (classes − 1)/n.
Source: Santurkar et al., arXiv 1711.00970 (class shares); Che et al., arXiv 1612.02136; Lin et al., arXiv 1712.04086 (modes, reverse KL).
"""

from __future__ import annotations

from objectives.base import Metric, ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor
from objectives.lazy import Tensor, torch
from objectives.metrics._estimate import Estimate
from objectives.metrics._subject import Subject

METRIC = Metric(
    name="val_class_tv",
    summary="Total variation between the classes of generated images, by a frozen classifier, and the classes of training images",
    formula="½ Σ_c |q_c − p_c|",
    unit="share",
    costly=True,
    source="Santurkar et al., arXiv 1711.00970",
    label="class TV[{features}, n={n}]",
    better="lower",
)
ALSO = (
    Metric(
        name="val_class_chi2",
        summary="χ² distance between the classes of generated images and those of training images; about (classes − 1)/n by chance",
        formula="Σ_c (q_c − p_c)²/p_c",
        unit="1",
        costly=True,
        source="Pearson 1900",
        label="class χ²[{features}, n={n}]",
        better="lower",
    ),
    Metric(
        name="val_class_reverse_kl",
        summary="Kullback-Leibler divergence of the classes of generated images from those of training images",
        formula="Σ_c q_c log(q_c/p_c)",
        unit="nats",
        costly=True,
        source="Che et al., arXiv 1612.02136",
        label="class reverse KL[{features}, n={n}]",
        better="lower",
    ),
    Metric(
        name="val_classes_found",
        summary="Classes that at least one generated image was taken for (higher is better)",
        formula="#{c : q_c > 0}",
        unit="classes",
        costly=True,
        source="Lin et al. (PacGAN), arXiv 1712.04086, section 4",
        label="classes found[{features}, n={n}]",
        better="higher",
    ),
)
NEEDS = ("samples", "labels", "features")


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """It needs a classifier's features, and training images of every class."""
    if extractor is None or extractor.classify is None:
        return f"classes of generated images need features: classifier; got {getattr(extractor, 'label', None)}. Leave `features` out."
    if images.train_labels is None or images.classes is None:
        return "classes of generated images need labelled images."
    missing = images.classes - int(images.train_labels[images.train_labels >= 0].bincount().count_nonzero())
    return f"the training images must have every class; {missing} of {images.classes} are missing. Raise train_size." if missing else ""


def measure(subject: Subject) -> dict[str, Estimate]:
    """All four metrics, of as many samples as the split has images, against the labels of all training images."""
    labels = subject.images.train_labels
    if labels is None:
        raise ObjectiveError("classes of generated images need labelled images.")
    labels = labels[labels >= 0]
    scores = subject.extractor.scores(subject.sample_features)
    q, p = shares(scores, labels)
    return {
        "class_tv": estimate(scores, labels),
        "class_chi2": Estimate(float(((q - p).square() / p).sum())),
        "class_reverse_kl": Estimate(float((q * (q / p).clamp(min=1e-300).log()).sum())),
        "classes_found": Estimate(float((q > 0).sum())),
    }


def shares(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the classes (C,): of the highest scores (n, C), and of labels (m,)."""
    classes = scores.shape[1]
    found = [torch.bincount(of.flatten(), minlength=classes).double() / len(of) for of in (scores.argmax(1), labels)]
    return found[0], found[1]


def estimate(scores: Tensor, labels: Tensor) -> Estimate:
    """Total variation between the classes of scores (n, C) and of labels (m,), and its standard error over images.

    The error is of first order: the signs of q_c − p_c are held fixed. Where q and p agree, it is too wide rather than too narrow.
    """
    q, p = shares(scores, labels)
    sign = (q - p).sign()
    variances = [float((sign.square() * share).sum() - (sign * share).sum() ** 2) for share in (q, p)]
    variance = max(0.0, variances[0]) / len(scores) + max(0.0, variances[1]) / len(labels)
    return Estimate(float(0.5 * (q - p).abs().sum()), 0.5 * variance**0.5 or None)
