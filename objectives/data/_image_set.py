"""From arrays of pixels to an `ImageSet`. All data sets of pixels share this code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._kinds import SPLITS, Dataset, ImageSet, Pixels, Take
from objectives.data._options import BINARIZE_SEED, FEWEST, digest, hold_out_faults, record, refuse, train_size_faults
from objectives.lazy import Later, Tensor, torch

keeping: Any = Later("objectives.data._stored")  # it needs torch

ROWS = 1000  # images that are binarized at once: their random numbers take eight bytes a pixel
BLOCK = 2**24  # bytes of images that are read at once where they are not kept
SMALL = 2**22  # pixels: a split of so few is kept as float32, for it takes 16 MB


def image_set(
    dataset: Dataset,
    options: Mapping[str, Any],
    take: Take,
    labels: NDArray[Any] | None,
    index: Mapping[str, NDArray[np.int64]],
    white: int,
    source_sha256: str,
    device: str,
    *,
    classes: int | None = None,
    facts: Mapping[str, Any] | None = None,
    by_index: bool = False,
) -> ImageSet:
    """The splits at the positions `index`. `train_size` keeps the first of the training positions. Only kept images are taken.

    `take(positions)` returns new arrays (n, H, W) or (n, C, H, W): 8-bit in 0..white, or float32 with white = 1. `labels` are the labels
    of all positions, or None; −1 is no label. `classes` is their number, if it is not the data set's own. `facts` goes into the record.
    `by_index` leaves the images where they are: `take` is called for every batch.

    A class that `hold_out` names is in no split; its validation and test images are put aside. Labels keep their numbers. Bytes stay bytes
    where there are many; what is seen of them is float32, divided alike on every device.

    Raises:
        ObjectiveError: `train_size` or `hold_out` does not fit what the files hold.
    """
    classes = None if labels is None else classes or dataset.classes
    kept, novel = kept_positions(dataset, options, labels, index, classes)
    static = options.get("binarize") == "static"
    images: dict[str, Tensor] = {}
    named: dict[str, Tensor] = {}
    sha256: dict[str, str] = {}
    for stream, split in enumerate((*SPLITS, *novel)):
        rows = kept[split] if split in kept else novel[split]
        chosen_labels = None if labels is None else labels[rows]
        if static:
            drawn_once = binarized(blocks(take, rows, ROWS), white, stream)
            images[split], sha = _in_memory(drawn_once, 1, device), digest(drawn_once, chosen_labels)
        elif by_index:
            images[split], sha = _in_place(take, rows, white, device), _digest(take, rows, chosen_labels)
        else:
            chosen = take(rows)
            sha = digest(chosen, chosen_labels)
            images[split] = _in_memory(chosen, white, device)
        if split in SPLITS:
            sha256[split] = sha
            if chosen_labels is not None:
                named[f"{split}_labels"] = torch.from_numpy(chosen_labels).to(torch.int64).to(device)
    drawn = {"binarize_seed": BINARIZE_SEED} if static else {}
    source = hashlib.sha256(f"{source_sha256}, static {BINARIZE_SEED}".encode()).hexdigest() if static else source_sha256
    own = record(dataset, options, {split: len(kept[split]) for split in SPLITS}, sha256, source)
    channels, height, width = images["train"].shape[1:]
    return ImageSet(
        **images,
        **named,
        shape=(channels, height, width),
        classes=classes,
        index={split: torch.from_numpy(positions.copy()) for split, positions in kept.items()},
        record={**own, **drawn, **(facts or {})},
    )


def _in_memory(pixels: Pixels, white: int, device: str) -> Tensor:
    """The images as one tensor on the device: bytes if they are bytes and many, else float32, which is made on the CPU."""
    found = torch.from_numpy(pixels)
    found = (found if found.ndim == 4 else found.unsqueeze(1)).contiguous()  # (n, C, H, W)
    if found.dtype != torch.uint8 or found.numel() <= SMALL:
        return found.to(torch.float32).div_(white).to(device)
    kept: Tensor = keeping.Stored.of(keeping.InMemory(found.to(device), white), len(found), found.shape[1:], device)
    return kept


def _in_place(take: Take, rows: NDArray[np.int64], white: int, device: str) -> Tensor:
    """The images as a tensor that takes them when it is indexed."""
    kept: Tensor = keeping.Stored.of(keeping.ByIndex(take, rows, white, device), len(rows), take(rows[:1]).shape[1:], device)
    return kept


def blocks(take: Callable[[NDArray[np.int64]], Any], rows: NDArray[np.int64], count: int | None = None) -> Iterator[Any]:
    """What `take` finds at the positions `rows`, `count` at a time; without `count`, as many as are 16 MB."""
    count = count or max(1, BLOCK // max(1, take(rows[:1]).nbytes))
    for start in range(0, len(rows), count):
        yield take(rows[start : start + count])


def _digest(take: Take, rows: NDArray[np.int64], labels: NDArray[Any] | None) -> str:
    """`digest` of images and labels, of which only a block is in memory."""
    found, first = hashlib.sha256(), take(rows[:1])
    found.update(f"{first.dtype.str}{(len(rows), *first.shape[1:])}".encode())
    for block in blocks(take, rows):
        found.update(np.ascontiguousarray(block).data)
    if labels is not None:
        found.update(f"{labels.dtype.str}{labels.shape}".encode())
        found.update(np.ascontiguousarray(labels).data)
    return found.hexdigest()


Positions = Mapping[str, NDArray[np.int64]]


def kept_positions(
    dataset: Dataset, options: Mapping[str, Any], labels: NDArray[Any] | None, index: Positions, classes: int | None
) -> tuple[Positions, Positions]:
    """The positions of each split. If a class is held out, also the positions of its images: `val_novel` and `test_novel`."""
    held, known, novel = options.get("hold_out"), dict(index), {}
    if held is not None:
        if labels is None:
            rule = "hold_out needs a data set with labels"
            refuse([f"dataset {dataset.name!r}: {rule}; got hold_out {held!r} and images without. Leave it out."])
        else:
            refuse(hold_out_faults(dataset, options, classes))
            known = {split: rows[labels[rows] != held] for split, rows in index.items()}
            novel = {f"{split}_novel": index[split][labels[index[split]] == held] for split in ("val", "test")}
    if min(len(rows) for rows in known.values()) < FEWEST:
        refuse([f"dataset {dataset.name!r}: each split must hold at least {FEWEST} images; got fewer. Hold no class out, or give more."])
    refuse(train_size_faults(dataset, options, len(known["train"])))
    return {**known, "train": known["train"][: options.get("train_size")]}, novel


def binarized(parts: Iterable[Pixels], white: int, stream: int) -> NDArray[np.uint8]:
    """Every pixel is 1 with the probability pixel / white, else 0. It is drawn once, image after image: fewer images get the same draws.

    Pixels that are already 0 and 1 stay as they are. They also stay so when a Bernoulli likelihood redraws them.
    """
    random = np.random.RandomState([BINARIZE_SEED, stream])
    return np.concatenate([(random.random_sample(part.shape) < part / np.float64(white)).astype(np.uint8) for part in parts])
