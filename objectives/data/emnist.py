"""Handwritten letters and digits of 28×28 gray pixels: the six ways in which EMNIST is split (option `split`).

The files hold columns before rows: an image that is read like one of MNIST lies on its side. Here the images are turned upright;
torchvision does not do that. Labels start at 0, also for `letters`, whose files start at 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from objectives.data import _files, _idx, _shares
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import LABELLED, PIXELS, choice_fault, refuse

# For each split: the number of classes, and of images in the published training and test files.
PUBLISHED = {
    "balanced": (47, 112_800, 18_800),
    "byclass": (62, 697_932, 116_323),
    "bymerge": (47, 697_932, 116_323),
    "digits": (10, 240_000, 40_000),
    "letters": (26, 124_800, 20_800),
    "mnist": (10, 60_000, 10_000),
}
DATASET = Dataset(
    name="emnist",
    summary="131,600 handwritten letters and digits of 28×28 gray pixels, in 47 classes; other splits to 814,255",
    shape=(1, 28, 28),
    classes=47,
    sizes={"train": 94_000, "val": 18_800, "test": 18_800},
    licence="public domain (NIST Special Database 19)",
    source="Cohen et al., EMNIST: an extension of MNIST to handwritten letters, arXiv 1702.05373",
    needs_root=True,
    options={"split": "balanced", "download": False, **PIXELS, **LABELLED},
    signs=True,
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files included."""
    wrong = choice_fault(DATASET, options, "split", tuple(PUBLISHED))
    known = {key: value for key, value in options.items() if key != "split" or not wrong}
    return wrong + _idx.check(_dataset(known), _source(known), known)


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images, from the files' headers."""
    return _idx.train_size_of(_dataset(options), _source(options), options)


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 1, 28, 28) in [0, 1], upright: the official test set, and the official training set of which a sixth validates.

    Raises:
        ObjectiveError: an option is wrong, or the files under `root` are missing or damaged.
    """
    refuse(check(options))
    return _idx.load(_dataset(options), _source(options), options, device)


def write_sample(root: Path) -> dict[str, Any]:
    """Tiny files in the real layout below `root`; the options that load them."""
    return _idx.write_sample(_source({"split": "letters"}), root, 26) | {"split": "letters"}


def _dataset(options: Mapping[str, Any]) -> Dataset:
    classes, train, test = PUBLISHED[options.get("split", "balanced")]
    return replace(DATASET, classes=classes, sizes=_shares.official_sizes(train, test, _idx.VAL_SHARE))


def _source(options: Mapping[str, Any]) -> _idx.Source:
    split = options.get("split", "balanced")

    def fetch(root: str) -> None:
        from torchvision import datasets

        datasets.EMNIST(root, split, download=True)

    parts = ((part, kind) for part in ("train", "test") for kind in ("images-idx3", "labels-idx1"))
    names = tuple(f"emnist-{split}-{part}-{kind}-ubyte" for part, kind in parts)
    return _idx.Source(_files.Layout("EMNIST/raw", names, fetch), first=int(split == "letters"), transposed=True)
