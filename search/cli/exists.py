"""What exists: `lagrange knobs`, `models` and the like; `check` and `convert`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from search.cli import printing
from search.cli.shared import JsonOption


def _listing(family: str) -> Callable[..., None]:
    def command(
        name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Everything about one.")] = None,
        objective: Annotated[str | None, typer.Option(metavar="OBJECTIVE", help="Only those that serve this objective.")] = None,
        as_json: JsonOption = False,
    ) -> None:
        from search.cli import listing

        if name is None:
            found = listing.entries(family, objective)
            if as_json:
                printing.as_json(found)
            else:
                printing.entries(found, listing.COLUMNS[family], whole=listing.WHOLE)
                if listing.how(family):
                    typer.echo(f"\n{listing.how(family)}")
            return
        one = listing.entry(family, name)
        if as_json:
            printing.as_json(one)
            return
        printing.facts({key: value for key, value in one.items() if key not in listing.LONG})
        for text in listing.long(one):
            typer.echo(f"\n{text}")

    command.__doc__ = f"List the {_TITLES[family]} that exist, or show one."
    return command


_TITLES = {
    "knobs": "knobs (λs and nuisance hyperparameters)",
    "models": "models",
    "datasets": "data sets",
    "samplers": "samplers",
    "schedulers": "schedulers",
    "metrics": "metrics",
    "features": "features in which generated images are compared",
    "latents": "densities from which an autoencoder's codes are drawn",
}


def check(
    objective: Annotated[
        str | None, typer.Argument(metavar="[TARGET]", help="An objective, package.module:Class, a preset or a spec file; none: all.")
    ] = None,
    knobs: Annotated[list[str] | None, typer.Option("--knob", help="Only this λ. Repeatable.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The data set (default: the objective's first).")] = None,
    data_root: Annotated[str | None, typer.Option(help="The folder that holds it.")] = None,
    model: Annotated[str | None, typer.Option(help="The model.")] = None,
    likelihood: Annotated[str | None, typer.Option(help="The likelihood.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the spec: model=mine:net. Repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove on one batch that the model is sound, and that each λ changes the loss and its gradient as it should, and not the score.

    Exit code 1: something is not.
    """
    from search.cli import checking

    if objective is not None and (settings or checking.is_spec(objective)):
        short = {"dataset.name": dataset, "dataset.root": data_root, "model": model, "likelihood": likelihood}
        given = [f"{key}={json.dumps(value)}" for key, value in short.items() if value is not None]
        rows = checking.rows_of_spec(objective, [*given, *(settings or [])], knobs)
    else:
        rows = checking.rows(objective, knobs, dataset=dataset, root=data_root, model=model, likelihood=likelihood)
    if as_json:
        printing.as_json(rows)
    else:
        printing.entries(
            [{**row, "verdict": _VERDICTS[row["verdict"]]} for row in rows], ("objective", "knob", "verdict", "fault", "message")
        )
    if any(row["verdict"] == "failed" for row in rows):
        raise typer.Exit(1)


_VERDICTS = {"passed": "alive", "failed": "FAILED", "unproven": "not proven", "note": "note"}


def convert(
    given: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="Parameters and settings; none: list them.")] = None,
    source: Annotated[str | None, typer.Option("--from", metavar="CONVENTION", help="Whose parameters they are.")] = None,
    target: Annotated[
        str | None, typer.Option("--to", metavar="CONVENTION", help="Whose parameters are wanted, from knobs of ours.")
    ] = None,
    image: Annotated[str | None, typer.Option(metavar="HxWxC", help="The shape of an image.")] = None,
    pixels: Annotated[int | None, typer.Option(help="The values of an image, where its shape does not matter.")] = None,
    latent: Annotated[int | None, typer.Option(help="The size of the latent.")] = None,
    kernels: Annotated[int | None, typer.Option(help="The kernels of the network: weights of rank 2 and more.")] = None,
    batch: Annotated[int | None, typer.Option(help="The batch size.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Convert the λ of another project to ours: --from pytorch-vae kld_weight=0.00025 --image 64x64x3."""
    from search.cli import converting as units

    if not given:
        _print_conventions(source or target, as_json)
        return
    rows = units.rows(source, target, given, image=image, pixels=pixels, latent=latent, kernels=kernels, batch=batch)
    if as_json:
        printing.as_json(rows)
        return
    for row in rows:
        _print_converted(row)


def _print_conventions(name: str | None, as_json: bool) -> None:
    """Print all conventions, or the loss, the settings and the parameters of one."""
    from search.cli import converting as units

    found = units.listing(name)
    if as_json:
        printing.as_json(found)
        return
    if name is not None:
        printing.facts(units.headings(name))
    printing.entries(found, tuple(found[0]))


def _print_converted(row: Mapping[str, Any]) -> None:
    typer.secho(f"{row['target']} ≈ {row['result']:.4g}", bold=True, nl=False)
    typer.echo(f"  from {row['name']} = {row['value']:g}")
    where = ", ".join(f"{name} = {value}" for name, value in row["where"].items())
    told = {"convention": f"{row['convention']}: {row['loss']}", "equation": row["equation"], "where": where}
    for title, text in (told | {"note": row["note"], "source": row["source"]}).items():
        if text:
            typer.echo(f"  {title:10}  {text}")


LISTINGS = {family: _listing(family) for family in _TITLES}
