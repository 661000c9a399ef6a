"""What a regularizer's file may hold is listed in one place, and the list is whole: the docstring of `objectives.regularizers`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from objectives import regularizers
from objectives.checks import conflicts
from objectives.regularizers._rules import Rule

ROOT = Path(__file__).parents[2]
FILES = regularizers.modules()
TOLD = regularizers.__doc__ or ""
IN_TICKS = re.findall(r"`([^`]+)`", TOLD)
DOCUMENTED = {word for text in IN_TICKS for word in re.findall(r"\w+", text)}
TRAITS = set(re.findall(r'- "(\w+)":', TOLD))
every = pytest.mark.parametrize(("name", "file"), FILES.items(), ids=list(FILES))
RULES = [(name, rule) for name, file in FILES.items() for rule in getattr(file, "CONFLICTS", ())]


def defined(tree: ast.Module) -> set[str]:
    """Upper-case names, public functions and public classes at the top of a file."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return {name for name in found if not name.startswith("_")}


@every
def test_a_name_is_a_documented_hook_or_is_used_by_its_own_file(name: str, file: ModuleType) -> None:
    tree = ast.parse(inspect.getsource(file))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert defined(tree) - DOCUMENTED - used == set(), "document it in objectives/regularizers/__init__.py"


def asked(tree: ast.Module, files_are_called: set[str]) -> Iterator[str]:
    """What a piece of code asks of regularizers' files: `found.module.NAME`, `getattr(found.module, "NAME")`, `found.has("NAME")`."""

    def is_file(node: ast.expr) -> bool:
        named = isinstance(node, ast.Name) and node.id in files_are_called
        return named or (isinstance(node, ast.Attribute) and node.attr == "module")

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_file(node.value):
            yield node.attr
        elif isinstance(node, ast.Call) and node.args and isinstance(last := node.args[min(1, len(node.args) - 1)], ast.Constant):
            by_name = isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr") and is_file(node.args[0])
            has = isinstance(node.func, ast.Attribute) and node.func.attr == "has"
            if by_name or has:
                yield str(last.value)


def test_whatever_is_asked_of_a_file_is_documented() -> None:
    wanted: dict[str, set[str]] = {}
    for path in [*(ROOT / "objectives").rglob("*.py"), ROOT / "tests/contracts/test_regularizers.py"]:
        inside = {"regularizers", "checks", "contracts"} & {path.parent.name}
        for name in asked(ast.parse(path.read_text(encoding="utf-8")), {"module", "file"} if inside else set()):
            wanted.setdefault(name, set()).add(path.name)
    assert {"penalty", "KNOB", "INTERVAL", "PROBED", "takes", "LIKELIHOODS", "CONFLICTS", "TRAITS"} <= set(wanted), "the scan is blind"
    assert {name: paths for name, paths in wanted.items() if name not in DOCUMENTED | {"__doc__"}} == {}


def test_what_is_documented_is_in_some_file() -> None:
    there = {name for file in FILES.values() for name in vars(file)}
    functions = {name for text in IN_TICKS for name in re.findall(r"(\w+)\(", text)}
    assert {word for word in DOCUMENTED if word.isupper()} | functions <= there


@every
def test_its_traits_are_words_that_are_explained(name: str, file: ModuleType) -> None:
    assert set(getattr(file, "TRAITS", ())) <= TRAITS, "explain it in objectives/regularizers/__init__.py"


@pytest.mark.parametrize("trait", sorted(TRAITS))
def test_a_trait_is_had_by_some_and_asked_for(trait: str) -> None:
    assert any(trait in getattr(file, "TRAITS", ()) for file in FILES.values())
    sources = [inspect.getsource(conflicts), *map(inspect.getsource, FILES.values())]
    assert any(f'having("{trait}")' in source for source in sources)


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[rule.name for _, rule in RULES])
def test_a_rule_stands_in_the_file_of_a_lambda_that_it_is_about(name: str, rule: Rule) -> None:
    """Where that λ is off, the sweep that breaks the rule breaks it no more."""
    mine = {name, f"{name}_g", f"{name}_d"}
    intent = rule.broken.intent
    without = replace(intent, on={knob: values for knob, values in intent.on.items() if knob not in mine}, searched=intent.searched - mine)
    assert rule.name in {one.rule for one in conflicts.conflicts(rule.broken.objective, intent)}
    assert rule.name not in {one.rule for one in conflicts.conflicts(rule.broken.objective, without)}
