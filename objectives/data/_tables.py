"""Tables: rows of real numbers, (n, d), that an autoencoder, a VAE with the likelihood gaussian or a GAN is trained on as images (1, 1, d).

The loss of a row is a sum over its columns. A column that is measured in thousands would drown all others, so columns are standardized by
mean and standard deviation of the training rows, unless `standardize: false` says that the numbers are right as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data._arrays import Form, Look, Raw
from objectives.data._image_set import blocks
from objectives.data._kinds import Pixels

STANDARDIZE: Mapping[str, Any] = {"standardize": None}  # the option and its default: tables are, images are not
MEASURED = 100_000  # training rows that means and deviations are taken of, whatever `train_size` says
UNEVEN = 10  # the largest standard deviation of a column over the smallest that is remarked upon
RECORDED = 1000  # columns whose means and deviations are recorded
IMAGE_ONLY = ("binarize", "white", "ground")


def option_faults(options: Mapping[str, Any]) -> list[str]:
    """Options that mean nothing for a table."""
    given = [key for key in IMAGE_ONLY if options.get(key) is not None]
    return [f"{key} must be left out for a table, (n, d): it is for images; got {options[key]!r}. Leave it out." for key in given]


def form(look: Look, options: Mapping[str, Any]) -> Form:
    """How the rows of a table without faults are taken: (n, 1, 1, d)."""
    mean, deviation = moments(look.raw, look.train[:MEASURED])
    constant = int((deviation == 0).sum())
    notes = [f"{constant:,} of {len(mean):,} columns are the same in all training rows"] if constant else []
    notes += _like_images(look, len(mean))
    facts: dict[str, Any] = {"table": True}
    shift, scale = np.zeros_like(mean), np.ones_like(mean)
    if options.get("standardize") is not False:
        shift, scale = mean, np.where(deviation == 0, 1, deviation)
        notes.append("columns are standardized by mean and standard deviation of the training rows (standardize: false leaves them)")
        if len(mean) <= RECORDED:
            facts |= {"column_means": mean.tolist(), "column_deviations": deviation.tolist()}
    elif len(live := deviation[deviation > 0]) and live.max() > UNEVEN * live.min():
        told = f"standard deviations of columns are {live.min():.3g} to {live.max():.3g}, and the loss is a sum over columns"
        notes.append(f"{told}: the widest ones decide. Leave standardize: false out if this is not meant")

    def take(rows: NDArray[np.int64]) -> Pixels:
        found: NDArray[np.float32] = ((look.raw(rows) - shift) / scale).astype(np.float32)
        return found[:, None, None]

    return Form(take, 1, notes, facts)


def moments(raw: Raw, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column (d,), of the given rows."""
    total, count = np.float64(0), len(rows)
    mean = sum((part.sum(0, dtype=np.float64) for part in blocks(raw, rows)), total) / count
    squares = sum((((part - mean) ** 2).sum(0) for part in blocks(raw, rows)), total)
    return np.asarray(mean), np.sqrt(np.asarray(squares) / count)


def _like_images(look: Look, columns: int) -> list[str]:
    """Whether rows look like images that were flattened."""
    side = round((columns / 3) ** 0.5) if round((columns / 3) ** 0.5) ** 2 * 3 == columns else round(columns**0.5)
    flat = side**2 in (columns, columns / 3) and columns >= 16
    if not flat or look.dtype.kind != "u" or look.values.high > 255:
        return []
    channels = ", 3" if side**2 * 3 == columns else ""
    return [f"rows of {columns:,} bytes are taken for a table; if they are images, reshape them to (n{channels}, {side}, {side})"]
