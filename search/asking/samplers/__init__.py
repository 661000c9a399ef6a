"""Samplers: where in the space the next config is drawn. One file each; the file name is the name in a spec, so no list is edited.

A file holds `SAMPLER`, a `SamplerInfo` that says all about the sampler, and `make(seed, knobs, trials, index)`. `make` returns an Optuna
sampler for *one* ask. The sampler is made anew for every member, so its stream is a function of the sweep's seed and the member alone. A
sampler that lives as long as its process repeats its draws after a restart: a reopened study would try the same configs again. `knobs` are
the knobs to draw, `trials` is how many trials the arm may spend, and `index` counts the members of the arm from 0.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from objectives.base import ObjectiveError
from objectives.registry import names, unknown
from search.asking.seeds import derive

if TYPE_CHECKING:
    from search.asking.space import Space


@dataclass(frozen=True)
class SamplerInfo:
    """What `lagrange samplers` prints.

    `adaptive`: the draw depends on how earlier members ended. `sequence`: the draws are the points of one sequence, taken by index; then
    all members of an arm have the same `seed`. Otherwise each member has its own seed.
    """

    name: str
    summary: str
    formula: str
    adaptive: bool
    source: str
    sequence: bool = False


def known() -> list[str]:
    """The names of all samplers."""
    return names("sampler", __name__)


def sampler_for(
    name: str, sweep_seed: int, number: int, *, space: Space, trials: int, arm: str = "search", index: int | None = None
) -> Any:
    """The Optuna sampler for one member.

    `number` is the member's number in the sweep; it seeds the draw. `index` counts the members of the member's arm from 0; it is the place
    in a sequence. (Taken by `number`, an arm would skip the points that fell to the other arm.) `trials` is how many the arm may spend.

    Raises:
        ObjectiveError: there is no sampler of this name.
    """
    if name not in known():
        raise ObjectiveError(unknown("sampler", name, known()))
    knobs = space.asked(arm)
    # A sequence needs one scrambling for the whole arm; an independent draw needs a stream of its own.
    module = importlib.import_module(f"{__name__}.{name}")
    seed = derive(sweep_seed, "sampler", arm) if module.SAMPLER.sequence else derive(sweep_seed, "sampler", arm, number)
    return module.make(seed, knobs, trials, number if index is None else index)


def adaptive(name: str) -> bool:
    """True for a sampler that learns from how members ended. A pack of its draws must stay small."""
    info: SamplerInfo = importlib.import_module(f"{__name__}.{name}").SAMPLER
    return info.adaptive
