"""70,000 pictures of clothes of 28×28 gray pixels, in 10 classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from objectives.data import Dataset, ImageSet, _idx
from objectives.data._options import LABELLED, PIXELS

FILES = _idx.torchvision_source("FashionMNIST")
DATASET = Dataset(
    name="fashion_mnist",
    summary="70,000 pictures of clothes of 28×28 gray pixels, in 10 classes",
    shape=(1, 28, 28),
    classes=10,
    sizes=_idx.SIZES,
    licence="MIT, (c) 2017 Zalando SE",
    source="Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv 1708.07747",
    needs_root=True,
    options={"download": False, **PIXELS, **LABELLED},
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files included."""
    return _idx.check(DATASET, FILES, options)


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images, from the files' headers."""
    return _idx.train_size_of(DATASET, FILES, options)


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 1, 28, 28) in [0, 1]: 50,000 to train, 10,000 of the official training set to validate, the official test set.

    Raises:
        ObjectiveError: an option is wrong, or the files under `root` are missing or damaged.
    """
    return _idx.load(DATASET, FILES, options, device)


def write_sample(root: Path) -> dict[str, Any]:
    """Tiny files in the real layout below `root`; the options that load them."""
    return _idx.write_sample(FILES, root, 10)
