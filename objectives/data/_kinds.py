"""What a data set is: facts about it that need no torch, and its three splits in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from objectives.lazy import Tensor

SPLITS = ("train", "val", "test")


DEFAULT = "digits"  # ships inside a dependency


@dataclass(frozen=True)
class Dataset:
    """Facts about a data set. `options` maps each option beyond `name`, `root` and `train_size` to its default.

    `shape`, `classes` and `sizes` are those of the default options and the published files; where the user's files decide, `shape` is
    None and `sizes` empty. `likelihoods` are those under which a VAE of such data means something. `signs` says that the images are digits
    or letters: a mirrored one is another sign or none.
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
    """Three splits in memory, one tensor each.

    `train`, `val` and `test` are float32 (n, C, H, W) in [0, 1], unless the data set says that it is real-valued. Labels are int64 (n,).
    A target is what a reconstruction is compared with where that is not the input itself: same shape as the split, or None.
    `val_novel` and `test_novel` are the images of a class that is held out of all three splits, for metrics of anomalies alone.
    `index` holds each split's positions in the source, int64 (n,); no position is in two splits. `record` is plain data for the
    catalogue: name, options, sizes, `sha256` per split, and `source_sha256`, which does not depend on `train_size`.
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
