"""70,000 cursive Japanese characters (Kuzushiji) of 28×28 gray pixels, in 10 classes."""

from __future__ import annotations

from objectives.data import _idx
from objectives.data._kinds import Dataset
from objectives.data._options import LABELLED, PIXELS

FILES = _idx.torchvision_source("KMNIST")
DATASET = Dataset(
    name="kmnist",
    summary="70,000 cursive Japanese characters of 28×28 gray pixels, in 10 classes",
    shape=(1, 28, 28),
    classes=10,
    sizes=_idx.SIZES,
    licence="CC BY-SA 4.0",
    source="Clanuwat et al., Deep learning for classical Japanese literature, arXiv 1812.01718",
    needs_root=True,
    options={"download": False, **PIXELS, **LABELLED},
    signs=True,
)
check, train_size_of, load, write_sample = _idx.functions(DATASET, FILES)
