"""Features: what generated images are compared in. One file each, and the file name is the name in a spec (`features: NAME`).

A file holds `SUMMARY`, `faults(options) -> list[str]` (torch-free; `options` are the spec's, beyond `name`), `suits(images) -> bool`
(whether it may be chosen for a data set when the spec names none), `RANK` and `make(images, cache, options) -> Extractor`. The features of
the lowest rank that suit a data set are its default. Labels make the best features, so classifiers come first, the largest that trains in
minutes. Without labels a random network sees edges and texture, where principal components see blurred means. So `pca` is for data that is
too small to convolve, and for labelled points. What needs weights of the user's is never a default.

A number in features means nothing without them, so an extractor's `label` (name and dimension, and the hash of weights that were
trained) is part of the name under which the number is told.
"""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from objectives import data
from objectives.base import ObjectiveError
from objectives.data._kinds import ImageSet
from objectives.lazy import Tensor, torch
from objectives.parts import first, rows
from objectives.registry import names, unknown

CHUNK = 1000  # images per forward pass
FITTING = 20_000  # training images that features are fitted to, which are not trained by labels


class Extractor:
    """Maps images (n, C, H, W) in [0, 1] to features (n, d), without gradients; d = `dim`.

    `record` is plain data for the catalogue. `classify`, of a classifier, takes features to class scores (n, classes). `chunk` images go
    through at once.
    """

    def __init__(
        self,
        label: str,
        shape: tuple[int, int, int],
        dim: int,
        of: Callable[[Tensor], Tensor],
        record: Mapping[str, Any],
        classify: Callable[[Tensor], Tensor] | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self.label, self.shape, self.dim, self.record, self.classify = label, shape, dim, dict(record), classify
        self._of, self._chunk = of, chunk
        self._kept: dict[str, Tensor] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Features (n, d), float32, of images (n, C, H, W) on any device that the extractor is on."""
        if tuple(images.shape[1:]) != self.shape:
            raise ObjectiveError(f"features need images of shape (n, {', '.join(map(str, self.shape))}); got {tuple(images.shape)}.")
        with torch.no_grad():
            size = min(self._chunk, rows(math.prod(self.shape)))
            parts = (images[start : start + size] for start in range(0, max(1, len(images)), size))
            return torch.cat([self._of(part.detach().float()) for part in parts])

    def of_split(self, images: ImageSet, split: str, n: int) -> Tensor:
        """Features of the first `n` images of a split, computed once: they are the same for every member."""
        key = f"{split}/{n}"
        if key not in self._kept:
            self._kept[key] = self(first(getattr(images, split), n))
        return self._kept[key]

    def logits(self, images: Tensor) -> Tensor:
        """Class scores (n, classes) of images.

        Raises:
            ObjectiveError: these features are no classifier's.
        """
        return self.scores(self(images))

    def scores(self, features: Tensor) -> Tensor:
        """Class scores (n, classes) of features (n, d) that were computed before.

        Raises:
            ObjectiveError: these features are no classifier's.
        """
        if self.classify is None:
            raise ObjectiveError(f"class scores need the features of a classifier; got {self.label}. Choose features: classifier.")
        return self.classify(features)


def module(name: str) -> ModuleType:
    """The features file called `name`; imports no torch.

    Raises:
        ObjectiveError: no features have this name.
    """
    known = names("features")
    if name not in known:
        raise ObjectiveError(unknown("features", name, known))
    return importlib.import_module(f"{__name__}.{name}")


def preferred() -> list[str]:
    """The features by rank: the first that suits a data set is its default."""
    return sorted(names("features"), key=lambda name: int(module(name).RANK))


def faults(options: Mapping[str, Any] | None) -> list[str]:
    """Every fault of a spec's `features`, in words. Imports no torch."""
    if not options:
        return []
    try:
        found: list[str] = module(str(options.get("name", ""))).faults({key: value for key, value in options.items() if key != "name"})
    except ObjectiveError as error:
        return [str(error)]
    return found


def make(images: ImageSet, cache: Path | None, options: Mapping[str, Any] | None = None) -> Extractor:
    """The extractor that `options["name"]` names, or the data set's default.

    Raises:
        ObjectiveError: nobody knows the name, or these features do not go with these images.
    """
    given = dict(options or {})
    name = str(given.pop("name", "")) or next(one for one in preferred() if module(one).suits(images))
    found: Extractor = module(name).make(images, cache, given)
    return found


def no_options(name: str, options: Mapping[str, Any]) -> list[str]:
    """The faults of options given to features that have none."""
    return [f"features {name!r} have no options; got {key!r}. Remove it." for key in options]


def whole(images: ImageSet, most: int = FITTING) -> ImageSet:
    """The data set with its first `most` training images, at least, and every class, loaded again where less is in memory.

    Fewer images, or one class less, must not change the features.
    """
    options, part = dict(images.record.get("options", {})), ("train_size", "hold_out")
    name = str(images.record.get("name"))
    if all(options.get(key) is None for key in part) or (name not in names("dataset") and ":" not in name):
        return images
    wanted = {"name": name, **{key: value for key, value in options.items() if key not in part}}
    available = data.train_size_of(wanted)
    return data.load(wanted if available is None or available <= most else {**wanted, "train_size": most})


def fitting_images(images: ImageSet) -> Tensor:
    """The training images that features without labels are fitted to: the first 20,000, whatever `train_size` says."""
    return first(whole(images).train, FITTING)


def tensor_hash(tensors: Mapping[str, Tensor]) -> str:
    """sha-256 of named tensors, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
