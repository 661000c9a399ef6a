"""Figures of a sweep, one function each: `search.plot.curve(NAME)` returns a plotly figure, which a notebook shows.

The functions are the files of `search/telling/figures`; each takes the sweep's name and `home=`, and says in words why it cannot draw a
sweep (SpecError) or that there is none (InfraError).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infra.storage import HomeLike
from search.telling import figures
from search.telling.looking import notebook


def __getattr__(name: str) -> Callable[..., Any]:
    """The function that draws the figure of this name."""
    if name.startswith("_") or name not in figures.known():
        raise AttributeError(f"search.plot has no figure {name!r}; it has {', '.join(figures.known())}")

    def draw(sweep: str, *, home: HomeLike | None = None) -> Any:
        return figures.drawn(name, notebook.view(sweep, home=home))

    file = figures.module(name)
    draw.__name__ = draw.__qualname__ = name
    draw.__doc__ = f"{file.TITLE}.\n\n{file.__doc__}"
    return draw


def __dir__() -> list[str]:
    return figures.known()
