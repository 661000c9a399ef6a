"""`lagrange submit`: a sweep whose driver runs on a cluster, as a job of Ray Jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.ray.shipping import Parcel, parcel
from infra.storage import strip_passwords, sweep_name
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
from search.cli.shared import WorkersOption
from search.cli.submitted import ServerOption, beginning, cluster_jobs, driver_options, followed, submitted
from search.cli.sweep import print_warnings, source

if TYPE_CHECKING:
    from search.spec.keys import Spec


def submit(
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
    name: Annotated[str | None, typer.Option(help="The sweep's name (default: objective, data set and the time).")] = None,
    address: ServerOption = None,
    workers: WorkersOption = None,
    storage: Annotated[
        str | None, typer.Option("--storage", help="Checkpoints and weights: a path that all nodes share, or a URL.")
    ] = None,
    home: Annotated[str | None, typer.Option("--home", help="A path on the head node (default: LAGRANGE_HOME there).")] = None,
    environment_file: Annotated[
        str | None,
        typer.Option("--environment-file", metavar="FILE", help="A file on the head node, with lines KEY=VALUE: the secrets."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="FILE", help="One more file of this folder that the training reads. Repeatable."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print what the driver prints. Ctrl-C ends the watching alone.")] = False,
) -> None:
    """Start a sweep on a cluster, by Ray Jobs. Its driver runs there. Submitted again under its name, it goes on.

    The spec goes with it, and the modules of this folder that it names; passwords must be in the environment there.
    """
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
    start = source(target)
    specs = expand(start, asked, remote=True)
    name = sweep_name(name) if name is not None else _made_up(specs)
    found = parcel(Path.cwd(), [_plain(spec) for spec in specs], include or ())
    code = [str(place) for place in found.files]
    given = _shipped_spec(found, start, target)
    print_warnings(specs)
    options = {
        key: value
        for key, value in (
            ("--home", home),
            ("--storage", storage),
            ("--workers", workers),
            ("--environment-file", environment_file),
        )
        if value is not None
    }
    settings_ = [word for one in asked for word in ("--set", one)]
    command = ["lagrange", "sweep", given, *settings_, "--name", name, "--resume"]
    # A later job finds the spec of one sweep in the catalogue. A matrix has no row there: its spec is read again.
    again, files = (command, list(map(str, found.files))) if len(specs) > 1 else ((), code)
    cluster = cluster_jobs(address)
    begin = beginning(given, asked, found) if len(specs) == 1 else {}
    job = submitted(cluster, name, [*command, *driver_options(options)], found, files, options, again, begin)
    if follow:
        raise typer.Exit(followed(cluster, job))


def _plain(spec: Spec) -> dict[str, Any]:
    """A spec as plain data. Raises SpecError where it holds a password: everybody on the cluster could read it."""
    from search.errors import SpecError

    plain = spec.model_dump(mode="json", exclude_none=True)
    if strip_passwords(plain) != plain:
        raise SpecError(
            ["a spec that is submitted must hold no password, because the cluster keeps it; it holds one. Read it from the environment."]
        )
    return plain


def _shipped_spec(found: Parcel, start: str | Path | dict[str, Any], target: str) -> str:
    """What the driver is to read, as it finds it: a file of the parcel, or the name of an objective or a preset."""
    if not isinstance(start, str):
        return target  # an objective, a preset, or a Python file, which is in the parcel already
    path = Path(start)
    if not found.put(path) and start in found.left:
        del found.left[start]
        found.files[PurePosixPath(path.name)] = path  # it lies elsewhere, and has no folder there
        return path.name
    return path.absolute().relative_to(Path.cwd()).as_posix()


def _made_up(specs: Sequence[Spec]) -> str:
    from infra.ray.jobs import made_up
    from search.kept import short_name

    first = specs[0]
    return made_up("-".join(short_name(part) for part in (first.objective, first.dataset.name or "") if part and part != "none"))
