"""Images or tables of your own in one file, `.npz` or `.npy`, of any size, with labels or without.

Accepted are images of shape (n, H, W), (n, C, H, W) or (n, H, W, C): whole numbers of 8 or 16 bits, floats in [0, 1] or truth values; and
tables (n, d) of real values. An .npz with `train` beside `val` or `test` brings its own splits (or `x_train` beside `x_test`,
`train_images` beside `test_images`, …). Anything else is cut by a fixed permutation. Files are read without unpickling, so a file from
anywhere is safe to try. Arrays of 256 MB or more are mapped, if they are not compressed, and read by index.

`white` is the value that is white, where it is not 255 (8 bits), 65535 (16 bits) or 1. `ground` is the colour below transparent pixels:
white, black or [red, green, blue] of 0..255. `standardize: false` leaves the columns of a table as they are. `overlap: accept` takes splits
that share images. `val_size` and `test_size` are shares or numbers, for what has no such split.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data import _arrays, _given, _mapped, _splits
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import choice_fault, faults_of, refuse
from objectives.data._splits import WHOLE
from objectives.registry import unknown

IMAGES = ("images", "x_train", "X_train", "train_images", "x", "X", "data", "arr_0")  # keys that are looked for, in this order
LABELS = ("labels", "y_train", "train_labels", "y", "Y", "targets", "target")
DATASET = Dataset(
    name="array_file",
    summary="your own images of any size, or a table, in an .npz or .npy file",
    shape=None,
    classes=None,
    sizes={},
    licence="your own",
    source="the file at `path`",
    options={"path": None, "images": None, "labels": None, "layout": None, **_given.OPTIONS},
)
# How the arrays of one split are called: `{}` is a word for the split.
SPLIT_IMAGES = ("{}", "x_{}", "X_{}", "{}_images", "images_{}", "{}_x", "{}_X", "{}_data")
SPLIT_LABELS = ("y_{}", "Y_{}", "{}_labels", "labels_{}", "{}_y", "{}_targets", "{}_label")

SHORT = 2**20  # bytes of an array, such as labels, that is read whole even where the file is large


class Header(NamedTuple):
    """What a file says of an array before it is read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, and of the headers of the arrays. The values of the arrays are checked when they are loaded.

    `path` is relative to `root`, if one is given. `images` and `labels` are keys of an .npz: by default the usual names, or the only array.
    """
    wrong = choice_fault(DATASET, options, "layout", _arrays.LAYOUTS) + _given.option_faults(DATASET, options)
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
    if wrong := _given.header_faults(options, images, labels, options.get("layout")):
        return faults_of(DATASET, options) + [f"dataset 'array_file': {_path(options)}: {fault}" for fault in wrong]
    n = {name: header.shape[0] for name, header in images.items()}
    return faults_of(DATASET, options, max(_splits.sizes(options, n)["train"], 0)) + _splits.faults("array_file", options, n)


def shape_of(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width), from the header of the array."""
    header = next(iter(_chosen(options)[0].values()))
    return _arrays.shape_of(header.shape, options.get("layout"), _given.ground_of(options))


def train_size_of(options: Mapping[str, Any]) -> int:
    """The number of training images, from the headers of the arrays."""
    return _splits.sizes(options, {name: header.shape[0] for name, header in _chosen(options)[0].items()})["train"]


def facts_of(options: Mapping[str, Any]) -> Dataset:
    """`DATASET`; a table that is standardized has values outside [0, 1], so only one likelihood is left."""
    table = _arrays.is_table(next(iter(_chosen(options)[0].values())).shape)
    return replace(DATASET, likelihoods=("gaussian",)) if table and options.get("standardize") is not False else DATASET


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, C, H, W) in [0, 1], or rows (n, 1, 1, d): the file's own splits; else 60 % to train, 20 % to validate, 20 % to test.

    `val_size` and `test_size` say otherwise. Labels of any k values become 0..k−1; the record has the values.

    Raises:
        ObjectiveError: an option is wrong, or the file is missing, damaged or holds nothing that can be trained on.
    """
    refuse(check(options))
    path = _path(options)
    images, labels = _keys(options, _headers(path))
    given = _given.Given(
        {name: _read(path, key) for name, key in images.items()},
        {name: _read(path, key) for name, key in labels.items()},
        options.get("layout"),
    )
    return _given.load(DATASET, options, given, device, lambda fault: f"dataset 'array_file': {path}: {fault}")


def write_sample(root: Path) -> dict[str, Any]:
    """A tiny file below `root`; the options that load it."""
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


def _chosen(options: Mapping[str, Any]) -> tuple[dict[str, Header], dict[str, Header]]:
    """The headers of the images and of the labels, by split, or of the whole set."""
    headers = _headers(_path(options))
    images, labels = _keys(options, headers)
    return {name: headers[key] for name, key in images.items()}, {name: headers[key] for name, key in labels.items()}


def _keys(options: Mapping[str, Any], headers: Mapping[str, Header]) -> tuple[dict[str, str], dict[str, str]]:
    """Which arrays of the file hold the images and the labels: by split where the file has splits and no array is named."""
    wanted, named = options.get("images"), options.get("labels")
    if wanted is None and named is None and (images := _split_keys(headers, SPLIT_IMAGES)):
        labels = _split_keys(headers, SPLIT_LABELS, images)
        return images, labels
    keys = list(headers)
    only = keys[0] if len(keys) == 1 else None
    key = wanted or next((key for key in IMAGES if key in keys), only)
    if key is None:
        usual = ", ".join(IMAGES)
        raise ObjectiveError(f"dataset 'array_file': one array must be called {usual}; got {', '.join(keys) or 'none'}. Set images: KEY.")
    for one in (key, named):
        if one is not None and one not in keys:
            raise ObjectiveError(unknown("dataset 'array_file': an array in the file", one, keys))
    label = named or next((one for one in LABELS if one in keys and one != key), None)
    return {WHOLE: key}, {} if label is None else {WHOLE: label}


def _split_keys(keys: Collection[str], patterns: Sequence[str], splits: Collection[str] = ()) -> dict[str, str]:
    """Split -> the array of that split: by the first pattern that names train and another split, or any of the given `splits`."""
    for pattern in patterns:
        known = {split: [pattern.format(word) for word in words] for split, words in _splits.WORDS.items()}
        found = {split: next((name for name in names if name in keys), None) for split, names in known.items()}
        there = {split: name for split, name in found.items() if name is not None and (not splits or split in splits)}
        if there if splits else "train" in there and len(there) > 1:
            return there
    return {}


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
    """One array: mapped, if it is large and not compressed, else whole. The checksum of what is read whole is checked, if there is one."""
    try:
        if path.stat().st_size >= _given.LARGE:
            mapped = _mapped.npy_file(path) if path.suffix == ".npy" else _mapped.member(path, key)
            if mapped is not None and mapped.nbytes >= SHORT:
                return mapped
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return np.asarray(found[key])
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ObjectiveError:
    return ObjectiveError(f"dataset 'array_file': {path} must be a whole .npz or .npy file; {error}. Save it again.")
