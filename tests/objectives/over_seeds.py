"""What a training moves is judged over seeds: one trajectory is luck, and differs from processor to processor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student


def lowest(margins: Sequence[float]) -> float:
    """Lower end of a one-sided 95 % interval for the mean over seeds (Student's t)."""
    found = np.asarray(margins)
    return float(found.mean() - student.ppf(0.95, len(found) - 1) * found.std(ddof=1) / len(found) ** 0.5)
