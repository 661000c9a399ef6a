"""Tree-structured Parzen estimator: draws where good members were dense and bad ones were not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from objectives.base import Knob
from search.asking.samplers import SamplerInfo
from search.asking.samplers._made import new

SAMPLER = SamplerInfo(
    name="tpe",
    summary="draws where good members were dense and bad ones were not; members still in training count as bad (constant liar)",
    formula="argmax over 24 draws of log l(x) − log g(x), l and g kernel densities of the better and the worse members",
    adaptive=True,
    source="Bergstra et al. 2011, NeurIPS; Watanabe 2023, arXiv 2304.11127; optuna.samplers.TPESampler (multivariate)",
)


def make(
    seed: int,
    knobs: Sequence[Knob],
    trials: int,
    index: int,
    *,
    n_startup_trials: Annotated[int | None, Field(ge=0, description="random members first; null: a quarter of the trials, 4 to 10")] = None,
    n_ei_candidates: Annotated[int, Field(ge=1, description="draws of which the best is taken")] = 24,
) -> Any:
    """TPE, after a quarter of the trials at random. With Optuna's default of ten, half of a sweep of 24 would be random."""
    from search.asking.samplers._tpe import Remembering  # here, because it loads Optuna

    del index
    startup = min(10, max(4, trials // 4)) if n_startup_trials is None else n_startup_trials
    if not any(knob.when for knob in knobs):
        return Remembering(seed=seed, n_startup_trials=startup, n_ei_candidates=n_ei_candidates)
    # Knobs that act together are drawn together; one that does not act in a member teaches nothing there.
    return new("TPESampler", seed=seed, n_startup_trials=startup, n_ei_candidates=n_ei_candidates, multivariate=True, group=True)
