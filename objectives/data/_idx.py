"""MNIST and similar data sets: four IDX files in torchvision's layout, `<root>/<folder>/raw/`, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data import _files, _shares
from objectives.data._image_set import image_set
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import digest, refuse

VAL_SHARE = 6  # one of so many images of the published training file is for validation
SIZES = {"train": 50_000, "val": 10_000, "test": 10_000}
SIDE = 28


@dataclass(frozen=True)
class Source:
    """Four files: images and labels to train, images and labels to test. `first` is the first label; `transposed`: columns before rows."""

    layout: _files.Layout
    first: int = 0
    transposed: bool = False

    def sizes(self, root: Any) -> dict[str, int]:
        """The number of images of each split, from the files' headers."""
        counts = [_header(self.layout.path(root, name), rank)[0] for name, rank in zip(self.layout.files, (3, 1, 3, 1), strict=True)]
        if counts[0] != counts[1] or counts[2] != counts[3] or counts[0] < 2 * VAL_SHARE or counts[2] < 2:
            rule = f"files must hold a label for each image, at least {2 * VAL_SHARE} to train and 2 to test"
            raise ObjectiveError(f"{rule}; got {counts[0]}, {counts[1]}, {counts[2]} and {counts[3]}. Fetch the files again.")
        return _shares.official_sizes(counts[0], counts[2], VAL_SHARE)

    def read(self, root: Any, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, NDArray[np.int64]]]:
        """Pixels (n, 28, 28) and labels (n,), training images before test images, and the positions of each split.

        Raises:
            ObjectiveError: a file is cut short, or is no IDX file of such images and labels.
        """
        import numpy as np

        images, labels, test_images, test_labels = (_read(self.layout.path(root, name)) for name in self.layout.files)
        pixels, found = np.concatenate([images, test_images]), np.concatenate([labels, test_labels]) - np.uint8(self.first)
        most = self.first + classes - 1
        if pixels.shape[1:] != (SIDE, SIDE) or int(found.max()) >= classes:
            rule = f"{self.layout.at(root)} must hold images of {SIDE}×{SIDE} pixels, with labels from {self.first} to {most}"
            given = f"got shape {pixels.shape[1:]}, and labels up to {int(max(labels.max(), test_labels.max()))}"
            raise ObjectiveError(f"{rule}; {given}. Fetch the files again.")
        cut = _shares.official(len(images), len(test_images), VAL_SHARE)
        return (pixels.transpose(0, 2, 1) if self.transposed else pixels), found, cut


class Functions(NamedTuple):
    """The functions that the file of a data set holds beside `DATASET`."""

    check: Callable[[Mapping[str, Any]], list[str]]
    train_size_of: Callable[[Mapping[str, Any]], int]
    load: Callable[..., ImageSet]
    write_sample: Callable[[Path], dict[str, Any]]


def functions(dataset: Dataset, source: Source) -> Functions:
    """The functions for a data set in four such files."""
    return Functions(
        partial(check, dataset, source),
        partial(train_size_of, dataset, source),
        partial(load, dataset, source),
        partial(write_sample, source, classes=dataset.classes or 0),
    )


def torchvision_source(kind: str) -> Source:
    """The files of a torchvision class with the same layout as MNIST."""

    def fetch(root: str) -> None:
        from torchvision import datasets

        getattr(datasets, kind)(root, download=True)

    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return Source(_files.Layout(f"{kind}/raw", names, fetch))


def check(dataset: Dataset, source: Source, options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files and damaged headers included."""
    return _files.check(dataset, source.layout, options, source.sizes)


def train_size_of(dataset: Dataset, source: Source, options: Mapping[str, Any]) -> int:
    """The number of training images in the files, or the published number where the files are still to be downloaded."""
    root = options["root"]
    return dataset.sizes["train"] if source.layout.missing(root) else source.sizes(root)["train"]


def load(dataset: Dataset, source: Source, options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 1, 28, 28) in [0, 1]: the official test set, and the official training set of which a sixth validates.

    Raises:
        ObjectiveError: an option is wrong, or a file is missing, cut short or not an IDX file.
    """
    refuse(check(dataset, source, options))
    _files.fetched(dataset, source.layout, options["root"])
    pixels, labels, index = source.read(options["root"], dataset.classes or 0)
    return image_set(dataset, options, pixels.__getitem__, labels, index, 255, digest(pixels, labels), device)


def write_sample(source: Source, root: Path, classes: int) -> dict[str, Any]:
    """Write files of 120 and 30 squares; the label gives the place of the square; labels gzipped."""
    import numpy as np

    for (images, labels), n, gray in zip((source.layout.files[:2], source.layout.files[2:]), (120, 30), (50, 200), strict=True):
        named = (np.arange(n) % classes).astype(np.uint8)
        pixels = np.zeros((n, SIDE, SIDE), np.uint8)
        for place, label in enumerate(named):
            top, left = label % 8 * 3, label // 8 * 3
            pixels[place, top : top + 6, left : left + 6] = gray + place
        pixels[:, 0, 0] = 255
        folder = source.layout.at(root)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / images).write_bytes(_packed(pixels))
        (folder / f"{labels}.gz").write_bytes(gzip.compress(_packed(named + np.uint8(source.first))))
    return {"root": str(root)}


def _packed(array: NDArray[np.uint8]) -> bytes:
    """An IDX file: magic number 0x08 (unsigned byte) and the rank, then the sizes (big-endian int32), then the data."""
    import numpy as np

    return np.array([0x0800 + array.ndim, *array.shape], dtype=">i4").tobytes() + array.tobytes()


def _header(path: Path, rank: int) -> tuple[int, ...]:
    """The sizes that the header of an IDX file of this rank names."""
    import numpy as np

    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(4 + 4 * rank)
    except (OSError, EOFError, zlib.error) as error:
        raise ObjectiveError(f"{path} must be readable; {error}. Fetch the file again.") from error
    if len(content) != 4 + 4 * rank or content[:4] != bytes([0, 0, 8, rank]):
        rule = f"{path} must be an IDX file of unsigned bytes of rank {rank}"
        raise ObjectiveError(f"{rule}; got one that starts with {content.hex()}. Fetch the file again.")
    return tuple(int(size) for size in np.frombuffer(content, ">i4", offset=4))


def _read(path: Path) -> NDArray[np.uint8]:
    """The bytes of an IDX file whose name says its rank (`idx3`)."""
    import numpy as np

    rank = int(path.name.partition("-idx")[2][:1])
    shape = _header(path, rank)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ObjectiveError(f"{path} must be readable; {error}. Fetch the file again.") from error
    if len(content) != 4 + 4 * rank + int(np.prod(shape)):
        rule = f"{path} must be an IDX file of {' × '.join(map(str, shape))} bytes, as its header says"
        raise ObjectiveError(f"{rule}; got {len(content):,} bytes in all. Fetch the file again.")
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)
