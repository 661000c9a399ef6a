"""From what a user hands over, whole or in splits, to an `ImageSet`: arrays of a file, a folder and a function all go through here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data import _arrays, _mapped, _shares, _splits, _tables
from objectives.data._arrays import GROUNDS, Form, Ground, Look, Raw
from objectives.data._image_set import blocks, image_set, kept_positions
from objectives.data._kinds import SPLITS, Dataset, ImageSet, Pixels, Take
from objectives.data._options import LABELLED, PIXELS, choice_fault, digest, refuse
from objectives.data._splits import WHOLE

LARGE = 2**28  # bytes of arrays that are left where they are and read by index, 256 MB
MANY = 20_000  # images of a split that are remarked upon where the array is large
SAMPLED = 4096  # images of a large array that its hash is made of, spread evenly
# What a user's own images understand. `white` is the value that is white, `ground` the colour below transparent pixels.
IMAGES: Mapping[str, Any] = {**_shares.SHARES, **_splits.OVERLAP, "white": None, "ground": None, **PIXELS, **LABELLED}
OPTIONS: Mapping[str, Any] = {**IMAGES, **_tables.STANDARDIZE}  # what arrays understand, which may be tables

Arrays = Mapping[str, NDArray[Any]]  # by split, or one that is called WHOLE
Positions = NDArray[np.int64]
Said = Callable[[str], str]


@dataclass(frozen=True)
class Read:
    """Which of a user's images were read, where not all were: how many each part holds, and the positions of those that are there.

    Positions count through the parts, one after the other, and ascend. `source` stands for the hash of all images.
    """

    sizes: Mapping[str, int]
    positions: Positions
    source: str


@dataclass(frozen=True)
class Given:
    """Arrays as the user has them, by split or whole; labels for all of them or for none; and in what form.

    With `read` the arrays hold some of the images only; labels are still those of all.
    """

    images: Arrays
    labels: Arrays
    layout: str | None = None
    read: Read | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """How many images each part holds."""
        return dict(self.read.sizes) if self.read else {name: len(array) for name, array in self.images.items()}

    @property
    def bytes(self) -> int:
        """How long the arrays are together."""
        return sum(array.nbytes for array in self.images.values())

    @property
    def table(self) -> bool:
        """Whether these are rows of numbers, and no images."""
        return _arrays.is_table(next(iter(self.images.values())).shape)


def option_faults(dataset: Dataset, options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options of `OPTIONS`, as far as the data need not be known."""
    wrong = _shares.faults(dataset.name, options, None) + choice_fault(dataset, options, "overlap", _splits.OVERLAPS)
    wrong += choice_fault(dataset, options, "standardize", (None, False, True)) if "standardize" in dataset.options else []
    white = options.get("white")
    if white is not None and (isinstance(white, bool) or not isinstance(white, int) or white < 1):
        wrong.append(f"dataset {dataset.name!r}: white must be the whole number that is white, from 1 up, or null; got {white!r}.")
    given = options.get("ground")
    if given is not None and ground_of(options) is None:
        rule = "ground must be white, black, [red, green, blue] of 0..255, or null"
        wrong.append(f"dataset {dataset.name!r}: {rule}; got {given!r}.")
    return wrong


def ground_of(options: Mapping[str, Any]) -> Ground | None:
    """The colour that the options put below transparent pixels."""
    given = options.get("ground")
    if isinstance(given, str):
        return GROUNDS.get(given)
    if not isinstance(given, list | tuple) or len(given) != 3 or not all(type(one) is int and 0 <= one <= 255 for one in given):
        return None
    red, green, blue = given
    return red, green, blue


def header_faults(options: Mapping[str, Any], headers: Mapping[str, Any], labels: Mapping[str, Any], layout: str | None) -> list[str]:
    """What is wrong with parts of these types and shapes (`dtype`, `shape`), without reading them."""
    ground, several = ground_of(options), len(headers) > 1
    wrong = []
    for name, one in headers.items():
        found = _arrays.header_faults(one.dtype, tuple(one.shape), layout, ground)
        if name in labels and one.shape:
            found += _arrays.label_faults(labels[name].dtype, tuple(labels[name].shape), one.shape[0])
        wrong += [f"{name}: {fault}" if several else fault for fault in found]
    if not wrong and several:
        wrong = _unlike(options, headers, layout) + _some_labelled(headers, labels)
    if not wrong and _arrays.is_table(next(iter(headers.values())).shape):
        wrong = _tables.option_faults(options)
    elif not wrong and options.get("standardize"):
        wrong = ["standardize must be left out for images: it is for tables, (n, d). Leave it out."]
    return wrong


