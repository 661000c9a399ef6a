"""70,000 pictures of clothes of 28×28 gray pixels, in 10 classes."""

from __future__ import annotations

from objectives.data import _idx
from objectives.data._kinds import Dataset
from objectives.data._options import LABELLED, PIXELS

FILES = _idx.torchvision_source("FashionMNIST")
DATASET = Dataset(
    name="fashion_mnist",
    summary="70,000 pictures of clothes of 28×28 gray pixels, in 10 classes",
    shape=(1, 28, 28),
    classes=10,
    sizes=_idx.SIZES,
    licence="MIT, (c) 2017 Zalando SE",
    source="Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv 1708.07747",
    needs_root=True,
    options={"download": False, **PIXELS, **LABELLED},
)
check, train_size_of, load, write_sample = _idx.functions(DATASET, FILES)
