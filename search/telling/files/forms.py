"""The forms in which a config is exported: what a reader needs first, and nothing that is a default anyway.

yaml and json are specs that `lagrange train` takes. hydra, args and script are for a training of the user's own, which knows nothing of
Lagrange.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import yaml

from objectives import models
from objectives.base import Knob, ObjectiveError, Value
from objectives.registry import load, names
from search.errors import SpecError
from search.spec.keys import Spec
from search.telling.files import script

Form = Literal["yaml", "json", "hydra", "args", "script"]
FORMS: tuple[str, ...] = get_args(Form)
FIRST = ("objective", "command", "model", "dataset", "likelihood", "fixed", "schedule", "search")
LAST = ("provenance", "promise")
ASKED = ("lr", "latent_dim")  # knobs that a program is told even where they are at our default


def written(found: Mapping[str, Any], searched: Mapping[str, Any], form: str = "yaml") -> str:
    """An exported spec in a form. `searched` is what the sweep searched.

    Raises:
        SpecError: there is no such form, or the config has something that a script cannot have.
    """
    if form not in FORMS:
        raise SpecError([f"--format must be one of {', '.join(FORMS)}; got {form!r}."])
    told = shortened(found, searched)
    if form in ("hydra", "args"):  # a program's own defaults are others
        told["fixed"] |= {name: found["fixed"][name] for name in ASKED if name in found["fixed"]}
    return _WRITERS[form](told)


def shortened(found: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """The same spec without what is a default, and with the searched λ before all other knobs. `read` makes the same of both."""
    defaults = Spec(objective="-").model_dump(mode="json", exclude_none=True)
    kept = {key: _less(value, defaults[key]) if key == "budget" else value for key, value in found.items()}
    told = {
        key: value for key, value in kept.items() if key in ("objective", "search") or key not in defaults or found[key] != defaults[key]
    }
    told["fixed"] = _ordered(found, searched)
    order = [*FIRST, *(key for key in told if key not in (*FIRST, *LAST)), *LAST]
    return {key: told[key] for key in order if key in told}


def _less(value: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if one != defaults.get(key)}


def _ordered(found: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Value]:
    """The searched λ, then what else was searched, then what is no default. A model's own default is that which was published with it."""
    fixed: Mapping[str, Value] = found["fixed"]
    try:
        known = load(str(found["objective"]), found)
    except ObjectiveError:  # something of the user's own that is not in this folder
        return dict(fixed)
    knobs: Mapping[str, Knob] = known.knobs
    own = models.recipe(str(found.get("model")), known.name) if found.get("model") in names("model") else {}
    first = sorted((name for name in searched if name in fixed), key=lambda name: not (name in knobs and knobs[name].is_lambda))
    rest = [name for name in fixed if name not in first and (name not in knobs or fixed[name] != own.get(name, knobs[name].default))]
    return {name: fixed[name] for name in (*first, *rest)}


def _plain(value: Any) -> str:
    """A value as a program reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _training(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs, and what else a training loop asks for, by flat names."""
    own = {"model": spec.get("model"), "dataset": spec["dataset"].get("name"), "likelihood": spec.get("likelihood")}
    own |= {"epochs": spec.get("budget", {}).get("epochs"), "batch_size": spec.get("batch_size")}
    return {**spec["fixed"], **{name: value for name, value in own.items() if value not in (None, "none")}}


def _hydra(spec: Mapping[str, Any]) -> str:
    """A config group: `# @package _global_`, then flat keys."""
    told = spec.get("provenance", {})
    said = f"# {told.get('sweep')}: {told.get('verdict')}. {told.get('answer')}"
    body: str = yaml.safe_dump(_training(spec), sort_keys=False, allow_unicode=True)
    moving = yaml.safe_dump({"schedule": spec["schedule"]}) if spec.get("schedule") else ""
    return f"# @package _global_\n{said}\n{body}{moving}"


def _args(spec: Mapping[str, Any]) -> str:
    """One line of options for a program."""
    if moving := ", ".join(spec.get("schedule", ())):
        raise SpecError([f"--format args has one value for each knob, and {moving} moves in training. Take yaml or json."])
    return " ".join(f"--{name} {shlex.quote(_plain(value))}" for name, value in _training(spec).items()) + "\n"


_WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "yaml": lambda spec: yaml.safe_dump(dict(spec), sort_keys=False, allow_unicode=True, width=120),
    "json": lambda spec: json.dumps(spec, indent=2, ensure_ascii=False) + "\n",
    "hydra": _hydra,
    "args": _args,
    "script": script.written,
}
