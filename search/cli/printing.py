"""How the command line prints: tables, facts and JSON. Rich is imported only where something is printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def console() -> Console:
    """Standard output. A pipe or a file has no width, so tables there are as wide as they need to be, and grep finds whole lines."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=500)


def table(*columns: str, whole: Sequence[str] = ()) -> Table:
    """An empty table without lines. Columns in `whole` are never broken into lines, however narrow the terminal is."""
    from rich.table import Table

    found = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        found.add_column(column, overflow="fold", no_wrap=column in whole)
    return found


def entries(found: Sequence[Mapping[str, Any]], columns: Sequence[str], whole: Sequence[str] = ()) -> None:
    """A row for each entry."""
    from rich.markup import escape

    rows = table(*columns, whole=whole)
    for one in found:
        rows.add_row(*(escape(cell(one.get(key))) for key in columns))
    console().print(rows)


def facts(found: Mapping[str, Any]) -> None:
    """A line for each fact, or several lines for a fact with several values."""
    from rich.markup import escape
    from rich.table import Table

    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for key, value in found.items():
        rows.add_row(key, escape(cell(value)))
    console().print(rows)


def cell(value: Any) -> str:
    """A value as people read it."""
    if value is None or value in ("", [], (), {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(item)}" for key, item in value.items())
    return ", ".join(cell(item) for item in value) if isinstance(value, list | tuple) else str(value)


def as_json(value: Any) -> None:
    """Indented JSON."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str) + "\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities: None stands for NaN, words stand for the infinities."""
    if isinstance(value, float) and value - value != 0:
        return None if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
