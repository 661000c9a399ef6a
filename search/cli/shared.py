"""What several commands share: options, and the places of things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from infra import environment
from infra.storage import Home, strip_address, strip_password
from infra.storage.hints import command, here, see_all
from search.cli import printing

HomeOption = Annotated[str | None, typer.Option("--home", help="Where sweeps, runs and files are kept (default: ./mlflow_runs).")]
CatalogueOption = Annotated[str | None, typer.Option("--catalogue-url", help="Database of sweeps and members, such as postgresql://…")]
TrackingOption = Annotated[str | None, typer.Option("--tracking-uri", help="MLflow server or store.")]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage", help="Checkpoints and weights: a folder (on a cluster, one that all nodes share), or s3://BUCKET/FOLDER, gs://…"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PlainOption = Annotated[bool, typer.Option("--plain", help="Lines instead of a live table.")]
WorkersOption = Annotated[int | None, typer.Option(help="Members trained at once (default: as many as fit).", min=1)]
AddressOption = Annotated[
    str | None, typer.Option(help="A Ray that is up: auto or HOST:PORT; or in-process, without Ray (default: a local Ray).")
]
EnvironmentFileOption = Annotated[
    str | None,
    typer.Option(
        "--environment-file",
        metavar="FILE",
        callback=lambda file: load_environment(file),
        is_eager=True,
        help="Lines KEY=VALUE with the secrets, such as LAGRANGE_CATALOGUE_URL; on a cluster a file there.",
    ),
]


def load_environment(file: str | None) -> str | None:
    """Read the secrets of a file into the environment."""
    if file:
        environment.load(file, print_warning)
    return file


def print_warning(text: str) -> None:
    """Print a remark on standard error, without passwords."""
    typer.secho(f"note: {without_passwords(text)}", fg=typer.colors.YELLOW, err=True)


def print_error(text: str) -> None:
    """Print an error in red, without passwords."""
    typer.secho(without_passwords(text), fg=typer.colors.RED, err=True)


def without_passwords(text: str) -> str:
    """The text without passwords, so that it may be shown."""

    return strip_password(text)


@contextmanager
def asking(remedy: str) -> Iterator[None]:
    """Inside, somebody is asked. Where nobody is there (no terminal, or input that ends) SpecError says what to give instead."""
    from search.errors import SpecError

    try:
        yield
    except typer.Abort as error:
        if not isinstance(error.__context__, EOFError):
            raise KeyboardInterrupt from None
        typer.echo()  # the question stands on a line without an end
        raise SpecError([f"The question must be answered; nobody is there to answer it (standard input has ended). {remedy}"]) from None


def home_of(home: str | None, catalogue_url: str | None = None, tracking_uri: str | None = None, storage: str | None = None) -> Home:
    """The home in which a command finds its sweeps. A password that stands in an option is warned of."""
    for option, given in (("--catalogue-url", catalogue_url), ("--tracking-uri", tracking_uri)):
        if given and strip_address(given) != given:
            variable = "LAGRANGE_" + option.removeprefix("--").replace("-", "_").upper()
            print_warning(
                f"every user of this machine can list the password in {option} (ps): set {variable}, or LAGRANGE_ENVIRONMENT_FILE to a "
                "file with it"
            )
    return Home.open(home, catalogue_url=catalogue_url, tracking_uri=tracking_uri, storage=storage)


def catalogue_of(home: Home) -> Any:
    """The catalogue, for reading. A missing catalogue is not created."""
    from infra.catalogue import Catalogue

    return Catalogue(home.catalogue_url, create=False)


def sweeps_at(home: Home) -> str:
    """How to see the sweeps of a home; where it holds none, what was looked in."""
    with catalogue_of(home) as catalogue:
        return see_all(home, catalogue)


def shown_folder(home: Home, name: str) -> str:
    """The folder of a sweep's curve, config and answer, as seen from here; empty where there is none."""
    folder, now = home.reports(name), here()
    if not folder.is_dir():
        return ""
    return str(folder.relative_to(now) if now and folder.is_relative_to(now) else folder)


def mlflow_of(home: Home) -> str:
    """Where MLflow shows a sweep: the command that serves it, with NAME for the sweep, or the server of the home."""
    store = home.tracking_uri
    return without_passwords(store) if store.startswith(("http://", "https://")) else command("ui NAME", home)


@contextmanager
def shown(plain: bool, home: Home | None = None) -> Iterator[Any]:
    """A live display for as long as a sweep or a training runs. With a home it says where MLflow shows the sweep."""
    from search.telling.text.live import Display

    with Display(printing.console(), plain=True if plain else None, ui=mlflow_of(home) if home else "") as display:
        yield display


def usual(objective: str) -> dict[str, Any]:
    """The defaults of an objective's knobs; empty for one of a user's own. To look at a sweep runs no code that its row names."""
    from objectives.base import ObjectiveError
    from objectives.registry import load, names

    with suppress(ObjectiveError):
        if objective.partition(":")[0] not in names("objective") or objective == "command":
            return {}
        return {name: knob.default for name, knob in load(objective).knobs.items()}
    return {}
