"""Features of stacked digits: each channel is a digit of its own, so one LeNet for single channels looks at each channel in turn.

A classifier of all 1,000 combinations would see 50 images of each. A classifier of the ten digits sees thousands, and three right answers
are one right combination. A label is read as the number that the digits write, the first channel's digit first.
Source: Metz et al., arXiv 1611.02163 (stacked MNIST); Lin et al. (PacGAN), arXiv 1712.04086, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor, _trained, lenet, no_options, whole
from objectives.lazy import Tensor, torch

SUMMARY = "512 LeNet codes of each channel, for data whose channels are digits (stacked MNIST)"
RANK = 0
DIGITS = 10


def faults(options: Mapping[str, Any]) -> list[str]:
    """It has no options."""
    return no_options("stacked", options)


def suits(images: ImageSet) -> bool:
    """Labels that write a digit per channel: 10^C classes of C channels, C at least 2, and a size that a LeNet takes."""
    channels = images.shape[0]
    return channels > 1 and images.classes == DIGITS**channels and lenet.suits(images)


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any]) -> Extractor:
    """512 features per channel, and log-probabilities of all combinations: the sum of those of the digits.

    Raises:
        ObjectiveError: the channels are not labelled as digits.
    """
    if not suits(images):
        name = images.record.get("name", "this data set")
        raise ObjectiveError(
            f"features 'stacked' need channels that are digits, labelled 0 to 10^C − 1; got {name!r} with {images.shape[0]} channels and "
            f"{images.classes} classes. Choose features: classifier."
        )
    channels, recipe = images.shape[0], lenet.RECIPE
    network, facts = _trained.classifier(apart(whole(images)), cache, recipe)
    network.to(images.val.device)
    body, last = network[:-1], network[-1]

    def of(part: Tensor) -> Tensor:
        found: Tensor = body(_trained.centred(part.flatten(0, 1).unsqueeze(1)))
        return found.view(len(part), -1)

    def classify(features: Tensor) -> Tensor:
        scores = torch.log_softmax(last(features.view(-1, recipe.features)), 1).view(-1, channels, DIGITS)
        found = scores[:, 0]
        for channel in range(1, channels):
            found = (found[:, :, None] + scores[:, channel, None]).flatten(1)
        return found

    dim = channels * recipe.features
    label = f"{channels}x{_trained.label_of(recipe, facts)}"
    return Extractor(label, images.shape, dim, of, {**facts, "dim": dim}, classify)


def apart(images: ImageSet) -> ImageSet:
    """Every channel as an image, with its digit as label."""
    channels = images.shape[0]
    powers = torch.tensor([DIGITS ** (channels - 1 - c) for c in range(channels)], device=images.train.device)

    def labels(of: Tensor | None) -> Tensor | None:
        return None if of is None else (of[:, None] // powers % DIGITS).flatten()

    single = {split: getattr(images, split).flatten(0, 1).unsqueeze(1) for split in ("train", "val", "test")}
    record = {**images.record, "name": f"{images.record.get('name', 'images')}-channels"}
    return replace(
        images,
        **single,
        train_labels=labels(images.train_labels),
        val_labels=labels(images.val_labels),
        test_labels=labels(images.test_labels),
        shape=(1, *images.shape[1:]),
        classes=DIGITS,
        record=record,
    )
