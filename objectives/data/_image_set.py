"""From arrays of pixels to an `ImageSet`. All data sets of pixels share this code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._kinds import SPLITS, Dataset, ImageSet
from objectives.data._options import BINARIZE_SEED, FEWEST, digest, hold_out_faults, record, refuse, train_size_faults
from objectives.lazy import Tensor, torch

Pixels = NDArray[np.uint8] | NDArray[np.float32]
Take = Callable[[NDArray[np.int64]], Pixels]

ROWS = 1000  # images that are binarized at once: their random numbers take eight bytes a pixel


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
) -> ImageSet:
    """The splits at the positions `index`. `train_size` keeps the first of the training positions. Only kept images are taken.

    `take(positions)` returns new arrays (n, H, W) or (n, C, H, W): 8-bit in 0..white, or float32 in [0, 1] with white = 1. `labels` are
    the labels of all positions, or None. `classes` is their number, if it is not the data set's own. `facts` goes into the record.

    A class that `hold_out` names is in no split; its validation and test images are put aside. Labels keep their numbers. Pixels become
    float32 once, after the split is cut, and on the CPU: so the division rounds alike for every device.

    Raises:
        ObjectiveError: `train_size` or `hold_out` does not fit what the files hold.
    """
    classes = None if labels is None else classes or dataset.classes
    kept, novel = _kept(dataset, options, labels, index, classes)
    static = options.get("binarize") == "static"
    images: dict[str, Tensor] = {}
    named: dict[str, Tensor] = {}
    sha256: dict[str, str] = {}

    def tensor(pixels: Pixels) -> Tensor:
        found = torch.from_numpy(pixels).to(torch.float32).div_(1 if static else white)
        return (found if found.ndim == 4 else found.unsqueeze(1)).contiguous().to(device)  # (n, C, H, W)

    for stream, split in enumerate((*SPLITS, *novel)):
        rows = kept[split] if split in kept else novel[split]
        chosen, chosen_labels = take(rows), None if labels is None else labels[rows]
        if static:
            chosen = binarized(chosen, white, stream)
        images[split] = tensor(chosen)
        if split in SPLITS:
            sha256[split] = digest(chosen, chosen_labels)
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


Positions = Mapping[str, "NDArray[np.int64]"]


def _kept(
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


def binarized(pixels: Pixels, white: int, stream: int) -> NDArray[np.uint8]:
    """Every pixel is 1 with the probability pixel / white, else 0. It is drawn once, image after image: fewer images get the same draws.

    Pixels that are already 0 and 1 stay as they are. They also stay so when a Bernoulli likelihood redraws them.
    """
    import numpy as np

    random = np.random.RandomState([BINARIZE_SEED, stream])
    found = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), ROWS):
        part = pixels[start : start + ROWS]
        found[start : start + ROWS] = random.random_sample(part.shape) < part / np.float64(white)
    return found
