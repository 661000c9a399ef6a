"""An arm on fresh seeds: the scores of its members, and what differences between two arms say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from objectives.base import Phase, Value
from search.choosing.answer import Candidate, Row
from search.choosing.findings import Effect, Promise

EXACT = 1e-12  # numbers that differ by less than this share of their size differ by rounding errors only
CONFIDENCE = 0.05  # the probability of error of an interval that is not a look of the race


@dataclass(frozen=True)
class Arm:
    """A confirmed arm: its scores by seed, the seeds that λ lost (`bad`), and the seeds that are missing."""

    name: str
    config: dict[str, Value]
    scores: dict[int, float]
    bad: tuple[int, ...]
    states: dict[str, int]
    missing: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """The mean score of the seeds that were not lost; NaN where there is none."""
        return float(np.mean(list(self.scores.values()))) if self.scores else math.nan

    @property
    def error(self) -> float:
        """The standard error of the mean; NaN with fewer than two seeds."""
        values = list(self.scores.values())
        return spread(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan

    @property
    def seeds(self) -> int:
        """How many seeds trained or were lost to λ."""
        return len(self.scores) + len(self.bad)


def arm_of(candidate: Candidate, rows: Sequence[Row], seeds: Collection[int] | None = None) -> Arm:
    """The arm of a candidate from its confirmed members, on these seeds only.

    A seed trained twice (a resumed sweep) counts once: an ended member before a missing one, else the later.
    """
    mine = [row for row in rows if row.phase == Phase.CONFIRM and row.arm == candidate.arm and (seeds is None or row.seed in seeds)]
    mine.sort(key=lambda row: (row.ended != "missing", row.number))
    last = {row.seed: row for row in mine}
    scores = {seed: row.score for seed, row in sorted(last.items()) if row.ended == "ok" and row.score is not None}
    bad = tuple(sorted(seed for seed, row in last.items() if row.ended == "bad"))
    missing = tuple(row.state for row in last.values() if row.ended == "missing")
    states = dict(sorted(Counter(row.state for row in last.values()).items()))
    return Arm(candidate.arm, dict(candidate.config), scores, bad, states, missing)


def paired(differences: Sequence[float], comparisons: int = 1, error: float = CONFIDENCE) -> Effect:
    """Mean and t interval of paired differences: mean ± t(1 − error/(2m), S−1) · s / sqrt(S), m = `comparisons` (Bonferroni).

    Open with fewer than two pairs.
    """
    count = len(differences)
    mean = float(np.mean(differences)) if count else math.nan
    if count < 2:
        return Effect(mean, -math.inf, math.inf, count, comparisons)
    half = t_quantile(1 - error / (2 * comparisons), count - 1) * spread(differences) / math.sqrt(count)
    return Effect(mean, mean - half, mean + half, count, comparisons)


def differences(off: Arm, arm: Arm) -> list[float]:
    """Improvement over the off arm on every seed on which both trained."""
    pairs = [(off.scores[seed], arm.scores[seed]) for seed in sorted(set(off.scores) & set(arm.scores))]
    return [0.0 if abs(a - b) <= EXACT * max(abs(a), abs(b)) else a - b for a, b in pairs]


def spread(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The standard deviation (n − 1) of two or more values; 0 where they differ by rounding errors only."""
    found = float(np.std(values, ddof=1))
    return found if found > EXACT * float(np.max(np.abs(values))) else 0.0


def losses(off: Arm, arm: Arm) -> tuple[int, int]:
    """On how many seeds the off arm was lost and the other arm was not; and the reverse."""
    return len(set(off.bad) & set(arm.scores)), len(set(arm.bad) & set(off.scores))


def sign_test(more: int, less: int) -> float:
    """The two-sided p-value of the exact sign test: 2 · P(X ≤ min), X ~ Binomial(more + less, ½), at most 1 (McNemar's exact test)."""
    count, few = more + less, min(more, less)
    tail: int = sum(math.comb(count, k) for k in range(few + 1))
    return min(1.0, 2.0 * float(tail) / float(2**count))


def promise(scores: Sequence[float]) -> Promise:
    """The 95 % prediction interval for one new seed: mean ± t(.975, S−1) · s · sqrt(1 + 1/S)."""
    count = len(scores)
    mean = float(np.mean(scores)) if count else math.nan
    if count < 2:
        return Promise(mean, -math.inf, math.inf, count)
    half = t_quantile(0.975, count - 1) * spread(scores) * math.sqrt(1 + 1 / count)
    return Promise(mean, mean - half, mean + half, count)


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """Mean, its standard error (NaN for one value) and how many values."""
    error = spread(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"mean": float(np.mean(values)), "se": error, "n": len(values)}


def t_quantile(probability: float, df: float) -> float:
    """Student's t; infinite without degrees of freedom, so that an interval from one seed is open."""
    if df < 1:
        return math.inf
    from scipy.stats import t

    return float(t.ppf(probability, df))
