"""Proof that a node of a cluster runs what the driver runs: the same versions, the same code of Lagrange, the same module of the user's.

A node with other code would train other members than the rest, and nobody would see it: scores of both would be compared.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from infra.ray import shared
from infra.storage.depot import Depot

PACKAGES = ("ray", "torch", "torchvision", "numpy", "scikit-learn")
FOLDERS = ("infra", "objectives", "search")
SUFFIXES = (".py", ".yaml", ".toml")
NONE = "none"


def facts(modules: Sequence[str] = ()) -> dict[str, str]:
    """What decides here what a training is, as name and value: Python, packages, and digests of our code and of these modules' sources.

    A module is named as in an import, or by its file. A package counts with the files under it.
    """
    found = {"Python": ".".join(platform.python_version_tuple()[:2])}
    found |= {package: _version(package) for package in PACKAGES}
    found["the code of Lagrange"] = _own_code()
    return found | {f"the module {module}": _digest(_sources(module)) for module in modules}


def proof(modules: Sequence[str], depot: Depot, token: str, node: str) -> tuple[dict[str, str], str]:
    """On a node: the facts, and why it does not see the storage that the driver has written to; empty where it does."""
    return facts(modules), shared.answer(depot, token, node)


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What is another one on a node than here: one phrase each."""
    names = [*here, *(name for name in there if name not in here)]
    pairs = [(name, here.get(name, NONE), there.get(name, NONE)) for name in names]
    return [f"{name} ({_said(mine)} at the driver, {_said(other)} there)" for name, mine, other in pairs if mine != other]


def modules_of(parts: Iterable[str | None]) -> tuple[str, ...]:
    """The modules that parts of a spec name: `package.module:name`, or a file."""
    named = [part.partition(":")[0] if ":" in part else part for part in parts if part and (":" in part or part.endswith(".py"))]
    return tuple(dict.fromkeys(named))


def _said(value: str) -> str:
    return value[:8] if len(value) == 64 else value


def _version(package: str) -> str:
    """A package's version, without what says how it was built: a head without a GPU may have another build of torch."""
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return NONE


@cache
def _own_code() -> str:
    root = Path(__file__).parents[2]
    return _digest([file for folder in FOLDERS for file in (root / folder).rglob("*") if file.suffix in SUFFIXES], root)


def _sources(module: str) -> list[Path]:
    """The files of a module or package; none where it is not found."""
    if module.endswith(".py"):
        return [file] if (file := Path(module)).is_file() else []
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return []
    if found is None:
        return []
    if found.submodule_search_locations:
        return [file for folder in found.submodule_search_locations for file in Path(folder).rglob("*.py")]
    return [Path(found.origin)] if found.origin and Path(found.origin).is_file() else []


def _digest(files: Sequence[Path], root: Path | None = None) -> str:
    """A digest of the contents of files, and of their names below `root`; `none` of no files."""
    if not files:
        return NONE
    found = hashlib.sha256()
    for name, file in sorted((str(file.relative_to(root)) if root else file.name, file) for file in files):
        found.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()