def _unlike(options: Mapping[str, Any], headers: Mapping[str, Any], layout: str | None) -> list[str]:
    kinds = {name: str(one.dtype) for name, one in headers.items()}
    if len({one.dtype.kind for one in headers.values()}) > 1:
        return [f"splits must be of one kind of numbers; got {', '.join(f'{name} {kind}' for name, kind in kinds.items())}. Convert them."]
    shapes = {name: _arrays.shape_of(tuple(one.shape), layout, ground_of(options)) for name, one in headers.items()}
    if len(set(shapes.values())) == 1:
        return []
    return [f"splits must hold images of one shape; got {', '.join(f'{name} {shape}' for name, shape in shapes.items())}. Resize them."]


def _some_labelled(headers: Mapping[str, Any], labels: Mapping[str, Any]) -> list[str]:
    without = [name for name in headers if name not in labels]
    if not labels or not without:
        return []
    return [f"labels must be given for every split or for none; got none for {' and '.join(without)}. Add them, as -1 where unknown."]


def load(
    dataset: Dataset, options: Mapping[str, Any], given: Given, device: str, said: Said, facts: Mapping[str, Any] | None = None
) -> ImageSet:
    """Check, cut and convert. `said` puts the place of the data in front of a fault; `facts` stand for the values of labels in the record.

    Arrays of 256 MB or more stay where they are: in their file, if they are mapped. Of these only images that are kept are looked at, and
    `source_sha256` is that of 4,096 images, spread evenly.

    Raises:
        ObjectiveError: what was handed over cannot be trained on.
    """
    _refuse(said, header_faults(options, given.images, {} if given.read else given.labels, given.layout))
    refuse(_splits.faults(dataset.name, options, given.sizes))
    labels, values, missing = _labels(given, said)
    index = _splits.positions(options, given.sizes)
    kept, _ = kept_positions(dataset, options, labels, index, len(values))
    by_index, everything = given.bytes >= LARGE, np.arange(sum(given.sizes.values())) if given.read is None else given.read.positions
    form = _form(given, options, index["train"], _looked_at(given, options, kept) if by_index else [everything], said)
    notes = [*_splits.note(options, given.sizes), *form.notes]
    if missing:
        notes.append(f"{missing:,} labels are -1 or NaN, which means that there is none: these images are in no class")
    notes += _many(kept) if by_index else []
    if not (by_index and WHOLE in given.images):
        notes += _overlap(form.take, kept, options, given, said)
    source = _source(given, form.take, labels, by_index)
    own = facts or ({"label_values": values} if values else {})
    told = {**own, **form.facts, **({"notes": notes} if notes else {})}
    return image_set(
        dataset, options, form.take, labels, index, form.white, source, device, classes=len(values), facts=told, by_index=by_index
    )


def _looked_at(given: Given, options: Mapping[str, Any], kept: Mapping[str, Positions]) -> list[Positions]:
    """The images of a large set whose values are looked at: what is kept; of bytes, which are always gray values, some of it."""
    byte = all(array.dtype == np.uint8 for array in given.images.values()) and not given.table and options.get("white") is None
    return [rows[:SAMPLED] if byte else rows for rows in kept.values()]


def _many(kept: Mapping[str, Positions]) -> list[str]:
    """What is said of splits of a large array that take long to be scored on."""
    sizes = {split: len(kept[split]) for split in ("val", "test") if len(kept[split]) > MANY}
    told = ", ".join(f"{split} {size:,}" for split, size in sizes.items())
    return [f"trained models are scored on all of {told}: val_size: 5000 and test_size: 5000 take less time"] if sizes else []


def _form(given: Given, options: Mapping[str, Any], train: Positions, looked_at: Sequence[Positions], said: Said) -> Form:
    """How the user's numbers become pixels.

    Raises:
        ObjectiveError: the values cannot be trained on.
    """
    raw = _among(given.read, _joined(list(given.images.values())))
    dtype = np.result_type(*given.images.values())
    values = _arrays.values_of(part for rows in looked_at for part in blocks(raw, rows))
    look = Look(dtype, values, raw, train, given.layout)
    if given.table:
        _refuse(said, _arrays.table_faults(values))
        return _tables.form(look, options)
    _refuse(said, _arrays.value_faults(dtype, values, options.get("white")))
    return _of_images(look, options)


