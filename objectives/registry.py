"""What exists, by name: every extension is one public file in the folder of its kind, and the file name is the name in a spec."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from objectives.base import Objective, ObjectiveError
from objectives.guests import guest
from objectives.own_code import (
    Seen,
    defined,
    file_of,
    looking,
    of_optuna,
    only_looked_at,
    permitted,
    refuse_if_forbidden,
    seen,
    shortened,
    untouched,
)
from objectives.traces import shown

__all__ = ["looking", "of_optuna", "only_looked_at", "shortened", "shown", "untouched"]  # for who has no door to `own_code`

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
    return list(_listed(tuple(importlib.import_module(package or PACKAGES[kind]).__path__)))


@cache
def _listed(folders: tuple[str, ...]) -> list[str]:
    """The public modules of folders, read once: a sweep of 8 trials asks a hundred times, which took a tenth of its own CPU seconds."""
    return sorted(entry.name for entry in pkgutil.iter_modules(folders) if not entry.ispkg and not entry.name.startswith("_"))


MANY = 30  # how many names are listed, at most, if one of them is near


def unknown(kind: str, given: str, known: Sequence[str]) -> str:
    """The message for an unknown name: the rule, the value, what exists and the nearest name."""
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    # A user does not read a hundred names to find the one that was meant.
    there = f"the {len(known)} that exist" if near and len(known) > MANY else ", ".join(sorted(known)) or "(none)"
    return f"{kind} must be one of {there}; got {given!r}.{hint}"


def load(name: str, program: Mapping[str, Any] | None = None) -> type[Objective]:
    """The objective class of a name: a file of `families`, what such a file makes (`pythae:BetaVAE`, or a command from what a spec says of
    the `program`), a user's `package.module:Class`, or a user's function (`mine.py`, `mine.py:train`, `mine:train`).

    Raises:
        ObjectiveError: the name does not exist, the module cannot be imported, or the class lacks part of the protocol.
    """
    first, colon, rest = name.partition(":")
    known = names("objective")
    if first in known:
        file: Any = importlib.import_module(f"{PACKAGES['objective']}.{first}")
        if hasattr(file, "program"):
            refuse_if_forbidden("a command")
            return file.program(program)  # type: ignore[no-any-return]
        if hasattr(file, "objective"):
            return file.objective(rest)  # type: ignore[no-any-return]
        if not colon:
            return file.OBJECTIVE  # type: ignore[no-any-return]
    if colon or first.endswith(".py"):
        return _load_users(name)
    raise ObjectiveError(unknown("objective", name, known) + " A class of your own is written package.module:Class.")


def objectives() -> dict[str, type[Objective]]:
    """Our objectives by name. Objectives with a colon (`pythae:BetaVAE`), which a file makes, are not among them."""
    files = {name: importlib.import_module(f"{PACKAGES['objective']}.{name}") for name in names("objective")}
    return {name: file.OBJECTIVE for name, file in files.items() if hasattr(file, "OBJECTIVE")}


def attribute(kind: str, name: str, called: bool = True) -> Any:
    """The object that a user's `package.module:attribute` or `folder/file.py:attribute` names; callable, unless `called` is False.

    Raises:
        ObjectiveError: it is not the user's own (`own_code.py`), the module cannot be imported, ends the program or does not end by itself,
            or has no such attribute.
    """
    permitted(kind, name)
    module_name, _, wanted = name.partition(":")
    with guest(f"{kind} {name!r}", "while its module is imported"):
        module = _module(kind, name, module_name)
    found = getattr(module, wanted, None)
    if found is None or not (callable(found) or not called):
        known = [key for key, value in vars(module).items() if (callable(value) or not called) and not key.startswith("_")]
        raise ObjectiveError(unknown(f"{kind} {name!r}: a name in {module_name}", wanted, known))
    defined(kind, name, found)
    return found


def looked_at(kind: str, name: str) -> Seen:
    """What is known of `package.module:name` without importing or calling anything.

    Raises:
        ObjectiveError: it is not the user's own, there is no such module or name, or the source is no Python.
    """
    found = seen(kind, name)
    module, _, wanted = name.partition(":")
    if wanted not in found.names and not found.everything:
        raise ObjectiveError(unknown(f"{kind} {name!r}: a name in {module}", wanted, [one for one in found.names if one[0] != "_"]))
    return found


def _module(kind: str, name: str, wanted: str) -> ModuleType:
    """A user's module, by its name or by its file.

    Raises:
        ObjectiveError: it does not exist, or cannot be imported.
    """
    if wanted.endswith(".py"):
        return _file(kind, name, wanted)
    try:
        return importlib.import_module(wanted)
    except ImportError as error:
        raise ObjectiveError(f"{kind} {name!r}: module {wanted!r} must be importable from the current folder; {error}.") from error


def _file(kind: str, name: str, wanted: str) -> ModuleType:
    """A user's file as a module. It finds the files beside it, as when it is run."""
    path = file_of(kind, name, wanted)
    known = next((one for one in list(sys.modules.values()) if getattr(one, "__file__", None) == str(path)), None)
    if known is not None and known.__name__ != "__main__":
        return known
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    title = path.stem if path.stem not in sys.modules else f"{path.stem}_{abs(hash(str(path)))}"
    spec = importlib.util.spec_from_file_location(title, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[title]
        if not isinstance(error, Exception) or isinstance(error, ObjectiveError):
            raise
        raise ObjectiveError(f"{kind} {name!r}: {wanted} cannot be imported; {_why(error, str(path))}.") from error
    return module


def _why(error: Exception, file: str) -> str:
    """Why a file cannot be imported: `line 3: SyntaxError: expected ':'`, or what an import in it says."""
    if isinstance(error, ImportError):
        return str(error).rstrip(".")
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: SyntaxError: {error.msg}" if error.filename == file else f"SyntaxError: {error}"
    mine = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file]
    return f"{f'line {mine[-1]}: ' if mine else ''}{type(error).__name__}: {error}".rstrip(".")


def _declared(name: str) -> Any:
    """The object that is named; in a file without a name after it, the one function that is declared as an objective."""
    file, colon, _ = name.partition(":")
    if colon:
        return attribute("objective", name)
    permitted("objective", name)
    with guest(f"objective {name!r}", "while its file is imported"):
        module = _module("objective", name, file)
    found = {key: value for key, value in vars(module).items() if hasattr(value, "as_objective")}
    if len({id(value) for value in found.values()}) == 1:
        return next(iter(found.values()))
    what = f"{', '.join(found)}; name one, as in {file}:{next(iter(found))}" if found else "none. Put @objective(...) before a function"
    raise ObjectiveError(f"{file} must declare one objective, or its name must be given; it declares {what}.")


def _load_users(name: str) -> type[Objective]:
    """A user's function as an objective; or a user's class, completed with the interface's defaults."""
    found = _declared(name)
    if hasattr(found, "as_objective"):
        return found.as_objective(name)  # type: ignore[no-any-return]
    wanted = ["knobs", "metrics", "score", "start", "read_test"]
    missing = [one for one in wanted if not hasattr(found, one)]
    if missing:
        raise ObjectiveError(f"objective {name!r} must have {', '.join(wanted)}; it lacks {', '.join(missing)} (see objectives/base.py).")
    whole: type[Objective] = found if issubclass(found, Objective) else type(found.__name__, (found, Objective), {"__doc__": found.__doc__})
    return whole
