"""70,000 handwritten digits of 28×28 gray pixels."""

from __future__ import annotations

from objectives.data import _idx
from objectives.data._kinds import Dataset
from objectives.data._options import LABELLED, PIXELS

FILES = _idx.torchvision_source("MNIST")
DATASET = Dataset(
    name="mnist",
    summary="70,000 handwritten digits of 28×28 gray pixels",
    shape=(1, 28, 28),
    classes=10,
    sizes=_idx.SIZES,
    licence="none stated by its authors",
    source="LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998",
    needs_root=True,
    options={"download": False, **PIXELS, **LABELLED},
    signs=True,
)
check, train_size_of, load, write_sample = _idx.functions(DATASET, FILES)
