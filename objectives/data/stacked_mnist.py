"""Three random MNIST digits as the channels of one colour image: a thousand modes, one for each number from 000 to 999.

The stacks for training are made of MNIST's training images; those for validation and test of its validation and test images. A published
run has 128,000 stacks (`n_train: 128000`, 1.2 GB in memory) and counts the modes among 26,000 samples.
Source: Metz et al., Unrolled GANs, arXiv 1611.02163; the numbers: Lin et al., PacGAN, arXiv 1712.04086.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data import _files, mnist
from objectives.data._image_set import image_set
from objectives.data._kinds import SPLITS, Dataset, ImageSet, Pixels
from objectives.data._options import PIXELS, digest, number_fault, refuse

DIGITS = 3
DATASET = Dataset(
    name="stacked_mnist",
    summary="three MNIST digits as the channels of one image of 28×28 pixels: a thousand modes to be found",
    shape=(DIGITS, 28, 28),
    classes=1000,
    sizes={"train": 50_000, "val": 2_000, "test": 10_000},
    licence="none stated by its authors",
    source="Metz et al., arXiv 1611.02163; Lin et al., PacGAN, arXiv 1712.04086; digits: MNIST",
    needs_root=True,
    options={"n_train": 50_000, "n_test": 10_000, "data_seed": 0, "download": False, **PIXELS},
    signs=True,
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options, missing files included."""
    lows = {"n_train": 2, "n_test": 2, "data_seed": 0}
    wrong = [fault for key, low in lows.items() for fault in number_fault(DATASET, options, key, low, integer=True)]

    def sizes(root: Any) -> dict[str, int]:
        mnist.FILES.sizes(root)  # raises what is wrong with the files
        return {**DATASET.sizes, "train": DATASET.sizes["train"] if wrong else train_size_of(options)}

    return wrong + _files.check(DATASET, mnist.FILES.layout, options, sizes)


def train_size_of(options: Mapping[str, Any]) -> int:
    """`n_train`."""
    n_train: int = options.get("n_train", DATASET.options["n_train"])
    return n_train


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Images (n, 3, 28, 28) in [0, 1]. A stack's label is the number that its channels spell. Each split has its own random stream.

    Raises:
        ObjectiveError: an option is wrong, or MNIST's files under `root` are missing or damaged.
    """
    refuse(check(options))
    import numpy as np

    _files.fetched(DATASET, mnist.FILES.layout, options["root"])
    pixels, digits, pools = mnist.FILES.read(options["root"], 10)
    chosen = {**DATASET.options, **options}
    sizes = {"train": chosen["n_train"], "val": DATASET.sizes["val"], "test": chosen["n_test"]}
    drawn, index, start = [], {}, 0
    for stream, split in enumerate(SPLITS):
        picked = np.random.RandomState([chosen["data_seed"], stream]).randint(len(pools[split]), size=(sizes[split], DIGITS))
        drawn.append(pools[split][picked])
        index[split] = np.arange(start, start + sizes[split], dtype=np.int64)
        start += sizes[split]
    stacks = np.concatenate(drawn)  # (n, 3): positions in MNIST
    labels = digits[stacks].astype(np.int64) @ 10 ** np.arange(DIGITS)[::-1]

    def take(rows: NDArray[np.int64]) -> Pixels:
        return pixels[stacks[rows]]

    return image_set(DATASET, options, take, labels, index, 255, digest(pixels, stacks), device)


def write_sample(root: Path) -> dict[str, Any]:
    """MNIST's tiny files below `root`; the options that load stacks of them."""
    return mnist.write_sample(root) | {"n_train": 150, "n_test": 100}
