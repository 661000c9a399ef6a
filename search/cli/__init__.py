"""The command `lagrange`: parsing and printing only; what it does is in `search.sweep`, `search.exports` and `infra`.

Exit codes: 0 done, 1 the sweep or training failed, 2 the user's mistake (nothing was started), 130 interrupted.
Everything heavy is imported inside the commands, so that `lagrange --help` costs a tenth of a second.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from search.cli import printing

if TYPE_CHECKING:
    from infra.catalogue import MemberRow, SweepRow
    from infra.storage import Home
    from search.retrain import Retrained
    from search.spec.keys import Spec
    from search.sweep import Outcome

OK, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
# A user's mistakes, by module and class: looked up among what is loaded, so that catching them imports nothing.
_MISTAKES = (
    ("search.errors", "SpecError"),
    ("objectives.base", "ObjectiveError"),
    ("infra.errors", "InfraError"),
    ("search.choosing.answer", "SelectionError"),
)
# What typer itself turns into an exit code. It has carried its own copy of click since 0.2x, so click's classes are reached through it.
_CLICKS = tuple(cls for cls in typer.BadParameter.__mro__ if cls not in (Exception, BaseException, object))
_TYPERS: tuple[type[Exception], ...] = (typer.Exit, typer.Abort, *_CLICKS)
_EPILOG = (
    "Exit codes: 0 done, 1 the sweep or training failed, 2 your mistake (nothing was started), 130 interrupted. LAGRANGE_HOME sets --home."
)


class _Group(TyperGroup):
    """Prints a user's mistake as short red lines; `--debug`, anywhere on the line, shows the traceback instead."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj = {"debug": "--debug" in args or bool(os.environ.get("LAGRANGE_DEBUG"))}
        return super().parse_args(ctx, [arg for arg in args if arg != "--debug"])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except _TYPERS:
            raise
        except KeyboardInterrupt:
            _error("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader has seen enough (`lagrange ls | head`).
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(OK) from None
        except Exception as error:
            if ctx.obj["debug"]:
                traceback.print_exception(error)
            raise typer.Exit(_told(error, ctx.obj["debug"])) from None


def _told(error: Exception, debug: bool) -> int:
    """Print an error for people; the exit code."""
    if any(isinstance(error, cls) for cls in _loaded_mistakes()):
        for line in getattr(error, "faults", None) or [str(error)]:
            _error(line)
        return MISTAKE
    _error(f"{type(error).__name__}: {error}")
    if not debug and not isinstance(error, OSError):
        _error("This is a fault of Lagrange or of an objective, not of your command; run it again with --debug for the traceback.")
    return FAILED


def _loaded_mistakes() -> Iterator[type[BaseException]]:
    for module, name in _MISTAKES:
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            yield found


def _error(text: str) -> None:
    typer.secho(_without_passwords(text), fg=typer.colors.RED, err=True)


def _without_passwords(text: str) -> str:
    from infra.storage import strip_password

    return strip_password(text)


app = typer.Typer(
    cls=_Group,
    help="Which λ is best for this model, with what certainty, and was it worth it. Start with `lagrange sweep`.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

HomeOption = Annotated[str | None, typer.Option("--home", help="Where sweeps, runs and files are kept (default: ./mlflow_runs).")]
CatalogueOption = Annotated[str | None, typer.Option("--catalogue-url", help="Database of sweeps and members, such as postgresql://…")]
TrackingOption = Annotated[str | None, typer.Option("--tracking-uri", help="MLflow server or store.")]
StorageOption = Annotated[
    str | None, typer.Option("--storage", help="Folder of checkpoints and weights; on a cluster, one that all nodes share.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PlainOption = Annotated[bool, typer.Option("--plain", help="Lines instead of a live table.")]
WorkersOption = Annotated[int | None, typer.Option(help="Members trained at once (default: as many as fit).", min=1)]
AddressOption = Annotated[str | None, typer.Option(help="A Ray cluster that is up: auto or HOST:PORT (default: a local one).")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lagrange {version('lagrange-search')}")
        raise typer.Exit(OK)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)] = False,
) -> None:
    del debug, version


# --- sweeping -----------------------------------------------------------------------------------------------------------------------------


@app.command()
def sweep(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="An objective, a preset, or a YAML file.")] = "quickstart",
    dataset: Annotated[str | None, typer.Option(help="The data set.")] = None,
    data_root: Annotated[str | None, typer.Option(help="The folder that holds it.")] = None,
    model: Annotated[str | None, typer.Option(help="The model.")] = None,
    trials: Annotated[int | None, typer.Option(help="Configs searched, off arm included; confirmation comes on top.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each training.")] = None,
    seed: Annotated[int | None, typer.Option(help="The sweep's seed: the same draws and initializations.")] = None,
    gpu: Annotated[float | None, typer.Option(help="GPUs of each training: 1, or a fraction to share one.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the spec: search.beta.low=0.1. Repeatable.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The sweep's name (default: made up from objective and data set).")] = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan and its cost; start nothing.")] = False,
    plain: PlainOption = False,
) -> None:
    """Search λ, confirm it on fresh seeds, and say whether it was worth it."""
    from infra.storage import sweep_name
    from search.kept import refuse_taken
    from search.spec.reading import expand

    short = {
        "dataset.name": dataset,
        "dataset.root": data_root,
        "model": model,
        "budget.trials": trials,
        "budget.epochs": epochs,
        "seed": seed,
        "resources.gpu": gpu,
    }
    overrides = [f"{key}={json.dumps(value)}" for key, value in short.items() if value is not None] + list(settings or [])
    specs = expand(_source(target), overrides, remote=address is not None)
    place = _home(home, catalogue_url, tracking_uri, storage)
    _print_warnings(specs)
    if dry_run:
        refuse_taken(place, [chosen and sweep_name(chosen) for chosen in _names(specs, name)])
        for spec in specs:
            _print_dry_run(spec, place, workers)
        return
    _exit(_run_all(specs, _names(specs, name), place, workers, address, plain))


