"""99,289 house numbers, photographed: colour images of 32×32 pixels, in 10 classes (the digit in the middle)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data import _files, _shares
from objectives.data._image_set import image_set
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import LABELLED, PIXELS, digest, refuse

VAL_SHARE = 10
DATASET = Dataset(
    name="svhn",
    summary="99,289 photographed house numbers of 32×32 colour pixels, in 10 classes",
    shape=(3, 32, 32),
    classes=10,
    sizes={"train": 65_932, "val": 7_325, "test": 26_032},
    licence="non-commercial use only",
    source="Netzer et al., Reading digits in natural images with unsupervised feature learning, 2011",
    needs_root=True,
    options={"download": False, **PIXELS, **LABELLED},
    signs=True,
)


def _fetch(root: str) -> None:
    from torchvision import datasets

    for split in ("train", "test"):
        datasets.SVHN(root, split, download=True)


LAYOUT = _files.Layout("", ("train_32x32.mat", "test_32x32.mat"), _fetch)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files and damaged headers included."""
    return _files.check(DATASET, LAYOUT, options, _sizes)


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images, from the header of the file."""
    root = options["root"]
    return DATASET.sizes["train"] if LAYOUT.missing(root) else _sizes(root)["train"]


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 3, 32, 32) in [0, 1]: nine tenths of the official training set, the rest to validate, the official test set.

    The files call the digit 0 by the label 10; here it is 0.

    Raises:
        ObjectiveError: an option is wrong, or the files under `root` are missing or damaged.
    """
    refuse(check(options))
    import numpy as np

    _files.fetched(DATASET, LAYOUT, options["root"])
    parts = [_read(LAYOUT.path(options["root"], name)) for name in LAYOUT.files]
    pixels, labels = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    index = _shares.official(len(parts[0][0]), len(parts[1][0]), VAL_SHARE)
    return image_set(DATASET, options, pixels.__getitem__, labels, index, 255, digest(pixels, labels), device)


def write_sample(root: Path) -> dict[str, Any]:
    """Tiny files in the real layout below `root`; the options that load them."""
    import numpy as np
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    for number, (name, n) in enumerate(zip(LAYOUT.files, (100, 30), strict=True)):
        pixels = np.random.RandomState(number).randint(0, 256, (32, 32, 3, n), dtype=np.uint8)
        savemat(root / name, {"X": pixels, "y": (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]}, do_compression=True)
    return {"root": str(root)}


def _sizes(root: Any) -> dict[str, int]:
    """The number of images of each split, from the files' headers."""
    train, test = (_count(LAYOUT.path(root, name)) for name in LAYOUT.files)
    return _shares.official_sizes(train, test, VAL_SHARE)


def _count(path: Path) -> int:
    from scipy.io import whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(path)}
    except Exception as error:  # a damaged file raises anything
        raise ObjectiveError(f"{path} must be a MATLAB file; {type(error).__name__}: {error}. Fetch the file again.") from error
    images, labels = shapes.get("X", ()), shapes.get("y", ())
    if len(images) != 4 or images[:3] != (32, 32, 3) or images[3] < 2 * VAL_SHARE or labels != (images[3], 1):
        rule = f"{path} must hold X of shape (32, 32, 3, n), n at least {2 * VAL_SHARE}, and y of shape (n, 1)"
        raise ObjectiveError(f"{rule}; got {shapes}. Fetch the file again.")
    return int(images[3])


def _read(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels (n, 3, 32, 32) and labels (n,) of one file."""
    import numpy as np
    from scipy.io import loadmat

    _count(path)
    try:
        found = loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # a damaged file raises anything
        raise ObjectiveError(f"{path} must be readable; {type(error).__name__}: {error}. Fetch the file again.") from error
    pixels, labels = found["X"], found["y"][:, 0].astype(np.int64)
    if pixels.dtype != np.uint8 or labels.min() < 1 or labels.max() > 10:
        rule = f"{path} must hold bytes, with labels from 1 to 10"
        raise ObjectiveError(f"{rule}; got {pixels.dtype}, with labels from {labels.min()} to {labels.max()}. Fetch the file again.")
    return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels % 10
