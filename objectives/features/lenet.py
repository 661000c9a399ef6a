"""The 512 last hidden codes of a LeNet. The authors of KID score MNIST in them. They are enough to tell good samples from better ones.

Layers: 32 filters of 5×5 – pool – 64 of 5×5 – pool – 512 – classes, without padding, ReLU, images centred to [−½, ½]. Two epochs of
momentum 0.9 in batches of 32, the learning rate falling along a line from 0.03 to 0: 99.1 % on MNIST, in a minute and a half on one thread.
Source: LeCun et al. 1998; Binkowski et al., arXiv 1801.01401, section 5 and appendix.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.features import Extractor, _trained, no_options
from objectives.features._trained import Recipe

SUMMARY = "512 last hidden codes of a LeNet, trained once per labelled data set of 16 to 32 pixels a side"
RANK = 1
RECIPE = Recipe(version=2, kind="lenet", features=512, epochs=2, learning_rate=0.03, batch=32, most_images=50_000)
SMALLEST = 16  # pixels a side: below this, two convolutions and two poolings leave nothing
LARGEST = 32  # pixels a side that it is the default for: the time grows with the pixels, and 64 a side take a quarter of an hour


def faults(options: Mapping[str, Any]) -> list[str]:
    """It has no options."""
    return no_options("lenet", options)


def suits(images: ImageSet) -> bool:
    """Labelled images of 16 to 32 pixels a side."""
    return _trained.labelled(images) and min(images.shape[1:]) >= SMALLEST and max(images.shape[1:]) <= LARGEST


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any]) -> Extractor:
    """512 features, not below 0.

    Raises:
        ObjectiveError: the data set has no labels, or its images are too small.
    """
    if min(images.shape[1:]) < SMALLEST:
        size = "×".join(map(str, images.shape[1:]))
        raise ObjectiveError(f"features 'lenet' need images of at least {SMALLEST} pixels a side; got {size}. Choose features: classifier.")
    return _trained.extractor(images, cache, RECIPE)
