"""`lagrange plan`: what a sweep would cost, and what it could tell, before it is started."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli import printing
from search.cli.shared import CatalogueOption, HomeOption, StorageOption, TrackingOption, WorkersOption, home_of
from search.cli.sweep import print_warnings, source


def plan(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="An objective, a preset, or a YAML file.")] = "quickstart",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the spec: search.beta.low=0.1. Repeatable.")
    ] = None,
    workers: WorkersOption = None,
    storage: StorageOption = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Members, epochs, time and the expected width of the answer's interval, for three budgets. Starts nothing."""
    from rich.table import Table

    from search.choosing.answer import number
    from search.estimate import budgets, goals_said
    from search.spec.reading import expand
    from search.telling.live import duration

    specs = expand(source(target), list(settings or []))
    place = home_of(home, catalogue_url, tracking_uri, storage)
    print_warnings(specs)
    for spec in specs:
        found, basis = budgets(spec, home=place, workers=workers)
        title = " × ".join(part for part in (spec.objective, spec.model, spec.dataset.name) if part)
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("trials", "final seeds", "members", "epochs", "about", f"width of the effect's interval ({found[0].unit})"):
            table.add_column(column, justify="right")
        for one in found:
            said = (one.trials, one.seeds, one.members, one.epochs)
            table.add_row(*(f"{count:,}" for count in said), duration(one.seconds), number(one.width))
        printing.console().print(table)
        printing.console().print(f"members and epochs at most; the time from {basis}", style="dim")
        for sentence in goals_said(spec, place):
            printing.console().print(f"goal: {sentence}", soft_wrap=True, markup=False)
