"""`lagrange export` and `lagrange train`."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.storage import Home
from infra.storage.hints import command, quoted
from search.choosing.words import number
from search.cli import printing
from search.cli.ending import in_time
from search.cli.shared import (
    CatalogueOption,
    HomeOption,
    PlainOption,
    TrackingOption,
    home_of,
    print_error,
    shown,
    sweeps_at,
    without_passwords,
)
from search.exit_codes import FAILED

if TYPE_CHECKING:
    from search.retrain import Retrained


def export(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A sweep.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write (default: standard output).")] = None,
    arm: Annotated[
        str | None, typer.Option("--arm", metavar="ARM", help="Another arm of the front, where several metrics were asked for.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORM", help="yaml or json, for `lagrange train`; hydra or args; or script: plain PyTorch."),
    ] = "yaml",
    weights: Annotated[bool, typer.Option("--weights", help="A folder with config, weights and a README.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Decoder or generator and encoder as ONNX, into the same folder.")] = False,
    folder: Annotated[Path | None, typer.Option("--all", metavar="DIR", help="One file for each objective, model and data set.")] = None,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Write the best config as a spec that `lagrange train` takes, with its provenance and its promise."""
    from search.errors import SpecError
    from search.telling.files.exports import export as export_one
    from search.telling.files.exports import export_all

    place = home_of(home, catalogue_url)
    if (name is None) == (folder is None):
        raise SpecError([f"export must be given a sweep's NAME or --all DIR, and not both. {sweeps_at(place)}"])
    if weights or onnx:
        _export_model(str(name), output, place, weights, onnx, apart=folder is not None or arm is not None or form != "yaml")
        return
    if folder is not None and arm is not None:
        raise SpecError(["export must be given --arm with a sweep's NAME; --all writes the recommended configs. Leave one of the two out."])
    if folder is not None:
        written = export_all(folder, home=place)
        for path in written:
            typer.echo(str(path))
        if not written:
            typer.echo(f"No sweep has an answer yet. {sweeps_at(place)}", err=True)
        return
    text = export_one(str(name), output, home=place, arm=arm, form=form)
    retrain = {
        "yaml": f"; retrain with: {command(f'train {quoted(str(output))}', place)}",
        "script": f"; train with: python {quoted(str(output))}",
    }
    typer.echo(text.rstrip() if output is None else f"wrote {output}{retrain.get(form.replace('json', 'yaml'), '')}")


def _export_model(name: str, folder: Path | None, home: Home, weights: bool, onnx: bool, apart: bool) -> None:
    from search.errors import SpecError
    from search.loaded import export_model

    if apart:
        raise SpecError(["--weights and --onnx write the model of one sweep's NAME: leave --all, --arm and --format out."])
    target = folder or Path(name.replace("/", "-"))
    if target.is_file():
        raise SpecError([f"--output must be a folder with --weights or --onnx; {target} is a file. Name another one."])
    for line in export_model(name, target, home=home, weights=weights, onnx=onnx):
        typer.echo(f"wrote {line}")


def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep with an answer.")],
    force: Annotated[bool, typer.Option("--force", help="Make it the champion, whatever is.")] = False,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Register the model of an answer in MLflow: as a version of objective-model-dataset, `champion` where it is the best one known."""
    from search.registering import CHAMPION, OFF
    from search.registering import register as register_one

    place = home_of(home, catalogue_url, tracking_uri)
    found = register_one(name, home=place, force=force)
    facts = {"registered": f"{found.name}, version {found.version}", CHAMPION: f"{'yes' if found.champion else 'no'}: {found.why}"}
    facts |= {OFF: f"version {found.off}"} if found.off else {}
    store = without_passwords(place.tracking_uri)
    bare = f'mlflow.set_tracking_uri("{store}"), then mlflow.pytorch.load_model("{found.uri}")'
    printing.facts(facts | {"load it": f'search.load("{found.uri}")', "without Lagrange": bare})


def register_apart(name: str, home: Home) -> None:
    """Register the model of a sweep in a process of its own, because the driver of a sweep has no torch. Where it fails it says so."""
    known = {
        "LAGRANGE_CATALOGUE_URL": home.catalogue_url,
        "LAGRANGE_TRACKING_URI": home.tracking_uri,
        "LAGRANGE_STORAGE": home.kept_at,
    }
    command = [sys.executable, "-m", "search.cli", "register", name, "--home", str(home.root)]
    subprocess.run(command, env={**os.environ, **known}, check=False)


def train(
    target: Annotated[str, typer.Argument(metavar="FILE|NAME/N", help="An exported file, or a member of a sweep.")],
    seed: Annotated[
        int | None, typer.Option(help="The random seed; a confirmed member's reproduces its number (default: a fresh one).", min=0)
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The folder for weights, picture and result.")] = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
    plain: PlainOption = False,
) -> None:
    """Train one config and compare its score with its promise. Needs no Ray."""
    from objectives.base import State
    from search.retrain import train as train_one

    place = home_of(home, catalogue_url, tracking_uri)
    with shown(plain) as display, in_time(lambda: "interrupted"):
        result = train_one(target, home=place, seed=seed, out=output, listener=display)
    printing.facts(_retrained_facts(result))
    if result.state != State.COMPLETE:
        print_error(f"the training ended {result.state}: {result.reason}")
        raise typer.Exit(FAILED)


def _retrained_facts(result: Retrained) -> dict[str, str]:
    from search.telling.text.live import duration

    def interval(promise: Mapping[str, Any]) -> str:
        low, high = float(promise["low"]), float(promise["high"])
        return f"{number(low, high - low)} to {number(high, high - low)}"

    width = float(result.promise["high"]) - float(result.promise["low"]) if result.promise is not None else math.inf
    facts = {"score": f"{result.score_name} {number(result.score, width)}", "seed": str(result.seed), "state": result.state}
    if result.promise is not None and result.other:
        facts["promise"] = f"none for this training: {result.other}. The promise of {interval(result.promise)} was made for another one"
    elif result.promise is not None:
        inside = "inside" if result.inside else "outside"
        facts["promise"] = f"{inside} the 95 % prediction interval {interval(result.promise)}"
    for name, (value, kept) in result.beside.items():
        promised = None if result.other else (result.promise or {}).get("beside", {}).get(name)
        where = f", {'inside' if kept else 'outside'} the 95 % prediction interval {interval(promised)}" if promised else ""
        facts[name] = f"{number(value)}{where}"
    for text, (value, kept) in result.constraints.items():
        facts[text] = f"{number(value)}, {'kept' if kept else 'broken'} by this training"
    if result.reproduces is not None:
        apart = f"it was {result.reproduces!r}, {abs(result.score - result.reproduces):.2g} apart"
        same = "exactly" if result.reproduces == result.score else f"not exactly: {apart}"
        facts["reproduces"] = f"the number of the member with this seed, {same}"
    return facts | {"files": str(result.folder), "took": duration(result.seconds)}