def _print_warnings(specs: Sequence[Spec]) -> None:
    """What the objectives say against the specs, once, before anything is trained. On standard error: a dry run's output is a spec."""
    from search.spec.faults import warnings

    for warning in dict.fromkeys(warning for spec in specs for warning in warnings(spec)):
        typer.secho(f"note: {warning}", fg=typer.colors.YELLOW, err=True)


def _source(target: str) -> str | Path | dict[str, Any]:
    """The spec that TARGET stands for."""
    from objectives.registry import names, unknown
    from search.errors import SpecError
    from search.spec.text import presets

    if target in presets():
        return presets()[target]
    if target in names("objective") or ":" in target:
        return {"objective": target}
    if Path(target).is_file() or target.endswith((".yaml", ".yml")):
        return target
    known = [*names("objective"), *presets()]
    raise SpecError([unknown("TARGET (an objective, a preset or a YAML file)", target, known)])


def _names(specs: Sequence[Spec], name: str | None) -> list[str | None]:
    """One name per sweep: a matrix appends what varies to the name that was asked for."""
    if name is None or len(specs) == 1:
        return [name] * len(specs)
    named = [(spec.objective, spec.model or "", spec.dataset.name or "") for spec in specs]
    parts = [tuple(part.replace(":", ".") for part in one) for one in named]
    varying = [axis for axis in range(3) if len({part[axis] for part in parts}) > 1]
    stems = ["-".join([name, *(part[axis] for axis in varying)]) for part in parts]
    return [stem if stems.count(stem) == 1 else f"{stem}-{place}" for place, stem in enumerate(stems, 1)]


def _run_all(
    specs: Sequence[Spec], names: Sequence[str | None], home: Home, workers: int | None, address: str | None, plain: bool
) -> list[Outcome]:
    """One sweep after the other; a matrix shares one running Ray."""
    from search.kept import refuse_taken
    from search.sweep import run

    outcomes: list[Outcome] = []
    if len(specs) > 1:
        refuse_taken(home, names)  # all of a matrix, before its first sweep begins; `run` looks up its own
    with _one_ray(specs, workers, address):
        for spec, name in zip(specs, names, strict=True):
            with _display(plain) as display:
                outcome = run(spec, name=name, home=home, workers=workers, address=address, listener=display)
            outcomes.append(outcome)
            _print_outcome(outcome, home, spec.objective)
            if outcome.status == "interrupted":
                break
    return outcomes


@contextmanager
def _one_ray(specs: Sequence[Spec], workers: int | None, address: str | None) -> Iterator[None]:
    if len(specs) < 2:
        yield
        return
    from infra import cluster

    cpu, gpu = max(spec.resources.cpu for spec in specs), max(spec.resources.gpu for spec in specs)
    folder = Path.cwd() if address and any(spec.own for spec in specs) else None
    with cluster.connect(address, workers=workers, cpu=cpu, gpu=gpu, folder=folder):
        yield


