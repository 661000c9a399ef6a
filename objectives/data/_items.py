"""What people call a data set, as arrays: arrays and tensors, pairs with labels, torch's `Dataset`, and dictionaries or tuples of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.base import ObjectiveError
from objectives.data import _pictures, _splits
from objectives.data._arrays import Ground
from objectives.data._kinds import SPLITS
from objectives.data._splits import WHOLE

IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x", "input", "inputs", "data", "features")
LABEL_KEYS = ("label", "labels", "y", "target", "targets", "class")
SHOWN = 3  # items that are named in a message
RULE = "it must be images, or images and labels; or a torch Dataset; or splits of these, {'train': …, 'val': …, 'test': …} or a tuple"

Arrays = dict[str, NDArray[Any]]


def arrays(found: Any, ground: Ground | None = None) -> tuple[Arrays, Arrays]:
    """The images and the labels in what a user's function returned, by split or whole.

    A tuple is (images, labels), or two or three splits: (train, test) or (train, val, test), each a Dataset or a pair, or three arrays.

    Raises:
        ObjectiveError: it is none of these, or a Dataset's items cannot be put together.
    """
    found = unwrapped(found)
    if isinstance(found, Mapping):
        return _of_splits(_by_name(found), ground)
    if isinstance(found, tuple | list) and len(found) in (2, 3) and _are_splits(found):
        names = SPLITS if len(found) == 3 else ("train", "test")
        return _of_splits(dict(zip(names, found, strict=True)), ground)
    images, labels = _one(found, ground)
    return {WHOLE: images}, {} if labels is None else {WHOLE: labels}


def unwrapped(found: Any) -> Any:
    """The Dataset of a DataLoader; anything else as it is."""
    return found.dataset if hasattr(found, "batch_sampler") and hasattr(found, "dataset") else found


def is_dataset(found: Any) -> bool:
    """Whether an object is like torch's `Dataset`: items by number, and their number."""
    plain = isinstance(found, np.ndarray | list | tuple | str | bytes | Mapping | type) or hasattr(found, "detach")
    return not plain and hasattr(found, "__getitem__")


def _are_splits(parts: tuple[Any, ...] | list[Any]) -> bool:
    """Whether all parts of a tuple are splits, and not images beside labels."""
    if all(is_dataset(unwrapped(part)) or (isinstance(part, tuple | list) and len(part) == 2) for part in parts):
        return True
    return len(parts) == 3 and all(getattr(part, "ndim", 0) >= 2 for part in parts)


def _by_name(found: Mapping[Any, Any]) -> dict[str, Any]:
    """The splits of a dictionary."""
    names = _splits.named([str(name) for name in found])
    if strange := [str(name) for name in found if str(name) not in names.values()]:
        words = ", ".join(" or ".join(words) for words in _splits.WORDS.values())
        given = ", ".join(map(str, found)) or "none"
        raise ObjectiveError(f"a dictionary of splits must have train, and val or test ({words}); got {given}. Rename {strange[0]!r}.")
    if not names:
        raise ObjectiveError("a dictionary of splits must have train, and val or test; got none.")
    return {split: found[name] for split, name in names.items()}


def _of_splits(parts: Mapping[str, Any], ground: Ground | None) -> tuple[Arrays, Arrays]:
    pairs = {}
    for split, part in parts.items():
        try:
            pairs[split] = _one(part, ground)
        except ObjectiveError as error:
            raise ObjectiveError(f"{split}: {error}") from error
    images = {split: found for split, (found, _) in pairs.items()}
    return images, {split: labels for split, (_, labels) in pairs.items() if labels is not None}


def _one(found: Any, ground: Ground | None) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The images and labels of a set that is not cut."""
    found = unwrapped(found)
    if is_dataset(found):
        return _gathered(found, ground)
    if isinstance(found, tuple | list) and len(found) == 2:
        return plain(found[0]), None if found[1] is None else plain(found[1])
    if isinstance(found, tuple):
        raise ObjectiveError(f"{RULE}; got a tuple of {len(found)}.")
    return plain(found), None


def plain(found: Any) -> NDArray[Any]:
    """As an array; the input may be a tensor. A mapped array stays mapped."""
    return np.asanyarray(found.detach().cpu().numpy() if hasattr(found, "detach") else found)


def _gathered(dataset: Any, ground: Ground | None) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """All items of a Dataset, in their order.

    Raises:
        ObjectiveError: it has no length, items have several shapes, or an item is another one when it is asked for again.
    """
    if not hasattr(dataset, "__len__"):
        raise ObjectiveError("a Dataset must have a length and items by number; got one without __len__. Make a list of its items first.")
    n = len(dataset)
    if not n:
        raise ObjectiveError("a Dataset must have items; got none.")
    if isinstance(tensors := getattr(dataset, "tensors", None), tuple) and len(tensors) <= 2:  # torch's TensorDataset
        return plain(tensors[0]), plain(tensors[1]) if len(tensors) > 1 else None
    first, label = _parts(dataset[0], ground)
    if not np.array_equal(first, _parts(dataset[0], ground)[0], equal_nan=first.dtype.kind == "f"):
        raise ObjectiveError(
            "a Dataset must give the same item for the same number; item 0 differs from one time to the next. Take its random transforms"
            " out: the λ augmentation, flip and input_noise do such things, with a strength that is searched."
        )
    images = np.empty((n, *first.shape), first.dtype)
    labels = np.full(n, np.nan)
    unlike = []
    for number in range(n):
        image, label = _parts(dataset[number], ground)
        if image.shape == first.shape:
            images[number] = image
        else:
            unlike.append((number, image.shape))
        labels[number] = np.nan if label is None else label
    if unlike:
        shown = ", ".join(f"item {number} {shape}" for number, shape in unlike[:SHOWN])
        told = f"item 0 has the shape {first.shape}, and {len(unlike):,} of {n:,} have others ({shown})"
        raise ObjectiveError(f"the items of a Dataset must have one shape; {told}. Resize or crop them in its transform.")
    return _as_bytes(images), None if np.isnan(labels).all() else labels


def _as_bytes(images: NDArray[Any]) -> NDArray[Any]:
    """Floats as the bytes that they were made of, if each of them is k/255 to the bit, as torchvision's `ToTensor` makes them."""
    if images.dtype != np.float32 or images.ndim < 3:
        return images
    found = np.empty(images.shape, np.uint8)
    for number, image in enumerate(images):
        if not (image.min() >= 0 and image.max() <= 1):
            return images
        found[number] = np.rint(image * 255)
        if not np.array_equal(found[number].astype(np.float32) / np.float32(255), image):
            return images
    return found


def _parts(item: Any, ground: Ground | None) -> tuple[NDArray[Any], float | None]:
    """The image of an item (C, H, W), (H, W), (H, W, C) or (d,), and its label if it has one number as such."""
    if isinstance(item, Mapping):
        image = next((item[key] for key in IMAGE_KEYS if key in item), None)
        label = next((item[key] for key in LABEL_KEYS if key in item), None)
    elif isinstance(item, tuple | list):
        image, label = item[0], item[1] if len(item) > 1 else None
    else:
        image, label = item, None
    if image is None:
        keys = ", ".join(map(str, item)) if isinstance(item, Mapping) else ""
        raise ObjectiveError(f"an item must have an image, under one of {', '.join(IMAGE_KEYS)}; got {keys or 'None'}. Rename the key.")
    pixels = _pictures.pixels_of(image, None, ground) if hasattr(image, "getbands") else plain(image)
    number = None if label is None else plain(label)
    return pixels, float(number) if number is not None and number.size == 1 and number.dtype.kind in "uifb" else None
