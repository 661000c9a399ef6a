"""What generated images are worth to a classifier: how much better does it know real images after training with generated ones?

Generators here are unconditional, so their images have no class of their own. The published scores (Shmelkov et al.: train on generated,
test on real, and the reverse; Ravuri and Vinyals: CAS) need a class. So a small classifier f₀ is trained on ten real images per class. f₁
is trained on the same images and on as many generated images as the split has, labelled by f₀. The gain is accuracy(f₁) − accuracy(f₀) on
real images of the split, paired by image. No label enters beyond the ten per class. So a gain comes from the generator, which has seen all
images and no label.

This is not GAN-train with the labels of a classifier that has seen every training label. Such labels teach, whatever the images are. On the
digits, a classifier of uniform noise with such labels knows 83 % of real images. That is distillation and says nothing about the generator.

Pitfalls: the gain is small and often below 0, because f₁ learns f₀'s mistakes. Its standard error is over the images of the split; another
seed of the classifiers moves it by about a point. A generator that copies training images scores well. It is no distance, so it does not
decide.
Source: Ravuri and Vinyals, arXiv 1905.10887; Shmelkov et al., arXiv 1807.09499; pseudo-labels: Lee 2013.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from objectives.base import Metric
from objectives.data._kinds import ImageSet
from objectives.features import Extractor, _trained
from objectives.features.classifier import SMALL
from objectives.lazy import Tensor, double, torch
from objectives.metrics._estimate import Estimate, mean
from objectives.metrics._subject import Subject
from objectives.parts import in_parts

PER_CLASS = 10
STEPS = 500  # minibatches of every classifier, so that more images do not mean a longer training
MOST_CLASSES = 100
METRIC = Metric(
    name="val_generated_gain",
    summary="Accuracy that a classifier of ten real images per class gains from generated ones that it labels itself (higher is better)",
    formula="accuracy(few real + generated) − accuracy(few real)",
    unit="share of images",
    costly=True,
    source="after Ravuri and Vinyals, arXiv 1905.10887; Lee 2013",
    label="gain from generated[mlp-32, 10 per class, n={n}]",
    better="higher",
)
ALSO = (
    Metric(
        name="val_few_accuracy",
        summary="Accuracy of a classifier of ten real images per class: what the gain is counted from",
        formula="mean of [f₀(x) = label]",
        unit="share of images",
        costly=True,
        source="",
        label="accuracy[mlp-32, 10 per class, n={n}]",
    ),
)
NEEDS = ("samples", "labels")


def misfit(images: ImageSet, extractor: Extractor | None) -> str:
    """It needs ten training images of every class."""
    if images.train_labels is None or images.classes is None or images.classes > MOST_CLASSES:
        return f"the gain from generated images needs labelled images of at most {MOST_CLASSES} classes; got {images.classes}."
    fewest = int(images.train_labels[images.train_labels >= 0].bincount(minlength=images.classes).min())
    if fewest >= PER_CLASS:
        return ""
    return f"the gain from generated images needs {PER_CLASS} training images of every class; one has {fewest}. Raise train_size."


def measure(subject: Subject) -> dict[str, Estimate]:
    """The gain and the accuracy, on the real images of the split."""
    images, samples = subject.images, subject.samples.detach()
    few, labels = few_real(images)
    f_0 = _taught(few, labels, images)
    times = max(1, len(samples) // len(few))  # real images in as many minibatches as generated ones
    f_1 = _taught(torch.cat([*[few] * times, samples]), torch.cat([*[labels] * times, f_0(samples)]), images)
    truth = subject.labels(subject.split)
    few_right, more_right = ((subject.labelled(subject.split, classes(subject.real)) == truth).double() for classes in (f_0, f_1))
    return {
        "generated_gain": estimate(more_right, few_right),
        "few_accuracy": _accuracy(few_right),
    }


def estimate(after: Tensor, before: Tensor) -> Estimate:
    """Mean gain over images of two correctness scores (n, …), paired by image, with its standard error."""
    found = mean((double(after) - double(before)).reshape(len(after), -1).mean(1))
    return Estimate(found.value, found.se or None)


def few_real(images: ImageSet) -> tuple[Tensor, Tensor]:
    """The first ten training images of every class and their labels."""
    labels = images.train_labels
    assert labels is not None and images.classes is not None  # misfit
    chosen = torch.cat([(labels == c).nonzero().flatten()[:PER_CLASS] for c in range(images.classes)])
    return images.train[chosen], labels[chosen]


def _taught(x: Tensor, y: Tensor, images: ImageSet) -> Callable[[Tensor], Tensor]:
    """Classes (n,) of images, by the small classifier after a fixed number of minibatches of x (n, C, H, W) and their classes y (n,)."""
    epochs = -(-STEPS * SMALL.batch // max(len(x), SMALL.batch))
    network = _trained.fitted(x.cpu(), y.cpu(), images.shape, images.classes or 0, replace(SMALL, epochs=epochs))

    def classes(of: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([network(_trained.centred(part.cpu())).argmax(1) for part in in_parts(of)]).to(of.device)

    return classes


def _accuracy(right: Tensor) -> Estimate:
    found = mean(right)
    return Estimate(found.value, found.se or None)
