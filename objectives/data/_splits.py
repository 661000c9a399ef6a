"""Splits that a user brings: which names mean them, which images each of them gets, and which images are in two of them.

A set that comes whole is cut by a fixed permutation (`_shares.py`). Splits that come as such are used as they are. Where validation or test
is missing, it is cut from the training images. The order within a split is a fixed permutation: users sort by class, and `train_size` and
evaluations take the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data import _shares
from objectives.data._kinds import SPLITS
from objectives.data._options import FEWEST, permutation

WHOLE = "whole"  # the name of a set that nobody has cut
WORDS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
OVERLAP: Mapping[str, Any] = {"overlap": "refuse"}  # the option and its default
OVERLAPS = ("refuse", "accept")
TOLERATED = 0.01  # this share of a split may be images of another one: it is said. Published sets have such images, too


def split_of(name: str) -> str | None:
    """The split that a name means."""
    return next((split for split, words in WORDS.items() if name.lower() in words), None)


def named(names: Iterable[str]) -> dict[str, str]:
    """Split -> the name that means it; empty unless train and another split are among the names."""
    found: dict[str, str] = {}
    for name in names:
        if split := split_of(name):
            found.setdefault(split, name)
    return {split: found[split] for split in SPLITS if split in found} if "train" in found and len(found) > 1 else {}


def sizes(options: Mapping[str, Any], given: Mapping[str, int]) -> dict[str, int]:
    """How many images each split gets, where the parts that were `given` hold so many."""
    if WHOLE in given:
        return _shares.sizes(options, given[WHOLE])
    missing = {split: _share(options, split, given["train"]) for split in SPLITS if split not in given}
    return {**{split: given.get(split, missing.get(split, 0)) for split in SPLITS}, "train": given["train"] - sum(missing.values())}


def _share(options: Mapping[str, Any], split: str, n: int) -> int:
    """How many of `n` training images become a missing split."""
    size = options.get(f"{split}_size", _shares.SHARES[f"{split}_size"])
    return round(size * n) if isinstance(size, float) else size


def positions(options: Mapping[str, Any], given: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
    """Which images each split gets: positions in the parts, one after the other in the order of `given`."""
    if WHOLE in given:
        return _shares.positions(options, given[WHOLE])
    starts = dict(zip(given, np.cumsum([0, *given.values()]).tolist(), strict=False))
    found = {split: starts[split] + permutation(n) for split, n in given.items()}
    for split in SPLITS:
        if split not in found:
            count = _share(options, split, given["train"])
            found[split], found["train"] = found["train"][:count], found["train"][count:]
    return {split: found[split] for split in SPLITS}


def faults(name: str, options: Mapping[str, Any], given: Mapping[str, int]) -> list[str]:
    """What is wrong with the number of images of each part."""
    if WHOLE in given:
        return _shares.faults(name, options, given[WHOLE])
    cut = sizes(options, given)
    if min(cut.values()) >= FEWEST:
        return []
    told = ", ".join(f"{count} to {'train' if split == 'train' else split}" for split, count in cut.items())
    return [f"dataset {name!r}: each split must hold at least {FEWEST} images; got {told}. Give more images."]


def note(options: Mapping[str, Any], given: Mapping[str, int]) -> list[str]:
    """What is said of splits that the user brought."""
    if WHOLE in given:
        return []
    cut = [split for split in SPLITS if split not in given]
    told = ", ".join(f"{split} {count:,}" for split, count in sizes(options, given).items())
    missing = f"; {' and '.join(cut)} cut from your training images" if cut else ""
    return [f"your own splits are used: {told}{missing}"]


def prints(parts: Iterable[NDArray[Any]]) -> list[bytes]:
    """A fingerprint of each image, 16 bytes of its BLAKE2b."""
    return [hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest() for part in parts for image in part]


def overlaps(found: Mapping[str, Sequence[bytes]]) -> dict[tuple[str, str], int]:
    """How many images of one split are in another one: (the split, the other) -> count, where there are any. From fingerprints."""
    known = {split: set(prints) for split, prints in found.items()}
    pairs = [("val", "train"), ("test", "train"), ("test", "val")]
    counts = {(one, other): sum(mark in known[other] for mark in found[one]) for one, other in pairs}
    return {pair: count for pair, count in counts.items() if count}


def overlap_words(counts: Mapping[tuple[str, str], int], held: Mapping[str, int]) -> list[str]:
    """Overlaps in words."""
    return [f"{count:,} of {held[one]:,} images of {one} are in {other}, too" for (one, other), count in counts.items()]


def overlap_faults(counts: Mapping[tuple[str, str], int], held: Mapping[str, int], options: Mapping[str, Any]) -> Sequence[str]:
    """Why splits that overlap are refused: a score on images that were trained on says nothing about new ones."""
    many = {pair: count for pair, count in counts.items() if count > TOLERATED * held[pair[0]]}
    if not many or options.get("overlap", OVERLAP["overlap"]) == "accept":
        return []
    told = "; ".join(overlap_words(many, held))
    return [f"splits must not overlap; {told}. Remove them from one of the two, or set overlap: accept if they are meant."]
