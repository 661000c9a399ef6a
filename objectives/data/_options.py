"""What every data file shares: checking options, fixed permutations, hashes. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data._kinds import Dataset
from objectives.registry import unknown

COMMON = ("name", "root", "train_size")
PIXELS: Mapping[str, Any] = {"binarize": None}  # the options of data sets that hold pixels in [0, 1]
LABELLED: Mapping[str, Any] = {"hold_out": None}  # the options of data sets that may have classes
BINARIZE = ("static", "dynamic")
BINARIZE_SEED = 0
FEWEST = 2  # images of a split, because a variance needs two


def faults_of(dataset: Dataset, options: Mapping[str, Any], available: int | None = None) -> list[str]:
    """Faults that any data set can have: an unknown option, a wrong name, a train_size out of range, an unknown word.

    `available` is the number of training images, where that depends on an option or on files.
    """
    known = [*COMMON, *dataset.options]
    faults = [unknown(f"option of dataset {dataset.name!r}", str(key), known) for key in options if key not in known]
    if options.get("name", dataset.name) != dataset.name:
        faults.append(f"dataset {dataset.name!r}: name must be {dataset.name!r}; got {options['name']!r}.")
    if "binarize" in dataset.options:
        faults += choice_fault(dataset, options, "binarize", (None, *BINARIZE))
    if "download" in dataset.options:
        faults += choice_fault(dataset, options, "download", (False, True))
    if "hold_out" in dataset.options:
        faults += hold_out_faults(dataset, options, dataset.classes)
    return faults + train_size_faults(dataset, options, available or dataset.sizes.get("train"))


def train_size_faults(dataset: Dataset, options: Mapping[str, Any], available: int | None) -> list[str]:
    """The fault of `train_size`. `available` is None while the number of training images is unknown."""
    size, most = options.get("train_size"), float("inf") if available is None else available
    if size is None or (isinstance(size, int) and not isinstance(size, bool) and FEWEST <= size <= most):
        return []
    end = "up" if available is None else f"to {available}, the number of training images"
    rule = f"train_size must be an integer from {FEWEST} {end}"
    return [f"dataset {dataset.name!r}: {rule}; got {size!r}. Leave it out to train on all of them."]


def hold_out_faults(dataset: Dataset, options: Mapping[str, Any], classes: int | None) -> list[str]:
    """The fault of `hold_out`. `classes` is None while the number of classes is unknown."""
    held = options.get("hold_out")
    in_range = isinstance(held, int) and not isinstance(held, bool) and 0 <= held < (float("inf") if classes is None else classes)
    if held is None or in_range:
        return []
    rule = "hold_out must be a class, an integer from 0" + ("" if classes is None else f" to {classes - 1}")
    return [f"dataset {dataset.name!r}: {rule}; got {held!r}. Leave it out to train on every class."]


def choice_fault(dataset: Dataset, options: Mapping[str, Any], key: str, known: Sequence[Any]) -> list[str]:
    """The fault of an option that must have one of a few values; empty if it has."""
    value = options.get(key, dataset.options[key])
    if any(value is one or (isinstance(one, str) and value == one) for one in known):
        return []
    words = ["null" if one is None else str(one).lower() if isinstance(one, bool) else str(one) for one in known]
    return [f"dataset {dataset.name!r}: {key} must be {', '.join(words[:-1])} or {words[-1]}; got {value!r}."]


def number_fault(
    dataset: Dataset, options: Mapping[str, Any], key: str, low: float, integer: bool, high: float = float("inf")
) -> list[str]:
    """The fault of a numeric option that must be at least `low` and at most `high`; empty if it is."""
    value = options.get(key, dataset.options[key])
    right_type = isinstance(value, int) or (isinstance(value, float) and not integer)
    if isinstance(value, bool) or not right_type or not low <= value <= high or value == float("inf"):
        kind = "an integer" if integer else "a finite number"
        least = f"of at least {low}" if high == float("inf") else f"from {low} to {high:g}"
        default = dataset.options[key]
        return [f"dataset {dataset.name!r}: {key} must be {kind} {least}; got {value!r}. The default is {default!r}."]
    return []


def refuse(faults: Sequence[str]) -> None:
    """Raise all faults as one error. Does nothing when there are none."""
    if faults:
        raise ObjectiveError("\n".join(faults))


def permutation(n: int, seed: int = 0) -> NDArray[np.int64]:
    """A permutation of 0..n-1 that never changes: NumPy keeps the stream of RandomState fixed, but not the stream of Generator."""
    import numpy as np

    return np.random.RandomState(seed).permutation(n).astype(np.int64)


def digest(*arrays: NDArray[Any] | None) -> str:
    """sha-256 of arrays: type, shape and bytes of each."""
    import numpy as np

    found = hashlib.sha256()
    for array in arrays:
        if array is not None:
            found.update(f"{array.dtype.str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def record(
    dataset: Dataset, options: Mapping[str, Any], sizes: Mapping[str, int], sha256: Mapping[str, str], source: str
) -> dict[str, Any]:
    """The plain facts of a loaded data set, defaults filled in, for the catalogue."""
    return {
        "name": dataset.name,
        "options": {"train_size": None, **dataset.options, **{key: value for key, value in options.items() if key != "name"}},
        "sizes": dict(sizes),
        "sha256": dict(sha256),
        "source_sha256": source,
        "licence": dataset.licence,
    }
