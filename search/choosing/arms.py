"""A confirmed arm: the scores of its members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from objectives.base import Value
from search.choosing.answer import Effect
from search.choosing.confirm_fit import t_quantile


@dataclass(frozen=True)
class Arm:
    """A confirmed arm: its scores by seed, the seeds that λ lost (`bad`), and the seeds that are missing."""

    name: str
    config: dict[str, Value]
    scores: dict[int, float]
    bad: tuple[int, ...]
    states: dict[str, int]

    @property
    def mean(self) -> float:
        """The mean score. It is infinite where a seed diverged: the survivors alone are never averaged."""
        if self.bad:
            return math.inf
        return float(np.mean(list(self.scores.values()))) if self.scores else math.nan


def paired(differences: Sequence[float], comparisons: int = 1) -> Effect:
    """Mean and t interval of paired differences: mean ± t(1 − 0.05/(2m), S−1) · s / sqrt(S). Open with fewer than two pairs."""
    count = len(differences)
    mean = float(np.mean(differences)) if count else math.nan
    if count < 2:
        return Effect(mean, -math.inf, math.inf, count, comparisons)
    half = t_quantile(1 - 0.025 / comparisons, count - 1) * float(np.std(differences, ddof=1)) / math.sqrt(count)
    return Effect(mean, mean - half, mean + half, count, comparisons)


def differences(off: Arm, arm: Arm) -> list[float]:
    """Improvement over the off arm on every seed that both have."""
    return [off.scores[seed] - arm.scores[seed] for seed in sorted(set(off.scores) & set(arm.scores))]


def shared_seeds(arms: Sequence[Arm]) -> list[int]:
    """The seeds that all of these arms have."""
    return sorted(set.intersection(*(set(arm.scores) for arm in arms)))
