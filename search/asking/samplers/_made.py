"""How the samplers here are made. Optuna is loaded when the first one is, so that their files can be read without it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from objectives.base import Knob, Value
from search.asking.space import distributions


def new(cls: Any, **options: Any) -> Any:
    """A sampler of this class, or of Optuna's class of this name; without the warning that the class or an option is experimental."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return (getattr(optuna.samplers, cls) if isinstance(cls, str) else cls)(**options)


def given(params: Mapping[str, Value], knobs: Sequence[Knob]) -> Any:
    """A sampler that draws one known point."""
    from search.asking.samplers._sequence import Given

    return Given(params, distributions(knobs))


def wrapped(sampler: Any, *, keeps_notes: bool) -> Any:
    """A sampler that keeps notes in the study, or one that does not, for a study that is asked and told and may be rebuilt."""
    from search.asking.samplers._replayed import Asked, Replayed

    return Replayed(sampler) if keeps_notes else Asked(sampler)
