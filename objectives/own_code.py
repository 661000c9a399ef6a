"""Which code of a user's own a spec may name, and when it is run. docs/security.md tells the rules to users.

A spec names code as `module:name`, or as a file `mine.py`, and in no other way.

- The module must be the user's own: no part of Python, of Lagrange or of a library that Lagrange is made of. So a spec cannot reach
  `os:abort`, or `subprocess:run` with arguments. A class or function that the module has only imported is not its own either.
- `only_looked_at()`: a dry run reads the source of a module and neither imports nor calls it. An objective is imported, because its knobs
  stand in its module; it is not called.
- `LAGRANGE_NO_OWN_CODE` (`--no-own-code`) forbids all of it, and commands.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from objectives.base import ObjectiveError

VARIABLE = "LAGRANGE_NO_OWN_CODE"
LAGRANGE = "lagrange-search"
OURS = ("objectives", "search", "infra")
_SAMPLERS = ("optuna", "optunahub", "optuna_integration")  # a class of theirs with Optuna's interface may be named as a sampler
_SHOWN = 80  # characters of a name that a message shows
_LOOKING: ContextVar[str] = ContextVar("looking", default="")  # or `looked at`, or `untouched`


def only_looked_at() -> AbstractContextManager[None]:
    """Neither import nor call what a spec names, but for the module of an objective, which is imported."""
    return _meanwhile("looked at")


def untouched() -> AbstractContextManager[None]:
    """Import nothing that a spec names: it comes from a stored row, which somebody else may have written."""
    return _meanwhile("untouched")


@contextmanager
def _meanwhile(how: str) -> Iterator[None]:
    token = _LOOKING.set(how)
    try:
        yield
    finally:
        _LOOKING.reset(token)


def looking() -> bool:
    """Whether code of a user's own is only looked at now."""
    return bool(_LOOKING.get())


def forbidden() -> bool:
    """Whether no code of a user's own may run."""
    return os.environ.get(VARIABLE, "").lower() not in ("", "0", "no", "false")


def refuse_if_forbidden(what: str) -> None:
    """Raise ObjectiveError where no code of a user's own may run; `what` says which was asked for."""
    if forbidden():
        raise ObjectiveError(
            f"{what} is code of your own, and this service runs none ({VARIABLE}, --no-own-code). Choose one of Lagrange's own by its name."
        )


def permitted(kind: str, name: str) -> None:
    """Refuse a name that a spec must not lead to code.

    Args:
        kind: what it is for: objective, model, dataset, sampler.
        name: `package.module:name`, `folder/file.py:name` or `folder/file.py`.

    Raises:
        ObjectiveError: no code of a user's own may run, it is no such name, or the module is not the user's own.
    """
    title = f"{kind} {shortened(name)}"
    if not (kind == "sampler" and of_optuna(name)):
        refuse_if_forbidden(title)
        if _LOOKING.get() == "untouched":
            raise ObjectiveError(f"{title} is code of a user's own, and is not imported to look at what is stored.")
    module, colon, wanted = name.partition(":")
    file = module.endswith(".py") and "\0" not in module and len(module) < 4096
    if not (file or _identifiers(module)) or (colon and not wanted.isidentifier()):
        raise ObjectiveError(f"{title} must be written package.module:name or file.py:name, with Python's names; it is not.")
    if file:
        return
    top = module.partition(".")[0]
    if kind == "sampler" and of_optuna(name):
        return
    if owner := _owner(module):
        raise ObjectiveError(
            f"{title} must name a module of your own; {shortened(top)} is part of {owner}. "
            "Write a function or class into a module of yours, such as mine.py, and name that."
        )


def defined(kind: str, name: str, found: Any) -> None:
    """Refuse a class or function that a user's module has only imported: `from subprocess import run` is no data set.

    Raises:
        ObjectiveError: the class or function is defined in Python, in Lagrange or in a library that Lagrange is made of.
    """
    home = getattr(found, "__module__", None)
    if not (inspect.isclass(found) or inspect.isroutine(found)) or not isinstance(home, str):
        return
    allowed = kind == "sampler" and of_optuna(home)
    if not allowed and (owner := _owner(home)):
        raise ObjectiveError(
            f"{kind} {shortened(name)} must name what a module of your own defines; {found.__name__!r} is defined in {owner}. "
            "Write a function or class of your own that uses it."
        )


def of_optuna(name: str) -> bool:
    """Whether `module:Class` names a sampler of Optuna's or of a library of its, which is no code of a user's."""
    return name.partition(":")[0].partition(".")[0] in _SAMPLERS


def shortened(text: str) -> str:
    """A text of a stranger's as a message shows it: quoted, on one line, and not too long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _identifiers(module: str) -> bool:
    return len(module) <= 1000 and all(part.isidentifier() for part in module.split("."))


def _owner(module: str) -> str:
    """Whose a module is where it is not the user's: Python's, Lagrange's, or that of a library below Lagrange; empty where it is."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return "" if top == "__main__" else "Python"
    if top in OURS:
        return "Lagrange"
    if _installed(top) and (owners := _distributions().get(top)):
        return f"{min(owners)}, a library below Lagrange" if owners & _below() else ""
    return ""


