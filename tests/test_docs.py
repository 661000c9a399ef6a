"""What can be said of the pages without building them: all are in the tree, links and pictures are there, and commands parse.

`make docs` builds them, with warnings as errors.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

import search
from search.cli import app
from search.spec.keys import Spec

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def prose(name: str) -> str:
    """A page without what stands in fences."""
    return FENCE.sub("", text(name))


def slug(title: str) -> str:
    """The anchor that GitHub and MyST give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.replace("`", "").strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(title) for title in re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)}


def test_every_page_is_in_the_tree_once() -> None:
    tree = [
        line.strip()
        for found in FENCE.finditer(text("docs/index.md"))
        if "toctree" in found["language"]
        for line in found["text"].splitlines()
    ]
    listed = [f"{line}.md" for line in tree if line and not line.startswith(":")]
    pages = {page.relative_to(DOCS).as_posix() for page in PAGES if page.is_relative_to(DOCS)} - {"index.md"}
    assert sorted(listed) == sorted(pages)


@pytest.mark.parametrize("name", NAMES)
def test_the_links_and_pictures_of_a_page_are_there(name: str) -> None:
    page, wrong = ROOT / name, []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(name))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aimed = (page.parent / path).resolve() if path else page
        if not aimed.is_file() or (anchor and anchor not in anchors(aimed)):
            wrong.append(target)
    assert not wrong


def test_every_key_of_a_spec_is_told() -> None:
    """`provenance` and `promise` are written by an export, and by nobody else."""
    assert set(Spec.model_fields) - {"provenance", "promise"} <= {
        key for row in re.findall(r"^\|([^|]*)\|", text("docs/spec.md"), re.MULTILINE) for key in re.findall(r"`(\w+)`", row)
    }


def test_every_public_name_of_search_is_in_the_reference() -> None:
    assert set(search.__all__) <= set(re.findall(r"\bsearch\.(\w+)", text("docs/api/search.md")))


def commands(page: str) -> Iterator[list[str]]:
    """The commands of Lagrange in a page: lines of fences without a language, comments of programs, and code in the prose."""
    lines = re.findall(r"`([^`\n]+)`", FENCE.sub("", page))
    for found in FENCE.finditer(page):
        told = found["text"].splitlines()
        plain = found["language"].strip() in ("", "sh", "bash")
        lines += told if plain else [part for line in told if "#" in line for part in re.split(r"\s{2,}", line)]
    for line in lines:
        for part in re.split(r"&&|;|\|", re.sub(r"\s#\s.*", "", line)):
            if part.strip().startswith("lagrange ") and "…" not in part:
                yield shlex.split(part)[1:]


def faults(page: str) -> list[str]:
    """The commands of a page that do not parse, and why."""
    known: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    found = []
    for title, *arguments in commands(page):
        if title not in known and not title.startswith("-"):
            found.append(f"{title}: there is no such command")
        elif arguments:  # prose may name a command without what it takes
            try:
                known[title].make_context(title, arguments)
            except Exception as error:
                found.append(f"{title} {' '.join(arguments)}: {getattr(error, 'message', error) or repr(error)}")
    return found


# The log tells of other days.
@pytest.mark.parametrize("name", [one for one in NAMES if one != "docs/log.md"])
def test_the_commands_of_a_page_parse(name: str) -> None:
    assert not faults(text(name))


@pytest.mark.parametrize(("line", "found"), [("lagrange sweeep --trials 3", "sweeep"), ("lagrange sweep --trails 3", "--trails")])
def test_a_command_that_does_not_parse_is_found(line: str, found: str) -> None:
    (fault,) = faults(f"Run `lagrange ls`, then\n\n```\nlagrange best   # a good one\n{line}\n```\n")
    assert found in fault
