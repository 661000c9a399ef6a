"""Twenty-five Gaussians on a square grid in the plane. A GAN that drops modes is recognized at once.

As published, the centres are 2 apart, from −4 to 4, and the modes have a standard deviation of 0.05; the grid goes from 0.1 to 0.9 in the
unit square. PacGAN trains on 100,000 points: `n_train: 100000`. Source of the numbers: the configuration files of PacGAN (Lin et al., arXiv
1712.04086); the mixture itself: Srivastava et al., VEEGAN, arXiv 1705.07761.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data import _mixture
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import refuse

WIDEST = 1 / _mixture.MARGIN_STDS  # the margin around the grid is half the distance of two centres
DATASET = Dataset(
    name="grid",
    summary="points of 25 Gaussians on a square grid: real-valued, in the unit square; the modes that a GAN finds can be counted",
    shape=(1, 1, 2),
    classes=25,
    sizes=_mixture.SIZES,
    licence="generated",
    source="Srivastava et al., VEEGAN, arXiv 1705.07761; Lin et al., PacGAN, arXiv 1712.04086",
    options=_mixture.options(modes=25, std=0.05),
    likelihoods=("gaussian",),
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options; `modes` must be a square."""
    faults, modes = _mixture.check(DATASET, options, WIDEST), _mixture.modes_of(DATASET, options)
    if isinstance(modes, int) and not isinstance(modes, bool) and modes >= 2 and math.isqrt(modes) ** 2 != modes:
        faults.append(f"dataset 'grid': modes must be the square of a whole number; got {modes}. Write {math.isqrt(modes) ** 2}.")
    return faults


def train_size_of(options: Mapping[str, Any]) -> int:
    """`n_train`."""
    return _mixture.train_size_of(DATASET, options)


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Points (n, 1, 1, 2) and the mode of each.

    Raises:
        ObjectiveError: an option is unknown or out of range.
    """
    refuse(check(options))
    modes = _mixture.modes_of(DATASET, options)
    return _mixture.load(DATASET, options, centres(modes), 0.5 / math.isqrt(modes), device)


def centres(modes: int) -> NDArray[np.float64]:
    """The points of a square grid, 2 apart, around the origin: (modes, 2)."""
    import numpy as np

    side = math.isqrt(modes)
    steps = 2.0 * np.arange(side) - (side - 1)
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