def _of_images(look: Look, options: Mapping[str, Any]) -> Form:
    """How images without faults are taken: (n, C, H, W)."""
    white, ground = _arrays.white_of(look.dtype, look.values, options.get("white")), ground_of(options)

    def take(rows: Positions) -> Pixels:
        return _arrays.as_pixels(look.raw(rows), look.layout, white, ground)

    bytes_stay = look.dtype.kind != "f" and white <= 255
    return Form(take, white if bytes_stay else 1, _arrays.value_notes(look.values, white))


def _labels(given: Given, said: Said) -> tuple[NDArray[np.int64] | None, list[int], int]:
    """The labels of all parts, numbered alike; the values that they had; and how many are missing."""
    if not given.labels:
        return None, [], 0
    _refuse(said, [fault for labels in given.labels.values() for fault in _arrays.label_value_faults(labels)])
    whole = np.concatenate([given.labels[name].reshape(-1) for name in given.images])
    labels, values = _arrays.as_classes(whole)
    return labels, values, len(whole) if labels is None else int((labels < 0).sum())


def _joined(arrays: Sequence[NDArray[Any]]) -> Raw:
    """The rows of several arrays, as if they were one after the other."""
    read = [_mapped.rows_of(array) for array in arrays]
    if len(read) == 1:
        return read[0]
    ends = np.cumsum([len(array) for array in arrays])

    def raw(rows: Positions) -> NDArray[Any]:
        which = np.searchsorted(ends, rows, side="right")
        found = np.empty((len(rows), *arrays[0].shape[1:]), np.result_type(*arrays))
        for number in np.unique(which):
            here = which == number
            found[here] = read[number](rows[here] - (ends[number] - len(arrays[number])))
        return found

    return raw


def _among(read: Read | None, raw: Raw) -> Raw:
    """The rows at positions among all images, where only some of them were read."""
    return raw if read is None else lambda rows: raw(np.searchsorted(read.positions, rows))


def _overlap(take: Take, kept: Mapping[str, Positions], options: Mapping[str, Any], given: Given, said: Said) -> list[str]:
    """Notes about images that are in two splits; the user's own splits are refused where these are many."""
    held = {split: len(kept[split]) for split in SPLITS}
    counts = _splits.overlaps({split: _splits.prints(blocks(take, kept[split])) for split in SPLITS})
    if WHOLE not in given.images:
        _refuse(said, _splits.overlap_faults(counts, held, options))
        return _splits.overlap_words(counts, held)
    many = {pair: count for pair, count in counts.items() if count > _splits.TOLERATED * held[pair[0]]}
    return [f"{word}: the set holds copies, so scores are too good" for word in _splits.overlap_words(many, held)]


def _source(given: Given, take: Take, labels: NDArray[Any] | None, by_index: bool) -> str:
    """The hash of all that the user has, whatever is kept of it."""
    if given.read:
        return given.read.source
    return _sampled(take, given, labels) if by_index else digest(take(np.arange(sum(given.sizes.values()))), labels)


def _sampled(take: Take, given: Given, labels: NDArray[Any] | None) -> str:
    """A hash of the shape of a large set, of 4,096 of its images and of its labels."""
    n = sum(given.sizes.values())
    found = hashlib.sha256(f"{given.sizes}{digest(labels)}".encode())
    for block in blocks(take, np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).astype(np.int64))):
        found.update(digest(block).encode())
    return found.hexdigest()


def of_files(paths: Sequence[Path], root: Path, about: object) -> str:
    """A hash of a set of files that reads few of them: their names, lengths, `about`, and what 4,096 of them hold, spread evenly."""
    names = [(path.relative_to(root).as_posix(), path.stat().st_size) for path in paths]
    found = hashlib.sha256(repr((about, names)).encode())
    for which in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), SAMPLED)).astype(np.int64)):
        found.update(paths[which].read_bytes())
    return found.hexdigest()


def _refuse(said: Said, faults: Sequence[str]) -> None:
    refuse([said(fault) for fault in faults])
