"""Eight Gaussians on a circle in the plane. A GAN that drops modes is recognized at once.

As published, the circle has radius 1 and the modes a standard deviation of 0.01; radius 1 is 0.4 in the unit square. PacGAN trains on
100,000 points: `n_train: 100000`. Source of the numbers: the configuration files of PacGAN (Lin et al., arXiv 1712.04086); the mixture
itself: Srivastava et al., VEEGAN, arXiv 1705.07761.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from objectives.data import _mixture
from objectives.data._kinds import Dataset, ImageSet
from objectives.data._options import refuse

SCALE = 0.4
WIDEST = (0.5 / SCALE - 1) / _mixture.MARGIN_STDS
DATASET = Dataset(
    name="ring",
    summary="points of eight Gaussians on a circle: real-valued, in the unit square; the modes that a GAN finds can be counted",
    shape=(1, 1, 2),
    classes=8,
    sizes=_mixture.SIZES,
    licence="generated",
    source="Srivastava et al., VEEGAN, arXiv 1705.07761; Lin et al., PacGAN, arXiv 1712.04086",
    options=_mixture.options(modes=8, std=0.01),
    likelihoods=("gaussian",),
)


def check(options: Mapping[str, Any]) -> list[str]:
    """Every fault of the options."""
    return _mixture.check(DATASET, options, WIDEST)


def train_size_of(options: Mapping[str, Any]) -> int:
    """`n_train`."""
    return _mixture.train_size_of(DATASET, options)


def load(options: Mapping[str, Any], device: str = "cpu") -> ImageSet:
    """Points (n, 1, 1, 2) and the mode of each.

    Raises:
        ObjectiveError: an option is unknown or out of range.
    """
    refuse(check(options))
    return _mixture.load(DATASET, options, centres(_mixture.modes_of(DATASET, options)), SCALE, device)


def centres(modes: int) -> NDArray[np.float64]:
    """Equally spaced on the circle of radius 1, from (1, 0) on: (modes, 2)."""
    import numpy as np

    angles = 2 * np.pi * np.arange(modes) / modes
    return np.stack([np.cos(angles), np.sin(angles)], 1)