def _installed(top: str) -> bool:
    """Whether a module lies where pip installs to, and not in a folder of the user's."""
    spec = _spec(top)
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    libraries = {sysconfig.get_path(which) for which in ("purelib", "platlib")}
    return any(place and str(place).startswith(library) for place in places for library in libraries if library)


@cache
def _distributions() -> dict[str, set[str]]:
    """Which distributions a module that can be imported comes from."""
    return {top: {_normal(one) for one in names} for top, names in metadata.packages_distributions().items()}


@cache
def _below() -> set[str]:
    """The distributions that Lagrange needs, and those that they need."""
    found, left = set[str](), [LAGRANGE]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            with suppress(metadata.PackageNotFoundError):
                left += [_normal(one[0]) for text in metadata.requires(name) or () if (one := re.match(r"[\w.\-]+", text))]
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Seen:
    """What is known of a name without running anything: the names of its module, and how it is called, where it is a plain function."""

    names: frozenset[str]
    everything: bool  # whether the module may have other names too (`import *`, `__getattr__`, no source)
    signature: inspect.Signature | None = None
    doc: str = ""


def seen(kind: str, name: str) -> Seen:
    """Look at what `module:name` names, in the module's source. Nothing is imported and nothing is called.

    Raises:
        ObjectiveError: it is not permitted, there is no such module or name, or the source is no Python.
    """
    permitted(kind, name)
    module, _, wanted = name.partition(":")
    path = _source(kind, name, module)
    if path is None:
        return Seen(frozenset(), True)
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise ObjectiveError(f"{kind} {shortened(name)}: {path} must be Python; {error}.") from error
    bound = dict(_bound(tree.body))
    everything = "*" in bound or "__getattr__" in bound
    node = bound.get(wanted)
    plain = isinstance(node, ast.FunctionDef) and not node.decorator_list
    documented = isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    return Seen(
        frozenset(bound),
        everything,
        _signature(node) if plain else None,
        (ast.get_docstring(node) or "") if documented else "",  # type: ignore[arg-type]
    )


def _source(kind: str, name: str, module: str) -> Path | None:
    """The source file of a module; None where it has none, as one that is compiled.

    Raises:
        ObjectiveError: there is no such module.
    """
    if module.endswith(".py"):
        return file_of(kind, name, module)
    spec = _spec(module)
    if spec is None:
        raise ObjectiveError(f"{kind} {shortened(name)}: module {module!r} must be importable from the current folder; it is not there.")
    return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None


def file_of(kind: str, name: str, wanted: str) -> Path:
    """The file of a user's that a spec names, as seen from the current folder or from Python's path.

    Raises:
        ObjectiveError: there is none.
    """
    places = [Path(wanted), *(Path(place or ".") / wanted for place in sys.path)]
    with suppress(OSError, ValueError):
        if path := next((place.resolve() for place in places if place.is_file()), None):
            return path
    raise ObjectiveError(
        f"{kind} {shortened(name)}: the file {shortened(wanted)} must exist; it does not. The current folder is {Path.cwd()}."
    )


def _spec(module: str) -> ModuleSpec | None:
    """How a module would be imported, without importing anything (`find_spec` imports the packages around a module)."""
    known = sys.modules.get(module)
    if known is not None and getattr(known, "__spec__", None) is not None:
        return known.__spec__
    first, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(first)
        for depth, _ in enumerate(rest, 2):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join(module.split(".")[:depth]), list(spec.submodule_search_locations))
    except (ImportError, ValueError, AttributeError):
        return None
    return spec


def _bound(body: Iterable[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """The names that statements bind, each with what binds it; `*` for a star import. Bodies of functions and classes are not entered."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((one.asname or one.name.partition(".")[0], node) for one in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node
        elif not isinstance(node, ast.Lambda):
            yield from _bound(ast.iter_child_nodes(node))


def _signature(node: Any) -> inspect.Signature:
    """The parameters of a function in source; a default is only known to be there."""
    given = node.args
    kinds = inspect.Parameter
    positional = [*((one, kinds.POSITIONAL_ONLY) for one in given.posonlyargs), *((one, kinds.POSITIONAL_OR_KEYWORD) for one in given.args)]
    first = len(positional) - len(given.defaults)
    found = [kinds(one.arg, kind, default=None if place >= first else kinds.empty) for place, (one, kind) in enumerate(positional)]
    found += [kinds(given.vararg.arg, kinds.VAR_POSITIONAL)] if given.vararg else []
    found += [
        kinds(one.arg, kinds.KEYWORD_ONLY, default=kinds.empty if default is None else None)
        for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    found += [kinds(given.kwarg.arg, kinds.VAR_KEYWORD)] if given.kwarg else []
    return inspect.Signature(found)
