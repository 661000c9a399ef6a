"""Mixtures of equally likely round Gaussians in the plane: what `ring` and `grid` share.

A generator answers in [0, 1], so the published mixture is scaled and shifted into the unit square, (1, 1, 2) for a point. `record["modes"]`
says where the centres are and how wide the modes are *there*, for metrics that count modes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._kinds import SPLITS, Dataset, ImageSet
from objectives.data._options import digest, faults_of, number_fault, record
from objectives.lazy import torch

SIZES = {"train": 10_000, "val": 2_000, "test": 10_000}
MARGIN_STDS = 6.0  # between the outermost centres and the edge of the square, so that no point is cut off


def options(modes: int, std: float) -> dict[str, Any]:
    """The options of a mixture and their defaults."""
    return {"modes": modes, "std": std, "n_train": SIZES["train"], "data_seed": 0}


def check(dataset: Dataset, given: Mapping[str, Any], widest: float) -> list[str]:
    """Every fault of the options; `widest` is the largest standard deviation that fits, in published units."""
    n_train = given.get("n_train", dataset.options["n_train"])
    faults = faults_of(dataset, given, n_train if isinstance(n_train, int) and n_train >= 2 else None)
    std = number_fault(dataset, given, "std", 0.0, integer=False, high=widest)
    if not std and not given.get("std", dataset.options["std"]):
        std = [f"dataset {dataset.name!r}: std must be above 0, for there is no density without width; got 0."]
    lows = {"modes": 2, "n_train": 2, "data_seed": 0}
    return faults + std + [fault for key, low in lows.items() for fault in number_fault(dataset, given, key, low, integer=True)]


def load(dataset: Dataset, given: Mapping[str, Any], centres: NDArray[np.float64], scale: float, device: str) -> ImageSet:
    """Points (n, 1, 1, 2) in the unit square, and for each point the number of its mode. Each split has its own random stream.

    `centres` (k, 2) are in published units; one published unit is `scale` in the square. The origin is the middle of the square.
    """
    import numpy as np

    chosen = {**dataset.options, **given}
    sizes = {**SIZES, "train": given.get("train_size") or chosen["n_train"]}
    placed, std = 0.5 + scale * centres, scale * chosen["std"]
    points, labels = {}, {}
    for stream, split in enumerate(SPLITS):
        rows = chosen["n_train"] if split == "train" else sizes[split]
        which, where = (np.random.RandomState([chosen["data_seed"], stream, use]) for use in (0, 1))  # a longer split begins with a shorter
        mode = which.randint(len(centres), size=rows)
        x = placed[mode] + std * where.standard_normal((rows, 2))
        points[split] = x[: sizes[split]].astype(np.float32).reshape(-1, 1, 1, 2)
        labels[split] = mode[: sizes[split]].astype(np.int64)
    starts = {"train": 0, "val": chosen["n_train"], "test": chosen["n_train"] + SIZES["val"]}
    sha256 = {split: digest(points[split], labels[split]) for split in SPLITS}
    source = digest(placed, np.array([std, chosen["n_train"], chosen["data_seed"]], np.float64))
    modes = {"centers": placed.tolist(), "std": std, "unit": scale}
    tensors: dict[str, Any] = {split: torch.from_numpy(points[split]).to(device) for split in SPLITS}
    tensors |= {f"{split}_labels": torch.from_numpy(labels[split]).to(device) for split in SPLITS}
    return ImageSet(
        **tensors,
        shape=(1, 1, 2),
        classes=len(centres),
        index={split: torch.arange(sizes[split]) + starts[split] for split in SPLITS},
        record=record(dataset, given, sizes, sha256, source) | {"modes": modes},
    )


def modes_of(dataset: Dataset, given: Mapping[str, Any]) -> int:
    """The number of modes that the options ask for."""
    found: int = given.get("modes", dataset.options["modes"])
    return found


def train_size_of(dataset: Dataset, given: Mapping[str, Any]) -> int:
    """`n_train`."""
    found: int = given.get("n_train", dataset.options["n_train"])
    return found
