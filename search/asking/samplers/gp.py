"""A Gaussian process that knows the noise of trainings: draws where a better config is likely.

Several metrics become one at each ask, in random proportions (ParEGO): so the draws spread over the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from objectives.base import Knob
from search.asking.samplers import SamplerInfo

SAMPLER = SamplerInfo(
    name="gp",
    summary="draws where a Gaussian process that knows the noise of trainings expects an improvement; members in training count too",
    formula="argmax over draws of EI(x)·(1 − e(x)/√(s²(x) + e²(x)))·P(no loss), EI over the best expected score",
    adaptive=True,
    source="Huang et al. 2006, J. Global Optimization 34 (augmented EI); Ginsbourger et al. 2010 (kriging believer); Knowles 2006 (ParEGO)",
)


def make(
    seed: int,
    knobs: Sequence[Knob],
    trials: int,
    index: int,
    *,
    n_startup_trials: Annotated[
        int | None, Field(ge=0, description="draws that fill the space; null: a third of the trials, 4 to 10")
    ] = None,
) -> Any:
    """The sampler for one ask. The first draws of an arm fill the space."""
    from search.asking.samplers._expected import Expected

    del index
    return Expected(seed, knobs, first=min(10, max(4, trials // 3)) if n_startup_trials is None else n_startup_trials)
