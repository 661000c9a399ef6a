"""Low-rank signal plus white noise: the data set whose best λ is known in advance.

X = S + N with S of rank k and N of variance s² per coordinate. Take a linear autoencoder with ½ mean squared error and ½λ‖W‖². Trained to
reproduce X, it shrinks each direction of signal variance e by 1 − λ/(e + s²). Judged on the clean S, the best shrinkage is Wiener's
e/(e + s²). Both agree in every direction exactly at **λ\\* = s²** (n → ∞, latent size k). At s² = 0 the best λ is 0. The stationary points
are those of Kunin et al., Loss landscapes of regularized linear autoencoders, arXiv 1901.08168.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._kinds import SPLITS, Dataset, ImageSet
from objectives.data._options import digest, faults_of, number_fault, record, refuse
from objectives.lazy import torch

DATASET = Dataset(
    name="noisy_linear",
    summary="Gaussian signal of low rank plus white noise: real-valued, targets clean, best λ = noise variance",
    shape=(1, 1, 20),
    classes=None,
    sizes={"train": 1000, "val": 2000, "test": 2000},
    licence="generated",
    source="this module",
    serves=("autoencoder", "vae"),
    options={"noise_variance": 1.0, "dim": 20, "rank": 5, "n_train": 1000, "data_seed": 0},
    likelihoods=("gaussian",),
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options; `dim` changes the shape, `n_train` the number of training rows."""
    n_train = options.get("n_train", DATASET.options["n_train"])
    faults = faults_of(DATASET, options, n_train if isinstance(n_train, int) and n_train >= 2 else None)
    faults += number_fault(DATASET, options, "noise_variance", 0.0, integer=False)
    lows = {"dim": 1, "rank": 1, "n_train": 2, "data_seed": 0}
    wrong = [fault for key, low in lows.items() for fault in number_fault(DATASET, options, key, low, integer=True)]
    dim, rank = (options.get(key, DATASET.options[key]) for key in ("dim", "rank"))
    if not wrong and rank > dim:
        wrong = [f"dataset 'noisy_linear': rank must be at most dim; got rank {rank} and dim {dim}. Lower rank or raise dim."]
    return faults + wrong


def shape_of(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """One row of `dim` numbers."""
    return (1, 1, options.get("dim", DATASET.options["dim"]))


def train_size_of(options: Mapping[str, Any]) -> int:
    """`n_train`."""
    n_train: int = options.get("n_train", DATASET.options["n_train"])
    return n_train


def signal_variances(rank: int) -> NDArray[np.float64]:
    """The eigenvalues e of the signal's covariance, (rank,): rank, rank − 1, …, 1. Far apart, so that directions can be told apart."""
    import numpy as np

    return np.arange(rank, 0, -1, dtype=np.float64)


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Rows (n, 1, 1, dim), real-valued. Inputs are noisy; targets are clean for val and test, and for train the noisy input itself.

    Each split has its own random stream, so `n_train` and `train_size` change neither validation nor test.

    Raises:
        ObjectiveError: an option is unknown or out of range.
    """
    refuse(check(options))
    chosen = {**DATASET.options, **options}
    sizes = {**DATASET.sizes, "train": options.get("train_size") or chosen["n_train"]}
    noisy, clean = {}, {}
    for stream, split in enumerate(SPLITS):
        rows = chosen["n_train"] if split == "train" else sizes[split]
        x, s = _rows(chosen, stream, rows)
        noisy[split], clean[split] = x[: sizes[split]], s[: sizes[split]]
    images = {split: torch.from_numpy(noisy[split]).to(device) for split in SPLITS}
    facts = record(DATASET, options, sizes, {split: digest(noisy[split], clean[split]) for split in SPLITS}, _source(chosen))
    starts = {"train": 0, "val": chosen["n_train"], "test": chosen["n_train"] + sizes["val"]}
    return ImageSet(
        train=images["train"],
        val=images["val"],
        test=images["test"],
        train_target=images["train"],
        val_target=torch.from_numpy(clean["val"]).to(device),
        test_target=torch.from_numpy(clean["test"]).to(device),
        shape=(1, 1, chosen["dim"]),
        index={split: torch.arange(sizes[split]) + starts[split] for split in SPLITS},
        record=facts,
    )


def _rows(chosen: Mapping[str, Any], stream: int, n: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`n` rows X = S + N and their S, (n, 1, 1, dim) each, from the random stream of one split."""
    import numpy as np

    dim, rank, seed = chosen["dim"], chosen["rank"], chosen["data_seed"]
    basis = np.linalg.qr(np.random.RandomState([seed, 99]).standard_normal((dim, rank)))[0]  # (dim, rank), the same for every split
    draws = np.random.RandomState([seed, stream]).standard_normal((n, rank + dim))  # row by row: a longer split begins with a shorter one
    signal = draws[:, :rank] * np.sqrt(signal_variances(rank)) @ basis.T
    noise = np.sqrt(chosen["noise_variance"]) * draws[:, rank:]
    rows = (n, 1, 1, dim)
    return (signal + noise).astype(np.float32).reshape(rows), signal.astype(np.float32).reshape(rows)


def _source(chosen: Mapping[str, Any]) -> str:
    import numpy as np

    return digest(np.array([float(chosen[key]) for key in sorted(DATASET.options)]))
