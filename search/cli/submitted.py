"""Sweeps whose driver lives on a cluster: `lagrange jobs`, `logs` and `stop`, and `resume` of one that was submitted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import InfraError
from infra.ray.shipping import Parcel, in_job, parcel, staged
from infra.storage import Home, strip_password
from search.cli import printing
from search.cli.fate import code_of, signal_of, status_of, why
from search.cli.shared import JsonOption, print_error
from search.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from infra.ray.jobs import Job, Jobs

MOST_KEPT = 30_000  # characters of a spec that are kept with a job
ServerOption = Annotated[
    str | None,
    typer.Option("--address", envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard, such as http://HEAD:8265."),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A sweep that was submitted.")]


def is_dashboard(address: str | None) -> bool:
    """Whether an address is that of a cluster which takes jobs, and not of a Ray."""
    return address is not None and address.startswith(("http://", "https://"))


def refuse_lost_home(home: Home) -> None:
    """Raise InfraError where a job would keep its sweep in the folder that Ray made for the job, and removes with it."""
    if in_job() and (home.root.is_relative_to(Path.cwd()) or home.storage.is_relative_to(Path.cwd())):
        raise InfraError(
            "A submitted sweep must be kept where it outlives its job; no home is named, and the job's own folder is removed with it. Set "
            "LAGRANGE_HOME (an absolute path) in the environment of the nodes or in the environment file, or submit with --home."
        )


def cluster_jobs(address: str | None) -> Jobs:
    """The jobs of the cluster that the option names."""
    from infra.ray.jobs import Jobs

    if not address:
        raise InfraError(
            "The cluster must be named by its dashboard: --address http://HEAD:8265, or RAY_API_SERVER_ADDRESS; neither is set."
        )
    return Jobs(address)


def jobs(address: ServerOption = None, json_: JsonOption = False) -> None:
    """The sweeps that were submitted to a cluster."""
    cluster = cluster_jobs(address)
    found = [_row(job, cluster.address) for job in cluster.all()]
    if json_:
        printing.as_json(found)
    elif found:
        printing.entries(found, ("sweep", "job", "status", "since", "took", "why"), whole=("sweep", "job", "status"))
    else:
        typer.echo("no sweep was submitted to this cluster: lagrange submit SPEC --address http://HEAD:8265")


def _row(job: Job, address: str) -> dict[str, Any]:
    from search.telling.text.live import duration

    # Started by the cluster's clock, and now by this machine's: the two may differ.
    seconds = max(0.0, ((job.ended or datetime.now(UTC)) - job.started).total_seconds()) if job.started else None
    return {
        "sweep": job.sweep,
        "job": job.id,
        "status": status_of(job),
        "since": f"{job.started:%Y-%m-%d %H:%M} UTC" if job.started else None,
        "took": duration(seconds) if seconds is not None else None,
        "why": why(job, address),
    }


def logs(
    name: NameArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the driver ends. Ctrl-C ends the watching alone.")] = False,
    address: ServerOption = None,
) -> None:
    """What the driver of a submitted sweep prints, of its newest job."""
    cluster = cluster_jobs(address)
    job = cluster.newest(name)
    if not follow:
        typer.echo(cluster.log(job), nl=False)
        return
    raise typer.Exit(followed(cluster, job))


def followed(cluster: Jobs, job: Job) -> int:
    """Print what a driver prints until it ends. Returns the exit code of the driver."""
    try:
        for part in cluster.follow(job):
            typer.echo(part, nl=False)
    except KeyboardInterrupt:
        again = f"lagrange logs {job.sweep} -f --address {cluster.address}"
        typer.echo(f"\nthe following has ended; the driver of {job.sweep} goes on. Again: {again}", err=True)
        return INTERRUPTED
    now = cluster.look(job)
    if now.status == "FAILED" and (now.exit_code is None or signal_of(now)):  # else the driver has said it
        print_error(f"{job.sweep}: {why(now, cluster.address)}")
    return code_of(now)


def stop(name: NameArgument, address: ServerOption = None) -> None:
    """Ask the driver of a submitted sweep to stop. Nothing is lost: `resume` goes on with it."""
    from infra.ray.jobs import STOP_S

    cluster = cluster_jobs(address)
    job = cluster.newest(name)
    if not job.alive:
        typer.echo(f"{name} has no driver: its job {job.id} is {status_of(job)}")
        return
    typer.echo(f"{name} is asked to stop; waiting for it, up to {STOP_S} s", err=True)
    now = cluster.stop(job)
    if now.alive:
        see = f"lagrange logs {name} -f --address {cluster.address}"
        raise InfraError(f"The driver of {name!r} must end when it is asked to; job {job.id} still runs. See: {see}")
    typer.echo(f"{name} was stopped; nothing is lost. Go on with: lagrange resume {name} --address {cluster.address}")


def resume_submitted(
    name: str, address: str, trials: str | None, workers: int | None, home: str | None, storage: str | None, beside: Sequence[str] = ()
) -> None:
    """Submit a new driver for a sweep that was submitted. What its spec names of the folder must be in the folder now.

    `beside` are further words of the command that goes on: what is tried again, and other totals of the budget.
    """
    from infra.ray.jobs import BEGIN, FILES, OPTIONS, SEVERAL

    cluster = cluster_jobs(address)
    before = cluster.newest(name)
    several = json.loads(before.metadata.get(SEVERAL, "[]"))
    if several and (trials or beside):
        raise InfraError(
            f"{'--trials' if trials else beside[0]} is for one sweep; {name!r} are several (a matrix). "
            "Submit the spec with a larger budget and a new name."
        )
    files = json.loads(before.metadata.get(FILES, "[]"))
    if missing := [file for file in files if not Path(file).is_file()]:
        raise InfraError(
            f"{name!r} must go on from the folder that it was submitted from, because its spec names files there; {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not here ({Path.cwd()}). Go there, or submit the spec again under this name."
        )
    options = dict(json.loads(before.metadata.get(OPTIONS, "{}")))
    options |= {key: value for key, value in (("--home", home), ("--storage", storage), ("--workers", workers)) if value is not None}
    once = {"--trials": trials} if trials else {}
    begin = dict(json.loads(before.metadata.get(BEGIN, "{}")))  # a driver that was stopped early has left no row of the sweep
    start = [word for one in begin.get("words", ()) for word in ("--begin", one)]
    command = [*(several or ["lagrange", "resume", name]), *driver_options({**options, **once}), *beside, *start]
    found = parcel(Path.cwd(), [], include=files)
    with tempfile.TemporaryDirectory(prefix="lagrange-") as folder:
        if "spec" in begin:
            path = Path(folder) / "spec"
            path.write_text(begin["spec"], encoding="utf-8")
            found.files[PurePosixPath(begin["words"][0])] = path
        submitted(cluster, name, command, found, files, options, several, begin)


def beginning(target: str, settings: Sequence[str], found: Parcel) -> dict[str, Any]:
    """What `resume` needs to begin a sweep whose driver was stopped before the catalogue had its row: words of a command, and the spec.

    It is kept with the job, which everybody on the cluster can list. Empty where it is too large for that, or holds a password.
    """
    begin: dict[str, Any] = {"words": [target, *settings]}
    path = found.files.get(PurePosixPath(target))
    if path is not None and path.suffix != ".py":
        begin["spec"] = path.read_text(encoding="utf-8")
    kept = json.dumps(begin)
    return begin if len(kept) <= MOST_KEPT and strip_password(kept) == kept else {}


def driver_options(options: dict[str, Any]) -> list[str]:
    """Options as words of a command that runs on the cluster."""
    return [str(word) for pair in options.items() for word in pair] + ["--address", "auto", "--plain"]


def submitted(
    cluster: Jobs,
    name: str,
    command: Sequence[str],
    found: Parcel,
    files: Sequence[str],
    options: dict[str, Any],
    several: Sequence[str] = (),
    begin: Mapping[str, Any] | None = None,
) -> Job:
    """Submit a driver with its files, and say how to go on.

    `files` are those that a later job needs again, and `options` those of its command. `several`: what goes on with all sweeps of a
    matrix. `begin`: what a later job begins the sweep with, if this one does not.
    """
    from infra.ray.jobs import BEGIN, FILES, OPTIONS, SEVERAL

    for path, reason in found.left.items():
        typer.secho(f"note: {path} does not go to the cluster: {reason}", fg=typer.colors.YELLOW, err=True)
    metadata = {FILES: json.dumps(list(files)), OPTIONS: json.dumps(options)} | ({SEVERAL: json.dumps(several)} if several else {})
    metadata |= {BEGIN: json.dumps(begin)} if begin else {}
    with staged(found) if found.files else nullcontext() as folder:
        job = cluster.submit(name, command, folder, metadata)
    shipped = ", ".join(str(place) for place in found.files) or "no file"
    size = sum(path.stat().st_size for path in found.files.values())
    typer.echo(f"{name}: submitted as job {job.id} with {shipped} ({size:,} bytes); its driver runs on the cluster, without this machine")
    for line, what in (
        (f"lagrange logs {name} -f", "what it prints"),
        (f"lagrange stop {name}", "a clean stop; resume goes on"),
        (f"lagrange resume {name}", "after a stop or a crash"),
    ):
        typer.echo(f"  {line} --address {cluster.address}   # {what}")
    return job
