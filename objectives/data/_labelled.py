"""Labelled gray images in three fixed splits, from 8-bit arrays: what digits, MNIST and Fashion-MNIST share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from objectives.data import SPLITS, Dataset, ImageSet
from objectives.data._options import digest, record, refuse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


def image_set(
    dataset: Dataset,
    options: Mapping[str, Any],
    pixels: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    index: Mapping[str, NDArray[np.int64]],
    white: int,
    source_sha256: str,
    device: str,
) -> ImageSet:
    """Splits of `pixels` (n, H, W) in 0..white at the positions `index`; `train_size` keeps the first of the training positions.

    A class that `hold_out` names is in no split; its validation and test images are put aside. Labels keep their numbers.
    Pixels become float32 once, after the split is cut, and on the CPU: the division rounds alike for every device.
    """
    import torch

    held, size = options.get("hold_out"), options.get("train_size")
    known = index if held is None else {split: positions[labels[positions] != held] for split, positions in index.items()}
    if size is not None and size > len(known["train"]):
        rule = f"train_size must be at most {len(known['train'])} where class {held} is held out"
        refuse([f"dataset {dataset.name!r}: {rule}; got {size}. Lower it."])
    kept = {**known, "train": known["train"][:size]}
    images: dict[str, Tensor] = {}
    classes: dict[str, Tensor] = {}
    sha256: dict[str, str] = {}

    def scaled(chosen: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(chosen).unsqueeze(1).to(torch.float32).div_(white).to(device)  # (n, 1, H, W)

    for split in SPLITS:
        chosen, chosen_labels = pixels[kept[split]], labels[kept[split]]
        sha256[split] = digest(chosen, chosen_labels)
        images[split] = scaled(chosen)
        classes[split] = torch.from_numpy(chosen_labels).to(torch.int64).to(device)
    if held is not None:
        images |= {f"{split}_novel": scaled(pixels[index[split][labels[index[split]] == held]]) for split in ("val", "test")}
    return ImageSet(
        **images,
        train_labels=classes["train"],
        val_labels=classes["val"],
        test_labels=classes["test"],
        shape=dataset.shape,
        classes=dataset.classes,
        index={split: torch.from_numpy(positions.copy()) for split, positions in kept.items()},
        record=record(dataset, options, {split: len(kept[split]) for split in SPLITS}, sha256, source_sha256),
    )
