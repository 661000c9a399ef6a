"""What exists, by name: every extension is one public file in the folder of its kind, and the file name is the name in a spec."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

from objectives.base import Objective, ObjectiveError

# The folder of each kind of extension.
PACKAGES = {
    "objective": "objectives.families",
    "model": "objectives.models",
    "dataset": "objectives.data",
    "metric": "objectives.metrics",
    "features": "objectives.features",
    "latents": "objectives.latents",
    "regularizer": "objectives.regularizers",
    "detector": "objectives.detectors",
}


def names(kind: str, package: str | None = None) -> list[str]:
    """The names of a kind of extension: one public module each, in the folder that `PACKAGES` names or in `package`."""
    folder = importlib.import_module(package or PACKAGES[kind])
    return sorted(entry.name for entry in pkgutil.iter_modules(folder.__path__) if not entry.ispkg and not entry.name.startswith("_"))


MANY = 30  # how many names are listed, at most, if one of them is near


def unknown(kind: str, given: str, known: Sequence[str]) -> str:
    """The message for an unknown name: the rule, the value, what exists and the nearest name."""
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    # A user does not read a hundred names to find the one that was meant.
    there = f"the {len(known)} that exist" if near and len(known) > MANY else ", ".join(sorted(known)) or "(none)"
    return f"{kind} must be one of {there}; got {given!r}.{hint}"


def load(name: str) -> type[Objective]:
    """The objective class of a name: a file of `families`, what such a file makes (`pythae:BetaVAE`), or a user's `package.module:Class`.

    Raises:
        ObjectiveError: the name does not exist, the module cannot be imported, or the class lacks part of the protocol.
    """
    first, colon, rest = name.partition(":")
    known = names("objective")
    if first in known:
        file: Any = importlib.import_module(f"{PACKAGES['objective']}.{first}")
        if hasattr(file, "objective"):
            return file.objective(rest)  # type: ignore[no-any-return]
        if not colon:
            return file.OBJECTIVE  # type: ignore[no-any-return]
    if colon:
        return _load_users(name)
    raise ObjectiveError(unknown("objective", name, known) + " A class of your own is written package.module:Class.")


def objectives() -> dict[str, type[Objective]]:
    """Our objectives by name. Objectives with a colon (`pythae:BetaVAE`), which a file makes, are not among them."""
    files = {name: importlib.import_module(f"{PACKAGES['objective']}.{name}") for name in names("objective")}
    return {name: file.OBJECTIVE for name, file in files.items() if hasattr(file, "OBJECTIVE")}


def attribute(kind: str, name: str) -> Any:
    """The object that a user's `package.module:attribute` names.

    Raises:
        ObjectiveError: the module cannot be imported, or has no such attribute.
    """
    module_name, _, wanted = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ObjectiveError(f"{kind} {name!r}: module {module_name!r} must be importable from the current folder; {error}.") from error
    found = getattr(module, wanted, None)
    if not callable(found):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ObjectiveError(unknown(f"{kind} {name!r}: a name in {module_name}", wanted, known))
    return found


def _load_users(name: str) -> type[Objective]:
    """A user's class, completed with the interface's defaults."""
    found = attribute("objective", name)
    wanted = ["knobs", "metrics", "score", "start", "read_test"]
    missing = [one for one in wanted if not hasattr(found, one)]
    if missing:
        raise ObjectiveError(f"objective {name!r} must have {', '.join(wanted)}; it lacks {', '.join(missing)} (see objectives/base.py).")
    whole: type[Objective] = found if issubclass(found, Objective) else type(found.__name__, (found, Objective), {"__doc__": found.__doc__})
    return whole
