"""The house stands as docs/architecture.md draws it: which part may import which, and what stays unloaded."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTRAS = ("lightning",)  # libraries without which the file of the same name says what to install
PACKAGES = ("objectives", "search", "infra")
# What `search` may ask of `objectives`: the interface, the proof that λ is alive, the units of other projects, what exists.
OPEN = (
    "objectives.base",
    "objectives.registry",
    "objectives.checks",
    "objectives.conventions",
    "objectives.data",
    "objectives.features",
    "objectives.latents",
    "objectives.metrics",
    "objectives.models",
    "objectives.pictures",
    "objectives.programs.declared",
    "objectives.programs.journal",
    "objectives.programs.log",
    "objectives.trained",
    "objectives.onnx_files",
)
# Foreign libraries that are heavy or replaceable, and the only files that may import them.
HOMES = {
    "ray": ("search/running/tune/", "infra/ray/", "infra/deploy/"),
    "optuna": ("search/asking/",),
    "mlflow": ("infra/tracking/",),
    "sqlalchemy": ("infra/catalogue/", "infra/migrations/"),
    "torch": ("objectives/",),
    "plotly": ("search/telling/figures/", "search/telling/files/report.py"),
    "kaleido": ("search/telling/looking/notebook.py",),
    "pandas": ("search/telling/",),
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree(path)))


@cache
def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, for type checkers too."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_imports_go_one_way() -> None:
    wrong = []
    for path in files():
        package = path.relative_to(ROOT).parts[0]
        for name in imports(path):
            top = name.partition(".")[0]
            if top not in PACKAGES or top == package:
                continue
            asked = name == "objectives" or any(f"{name}.".startswith(f"{door}.") for door in OPEN)
            allowed = package == "search" and (top == "infra" or asked)
            if not allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_foreign_libraries_stay_in_few_files() -> None:
    wrong = []
    for path in files():
        relative = path.relative_to(ROOT).as_posix()
        for name in imports(path):
            homes = HOMES.get(name.partition(".")[0])
            if homes and not relative.startswith(homes):
                wrong.append(f"{relative} imports {name}")
    assert not wrong


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_files_import_each_other() -> None:
    """Whether at the top, inside a function or for type checkers only. `from package import submodule` is an import of the submodule."""
    named = {module(path): imports(path) for path in files()}
    edges = {one: {name for name in wanted if name in named and name != one} for one, wanted in named.items()}
    edges = {one: {n for n in out if not any(other.startswith(f"{n}.") for other in out)} for one, out in edges.items()}
    while leaves := [one for one, out in edges.items() if not out & set(edges)]:
        for one in leaves:
            del edges[one]
    assert not edges, f"these import each other: {sorted(edges)}"


@pytest.mark.parametrize("house", ["infra", "search/running", "search/telling"])
def test_rooms_beside_each_other_import_one_way(house: str) -> None:
    """A room is a folder. What lies beside the rooms serves several of them, or begins all of them, and is not counted."""
    rooms = {module(path.parent) for path in (ROOT / house).glob("*/__init__.py")}
    edges = {
        room: {
            other
            for other in rooms - {room}
            for path in (ROOT / room.replace(".", "/")).rglob("*.py")
            if any(f"{name}.".startswith(f"{other}.") for name in imports(path))
        }
        for room in rooms
    }
    while leaves := [one for one, out in edges.items() if not out & set(edges)]:
        for one in leaves:
            del edges[one]
    assert rooms and not edges, f"these rooms import each other: {edges}"


def test_who_tells_of_a_sweep_does_not_know_who_runs_it() -> None:
    paths = (ROOT / "search" / "telling").rglob("*.py")
    assert not [str(path) for path in paths if any(name.startswith("search.running") for name in imports(path))]


def test_few_imports_wait_inside_functions_or_for_type_checkers() -> None:
    """Each of them is there for a library that must stay unloaded. Commands are not counted: each imports what it does when called."""
    blocks, late = 0, 0
    for path in files():
        blocks += sum(isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" for node in nodes(path))
        inside = {node for function in nodes(path) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)}
        if path.parent.name != "cli":
            late += sum(isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PACKAGES for node in inside)
    assert (blocks <= 40, late <= 85) == (True, True), f"{blocks} blocks for type checkers, {late} imports of ours inside functions"


def test_files_and_classes_can_be_seen_whole() -> None:
    long = {}
    for path in files():
        text = path.read_text(encoding="utf-8")
        limit = 150 if path == ROOT / "search" / "sweep.py" else 450
        if (lines := text.count("\n")) > limit:
            long[str(path.relative_to(ROOT))] = lines
        for node in nodes(path):
            if isinstance(node, ast.ClassDef) and (lines := (node.end_lineno or 0) - node.lineno + 1) > 200:
                long[f"{path.relative_to(ROOT)}: {node.name}"] = lines
    assert not long


def test_functions_are_short() -> None:
    """The median has 5 lines at most and nine of ten have 16, docstrings and declarations of arguments left out."""
    lengths = []
    for path in files():
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                lengths.append((node.end_lineno or 0) - first.lineno + 1)
    lengths.sort()
    assert (lengths[len(lengths) // 2] <= 5, lengths[len(lengths) * 9 // 10] <= 16) == (True, True)


def test_only_the_age_of_a_lock_is_read_off_the_clock_of_a_machine() -> None:
    """Clocks are set, and differ between machines. What lasts is measured: `time.monotonic`, `infra.machine.uptime_s`."""
    found = [path.name for folder in PACKAGES for path in (ROOT / folder).rglob("*.py") if re.search(r"\btime\.time\b", path.read_text())]
    assert found == ["engine.py"]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.mark.sampled(2)  # all libraries of a package in a process of its own
@pytest.mark.parametrize(
    ("package", "blocked"),
    [("objectives", ("ray", "optuna", "mlflow", "sqlalchemy", "search", "infra")), ("infra", ("torch", "search", "objectives"))],
)
def test_a_package_imports_whole_without_what_it_must_not_know(package: str, blocked: tuple[str, ...]) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts and (path.stem not in EXTRAS or importlib.util.find_spec(path.stem))
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {blocked!r}: sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_importing_search_and_reading_an_objective_load_nothing_heavy() -> None:
    code = (
        "import sys, search, search.spec.reading, search.choosing.verdict\n"
        "from objectives.registry import load\n"
        "for name in ('vae', 'gan', 'autoencoder', 'toy'): load(name).knobs\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'sklearn', 'matplotlib', 'plotly', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_the_public_names_of_search_exist() -> None:
    code = "import search.telling.files.exports\nfrom search import *\nfrom search import export, best, run, Sweep\nassert callable(export)"
    done = run(code)
    assert done.returncode == 0, done.stderr


@cache
def existing() -> tuple[set[str], set[str]]:
    """The names of all files, and of all functions and classes in tests."""
    found = {path.name for folder in (*PACKAGES, "tests") for path in (ROOT / folder).rglob("*.py")}
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))  # parsed they would take three seconds
    return found, {name for text in texts for name in re.findall(r"^ *(?:async )?(?:def|class) (\w+)", text, re.MULTILINE)}


# The log names files as they were on the day.
@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md") if path.stem != "log")])
def test_the_files_and_tests_that_a_page_names_exist(page: str) -> None:
    files, known = existing()
    missing = []
    for named in re.findall(r"`([^`\s]+)`", (ROOT / page).read_text(encoding="utf-8")):
        if named.endswith(".py"):
            missing += [] if Path(named).name in files else [named]
        elif named.startswith("test_"):
            start = re.split(r"…|\[", named)[0]
            missing += [] if any(name and name.startswith(start) for name in known) else [named]
    assert not missing