@app.command()
def resume(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep.")],
    trials: Annotated[str | None, typer.Option(metavar="+N|N", help="Search so many more configs (+40), or so many in all (40).")] = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
    plain: PlainOption = False,
) -> None:
    """Go on with a sweep that was interrupted, or search more configs."""
    from search.sweep import resume as go_on

    place = _home(home, catalogue_url, tracking_uri, storage)
    more = None if trials is None else _more_trials(name, trials, place)
    with _display(plain) as display:
        outcome = go_on(name, home=place, trials=more, workers=workers, address=address, listener=display)
    with _catalogue(place) as catalogue:
        objective = catalogue.sweep(name).objective
    _print_outcome(outcome, place, objective)
    _exit([outcome])


def _more_trials(name: str, given: str, home: Home) -> int:
    """How many configs to add: `+40` adds, `40` is the new total."""
    from search.errors import SpecError

    if not given.removeprefix("+").isdigit() or int(given) == 0:
        raise SpecError([f"--trials must be +N (so many more) or N (so many in all); got {given!r}. Write --trials +40."])
    if given.startswith("+"):
        return int(given)
    with _catalogue(home) as catalogue:
        have = int(catalogue.sweep(name).spec.get("budget", {}).get("trials", 0))
    if int(given) <= have:
        raise SpecError([f"--trials N must be more than the {have} configs the sweep has; got {given}. To add, write --trials +{given}."])
    return int(given) - have


def _print_outcome(outcome: Outcome, home: Home, objective: str) -> None:
    from search.telling.answer_text import print_answer
    from search.telling.live import duration

    console = printing.console()
    if outcome.answer is not None:
        print_answer(console, outcome.name, outcome.answer, outcome.notes, _shown_home(home), _usual(objective))
    else:
        for note in outcome.notes:
            console.print(f"note: {_without_passwords(note)}", markup=False, style="yellow", soft_wrap=True)
    if outcome.status == "interrupted":
        _error(f"{outcome.name} was interrupted; nothing is lost. Go on with: lagrange resume {outcome.name}{_home_option(home)}")
    elif outcome.status == "failed":
        _error(f"{outcome.name} failed: {outcome.problem}")
        _error(f"See every member's state and reason: lagrange show {outcome.name}{_home_option(home)}")
    elif outcome.seconds:
        console.print(f"took {duration(outcome.seconds)}", style="dim")


def _usual(objective: str) -> dict[str, Any]:
    """The defaults of an objective's knobs; none where it can no longer be loaded."""
    from objectives.base import ObjectiveError
    from objectives.registry import load

    with suppress(ObjectiveError):
        return {name: knob.default for name, knob in load(objective).knobs.items()}
    return {}


def _print_dry_run(spec: Spec, home: Home, workers: int | None) -> None:
    from search.estimate import dry_run
    from search.telling.live import duration

    plan = dry_run(spec, home=home, workers=workers)
    console = printing.console()
    console.print(plan.spec.to_yaml().rstrip(), markup=False, highlight=False, soft_wrap=True)
    counts = "; ".join(f"{phase} {count} members, at most {plan.epochs[phase]} epochs" for phase, count in plan.members.items())
    told = f"# {counts}\n# about {duration(plan.estimate_seconds)} on {plan.workers} workers at most, from {plan.basis}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)


def _exit(outcomes: Sequence[Outcome]) -> None:
    statuses = {outcome.status for outcome in outcomes}
    if "interrupted" in statuses:
        raise typer.Exit(INTERRUPTED)
    if "failed" in statuses:
        raise typer.Exit(FAILED)


# --- looking ------------------------------------------------------------------------------------------------------------------------------


@app.command("ls")
def list_sweeps(as_json: JsonOption = False, home: HomeOption = None, catalogue_url: CatalogueOption = None) -> None:
    """List the sweeps."""
    place = _home(home, catalogue_url)
    with _catalogue(place) as catalogue:
        rows = [(row, _status(catalogue, row)) for row in catalogue.sweeps()]
    if as_json:
        printing.as_json([_sweep_entry(row, status) for row, status in rows])
        return
    if not rows:
        typer.echo(f"No sweeps in {_without_passwords(place.catalogue_url)}. Start one: lagrange sweep")
        return
    table = printing.table("name", "objective", "model", "data set", "status", "created", "verdict")
    for row, status in rows:
        verdict = str((row.answer or {}).get("verdict", ""))
        table.add_row(row.name, row.objective, row.model, row.dataset, status, f"{row.created:%Y-%m-%d %H:%M}", verdict)
    printing.console().print(table)


