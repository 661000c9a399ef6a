"""Features of a small classifier: a network with one hidden layer below 16 pixels a side, a small convolutional one above.

It trains in seconds to a minute on one thread, whatever the size of the images. A LeNet would take many minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.data._kinds import ImageSet
from objectives.features import Extractor, _trained, no_options
from objectives.features._trained import Recipe

SUMMARY = "last hidden layer of a small classifier (32 or 64 features), trained once per labelled data set"
RANK = 2
SMALL = Recipe(version=1, kind="mlp", features=32, epochs=40, learning_rate=0.05, batch=32)
LARGE = Recipe(version=1, kind="conv", features=64, epochs=3, learning_rate=0.05)
SMALLEST = 4  # pixels a side that it is the default for: points and vectors are compared as they are (`pca`)
_SMALLEST_CONV = 16  # pixels a side: below this, pooling twice leaves nothing to see


def faults(options: Mapping[str, Any]) -> list[str]:
    """It has no options."""
    return no_options("classifier", options)


def suits(images: ImageSet) -> bool:
    """Labelled images, but not points that happen to have labels."""
    return _trained.labelled(images) and min(images.shape[1:]) >= SMALLEST


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any]) -> Extractor:
    """32 features of images below 16 pixels a side, 64 of larger ones.

    Raises:
        ObjectiveError: the data set has no labels.
    """
    return _trained.extractor(images, cache, SMALL if min(images.shape[1:]) < _SMALLEST_CONV else LARGE)
