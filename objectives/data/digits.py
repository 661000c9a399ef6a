"""8×8 handwritten digits that ship inside scikit-learn: needs no download."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._image_set import image_set
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import LABELLED, PIXELS, digest, faults_of, permutation, refuse

DATASET = Dataset(
    name="digits",
    summary="1,797 handwritten digits of 8×8 gray pixels, inside scikit-learn",
    shape=(1, 8, 8),
    classes=10,
    sizes={"train": 1077, "val": 360, "test": 360},
    licence="CC BY 4.0",
    source="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (its test set); sklearn.datasets.load_digits",
    options={**PIXELS, **LABELLED},
    signs=True,
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options. `root` is accepted and not used."""
    return faults_of(DATASET, options)


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 1, 8, 8) in [0, 1]: 1,077 to train, 360 to validate, 360 to test, cut from one fixed permutation.

    Raises:
        ObjectiveError: an option is unknown or train_size does not fit.
    """
    refuse(check(options))
    pixels, labels = _read()
    train, val = DATASET.sizes["train"], DATASET.sizes["val"]
    order = permutation(len(pixels))
    index = {"train": order[:train], "val": order[train : train + val], "test": order[train + val :]}
    return image_set(DATASET, options, pixels.__getitem__, labels, index, 16, digest(pixels, labels), device)


def _read() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pixels (1797, 8, 8), whole numbers 0..16, and labels (1797,).

    Reads scikit-learn's file directly, because importing sklearn.datasets costs each worker 1.5 s and 100 MB. If the file is not in its
    usual place, sklearn.datasets is imported.
    """
    import numpy as np

    spec = importlib.util.find_spec("sklearn")
    path = Path(spec.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if spec else Path()
    if path.is_file():
        table = np.loadtxt(path, delimiter=",").astype(np.uint8)  # (1797, 65): 64 pixels and the label
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1].copy()
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images.astype(np.uint8), found.target.astype(np.uint8)
