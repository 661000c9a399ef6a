"""What of a user's folder goes to other machines: the files that a spec names, and the modules of the folder that these import.

Never a hidden file (`.env`, `.git`, `.venv`), a store, a key or a folder as a whole. What is imported by a name that is made up only when
the program runs cannot be found by reading; such files are named by hand.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from infra.errors import InfraError

MOST_MB: Final = 64
"""Every node of the cluster gets a copy, and the head keeps one in its memory. Data belongs on the shared storage."""
OURS: Final = ("search", "objectives", "infra")  # nodes have Lagrange; a part of it in the folder would hide the whole
_NEVER = frozenset({".db", ".sqlite", ".sqlite3", ".db-wal", ".db-shm", ".pem", ".key", ".p12", ".pfx"})
_OBJECT = re.compile(r"(?P<module>[\w./\\-]+):[\w.]+")


@dataclass
class Parcel:
    """Files to ship, by their path in the folder; and what was named and stays here, with the reason."""

    folder: Path
    files: dict[PurePosixPath, Path] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def put(self, path: Path) -> bool:
        """Take a file in. False where it is in already, or stays here."""
        try:
            place = PurePosixPath(path.absolute().relative_to(self.folder.absolute()).as_posix())
        except ValueError:
            self.left[str(path)] = "it is outside the current folder"
            return False
        if ".." in place.parts:
            self.left[str(place)] = "it is outside the current folder"
        elif any(part.startswith(".") for part in place.parts) or path.suffix.lower() in _NEVER:
            self.left[str(place)] = "hidden files, stores and keys are never shipped"
        elif place not in self.files:
            self.files[place] = path
            return True
        return False

    def check_size(self) -> None:
        """Raise InfraError where the files together are too large to be sent to every node."""
        sizes = sorted(((path.stat().st_size, str(place)) for place, path in self.files.items()), reverse=True)
        total = sum(size for size, _ in sizes)
        if total > MOST_MB * 10**6:
            largest = ", ".join(f"{place} ({size / 1e6:.0f} MB)" for size, place in sizes[:3])
            raise InfraError(
                f"The files that a spec names must be at most {MOST_MB} MB together, because every node gets them; they are "
                f"{total / 1e6:.0f} MB. The largest: {largest}. Put data on storage that all nodes share, and name it by its path there."
            )


def in_job() -> bool:
    """Whether this process runs in a package that a job of Ray's came with. Then every worker has the package, too."""
    with suppress(ValueError, AttributeError):
        return bool(json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")).get("runtime_env", {}).get("working_dir"))
    return False


def parcel(folder: Path, specs: Sequence[Mapping[str, Any]], include: Sequence[str] = ()) -> Parcel:
    """The files of `folder` that specs (plain data) name, with what they import of the folder, and the files in `include`.

    A spec names code as `module:name` or `file.py`, and by the words of its `command`.

    Raises:
        InfraError: they are too large together, or one in `include` is not there or may not be shipped.
    """
    found = Parcel(folder)
    words = [word for spec in specs for word in command_words(spec.get("command"))]
    for path in [*_named(folder, texts(list(specs))), *_of_command(folder, words)]:
        _follow(found, path)
    for given in include:
        path = folder / given
        if not path.is_file():
            raise InfraError(f"What is included must be a file of the current folder; {given!r} is none. Name each file, not its folder.")
        _follow(found, path)
    if refused := [given for given in include if given in found.left]:
        raise InfraError(f"{refused[0]!r} cannot be shipped: {found.left[refused[0]]}. Read secrets from the environment of the nodes.")
    found.check_size()
    return found


@contextmanager
def staged(found: Parcel) -> Iterator[Path]:
    """A folder that holds these files and nothing else, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="lagrange-") as name:
        # Two uploads of the same files are one package of Ray's: it goes by the names inside and the content.
        for place, path in found.files.items():
            target = Path(name) / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            shutil.copymode(path, target)
        yield Path(name)


def texts(value: Any) -> Iterator[str]:
    """Every string in plain data, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts(key)
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


def command_words(command: Any) -> list[str]:
    """The words of a command, which may be a text, a list, or a shell's line within either."""
    words: list[str] = []
    for part in [command] if isinstance(command, str) else command or ():
        try:
            words += shlex.split(str(part))
        except ValueError:  # a quote that is not closed: a shell may know what to do with it
            words += str(part).split()
    return [piece for word in words for piece in word.split()]


def _named(folder: Path, words: Iterable[str]) -> Iterator[Path]:
    """The files of the folder that `module:name` and `file.py` name."""
    for word in words:
        match = _OBJECT.fullmatch(word)
        name = match["module"] if match else word
        if name.endswith(".py"):
            if _is_file(folder / name):
                yield folder / name
        elif match and re.fullmatch(r"\w+(\.\w+)*", name):
            yield from _module_files([folder], name)


def _of_command(folder: Path, words: Sequence[str]) -> Iterator[Path]:
    """The files of the folder that a command names: scripts, configs, and the module after `-m`. A value may follow a `=`."""
    for before, word in zip(["", *words], words, strict=False):
        for one in dict.fromkeys((word, word.partition("=")[2])):
            if one and not Path(one).is_absolute() and _is_file(folder / one):
                yield folder / one
        if before == "-m":
            yield from _module_files([folder], word)
            yield from _module_files([folder], f"{word}.__main__")


def _is_file(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return path.is_file()
    return False


def _follow(found: Parcel, path: Path) -> None:
    """Take a file in, and what it imports of the folder. A script finds what lies beside it, too."""
    todo = [path]
    while todo:
        here = todo.pop()
        if found.put(here) and here.suffix == ".py":
            todo += _imported(found.folder, here)


def _imported(folder: Path, path: Path) -> list[Path]:
    """The files of the folder that a Python file imports by name. One that cannot be parsed imports nothing: Python will say so."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return []
    roots, found = list(dict.fromkeys([folder, path.parent])), []
    for node in ast.walk(tree):
        for start, name in _names(node, path):
            found += _module_files(roots if start is None else [start], name)
    return found


def _names(node: ast.AST, path: Path) -> Iterator[tuple[Path | None, str]]:
    """The modules that a statement imports: a folder from which to look, or None for the roots, and the dotted name."""
    if isinstance(node, ast.Import):
        yield from ((None, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else None
        head = [node.module] if node.module else []
        yield from ((start, ".".join([*head, alias.name])) for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__"):
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield None, first.value


def _module_files(roots: Sequence[Path], name: str) -> list[Path]:
    """The files that `import a.b.c` runs, in the first root that holds the beginning of the name."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or parts[0] in OURS:
        return []
    for root in roots:
        found, here = [], root
        for part in parts:
            if _is_file(here / f"{part}.py") and not _is_file(here / part / "__init__.py"):
                found.append(here / f"{part}.py")
                break
            here = here / part
            if not here.is_dir():
                break
            if _is_file(here / "__init__.py"):
                found.append(here / "__init__.py")
        if found:
            return found
    return []