def _status(catalogue: Any, row: SweepRow) -> str:
    """A sweep that says `running` without a living driver was killed."""
    return "interrupted" if row.status == "running" and not catalogue.locked_by(row.name) else row.status


def _sweep_entry(row: SweepRow, status: str) -> dict[str, Any]:
    return {
        "name": row.name,
        "objective": row.objective,
        "model": row.model,
        "dataset": row.dataset,
        "status": status,
        "created": row.created.isoformat(),
        "finished": row.finished.isoformat() if row.finished else None,
        "answer": row.answer,
    }


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep.")],
    member: Annotated[int | None, typer.Option(help="One member of it: config, state, reason, traceback, curve.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Show a sweep's answer and members, or one member."""
    place = _home(home, catalogue_url)
    with _catalogue(place) as catalogue:
        if member is not None:
            _show_member(name, catalogue.member(name, member), catalogue.reports(name, member), as_json)
            return
        row, members = catalogue.sweep(name), catalogue.members(name)
        status = _status(catalogue, row)
    if as_json:
        printing.as_json(_sweep_entry(row, status) | {"spec": row.spec, "members": [_member_entry(one) for one in members]})
        return
    printing.console().print(
        f"{name}: {row.objective} × {row.model or '–'} × {row.dataset} · {status}", markup=False, highlight=False, style="bold"
    )
    printing.console().print(_members_table(members))
    if row.answer is not None:
        from search.choosing.answer import Answer
        from search.telling.answer_text import print_answer

        print_answer(printing.console(), name, Answer.from_dict(row.answer), home=_shown_home(place), usual=_usual(row.objective))
    elif status == "failed" and (problem := row.facts.get("problem")):
        again = f"lagrange resume {name}{_home_option(place)}"
        told = f"it failed: {problem}\nWhere the spec is at fault, correct it and sweep under another name; else go on with: {again}"
        printing.console().print(told, markup=False, highlight=False, soft_wrap=True)
    elif status != "running":
        printing.console().print(f"no answer yet; go on with: lagrange resume {name}{_home_option(place)}", markup=False, soft_wrap=True)


def _members_table(members: Sequence[MemberRow]) -> Any:
    from rich.markup import escape

    from search.telling.live import COLOURS, config_text, score_text

    table = printing.table("member", "phase", "arm", "state", "score", "epochs", "config", "reason")
    names = list(dict.fromkeys(name for one in members for name in one.config))
    # What no member varies is in the spec, and in `--member N`.
    varied = [name for name in names if len({one.config.get(name) for one in members}) > 1] or names
    for one in members:
        state = one.state or "open"
        table.add_row(
            str(one.number),
            one.phase,
            one.arm,
            f"[{COLOURS.get(state, 'dim')}]{state}[/]",
            score_text(one.score),
            str(one.epochs),
            escape(config_text({key: one.config[key] for key in varied if key in one.config})),
            escape(one.reason.partition("\n")[0]),
        )
    return table


def _member_entry(one: MemberRow) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _show_member(name: str, one: MemberRow, reports: Sequence[Any], as_json: bool) -> None:
    from search.telling.live import config_text, duration, score_text, sparkline

    curve = [{"epoch": report.epoch, "rung_score": report.rung_score, **report.metrics} for report in reports]
    if as_json:
        printing.as_json(_member_entry(one) | {"curve": curve})
        return
    console = printing.console()
    facts = {
        "member": f"{name}/{one.number}",
        "phase": f"{one.phase} (arm {one.arm})" if one.arm else one.phase,
        "config": config_text(one.config),
        "seed": str(one.seed),
        "state": one.state or "open",
        "reason": one.reason,
        "score": score_text(one.score),
        "epochs": f"{one.epochs} in {duration(one.seconds)}",
        "curve": sparkline([report.rung_score for report in reports]),
    }
    facts |= {key: score_text(value) if isinstance(value, float) else str(value) for key, value in one.metrics.items()}
    printing.facts(facts)
    if one.traceback:
        console.print(one.traceback.rstrip(), markup=False, highlight=False, soft_wrap=True)


@app.command()
def best(
    objective: Annotated[str | None, typer.Option(help="Of this objective only.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Of this data set only.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """The best λ per model: one row for each objective, model and data set."""
    from search.choosing.answer import number
    from search.telling.answer_text import effect_text
    from search.telling.exports import best as best_rows

    place = _home(home, catalogue_url)
    rows = best_rows(objective, dataset, home=place)
    if as_json:
        keys = ("objective", "model", "dataset", "sweep", "score_name")
        printing.as_json([{key: getattr(row, key) for key in keys} | {"answer": row.answer.to_dict()} for row in rows])
        return
    if not rows:
        asked = " and ".join(f"{what} {given!r}" for what, given in (("objective", objective), ("data set", dataset)) if given)
        typer.echo(f"No sweep{f' of {asked}' if asked else ''} has an answer yet. See them all: lagrange ls")
        return
    table = printing.table("objective", "model", "data set", "best λ", "score", "effect", "verdict", "sweep")
    for row in rows:
        answer = row.answer
        off = answer.recommended_arm == "off"  # where no λ has anything to show, off is the best value that is known
        best = [(one.name, f"{number(one.off)} (off)" if off else number(one.value)) for one in answer.lambdas]
        values = ", ".join(f"{name} = {value}" for name, value in best)
        score = f"{row.score_name} {number(answer.off_score if off else answer.best_score)}"
        what = (row.objective, row.model, _data_name(row.spec), values)
        table.add_row(*what, score, effect_text(answer.effect), str(answer.verdict), row.sweep)
    printing.console().print(table)


def _data_name(spec: Mapping[str, Any]) -> str:
    """A data set as a table shows it: with its file or folder where the user's own decides what it is."""
    dataset = spec.get("dataset") or {}
    own = {"array_file": dataset.get("path"), "image_folder": dataset.get("root")}.get(str(dataset.get("name")))
    return f"{dataset.get('name')} ({Path(own).name})" if own else str(dataset.get("name"))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="The port on this machine's loopback.", min=1, max=65535)] = 5000,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Open MLflow on the store of the sweeps; Ctrl-C ends it."""
    import socket

    from infra.errors import InfraError
    from infra.storage import sqlite_path

    place = _home(home, tracking_uri=tracking_uri)
    store = place.tracking_uri
    if store.startswith(("http://", "https://")):
        typer.echo(f"The runs are on a server: {_without_passwords(store)}")
        return
    file = sqlite_path(store)
    if file is not None and not file.exists():
        raise InfraError(f"The MLflow store must exist; {file} does not. Run a sweep first, or give --home.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InfraError(
                f"The port must be free; {port} is not ({error.strerror}). Choose another: lagrange ui --port {port + 1}"
            ) from error
    typer.echo(f"MLflow will be on http://127.0.0.1:{port} in some seconds (Ctrl-C ends it)")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # The store's URL may hold a password: it travels in the environment, not on a command line that every user can read.
    where = {"MLFLOW_BACKEND_STORE_URI": store, "MLFLOW_DEFAULT_ARTIFACT_ROOT": str(place.artifacts)}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    raise typer.Exit(_serve(command, os.environ | where | quiet))


def _serve(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a server until it ends or we are told to stop. It gets a process group of its own: its children outlive it otherwise."""
    import signal
    import subprocess

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(command, env=env, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return OK
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=10)
        signal.signal(signal.SIGTERM, before)


@app.command()
def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: StorageOption = None,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Remove a sweep: rows, files, Optuna's studies, and its MLflow runs (marked deleted)."""
    from search.kept import remove

    place = _home(home, catalogue_url, storage=storage)
    with _catalogue(place) as catalogue:
        members = len(catalogue.members(name))
    if not yes:
        typer.confirm(f"Remove {name} with its {members} members, weights and reports?", abort=True)
    for left in remove(name, home=place):
        typer.echo(left, err=True)
    typer.echo(f"removed {name}")


# --- exporting ----------------------------------------------------------------------------------------------------------------------------


@app.command()
def export(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A sweep.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write (default: standard output).")] = None,
    folder: Annotated[Path | None, typer.Option("--all", metavar="DIR", help="One file for each objective, model and data set.")] = None,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Write the best config as a spec that `lagrange train` takes, with its provenance and its promise."""
    from search.errors import SpecError
    from search.telling.exports import export as export_one
    from search.telling.exports import export_all

    place = _home(home, catalogue_url)
    if (name is None) == (folder is None):
        raise SpecError(["export must be given a sweep's NAME or --all DIR, and not both. See the sweeps: lagrange ls"])
    if folder is not None:
        written = export_all(folder, home=place)
        for path in written:
            typer.echo(str(path))
        if not written:
            typer.echo("No sweep has an answer yet. See them all: lagrange ls", err=True)
        return
    text = export_one(str(name), output, home=place)
    typer.echo(text.rstrip() if output is None else f"wrote {output}; retrain with: lagrange train {output}")


@app.command()
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
    """Train one config and hold it to its promise. Needs no Ray."""
    from search.retrain import train as train_one

    place = _home(home, catalogue_url, tracking_uri)
    with _display(plain) as display:
        result = train_one(target, home=place, seed=seed, out=output, listener=display)
    printing.facts(_retrained_facts(result))
    if result.state != "complete":
        _error(f"the training ended {result.state}: {result.reason}")
        raise typer.Exit(FAILED)


def _retrained_facts(result: Retrained) -> dict[str, str]:
    from search.choosing.answer import number
    from search.telling.live import duration

    facts = {"score": f"{result.score_name} {number(result.score)}", "seed": str(result.seed), "state": result.state}
    if result.promise is not None:
        inside = "inside" if result.inside else "outside"
        low, high = float(result.promise["low"]), float(result.promise["high"])
        promised = f"{number(low, high - low)} to {number(high, high - low)}"
        facts["promise"] = f"{inside} the 95 % prediction interval {promised}"
    if result.reproduces is not None:
        same = "exactly" if result.reproduces == result.score else f"not exactly: it was {result.reproduces!r}"
        facts["reproduces"] = f"the number of the member with this seed, {same}"
    return facts | {"files": str(result.folder), "took": duration(result.seconds)}


# --- what exists --------------------------------------------------------------------------------------------------------------------------


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
for _family in _TITLES:
    app.command(_family)(_listing(_family))


@app.command()
def check(
    objective: Annotated[
        str | None, typer.Argument(metavar="[OBJECTIVE]", help="An objective, or package.module:Class; none: all.")
    ] = None,
    knobs: Annotated[list[str] | None, typer.Option("--knob", help="Only this λ. Repeatable.")] = None,
    dataset: Annotated[str | None, typer.Option(help="The data set (default: the objective's first).")] = None,
    data_root: Annotated[str | None, typer.Option(help="The folder that holds it.")] = None,
    model: Annotated[str | None, typer.Option(help="The model.")] = None,
    likelihood: Annotated[str | None, typer.Option(help="The likelihood.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove on one batch that each λ changes the loss and its gradient as it should, and not the score. Exit code 1: a λ is not alive."""
    from search.cli import checking

    rows = checking.rows(objective, knobs, dataset=dataset, root=data_root, model=model, likelihood=likelihood)
    if as_json:
        printing.as_json(rows)
    else:
        printing.entries(
            [{**row, "verdict": _VERDICTS[row["verdict"]]} for row in rows], ("objective", "knob", "verdict", "fault", "message")
        )
    if any(row["verdict"] == "failed" for row in rows):
        raise typer.Exit(1)


_VERDICTS = {"passed": "alive", "failed": "FAILED", "unproven": "not proven"}


@app.command()
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
    """Say what the λ of another project is here: --from pytorch-vae kld_weight=0.00025 --image 64x64x3."""
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
    """All conventions, or the loss, the settings and the parameters of one."""
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


# --- shared -------------------------------------------------------------------------------------------------------------------------------


def _home(home: str | None, catalogue_url: str | None = None, tracking_uri: str | None = None, storage: str | None = None) -> Home:
    from infra.storage import Home

    return Home.open(home, catalogue_url=catalogue_url, tracking_uri=tracking_uri, storage=storage)


def _catalogue(home: Home) -> Any:
    """The catalogue, for looking: nothing is made where there is none."""
    from infra.catalogue import Catalogue

    return Catalogue(home.catalogue_url, create=False)


def _shown_home(home: Home) -> str:
    """The home as a command needs it: empty where it is the default of the current folder."""
    default = Path.cwd() / "mlflow_runs"
    return "" if home.root == default or os.environ.get("LAGRANGE_HOME") else str(home.root)


def _home_option(home: Home) -> str:
    shown = _shown_home(home)
    return f" --home {shown}" if shown else ""


@contextmanager
def _display(plain: bool) -> Iterator[Any]:
    from search.telling.live import Display

    with Display(printing.console(), plain=True if plain else None) as display:
        yield display


def main() -> None:
    """The console script. The current folder is where a user's own `module:Class` lies; console scripts do not put it on the path."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    app(prog_name="lagrange")


if __name__ == "__main__":
    main()
