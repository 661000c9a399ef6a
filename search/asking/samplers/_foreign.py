"""Any sampler with Optuna's interface, as `module:Class`: Optuna's own, those of OptunaHub, a user's.

Its options are the arguments of its class. `seed` is not one of them: it is derived from the sweep's seed and the member's number.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from objectives.base import Knob, ObjectiveError
from objectives.registry import attribute, looked_at, looking, of_optuna, unknown
from search.asking.samplers._made import new, wrapped
from search.asking.space import distributions
from search.options import Option

ASKS = 4  # how many members a sampler is asked for beforehand, at least


def load(name: str) -> Any:
    """The class that `module:Class` names.

    Raises:
        ObjectiveError: there is no such class, or it is no sampler of Optuna's kind.
    """
    from optuna.samplers import BaseSampler

    try:
        found = attribute("sampler", name)
    except ObjectiveError:
        raise
    except Exception as error:  # a user's file may raise anything
        raise ObjectiveError(f"sampler {name!r}: its module must be importable; {error}. Correct the name or the file.") from error
    if not (inspect.isclass(found) and issubclass(found, BaseSampler)):
        raise ObjectiveError(
            f"sampler {name!r} must be a class with Optuna's interface, a subclass of optuna.samplers.BaseSampler; "
            f"got {getattr(found, '__name__', found)!r}, which is none. Name one such as optuna.samplers:GPSampler."
        )
    return found


def accepted(cls: Any) -> dict[str, Option]:
    """The options of a class: the arguments of its constructor, but for the seed. What they take is known to the class alone."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(cls).parameters
    return {name: Option(one.default, Any, str(one.annotation)) for name, one in parameters.items() if one.kind in kinds and name != "seed"}


def faults(where: str, name: str, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the name or with the names of the options."""
    try:
        if _only_seen(name):
            looked_at("sampler", name)
            return []
        cls = load(name)
    except ObjectiveError as error:
        return [str(error)]
    known, what = accepted(cls), f"{where}: an option of sampler {name!r}"
    found = [unknown(what, option, list(known)) for option in given if option not in known and option != "seed" and not _open(cls)]
    if "seed" in given:
        found.append(f"{where}.seed must be left out, because each member's is derived from the sweep's; got {given['seed']!r}. Set seed.")
    missing = [option for option, one in known.items() if one.default is inspect.Parameter.empty and option not in given]
    if missing:
        found.append(f"{where}: sampler {name!r} must be given {', '.join(missing)}; it has no default. Add it to the options.")
    return found


def make(name: str, seed: int, knobs: Sequence[Knob], given: Mapping[str, Any]) -> Any:
    """The sampler for one ask."""
    notes = keeps_notes(name, json.dumps(given, sort_keys=True, default=str), tuple(knobs))
    return wrapped(_seeded(name, seed, given), keeps_notes=notes)


@cache
def keeps_notes(name: str, options: str, knobs: tuple[Knob, ...]) -> bool:
    """Whether a sampler writes into the attributes of a study. It is found out by asking for a few members. `options` is JSON."""
    given = json.loads(options)
    startup = given.get("n_startup_trials")
    study = _tried(name, given, knobs, max(ASKS, startup + 2 if isinstance(startup, int) else 0))
    of_study = study._storage.get_study_system_attrs(study._study_id)  # Optuna has no public way to see them
    return bool(of_study) or any(trial.system_attrs for trial in study.trials)


def tried(name: str, knobs: Sequence[Knob], given: Mapping[str, Any], metrics: int = 1) -> None:
    """Ask for so many members that the last ones are not random, before anything else depends on it.

    Raises:
        Exception: whatever the sampler raises where it cannot be made with these options, or cannot draw these knobs.
    """
    if _only_seen(name):
        return
    usual = accepted(load(name)).get("n_startup_trials")
    startup = given.get("n_startup_trials", usual.default if usual else 0)
    _tried(name, given, knobs, max(ASKS, startup + 2 if isinstance(startup, int) else 0), metrics)


def _tried(name: str, given: Mapping[str, Any], knobs: Sequence[Knob], asks: int, metrics: int = 1) -> Any:
    """A study of so many metrics in which a sampler was asked and told of so many members."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize"] * metrics, sampler=wrapped(_seeded(name, 0, given), keeps_notes=False))
    for value in range(asks):
        study.tell(study.ask(distributions(knobs)), [float(value)] * metrics)
    return study


def _seeded(name: str, seed: int, given: Mapping[str, Any]) -> Any:
    cls = load(name)
    takes_seed = "seed" in inspect.signature(cls).parameters
    return new(cls, **given, **({"seed": seed} if takes_seed else {}))


def _only_seen(name: str) -> bool:
    """Whether this is a user's class in a dry run, which calls no code of a user's. Optuna's own are no such code."""
    return looking() and not of_optuna(name)


def _open(cls: Any) -> bool:
    """Whether the class takes any option, and says itself what it does not want."""
    return any(one.kind is inspect.Parameter.VAR_KEYWORD for one in inspect.signature(cls).parameters.values())
