"""Sphinx builds the pages of this folder: `make docs`. Nothing is fetched, and every warning is an error.

Pages are Markdown, and so are the docstrings. Some pages have parts that are made from the code at each build, where they say
`<!-- made: commands -->`: so they cannot go out of date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the code beside these pages, wherever another version is installed

project = "Lagrange"
html_title = "Lagrange"
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["lightning", "pytorch_lightning"]  # an extra: the page of its callback needs no library
python_use_unqualified_type_names = True

highlight_language = "none"
html_theme = "furo"
html_theme_options = {"top_of_page_buttons": []}
html_static_path = ["_static"]
html_css_files = ["lagrange.css"]
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False


# Docstrings are Markdown. Sphinx's autodoc wants reStructuredText -----------------------------------------------------------------------

_CODE = re.compile(r"`([^`]+)`")
_EMPHASIS = re.compile(r"(?<![\w*])\*(\w(?:[^*]*\w)?)\*(?![\w*])")
_ERRORS = re.compile(r"(?<=\.) (?=\w+Error: )")
_SPECIAL = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def restructured(lines: list[str]) -> list[str]:
    """A docstring as reStructuredText: `code` gets two ticks, other signs lose their meaning, an indented formula is kept as it stands."""
    found: list[str] = []
    section = inside = False  # in `Args:` or `Raises:`; in a block that is kept as it stands
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() in ("Args:", "Attributes:", "Raises:", "Returns:"):
            section = True
        elif section and (several := _ERRORS.split(line))[1:]:  # `SpecError: why. InfraError: why.` are two
            found += [_escaped(" " * indent + one.strip()) for one in several]
            continue
        elif line.strip() and not indent:
            section = inside = False
        begins = indent >= 4 and not section and not inside and found and not found[-1].strip()
        if begins:
            found += ["::", ""]
            inside = True
        found.append(line if inside else _escaped(line))
    return found


def _escaped(line: str) -> str:
    return _parts(line, _CODE, "``{}``", lambda code: code, lambda text: _parts(text, _EMPHASIS, "*{}*", _plain, _plain))


def _parts(text: str, mark: re.Pattern[str], form: str, inside: Callable[[str], str], outside: Callable[[str], str]) -> str:
    """A text whose marked parts get another form."""
    return "".join(form.format(inside(part)) if place % 2 else outside(part) for place, part in enumerate(mark.split(text)))


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _signature(_app: Any, _what: str, _name: str, _object: Any, _options: Any, signature: str | None, returned: str | None) -> Any:
    """`~typing.Any` is Any."""
    return tuple(
        found and re.sub(r"~[\w.]+\.(\w+)", r"\1", found).replace(" = <factory>", "").replace("=<factory>", "")
        for found in (signature, returned)
    )


def _docstring(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = restructured(lines)


# Parts of pages that are made from the code ---------------------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """Every command with its arguments and options, as `lagrange COMMAND --help` tells them."""
    import typer

    from search.cli import app

    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        context = command.make_context(name, [], resilient_parsing=True)
        usage = " ".join(["lagrange", name, *command.collect_usage_pieces(context)])
        yield from (f"### lagrange {name}", "", _safe(command.help or ""), "", f"`{usage}`", "", "| | |", "|---|---|")
        records = [one.get_help_record(context) for one in command.get_params(context) if not getattr(one, "hidden", False)]
        yield from (f"| `{_cell(names)}` | {_cell(_safe(said))} |" for names, said in filter(None, records))
        yield ""


def regularizers() -> Iterator[str]:
    """Every file of `objectives/regularizers`: its λ with range and unit, and what the file says of it."""
    from objectives.regularizers import modules

    for name, module in modules().items():
        yield from (f"## {name}", "", _safe(module.__doc__ or ""), "")
        yield from ("| knob | what it is | formula | unit | off | range | source |", "|---|---|---|---|---|---|---|")
        for knob in (module.KNOB, *getattr(module, "COMPANIONS", ())):
            span = ", ".join(map(str, knob.choices)) if knob.choices else f"{knob.low:g} to {knob.high:g}{', log' if knob.log else ''}"
            off = "–" if knob.off is None else knob.off
            facts = (f"`{knob.name}`", knob.summary, knob.formula, knob.unit, off, span, knob.source)
            yield f"| {' | '.join(_cell(_safe(str(one))) for one in facts)} |"
        yield from ("", f"Acts on: {', '.join(module.ON)}.", "")


def regularizer_files() -> Iterator[str]:
    """What such a file may hold."""
    from objectives import regularizers

    yield _safe(regularizers.__doc__ or "")


def figures() -> Iterator[str]:
    """The figures that a report and a notebook have."""
    from search.telling import figures as drawn

    yield from ("| figure | what it shows |", "|---|---|")
    for name in drawn.known():
        yield f"| `{name}` | {_cell(_safe((drawn.module(name).__doc__ or '').partition(chr(10) * 2)[0]))} |"


def notebook() -> Iterator[str]:
    """The cells of example.ipynb with their outputs, as it was executed: words, programs, tables as text, pictures."""
    cells = json.loads(Path(__file__).with_name("example.ipynb").read_text(encoding="utf-8"))["cells"]
    for cell in cells[1:]:  # the first is the title
        text = "".join(cell["source"])
        yield from (text, "") if cell["cell_type"] == "markdown" else ("```python", text, "```", "")
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                yield from (f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"].split())}">', "")
            else:
                yield from ("```", "".join(data["text/plain"]).rstrip(), "```", "")


def _safe(text: str) -> str:
    """A docstring as Markdown in which no sign has a meaning that its author did not know."""
    lines = text.strip().splitlines()
    return "\n".join(
        line if line.startswith("    ") else _parts(line, _CODE, "`{}`", str, lambda part: part.replace("<", r"\<")) for line in lines
    )


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


_MADE = {
    "commands": commands,
    "figures": figures,
    "notebook": notebook,
    "regularizers": regularizers,
    "regularizer files": regularizer_files,
}


def _page(_app: Any, _name: str, source: list[str]) -> None:
    source[0] = re.sub(r"<!-- made: (.+?) -->", lambda found: "\n".join(_MADE[found[1]]()), source[0])


# The site is whole without a network ----------------------------------------------------------------------------------------------------

_FETCHED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(?:https?:)?//[^\"]*", re.IGNORECASE)


def _alone(app: Any, failed: Exception | None) -> None:
    """A page that would fetch something from another host is a fault."""
    from sphinx.errors import ExtensionError

    if failed is None and app.builder.format == "html":
        pages = sorted(Path(app.outdir).rglob("*.html"))
        if wrong := [f"{path.name}: {found}" for path in pages for found in _FETCHED.findall(path.read_text(encoding="utf-8"))]:
            raise ExtensionError("no page may fetch anything from another host; " + "; ".join(wrong))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
    app.connect("source-read", _page)
    app.connect("build-finished", _alone)
