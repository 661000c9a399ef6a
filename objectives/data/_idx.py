"""MNIST and Fashion-MNIST: the four IDX files in torchvision's layout, `<root>/<folder>/raw/`, plain or gzipped.

The files are read here rather than by torchvision: it costs no import, and gzipped files on a read-only disk work.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.base import ObjectiveError
from objectives.data import Dataset, ImageSet
from objectives.data._labelled import image_set
from objectives.data._options import digest, faults_of, permutation, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SIZES = {"train": 50_000, "val": 10_000, "test": 10_000}


def check(dataset: Dataset, folder: str, options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options; the four files are looked for, not read, unless they are to be downloaded."""
    faults = faults_of(dataset, options)
    download = options.get("download", False)
    if not isinstance(download, bool):
        faults.append(f"dataset {dataset.name!r}: download must be true or false; got {download!r}.")
    root = options.get("root")
    if not isinstance(root, str | os.PathLike) or not str(root):
        rule = f"root must be the folder that holds {folder}/raw (torchvision's layout)"
        return [*faults, f"dataset {dataset.name!r}: {rule}; got {root!r}. Set root, and download: true if the files are not there yet."]
    missing = _missing(_raw(root, folder))
    if missing and download is not True:
        rule = f"root must hold {folder}/raw with {', '.join(FILES)} (plain or .gz)"
        remedy = "Correct root, or set download: true to fetch them."
        faults.append(f"dataset {dataset.name!r}: {rule}; got root {str(root)!r}, which lacks {', '.join(missing)}. {remedy}")
    return faults


def load(dataset: Dataset, folder: str, options: Mapping[str, Any], device: str) -> ImageSet:
    """Images (n, 1, 28, 28) in [0, 1]: the official test set, and the official training set cut 50,000/10,000 by a fixed permutation.

    Raises:
        ObjectiveError: an option is wrong, or a file is missing, cut short or not an IDX file.
    """
    refuse(check(dataset, folder, options))
    import numpy as np

    raw = _raw(options["root"], folder)
    if _missing(raw):
        _download(folder, Path(options["root"]).expanduser())
    pixels = np.concatenate([_read(raw, FILES[0], (60_000, 28, 28)), _read(raw, FILES[2], (10_000, 28, 28))])
    labels = np.concatenate([_read(raw, FILES[1], (60_000,)), _read(raw, FILES[3], (10_000,))])
    order = permutation(60_000)
    index = {"train": order[: SIZES["train"]], "val": order[SIZES["train"] :], "test": np.arange(60_000, 70_000, dtype=np.int64)}
    return image_set(dataset, options, pixels, labels, index, 255, digest(pixels, labels), device)


def _raw(root: str | os.PathLike[str], folder: str) -> Path:
    return Path(root).expanduser() / folder / "raw"


def _missing(raw: Path) -> list[str]:
    return [name for name in FILES if not (raw / name).is_file() and not (raw / f"{name}.gz").is_file()]


def _read(raw: Path, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The bytes of an IDX file: magic number 0x08 (unsigned byte) and the rank, then the sizes (big-endian int32), then the data."""
    import numpy as np

    plain = raw / name
    path = plain if plain.is_file() else raw / f"{name}.gz"
    try:
        content = plain.read_bytes() if path == plain else gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise ObjectiveError(f"{path} must be readable; {error}. Fetch the file again.") from error
    header = np.array([0x0800 + len(shape), *shape], dtype=">i4").tobytes()
    if not content.startswith(header) or len(content) != len(header) + int(np.prod(shape)):
        rule = f"{path} must be an IDX file of unsigned bytes of shape {shape}"
        raise ObjectiveError(f"{rule}; got {len(content):,} bytes that start with {content[:16].hex()}. Fetch the file again.")
    return np.frombuffer(content, dtype=np.uint8, offset=len(header)).reshape(shape)


def _download(folder: str, root: Path) -> None:
    """Fetch the files by torchvision, which checks their md5, into a folder of this process, then rename them into place.

    Several workers may start at once: each renames whole files, so none reads a torn one.
    """
    from torchvision import datasets

    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            getattr(datasets, folder)(temporary, download=True)
            raw = _raw(root, folder)
            raw.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                (_raw(temporary, folder) / name).replace(raw / name)
    except (OSError, RuntimeError) as error:
        remedy = f"Copy the files to {_raw(root, folder)} by hand, or try again where the network reaches torchvision's mirrors."
        raise ObjectiveError(f"{folder} must be downloadable when download is true; {error} {remedy}") from error
