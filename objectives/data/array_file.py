"""Images of your own in one file, `.npz` or `.npy`, of any size, with labels or without.

Accepted are whole numbers 0..255, floats in [0, 1] or truth values, of shape (n, H, W), (n, C, H, W) or (n, H, W, C). A fixed permutation
cuts the images into train, validation and test. Files are read without unpickling, so a file from anywhere is safe to try.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data import _arrays, _shares
from objectives.data._image_set import image_set
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import LABELLED, PIXELS, choice_fault, digest, faults_of, refuse
from objectives.registry import unknown

IMAGES = ("images", "x_train", "X_train", "train_images", "x", "X", "data", "arr_0")  # keys that are looked for, in this order
LABELS = ("labels", "y_train", "train_labels", "y", "Y", "targets", "target")
DATASET = Dataset(
    name="array_file",
    summary="your own images of any size, in an .npz or .npy file",
    shape=None,
    classes=None,
    sizes={},
    licence="your own",
    source="the file at `path`",
    options={"path": None, "images": None, "labels": None, "layout": None, **_shares.SHARES, **PIXELS, **LABELLED},
)


class Header(NamedTuple):
    """What a file says of an array before it is read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, and of the headers of the arrays. The values of the arrays are checked when they are loaded.

    `path` is relative to `root`, if one is given. `images` and `labels` are keys of an .npz: by default the usual names, or the only array.
    """
    wrong = choice_fault(DATASET, options, "layout", _arrays.LAYOUTS) + _shares.faults("array_file", options, None)
    wrong += [
        f"dataset 'array_file': {key} must be the name of an array in an .npz, or null; got {options[key]!r}."
        for key in ("images", "labels")
        if options.get(key) is not None and not isinstance(options[key], str)
    ]
    if wrong:
        return faults_of(DATASET, options) + wrong
    try:
        images, labels = _chosen(options)
    except ObjectiveError as error:
        return [*faults_of(DATASET, options), str(error)]
    wrong = _arrays.header_faults(images.dtype, images.shape, options.get("layout"))
    if labels is not None and images.shape:
        wrong += _arrays.label_faults(labels.dtype, labels.shape, images.shape[0])
    if wrong:
        return faults_of(DATASET, options) + [f"dataset 'array_file': {_path(options)}: {fault}" for fault in wrong]
    n = images.shape[0]
    return faults_of(DATASET, options, max(_shares.sizes(options, n)["train"], 0)) + _shares.faults("array_file", options, n)


def shape_of(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width), from the header of the array."""
    return _arrays.shape_of(_chosen(options)[0].shape, options.get("layout"))


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images, from the header of the array."""
    return _shares.sizes(options, _chosen(options)[0].shape[0])["train"]


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, C, H, W) in [0, 1]: 60 % to train, 20 % to validate, 20 % to test, unless `val_size` and `test_size` say otherwise.

    Labels of any k values become 0..k−1; the record has the values.

    Raises:
        ObjectiveError: an option is wrong, or the file is missing, damaged or holds no images that can be trained on.
    """
    refuse(check(options))
    path = _path(options)
    keys = _keys(options, _headers(path))
    images, labels = (None if key is None else _read(path, key) for key in keys)
    assert images is not None
    refuse([f"dataset 'array_file': {path}: {fault}" for fault in _arrays.value_faults(images)])
    pixels, white = _arrays.as_pixels(images, options.get("layout"))
    numbered, values = (None, []) if labels is None else _arrays.as_classes(labels)
    facts = {"label_values": values} if values else {}
    index = _shares.positions(options, len(pixels))
    source = digest(pixels, numbered)
    return image_set(DATASET, options, pixels.__getitem__, numbered, index, white, source, device, classes=len(values), facts=facts)


def write_sample(root: Path) -> dict[str, Any]:
    """A tiny file below `root`; the options that load it."""
    import numpy as np

    root.mkdir(parents=True, exist_ok=True)
    images = np.random.RandomState(0).randint(0, 256, (120, 6, 9, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = 0, 255
    np.savez_compressed(root / "images.npz", images=images, labels=np.arange(120) % 4)
    return {"root": str(root), "path": "images.npz"}


def _path(options: Mapping[str, Any]) -> Path:
    """Where the file is; raises ObjectiveError if it is not there."""
    given, root = options.get("path"), options.get("root")
    if not isinstance(given, str | Path) or not str(given):
        raise ObjectiveError(f"dataset 'array_file': path must name an .npz or .npy file; got {given!r}. Set path.")
    path = Path(root or ".").expanduser() / Path(given).expanduser()
    if path.suffix not in (".npz", ".npy") or not path.is_file():
        raise ObjectiveError(f"dataset 'array_file': path must name an .npz or .npy file that exists; got {str(path)!r}. Correct path.")
    return path


def _chosen(options: Mapping[str, Any]) -> tuple[Header, Header | None]:
    """The headers of the images and of the labels."""
    headers = _headers(_path(options))
    images, labels = _keys(options, headers)
    return headers[images], None if labels is None else headers[labels]


def _keys(options: Mapping[str, Any], headers: Mapping[str, Header]) -> tuple[str, str | None]:
    """Which arrays of the file hold the images and the labels."""
    keys, wanted, named = list(headers), options.get("images"), options.get("labels")
    only = keys[0] if len(keys) == 1 else None
    images = wanted or next((key for key in IMAGES if key in keys), only)
    if images is None:
        usual = ", ".join(IMAGES)
        raise ObjectiveError(f"dataset 'array_file': one array must be called {usual}; got {', '.join(keys) or 'none'}. Set images: KEY.")
    for key in (images, named):
        if key is not None and key not in keys:
            raise ObjectiveError(unknown("dataset 'array_file': an array in the file", key, keys))
    return images, named or next((key for key in LABELS if key in keys and key != images), None)


def _headers(path: Path) -> dict[str, Header]:
    """What the file says of its arrays, by name; the array of an .npy is called `images`. Nothing else is read.

    Raises:
        ObjectiveError: the file is no .npz or .npy, or shorter than its headers say.
    """
    found = {}
    with ExitStack() as stack:
        try:
            if path.suffix == ".npy":
                found["images"] = _header(stack.enter_context(path.open("rb")), path.stat().st_size)
            else:
                packed = stack.enter_context(zipfile.ZipFile(path))
                for one in packed.infolist():
                    if one.filename.endswith(".npy"):
                        found[one.filename.removesuffix(".npy")] = _header(stack.enter_context(packed.open(one)), one.file_size)
        except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise _damaged(path, error) from error
    return found


def _header(file: IO[bytes], size: int) -> Header:
    """The header of an .npy. Raises ValueError if `size` bytes cannot hold the header and its array."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = readers[version](file)
    expected = file.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and size != expected:
        raise ValueError(f"{size:,} bytes instead of {expected:,}")
    return Header(dtype, shape)


def _read(path: Path, key: str) -> NDArray[Any]:
    """One array, whole. Its checksum is checked, if the file has one."""
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return np.asarray(found[key])
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ObjectiveError:
    return ObjectiveError(f"dataset 'array_file': {path} must be a whole .npz or .npy file; {error}. Save it again.")
