"""What constraints.txt pins installs on every Python that pyproject.toml allows."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def pinned() -> dict[str, str]:
    """Versions by the names of packages."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(one.name): next(iter(one.specifier)).version for one in found}


def test_every_pin_that_is_installed_takes_the_oldest_python_that_is_allowed() -> None:
    """One that does not is worse than an error: an older pip looks for hours for versions that fit."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (least,) = SpecifierSet(project["requires-python"])
    oldest, pins, wrong = f"{least.version}.0", pinned(), []
    for one in metadata.distributions():
        needed = one.metadata.get("Requires-Python")
        if needed and pins.get(canonicalize_name(one.metadata["Name"])) == one.version and not SpecifierSet(needed).contains(oldest):
            wrong.append(f"{one.metadata['Name']} {one.version} needs Python {needed}")
    assert least.operator == ">=" and pins and not wrong, wrong
