"""60,000 colour photographs of 32×32 pixels, in 10 classes.

The files are pickles. Reading a pickle can run any code. So they are read by an unpickler that accepts arrays, numbers, texts and lists and
refuses everything else. A file from anywhere is therefore safe to try.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data import _files, _shares
from objectives.data._image_set import image_set
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import LABELLED, PIXELS, digest, refuse

VAL_SHARE = 10
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
DATASET = Dataset(
    name="cifar10",
    summary="60,000 colour photographs of 32×32 pixels, in 10 classes",
    shape=(3, 32, 32),
    classes=10,
    sizes={"train": 45_000, "val": 5_000, "test": 10_000},
    licence="none stated by its authors",
    source="Krizhevsky, Learning multiple layers of features from tiny images, 2009",
    needs_root=True,
    options={"download": False, **PIXELS, **LABELLED},
)


def _fetch(root: str) -> None:
    from torchvision import datasets

    datasets.CIFAR10(root, download=True)


LAYOUT = _files.Layout("cifar-10-batches-py", (*TRAIN, "test_batch"), _fetch)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files included. A pickle has no header: the number of images is known only after reading."""
    return _files.check(DATASET, LAYOUT, options, lambda _: DATASET.sizes)


def train_size_of(options: Mapping[str, Any]) -> int | None:
    """The published number of training images, where the files have about the published size; else None."""
    path = LAYOUT.path(options["root"], TRAIN[0])
    return DATASET.sizes["train"] if not path.exists() or path.stat().st_size >= 10_000 * 3 * 32 * 32 else None


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 3, 32, 32) in [0, 1]: 45,000 to train, 5,000 of the official training set to validate, the official test set.

    Raises:
        ObjectiveError: an option is wrong, or the files under `root` are missing or damaged.
    """
    refuse(check(options))
    import numpy as np

    _files.fetched(DATASET, LAYOUT, options["root"])
    parts = [_batch(LAYOUT.path(options["root"], name)) for name in (*TRAIN, "test_batch")]
    pixels, labels = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    n_test = len(parts[-1][0])
    index = _shares.official(len(pixels) - n_test, n_test, VAL_SHARE)
    return image_set(DATASET, options, pixels.__getitem__, labels, index, 255, digest(pixels, labels), device)


def write_sample(root: Path) -> dict[str, Any]:
    """Tiny files in the real layout below `root`; the options that load them."""
    import numpy as np

    LAYOUT.at(root).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(LAYOUT.files):
        pixels = np.random.RandomState(number).randint(0, 256, (20, 3072), dtype=np.uint8)
        content = {"batch_label": name, "labels": [place % 10 for place in range(20)], "data": pixels, "filenames": ["x.png"] * 20}
        with (LAYOUT.at(root) / name).open("wb") as file:
            pickle.dump(content, file, protocol=2)
    return {"root": str(root)}


class _Plain(pickle.Unpickler):
    """Reads arrays and plain values. Everything else that a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The few callables that an array in a pickle needs."""
        import codecs

        import numpy as np

        rebuild: Callable[..., Any] = cast(Any, np.zeros(0).__reduce__()[0])
        known = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype, ("_codecs", "encode"): codecs.encode}
        known |= {(f"numpy.{core}.multiarray", "_reconstruct"): rebuild for core in ("core", "_core")}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return known[module, name]


def _batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels (n, 3, 32, 32) and labels (n,) of one file."""
    import numpy as np

    try:
        with path.open("rb") as file:
            found = _Plain(file, encoding="latin1").load()
        pixels, labels = np.asarray(found["data"]), np.asarray(found["labels"], np.int64)
    except Exception as error:  # a damaged pickle raises anything
        rule = f"{path} must be a file of CIFAR-10"
        raise ObjectiveError(f"{rule}; {type(error).__name__}: {error}. Fetch the file again.") from error
    fits = pixels.dtype == np.uint8 and pixels.ndim == 2 and pixels.shape[1] == 3 * 32 * 32 and labels.shape == pixels.shape[:1]
    if not fits or len(labels) < 2 or labels.min() < 0 or labels.max() > 9:
        rule = f"{path} must hold rows of 3072 bytes and as many labels from 0 to 9"
        raise ObjectiveError(f"{rule}; got {pixels.dtype} of shape {pixels.shape} and {len(labels)} labels. Fetch the file again.")
    return pixels.reshape(-1, 3, 32, 32), labels
