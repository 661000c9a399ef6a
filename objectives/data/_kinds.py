"""What a data set is: facts about it that need no torch, and its three splits in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.lazy import Tensor

Pixels = NDArray[np.uint8] | NDArray[np.float32]
Take = Callable[[NDArray[np.int64]], Pixels]  # the images at some positions, (n, H, W) or (n, C, H, W), as a new array

SPLITS = ("train", "val", "test")


DEFAULT = "digits"  # ships inside a dependency


@dataclass(frozen=True)
class Dataset:
    """Facts about a data set. `options` maps each option beyond `name`, `root` and `train_size` to its default.

    `shape`, `classes` and `sizes` are those of the default options and the published files. Where the user's files decide, `shape` is None
    and `sizes` empty. `likelihoods` are the likelihoods that make sense for a VAE on such data. `signs` says that the images are digits or
    letters: a mirrored sign is another sign or none.
    """

    name: str
    summary: str
    shape: tuple[int, int, int] | None
    classes: int | None
    sizes: Mapping[str, int]
    licence: str
    source: str
    needs_root: bool = False
    serves: tuple[str, ...] = ()  # the objectives that alone can be trained on it; empty: any that is trained on images
    options: Mapping[str, Any] = field(default_factory=dict)
    likelihoods: tuple[str, ...] = ("bernoulli", "gaussian")
    signs: bool = False


@dataclass(frozen=True)
class ImageSet:
    """Three splits, one tensor each.

    `train`, `val` and `test` are float32 (n, C, H, W) in [0, 1], unless the data set says that it is real-valued. Large ones are kept as
    bytes, or by index in a mapped file, and become float32 where they are indexed (`_stored.py`). Labels are int64 (n,), −1 where an image
    has none.
    A target is the image with which a reconstruction is compared, if that is not the input: same shape as the split, or None.
    `val_novel` and `test_novel` are the images of a class that is held out of all three splits; only metrics of anomalies use them.
    `index` holds each split's positions in the source, int64 (n,); no position is in two splits. `record` is plain data for the
    catalogue: name, options, sizes, `sha256` per split, and `source_sha256`, which does not depend on `train_size`. Its `notes`, if there
    are any, say in words what is remarkable about the data.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    shape: tuple[int, int, int]
    classes: int | None = None
    train_labels: Tensor | None = None
    val_labels: Tensor | None = None
    test_labels: Tensor | None = None
    train_target: Tensor | None = None
    val_target: Tensor | None = None
    test_target: Tensor | None = None
    val_novel: Tensor | None = None
    test_novel: Tensor | None = None
    index: Mapping[str, Tensor] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
