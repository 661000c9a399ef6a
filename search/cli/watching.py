"""`lagrange watch`: a sweep that another terminal, or another machine, drives."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from infra.storage.hints import command
from search.cli import printing
from search.cli.shared import (
    CatalogueOption,
    HomeOption,
    PlainOption,
    home_of,
    shown,
    shown_folder,
    usual,
)
from search.exit_codes import INTERRUPTED


def watch(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A sweep (default: the newest that is running).")] = None,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
    plain: PlainOption = False,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="Wait so long for NAME to begin.", min=0)] = 0,
) -> None:
    """Watch a sweep from another terminal, and see its answer. Ctrl-C ends the watching, not the sweep."""
    from search.telling.text.answer import print_stored
    from search.watching import begun, newest
    from search.watching import watch as follow

    place = home_of(home, catalogue_url)
    name = name or newest(place)
    began = time.monotonic()
    while time.monotonic() - began < wait and not begun(name, place):
        time.sleep(0.5)
    try:
        with shown(plain, place) as display:
            row = follow(name, display, home=place)
            display.finished(row.answer)
    except KeyboardInterrupt:
        typer.echo(f"the watching has ended; the sweep {name} is left as it is. Again: {command(f'watch {name}', place)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if row.answer is not None:
        console, folder = printing.console(), shown_folder(place, name)
        print_stored(console, name, row.answer, place, usual(row.objective), folder)
        return
    problem = f": {row.facts['problem']}" if row.facts.get("problem") else ""
    again = command(f"resume {name}", place, address=row.facts.get("address"))
    typer.echo(f"{name} has no driver and no answer; it is {row.status}{problem}. Go on with it: {again}")
