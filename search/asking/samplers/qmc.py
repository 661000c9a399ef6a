"""A scrambled Sobol' sequence: covers the space more evenly than random draws, at any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from objectives.base import Knob
from search.asking.samplers import SamplerInfo
from search.asking.samplers._made import given
from search.asking.space import at

SAMPLER = SamplerInfo(
    name="qmc",
    summary="a scrambled Sobol' sequence: covers the space evenly, at any length",
    formula="x_i = low·(high/low)^u_i, u the i-th Sobol' point",
    adaptive=False,
    source="Owen 1998, J. Complexity 14; scipy.stats.qmc.Sobol; optuna.samplers.QMCSampler (which keeps its place in the study)",
    sequence=True,
)


def make(seed: int, knobs: Sequence[Knob], trials: int, index: int) -> Any:
    """The point number `index` of the sequence that `seed` scrambles."""
    del trials
    return given(point(seed, knobs, index), knobs)


def point(seed: int, knobs: Sequence[Knob], index: int) -> dict[str, Any]:
    """A value for each knob."""
    if not knobs:
        return {}
    from scipy.stats.qmc import Sobol

    engine = Sobol(len(knobs), scramble=True, rng=seed)
    if index:
        engine.fast_forward(index)
    units = engine.random(1)[0]
    return {knob.name: at(knob, float(unit)) for knob, unit in zip(knobs, units, strict=True)}
