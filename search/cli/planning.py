"""`lagrange plan`: what a sweep would cost, and what it could tell, before it is started."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.registry import only_looked_at
from search.choosing.words import number
from search.cli import printing
from search.cli.asked import (
    DataRootOption,
    DatasetOption,
    EpochsOption,
    GpuOption,
    ModelOption,
    PriorOption,
    RangesOption,
    SamplerOption,
    SchedulerOption,
    SeedOption,
    SettingsOption,
    TargetArgument,
    TrialsOption,
    UntilOption,
    overrides,
)
from search.cli.shared import CatalogueOption, HomeOption, StorageOption, TrackingOption, WorkersOption, home_of
from search.cli.sweep import UNTIMED, print_warnings, prior_said, source

if TYPE_CHECKING:
    from infra.storage import Home
    from search.spec.keys import Spec


def plan(
    target: TargetArgument = "quickstart",
    dataset: DatasetOption = None,
    data_root: DataRootOption = None,
    model: ModelOption = None,
    trials: TrialsOption = None,
    epochs: EpochsOption = None,
    sampler: SamplerOption = None,
    scheduler: SchedulerOption = None,
    ranges: RangesOption = None,
    seed: SeedOption = None,
    gpu: GpuOption = None,
    until: UntilOption = None,
    prior: PriorOption = None,
    settings: SettingsOption = None,
    timed: Annotated[
        bool,
        typer.Option("--timed", help="Call code of your own, to train an epoch with it, where no earlier sweep tells the time."),
    ] = False,
    workers: WorkersOption = None,
    storage: StorageOption = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Members, epochs, time and the expected width of the answer's interval, for three budgets. Starts nothing."""
    from search.spec.reading import expand

    asked = overrides(
        settings,
        dataset=dataset,
        data_root=data_root,
        model=model,
        trials=trials,
        epochs=epochs,
        sampler=sampler,
        scheduler=scheduler,
        ranges=ranges,
        seed=seed,
        gpu=gpu,
        until=until,
        prior=prior,
    )
    place = home_of(home, catalogue_url, tracking_uri, storage)
    with nullcontext() if timed else only_looked_at():
        specs = expand(source(target), asked)
        print_warnings(specs)
        _print_plans(specs, place, workers)


def _print_plans(specs: Sequence[Spec], place: Home, workers: int | None) -> None:
    from rich.table import Table

    from search.estimate import budgets, goals_said
    from search.kept import admitted
    from search.spec.hours import limit
    from search.telling.text.live import duration

    for spec in specs:
        sources = admitted(place, spec, None)
        found, basis = budgets(spec, home=place, workers=workers)
        title = " × ".join(part for part in (spec.objective, spec.model, spec.dataset.name) if part)
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        widths = [] if math.isnan(found[0].width) else [f"width of the effect's interval ({found[0].unit})"]
        for column in ("trials", "final seeds", "members", "epochs", "about", *widths):
            table.add_column(column, justify="right")
        for one in found:
            told = f"{one.epochs:,}" if one.expected_epochs is None else f"{one.epochs:,} ({one.expected_epochs:,.0f} expected)"
            took = "not known" if math.isnan(one.seconds) else duration(one.seconds)
            table.add_row(f"{one.trials:,}", f"{one.seeds:,}", f"{one.members:,}", told, took, *(number(one.width) for _ in widths))
        printing.console().print(table)
        said = [f"members and epochs at most; {f'the time from {basis}' if basis else UNTIMED}"]
        if found[-1].overhead > found[-1].seconds / 2:
            least, most = (duration(one.seconds - one.overhead) for one in (found[0], found[-1]))
            start = f"about {duration(found[0].overhead)} of each time are the start of Ray and the last writes"
            said.append(f"{start}; the trainings take {least} to {most}")
        if found[0].expected_epochs is not None:
            said.append("the epochs that are expected: as many members end early as in earlier sweeps of this kind")
        said += [
            f"{one.trials} trials: the budget has room for about {one.fits} of {one.members} members"
            for one in found
            if one.fits is not None
        ]
        if spec.resources.gpu or limit(spec)[1]:
            said += [f"{one.trials} trials: about {one.hours}" for one in found if not math.isnan(one.seconds)]
        for line in said:
            printing.console().print(line, style="dim", markup=False, highlight=False)
        for line in prior_said(spec, sources):
            printing.console().print(line, style="dim", markup=False, highlight=False)
        for sentence in goals_said(spec, place):
            printing.console().print(f"goal: {sentence}", soft_wrap=True, markup=False)
