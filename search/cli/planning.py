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

    from search.choosing.words import number
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
            epochs = f"{one.epochs:,}" if one.expected_epochs is None else f"{one.epochs:,} ({one.expected_epochs:,.0f} expected)"
            table.add_row(f"{one.trials:,}", f"{one.seeds:,}", f"{one.members:,}", epochs, duration(one.seconds), number(one.width))
        printing.console().print(table)
        said = [f"members and epochs at most; the time from {basis}"]
        if found[0].expected_epochs is not None:
            said.append("the epochs that are expected: as many members end early as in earlier sweeps of this kind")
        said += [
            f"{one.trials} trials: {spec.budget.wall_minutes:g} min have room for about {one.fits} of {one.members} members"
            for one in found
            if one.fits is not None
        ]
        for line in said:
            printing.console().print(line, style="dim", markup=False, highlight=False)
        for sentence in goals_said(spec, place):
            printing.console().print(f"goal: {sentence}", soft_wrap=True, markup=False)
