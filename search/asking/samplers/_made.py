"""How the samplers here are made. Optuna is loaded when the first one is, so that their files can be read without it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from objectives.base import Conflict, Knob, Value
from search.asking.space import distributions


def new(cls: Any, **options: Any) -> Any:
    """A sampler of this class, or of Optuna's class of this name; without the warning that the class or an option is experimental."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return (getattr(optuna.samplers, cls) if isinstance(cls, str) else cls)(**options)


def given(params: Mapping[str, Value], knobs: Sequence[Knob]) -> Any:
    """A sampler that draws one known point. A knob that does not act in it has no value."""
    from search.asking.samplers._sequence import Given

    return Given(params, distributions([knob for knob in knobs if knob.name in params]))


def wrapped(sampler: Any, *, keeps_notes: bool, apart: Any = None) -> Any:
    """A sampler that keeps notes in the study, or one that does not, for a study that is asked and told and may be rebuilt.

    `apart` is the sampler of knobs that are not drawn together; None: `sampler` itself.
    """
    from search.asking.samplers._replayed import Asked, Replayed

    return Replayed(sampler, apart) if keeps_notes else Asked(sampler, apart)


def apart(seed: int, knobs: Sequence[Knob]) -> Any:
    """What draws the knobs with a condition for a sampler that learns only what all members have: TPE, one knob at a time."""
    return new("TPESampler", seed=seed, n_startup_trials=4, multivariate=False) if any(knob.when for knob in knobs) else None


def blind(name: str, knobs: Sequence[Knob]) -> list[Conflict]:
    """A warning about knobs with a condition, for a sampler that does not learn them itself."""
    found = [knob.name for knob in knobs if knob.when]
    message = (
        f"sampler {name} learns only knobs that act in every member; {', '.join(found)} has a condition, and is drawn by itself, as tpe "
        "would. Choose sampler: tpe or gp to have all knobs learned together."
    )
    return [Conflict("warning", "sampler", message)] if found else []
