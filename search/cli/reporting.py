"""Commands that take an answer away: `lagrange report`, `query` and `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import search
from infra.storage import replaced
from objectives.registry import untouched
from search.cli import printing
from search.cli.shared import CatalogueOption, HomeOption, JsonOption, TrackingOption, home_of
from search.errors import SpecError

STDOUT = "-"
_QUERY_HELP = "Comparisons joined by `and`, as MLflow's search box takes them: \"metrics.score < 23.6 and tags.arm = 'min'\"."


def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file (default: report.html among the sweep's reports in its home).")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Also every figure as PDF and PNG (extra `figures`, and a Chromium).")
    ] = None,
    price_per_hour: Annotated[
        float | None,
        typer.Option("--price-per-hour", help="What an hour of a worker costs; the report then says what the sweep cost.", min=0),
    ] = None,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Write all that is known of a sweep as one HTML file that needs nothing else."""
    place = home_of(home, catalogue_url)
    with untouched():  # the row of the sweep may be another's
        page, *pictures = search.report(name, output, figures=figures, price_per_hour=price_per_hour, home=place)
    typer.echo(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser")
    if pictures:
        typer.echo(f"wrote {len(pictures)} figures to {figures}: {', '.join(dict.fromkeys(one.stem for one in pictures))}, as PDF and PNG")


def query(
    text: Annotated[str, typer.Argument(metavar="[QUERY]", help=_QUERY_HELP)] = "",
    sweep: Annotated[str, typer.Option("--sweep", metavar="NAME", help="Runs of this sweep only.")] = "",
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV (-: standard output).")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON (-: standard output).")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write Parquet.")] = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Find runs in MLflow's own query language; what is found is what its UI finds."""
    from search.telling.looking import queried

    if str(parquet) == STDOUT:
        raise SpecError(["--parquet must name a file; got -. Parquet is not text: give a file, or use --csv -."])
    if sum(str(one) == STDOUT for one in (csv, json)) > 1:
        raise SpecError(["standard output must be given to one form; got --csv - and --json -. Give one of them a file."])
    place = home_of(home, tracking_uri=tracking_uri)
    found = queried.rows(text, sweep=sweep, home=place)
    texts = {csv: queried.as_csv, json: queried.as_json}
    for path, written in texts.items():
        if path is not None and str(path) == STDOUT:
            typer.echo(written(found), nl=False)
        elif path is not None:
            with replaced(path) as beside:
                beside.write_text(written(found), encoding="utf-8")
            typer.echo(f"wrote {len(found)} runs to {path}", err=True)
    if parquet is not None:
        queried.write_parquet(found, parquet)
        typer.echo(f"wrote {len(found)} runs to {parquet}", err=True)
    if csv is json is parquet is None:
        _print_runs(found, queried.shown(found))
    if not found:
        for sentence in queried.not_there(text, sweep=sweep, home=place):
            typer.echo(sentence, err=True)


def _print_runs(found: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    if not found:
        typer.echo("No run is found. Without a query all runs are: lagrange query")
        return
    printing.entries([{name: row[name] for name in columns} for row in found], columns)
    typer.echo(f"{len(found)} runs; all {len(found[0])} columns: --csv FILE, --json FILE or --parquet FILE", err=True)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A sweep.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another sweep.")],
    as_json: JsonOption = False,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Two sweeps side by side: what differs, what each found, and by how much the promises differ where they can be compared."""
    with untouched():
        found = search.compare(first, second, home=home_of(home, catalogue_url))
    if as_json:
        printing.as_json(found.plain())
        return
    typer.echo(found.sentence())
    for title, rows in (("what each found", found.found), ("what differs in the spec", found.spec)):
        typer.echo()
        if not rows:
            typer.echo(f"{title}: nothing")
            continue
        printing.entries([{title: one.what, first: one.first, second: one.second} for one in rows], (title, first, second))
