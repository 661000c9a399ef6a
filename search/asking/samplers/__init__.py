"""Samplers: where in the space the next config is drawn. One file each; the file name is the name in a spec, so no list is edited.

A file holds `SAMPLER`, a `SamplerInfo` that says all about the sampler, and `make(seed, knobs, trials, index, *, …)`. `make` returns an
Optuna sampler for *one* ask. The sampler is made anew for every member, so its stream is a function of the sweep's seed and the member
alone. A sampler that lives as long as its process repeats its draws after a restart: a reopened study would try the same configs again.
`knobs` are the knobs to draw, `trials` is how many trials the arm may spend, and `index` counts the members of the arm from 0. The
keyword-only arguments of `make` are the options that a spec may give: `sampler: {name: tpe, n_startup_trials: 4}`.

A file may hold `conflicts(knobs, trials)`: what it cannot do with the knobs of an arm, as errors or warnings.

A sampler that `hands_on` also holds `predecessor(index, *, …)` and `chain(index, *, …)`: from which member of its arm another one starts,
and which members share a seed. A member is asked for when its predecessor has ended. All of them are trained whole.

A sampler of Optuna's that has no file here is named `module:Class`, such as `optuna.samplers:GPSampler`; see `_foreign.py`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from objectives.base import Conflict, ObjectiveError
from objectives.registry import names, unknown
from search import options
from search.asking.samplers import _foreign
from search.asking.seeds import derive
from search.asking.space import OFF_ARM, SEARCH_ARM, Space
from search.options import Chosen, name_of, options_of


@dataclass(frozen=True)
class SamplerInfo:
    """What `lagrange samplers` prints.

    `adaptive`: the draw depends on how earlier members ended. `sequence`: the draws are the points of one sequence, taken by index; then
    all members of an arm have the same `seed`. Otherwise each member has its own seed. `hands_on`: members start from what earlier ones
    have become. `several`: it can draw for several metrics.
    """

    name: str
    summary: str
    formula: str
    adaptive: bool
    source: str
    sequence: bool = False
    hands_on: bool = False
    several: bool = True


def known() -> list[str]:
    """The names of all samplers."""
    return names("sampler", __name__)


def accepted(name: str) -> dict[str, options.Option]:
    """The options of a sampler.

    Raises:
        ObjectiveError: it is written `module:Class`, and there is no such class.
    """
    return _foreign.accepted(_foreign.load(name)) if _is_foreign(name) else options.accepted(_file(name).make)


def faults(chosen: Chosen, where: str = "sampler") -> list[str]:
    """What is wrong with a sampler that is chosen in a spec: its name, the names of its options, their values."""
    name, given = name_of(chosen), options_of(chosen)
    if _is_foreign(name):
        return _foreign.faults(where, name, given)
    if name not in known():
        return [unknown(where, name, known()) + " Any other of Optuna's is written optuna.samplers:Class."]
    return options.faults(where, f"sampler {name!r}", accepted(name), given)


def conflicts(chosen: Chosen, space: Space, trials: int, metrics: int = 1) -> list[Conflict]:
    """What a sampler without `faults` cannot do in this space with so many trials in all, and with so many metrics."""
    if metrics > 1 and not _is_foreign(name_of(chosen)) and not _file(name_of(chosen)).SAMPLER.several:
        able = ", ".join(name for name in known() if _file(name).SAMPLER.several)
        message = f"sampler {name_of(chosen)} learns from one metric; {metrics} are asked for. Choose one of {able}."
        return [Conflict("error", "sampler", message)]
    say = getattr(_file(name_of(chosen)), "conflicts", None) if not _is_foreign(name_of(chosen)) else None
    found = [one for arm in space.arms for one in say(space.asked(arm), space.trials(arm, trials))] if say else []
    if hands_on(chosen) and not space.hands_on:
        message = f"sampler {name_of(chosen)} must have an objective whose members can hand on their weights. Choose another sampler."
        found.append(Conflict("error", "sampler", message))
    if options_of(chosen) or _is_foreign(name_of(chosen)):
        found += [one for arm in (*space.arms, OFF_ARM) for one in _refusals(chosen, space, trials, arm, metrics)]
    return list(dict.fromkeys(found))


def sampler_for(
    chosen: Chosen, sweep_seed: int, number: int, *, space: Space, trials: int, arm: str = SEARCH_ARM, index: int | None = None
) -> Any:
    """The Optuna sampler for one member.

    `number` is the member's number in the sweep; it seeds the draw. `index` counts the members of the member's arm from 0; it is the place
    in a sequence. (Taken by `number`, an arm would skip the points that fell to the other arm.) `trials` is how many the arm may spend.

    Raises:
        ObjectiveError: there is no sampler of this name.
    """
    name, given, knobs = name_of(chosen), options_of(chosen), space.asked(arm)
    if _is_foreign(name):
        return _foreign.make(name, derive(sweep_seed, "sampler", arm, number), knobs, given)
    if not _is_ours(name):
        raise ObjectiveError(unknown("sampler", name, known()))
    # A sequence needs one scrambling for the whole arm; an independent draw needs a stream of its own.
    module = _file(name)
    seed = derive(sweep_seed, "sampler", arm) if module.SAMPLER.sequence else derive(sweep_seed, "sampler", arm, number)
    return module.make(seed, knobs, trials, number if index is None else index, **given)


def adaptive(chosen: Chosen) -> bool:
    """True for a sampler that learns from how members ended. A pack of its draws must stay small. Foreign ones are taken to learn."""
    if _is_foreign(name_of(chosen)):
        return True
    info: SamplerInfo = _file(name_of(chosen)).SAMPLER
    return info.adaptive


def hands_on(chosen: Chosen) -> bool:
    """True for a sampler whose members start from what earlier ones have become."""
    return not _is_foreign(name_of(chosen)) and bool(_file(name_of(chosen)).SAMPLER.hands_on)


def predecessor(chosen: Chosen, index: int) -> int | None:
    """The member, by its index in the arm, from which another one starts. Of a sampler that hands on."""
    found: int | None = _file(name_of(chosen)).predecessor(index, **options_of(chosen))
    return found


def chain(chosen: Chosen, index: int) -> int:
    """Which chain a member belongs to. Of a sampler that hands on."""
    found: int = _file(name_of(chosen)).chain(index, **options_of(chosen))
    return found


def _refusals(chosen: Chosen, space: Space, trials: int, arm: str, metrics: int) -> list[Conflict]:
    """What the sampler itself says against its options, or against the knobs of an arm, as an error."""
    try:
        if _is_foreign(name_of(chosen)):
            _foreign.tried(name_of(chosen), space.asked(arm), options_of(chosen), metrics)
        else:
            sampler_for(chosen, 0, 0, space=space, trials=space.trials(arm, trials), arm=arm)
    except Exception as error:
        knobs = ", ".join(knob.name for knob in space.asked(arm)) or "no knob"
        said = " ".join(str(error).split()) or type(error).__name__
        draw = knobs if metrics == 1 else f"{knobs} for {metrics} metrics"
        message = f"sampler {options.said(chosen)} must be able to draw {draw}; it says: {said} Correct its options, or choose another."
        return [Conflict("error", "sampler", message)]
    return []


@cache
def _is_ours(name: str) -> bool:
    """Asked for every member, so the folder of samplers is read once."""
    return name in known()


def _is_foreign(name: str) -> bool:
    return ":" in name


def _file(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
