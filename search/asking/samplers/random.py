"""Independent draws, uniform over each range (in the logarithm on a log range)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from objectives.base import Knob
from search.asking.samplers import SamplerInfo

SAMPLER = SamplerInfo(
    name="random",
    summary="independent uniform draws; log-uniform on log ranges",
    formula="x ~ U(low, high), or log x ~ U(log low, log high)",
    adaptive=False,
    source="Bergstra and Bengio 2012, JMLR 13",
)


def make(seed: int, knobs: Sequence[Knob], trials: int, index: int) -> Any:
    """One random draw."""
    from optuna.samplers import RandomSampler

    del knobs, trials, index
    return RandomSampler(seed=seed)
