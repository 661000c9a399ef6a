"""Figures of a sweep: one file each. The file's name is the figure's name, so no list is edited.

A file holds

- `TITLE` and `ORDER`: what it is called, and where it stands in a report (the lowest first);
- `why_not(view)`: why the figure cannot be drawn of this sweep, as a sentence; empty where it can;
- `about(view)`: what it shows, and how to read it, in plain words;
- `figure(view)`: the figure as plotly takes it, plain data (`data` and `layout`); called where `why_not` is empty. So a report needs no
  plotly but its program, and a notebook gets a `Figure` of `drawn`.

A figure shows what `view.answer` says and decides nothing by itself. Scores have their own sign.
"""

from __future__ import annotations

import importlib
from typing import Any

from objectives.registry import names, unknown
from search.errors import SpecError
from search.telling.view import View


def known() -> list[str]:
    """The names of all figures, as they stand in a report."""
    return sorted(names("figure", __name__), key=lambda name: int(module(name).ORDER))


def module(name: str) -> Any:
    """The file of a figure.

    Raises:
        SpecError: there is none of that name.
    """
    if name not in names("figure", __name__):
        raise SpecError([unknown("a figure", name, names("figure", __name__))])
    return importlib.import_module(f"{__name__}.{name}")


def drawn(name: str, view: View) -> Any:
    """A figure of a sweep, as a plotly `Figure`.

    Raises:
        SpecError: there is no such figure, or it cannot be drawn of this sweep; the message says why.
    """
    file = module(name)
    if reason := file.why_not(view):
        raise SpecError([f"The figure {name!r} cannot be drawn of {view.name}: {reason}"])
    from plotly.graph_objects import Figure

    return Figure(file.figure(view))
