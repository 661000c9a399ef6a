"""Three splits of images that come as one set. A fixed permutation decides: `test_size` go to the test, `val_size` to the validation.

The test split is cut first and the validation split next, so that neither changes when fewer images are trained on. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._options import FEWEST, permutation

SHARES: Mapping[str, Any] = {"val_size": 0.2, "test_size": 0.2}  # the options and their defaults


def faults(name: str, options: Mapping[str, Any], n: int | None) -> list[str]:
    """What is wrong with the two sizes; `n` is the number of images, if it is known."""
    found = []
    for key in SHARES:
        size = options.get(key, SHARES[key])
        share = isinstance(size, float) and 0 < size < 1
        if not share and (isinstance(size, bool) or not isinstance(size, int) or size < FEWEST):
            rule = f"{key} must be a share between 0 and 1, or a number of images of at least {FEWEST}"
            found.append(f"dataset {name!r}: {rule}; got {size!r}. The default is {SHARES[key]}.")
    if found or n is None:
        return found
    cut = sizes(options, n)
    if min(cut.values()) < FEWEST:
        given = f"got {n} images, of which {cut['train']} would be left to train, {cut['val']} to validate and {cut['test']} to test"
        remedy = "Give more images, or other val_size and test_size."
        return [f"dataset {name!r}: each split must hold at least {FEWEST} images; {given}. {remedy}"]
    return []


def sizes(options: Mapping[str, Any], n: int) -> dict[str, int]:
    """How many of `n` images each split gets."""
    cut = {key: options.get(key, SHARES[key]) for key in SHARES}
    val, test = (round(size * n) if isinstance(size, float) else size for size in cut.values())
    return {"train": n - val - test, "val": val, "test": test}


def positions(options: Mapping[str, Any], n: int) -> dict[str, NDArray[np.int64]]:
    """Which of `n` images each split gets."""
    order, cut = permutation(n), sizes(options, n)
    rest = cut["val"] + cut["test"]
    return {"train": order[rest:], "val": order[cut["test"] : rest], "test": order[: cut["test"]]}


def official(n_train: int, n_test: int, share: int) -> dict[str, NDArray[np.int64]]:
    """The splits of a published training file followed by a published test file. One part in `share` of the training file validates."""
    import numpy as np

    order, val = permutation(n_train), n_train // share
    return {"train": order[: n_train - val], "val": order[n_train - val :], "test": np.arange(n_train, n_train + n_test, dtype=np.int64)}


def official_sizes(n_train: int, n_test: int, share: int) -> dict[str, int]:
    """How many images each split of `official` gets."""
    return {"train": n_train - n_train // share, "val": n_train // share, "test": n_test}
