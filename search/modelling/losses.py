"""How likely a training of a config ends without a score: it diverges or collapses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.modelling.process import Array

WIDTH = 0.08  # how far a loss tells of its neighbours, as a part of the range
RARE, WEIGHT = 0.05, 1.0  # before any training is seen: this likely, as if so many trainings had said so


@dataclass(frozen=True)
class Losses:
    """Trainings by encoded config, shape (n, columns), and whether each was lost, shape (n,)."""

    points: Array
    lost: Array

    def along(self, column: int) -> Losses:
        """The configs by one column alone, whatever the others are; each counts once, with the share of its trainings that was lost."""
        configs, which = np.unique(self.points, axis=0, return_inverse=True)
        share = np.bincount(which.ravel(), self.lost) / np.bincount(which.ravel())
        return Losses(configs[:, [column]], share)

    def far(self, point: Array) -> bool:
        """Whether a config, shape (1, columns), lies at least three times as far from every lost training as from the nearest sound one."""
        lost = self.lost > 0
        if not lost.any() or lost.all():
            return not lost.any()
        apart = np.sqrt(((self.points - point) ** 2).sum(axis=1))
        return float(apart[lost].min()) >= 3 * float(apart[~lost].min())

    def probability(self, points: Array) -> Array:
        """(WEIGHT·RARE + Σ k lost) / (WEIGHT + Σ k) at each row, k = exp(−½ |x − x_i|² / WIDTH²): a local share of losses, shape (n,)."""
        squares = ((points[:, None, :] - self.points[None, :, :]) ** 2).sum(axis=2)
        near = np.exp(-0.5 * squares / WIDTH**2)
        found: Array = (WEIGHT * RARE + near @ self.lost) / (WEIGHT + near.sum(axis=1))
        return found

    def beyond(self, points: Array) -> Array:
        """The same, with weights k / max k: the nearest training counts as one, however far it is. So a loss tells of what lies beyond."""
        squares = ((points[:, None, :] - self.points[None, :, :]) ** 2).sum(axis=2)
        near = np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True)) / WIDTH**2)
        found: Array = (WEIGHT * RARE + near @ self.lost) / (WEIGHT + near.sum(axis=1))
        return found
