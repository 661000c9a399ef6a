"""What every data file shares: checking options, fixed permutations, hashes. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from objectives.base import ObjectiveError, unknown
from objectives.data import Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMON = ("name", "root", "train_size")
LABELLED = ("hold_out",)  # options of every data set that has classes


def faults_of(dataset: Dataset, options: Mapping[str, Any], available: int | None = None) -> list[str]:
    """Faults that any data set can have: an unknown option, a wrong name, a train_size out of range.

    `available` is the number of training images, where that depends on an option.
    """
    known = [*COMMON, *(LABELLED if dataset.classes else ()), *dataset.options]
    faults = [unknown(f"option of dataset {dataset.name!r}", str(key), known) for key in options if key not in known]
    if options.get("name", dataset.name) != dataset.name:
        faults.append(f"dataset {dataset.name!r}: name must be {dataset.name!r}; got {options['name']!r}.")
    faults += _hold_out_faults(dataset, options.get("hold_out")) if dataset.classes else []
    return faults + _train_size_faults(dataset, options.get("train_size"), available or dataset.sizes["train"])


def _hold_out_faults(dataset: Dataset, held: Any) -> list[str]:
    if held is None or (isinstance(held, int) and not isinstance(held, bool) and 0 <= held < (dataset.classes or 0)):
        return []
    rule = f"hold_out must be a class, an integer from 0 to {(dataset.classes or 0) - 1}"
    return [f"dataset {dataset.name!r}: {rule}; got {held!r}. Leave it out to train on every class."]


def _train_size_faults(dataset: Dataset, size: Any, available: int) -> list[str]:
    if size is None:
        return []
    if isinstance(size, bool) or not isinstance(size, int) or not 2 <= size <= available:
        rule = f"train_size must be an integer from 2 to {available}, the number of training images"
        return [f"dataset {dataset.name!r}: {rule}; got {size!r}. Leave it out to train on all of them."]
    return []


def number_fault(dataset: Dataset, options: Mapping[str, Any], key: str, low: float, integer: bool) -> list[str]:
    """The fault of a numeric option that must be at least `low`, or none."""
    value = options.get(key, dataset.options[key])
    right_type = isinstance(value, int) or (isinstance(value, float) and not integer)
    if isinstance(value, bool) or not right_type or not low <= value < float("inf"):
        kind = "an integer" if integer else "a finite number"
        default = dataset.options[key]
        return [f"dataset {dataset.name!r}: {key} must be {kind} of at least {low}; got {value!r}. The default is {default!r}."]
    return []


def refuse(faults: Sequence[str]) -> None:
    """Raise all faults as one error; nothing when there are none."""
    if faults:
        raise ObjectiveError("\n".join(faults))


def permutation(n: int, seed: int = 0) -> NDArray[np.int64]:
    """A permutation of 0..n-1 that never changes: NumPy freezes the stream of RandomState, not that of Generator."""
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
