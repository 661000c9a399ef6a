"""70,000 handwritten digits of 28×28 gray pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from objectives.data import Dataset, ImageSet, _idx

FOLDER = "MNIST"  # torchvision's name for the folder and the class
DATASET = Dataset(
    name="mnist",
    summary="70,000 handwritten digits of 28×28 gray pixels",
    shape=(1, 28, 28),
    classes=10,
    sizes=_idx.SIZES,
    licence="none stated by its authors",
    source="LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998",
    needs_root=True,
    options={"download": False},
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files included."""
    return _idx.check(DATASET, FOLDER, options)


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 1, 28, 28) in [0, 1]: 50,000 to train, 10,000 of the official training set to validate, the official test set.

    Raises:
        ObjectiveError: an option is wrong, or the files under `root` are missing or damaged.
    """
    return _idx.load(DATASET, FOLDER, options, device)
