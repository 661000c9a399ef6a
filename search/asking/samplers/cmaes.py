"""The covariance matrix adaptation evolution strategy: a normal distribution that moves to where members were good, and takes its shape.

What it does not do: it learns numbers only, so a knob with choices is drawn at random, independently of how members ended. It learns from
complete members only, and only once for every population of them (4 + ⌊3 ln n⌋ for n knobs, 6 for two). A member that a scheduler stopped
teaches it nothing. For an integer knob with few values `with_margin: true` keeps every value possible.

The first member is drawn at random, and the first population around the middle of the ranges, with a standard deviation of a sixth of them.
So in few trials it finds a minimum that lies near the middle, better than TPE does, and misses one near a corner (docs/log.md has numbers).
Give it ranges in whose middle you expect the best, or many trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from objectives.base import Conflict, Knob
from search.asking.samplers import SamplerInfo
from search.asking.samplers._made import apart, blind, new, wrapped

SAMPLER = SamplerInfo(
    name="cmaes",
    summary="a normal distribution that moves to good members and takes their shape; learns from complete members, and numbers only",
    formula="x ~ N(m, σ²C) in ranges scaled to [0, 1]; m, σ, C updated after each population of 4 + ⌊3 ln n⌋ complete members",
    adaptive=True,
    source="Hansen 2016, arXiv 1604.00772; with margin: Hamano et al. 2022, arXiv 2205.13482; optuna.samplers.CmaEsSampler",
    several=False,
)


def make(
    seed: int,
    knobs: Sequence[Knob],
    trials: int,
    index: int,
    *,
    n_startup_trials: Annotated[int, Field(ge=0, description="complete members, drawn at random, before the first normal draw")] = 1,
    popsize: Annotated[int | None, Field(ge=4, description="members of a population; null: 4 + ⌊3 ln n⌋ for n knobs")] = None,
    with_margin: Annotated[bool, Field(description="keep every value of an integer knob possible")] = False,
    use_separable_cma: Annotated[bool, Field(description="no correlations, which are learned faster: for many knobs")] = False,
    lr_adapt: Annotated[bool, Field(description="smaller steps where scores are noisy (Nomura et al. 2023)")] = False,
    consider_pruned_trials: Annotated[bool, Field(description="learn from stopped members, by their last rung score")] = False,
) -> Any:
    """CMA-ES, whose distribution is made anew from the members that have ended."""
    del trials, index
    sampler = new(
        "CmaEsSampler",
        seed=seed,
        n_startup_trials=n_startup_trials,
        popsize=popsize,
        with_margin=with_margin,
        use_separable_cma=use_separable_cma,
        lr_adapt=lr_adapt,
        consider_pruned_trials=consider_pruned_trials,
        warn_independent_sampling=False,  # `conflicts` has warned
    )
    return wrapped(sampler, keeps_notes=True, apart=apart(seed, knobs))


def conflicts(knobs: Sequence[Knob], trials: int) -> list[Conflict]:
    """A warning about knobs that it cannot learn."""
    del trials
    if any(knob.when for knob in knobs):
        return blind("cmaes", knobs)
    unlearned = [knob.name for knob in knobs if knob.choices]
    message = (
        f"sampler cmaes learns numbers only; {', '.join(unlearned)} has choices, and each is drawn at random. "
        "Search a range instead, fix it, or choose sampler: tpe."
    )
    return [Conflict("warning", "sampler", message)] if unlearned else []
