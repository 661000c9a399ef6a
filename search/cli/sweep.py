"""`lagrange sweep` and `lagrange resume`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.ray import cluster
from infra.ray.nodes import Need
from infra.ray.shipping import in_job
from infra.storage import Home, strip_address, strip_passwords, sweep_name, there
from infra.storage.hints import command
from objectives.checks.device import device_of
from objectives.registry import only_looked_at
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
from search.cli.ending import in_time
from search.cli.export import register_apart
from search.cli.shared import (
    AddressOption,
    CatalogueOption,
    EnvironmentFileOption,
    HomeOption,
    PlainOption,
    StorageOption,
    TrackingOption,
    WorkersOption,
    catalogue_of,
    home_of,
    print_error,
    print_warning,
    shown,
    shown_folder,
    usual,
    without_passwords,
)
from search.cli.submitted import is_dashboard, refuse_lost_home, resume_submitted
from search.exit_codes import TAKEN_OVER, UNCONFIRMED, UNREACHABLE, of_statuses

if TYPE_CHECKING:
    from search.spec.keys import Spec
    from search.sweep import Outcome


@in_time(lambda: "interrupted")
def sweep(
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
    name: Annotated[str | None, typer.Option(help="The sweep's name (default: made up from objective and data set).")] = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved plan and its cost; start nothing.")] = False,
    register: Annotated[
        bool,
        typer.Option("--register", help="At the end register the model in MLflow, as `lagrange register` does, in a process of its own."),
    ] = False,
    plain: PlainOption = False,
    again: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep of that --name if there is one, or say that it is complete: for retries."),
    ] = False,
    environment_file: EnvironmentFileOption = None,
) -> None:
    """Search λ, confirm it on fresh seeds, and say whether it was worth it."""
    from search.errors import SpecError
    from search.running.where import is_remote
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
    refuse_lost_home(place)
    if dry_run:
        with only_looked_at():
            with redirect_stdout(sys.stderr):  # a user's module may print
                specs = expand(source(target), asked, remote=is_remote(address))
            print_warnings(specs)
            _dry_run(specs, _names(specs, name), place, workers, address)
        return
    if again and name is None:
        raise SpecError(["--resume must know which sweep to go on with; no --name was given. Give one that no other sweep has."])
    specs = expand(source(target), asked, remote=is_remote(address))
    print_warnings(specs)
    outcomes = _run_all(specs, _names(specs, name), place, workers, address, plain, again)
    for outcome in outcomes if register else ():
        if outcome.answer is not None:
            register_apart(outcome.name, place)
    _exit(outcomes)


# What a dry run says of the time where it would have to call code of the user's.
UNTIMED = "how long it takes is not known: code of your own is not called here. `lagrange plan --timed` trains one epoch with it and says"


def _dry_run(specs: Sequence[Spec], names: Sequence[str | None], place: Home, workers: int | None, address: str | None) -> None:
    """Print what sweeps would do."""
    from search.kept import admitted, refuse_taken
    from search.running.where import is_remote

    refuse_taken(place, [None if chosen is None else sweep_name(chosen) for chosen in names])
    for spec in specs:
        sources = admitted(place, spec, None)
        if not is_remote(address):
            refuse_device(spec)
        _print_dry_run(spec, place, workers)
        for line in prior_said(spec, sources):
            printing.console().print(f"# {line}", markup=False, highlight=False, soft_wrap=True)


def print_warnings(specs: Sequence[Spec]) -> None:
    """Print the objectives' warnings once, before training. On standard error, because the output of a dry run is a spec."""
    from search.spec.faults import warnings

    for warning in dict.fromkeys(warning for spec in specs for warning in warnings(spec)):
        typer.secho(f"note: {warning}", fg=typer.colors.YELLOW, err=True)


def refuse_device(spec: Spec) -> None:
    """Raise ObjectiveError where torch does not find the device of a spec on this machine, on which a sweep would train."""
    if spec.device != "cpu":  # to look for one loads torch
        device_of(spec.device)


def prior_said(spec: Spec, sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """From which answers a sweep would start."""
    from search.telling.text.live import config_text

    found = [f"prior: {one['name']} ({one['model']}, {one['dataset']}): {config_text(one['best'])}" for one in sources]
    return found or (["prior: auto finds no sweep that can be used; the sweep would start cold"] if spec.prior else [])


def source(target: str) -> str | Path | dict[str, Any]:
    """The spec that TARGET names."""
    from objectives.registry import names, unknown
    from search.errors import SpecError
    from search.spec.text import presets

    if target in presets():
        return presets()[target]
    if target in names("objective") or ":" in target or target.endswith(".py"):
        return {"objective": target}
    if (there(target) and Path(target).is_file()) or target.endswith((".yaml", ".yml")):
        return target
    known = [*names("objective"), *presets()]
    raise SpecError([unknown("TARGET (an objective, a preset, or a file that ends in .yaml or .py)", target, known)])


def _names(specs: Sequence[Spec], name: str | None) -> list[str | None]:
    """One name per sweep. A matrix appends what varies to the name that was asked for."""
    if name is None or len(specs) == 1:
        return [name] * len(specs)
    named = [(spec.objective, spec.model or "", spec.dataset.name or "") for spec in specs]
    parts = [tuple(part.replace(":", ".") for part in one) for one in named]
    varying = [axis for axis in range(3) if len({part[axis] for part in parts}) > 1]
    stems = ["-".join([name, *(part[axis] for axis in varying)]) for part in parts]
    return [stem if stems.count(stem) == 1 else f"{stem}-{place}" for place, stem in enumerate(stems, 1)]


def _run_all(
    specs: Sequence[Spec], names: Sequence[str | None], home: Home, workers: int | None, address: str | None, plain: bool, again: bool
) -> list[Outcome]:
    """Run one sweep after the other. All sweeps of a matrix share one running Ray. `again`: those that were begun go on."""
    from search.ensured import ensure
    from search.kept import refuse_taken
    from search.sweep import run
    from search.telling.text.live import sweep_of

    begin: Callable[..., Outcome] = ensure if again else run
    outcomes: list[Outcome] = []
    wanted = [sweep_name(name) for name in names if name is not None]
    if wanted and not again:
        refuse_taken(home, wanted, print_warning)  # before it is said that anything starts; all names of a matrix before its first sweep
    printing.console().print(f"{_beginning(address)} and reading the data …", style="dim")  # it takes seconds before a member begins
    with _one_ray(specs, workers, address):
        for spec, name in zip(specs, names, strict=True):
            started = time.monotonic()
            with shown(plain, home) as display, in_time(lambda: _interrupted(sweep_of(display), home, address)):
                outcome = begin(spec, name=name, home=home, workers=workers, address=address, listener=display)
            outcome = replace(outcome, seconds=time.monotonic() - started)  # as a person counts it, the start of the workers too
            outcomes.append(outcome)
            _print_outcome(outcome, home, spec.objective, address)
            if outcome.status in ("interrupted", UNREACHABLE):
                break
    return outcomes


def _beginning(address: str | None) -> str:
    """What happens before a sweep begins, with its first word."""
    from search.running.where import IN_PROCESS

    if address is None:
        return "starting the workers"
    return "loading" if address == IN_PROCESS else f"asking the Ray at {strip_address(address)} for workers"


@contextmanager
def _one_ray(specs: Sequence[Spec], workers: int | None, address: str | None) -> Iterator[None]:
    from search.running.where import IN_PROCESS, shipped

    if len(specs) < 2 or address == IN_PROCESS:
        yield
        return

    largest = Need(*(max(getattr(spec.resources, kind) for spec in specs) for kind in ("cpu", "gpu")))
    with shipped(specs, address) as folder, cluster.connect(address, workers=workers, need=largest, folder=folder):
        yield


@in_time(lambda: "interrupted")
def resume(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep.")],
    trials: Annotated[str | None, typer.Option(metavar="+N|N", help="Search so many more configs (+40), or so many in all (40).")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try members again that are missing for reasons that are not their own (workers, nodes).")
    ] = False,
    retry_all_failed: Annotated[
        bool, typer.Option("--retry-all-failed", help="The same, and those that failed by their own fault, which you have mended.")
    ] = False,
    budget: Annotated[
        list[str] | None,
        typer.Option(metavar="TOTAL=N", help="Another total: gpu_hours, cpu_hours, cost or wall_minutes, as cost=80."),
    ] = None,
    workers: WorkersOption = None,
    address: AddressOption = None,
    storage: StorageOption = None,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
    catalogue_url: CatalogueOption = None,
    plain: PlainOption = False,
    environment_file: EnvironmentFileOption = None,
    begin: Annotated[list[str] | None, typer.Option(hidden=True, help="What `submit` was given: TARGET, and settings.")] = None,
) -> None:
    """Go on with a sweep that was interrupted, or search more configs. With the address of a dashboard, of one that was submitted."""
    from search.ensured import PATIENCE_S, row_of, waited
    from search.kept import Again, More
    from search.sweep import resume as go_on

    if is_dashboard(address):
        words = ["--retry-failed"] * retry_failed + ["--retry-all-failed"] * retry_all_failed
        words += [word for one in budget or () for word in ("--budget", one)]
        return resume_submitted(name, str(address), trials, workers, home, storage, words)
    place = home_of(home, catalogue_url, tracking_uri, storage)
    refuse_lost_home(place)
    if begin and row_of(place, name, print_warning) is None:
        return _begin(name, begin, place, workers, address, plain, bool(trials or retry_failed or retry_all_failed or budget))
    if in_job():  # the job before it may have been killed a moment ago
        waited(place, name, PATIENCE_S)
    more = None if trials is None else _more_trials(name, trials, place)
    again = Again.FAILED if retry_all_failed else Again.MISSING if retry_failed else Again.NONE
    beside = More(again, _totals(budget or ()))
    started = time.monotonic()
    with shown(plain, place) as display, in_time(lambda: _interrupted(name, place, address)):
        outcome = go_on(name, home=place, trials=more, more=beside, workers=workers, address=address, listener=display)
    outcome = replace(outcome, seconds=time.monotonic() - started) if outcome.seconds else outcome
    objective = ""
    if outcome.answer is not None:  # else the catalogue may be gone
        with catalogue_of(place) as catalogue:
            objective = catalogue.sweep(name).objective
    _print_outcome(outcome, place, objective, address)
    _exit([outcome])


def _begin(name: str, begin: Sequence[str], home: Home, workers: int | None, address: str | None, plain: bool, more: bool) -> None:
    """Start a sweep that was submitted, and whose driver was stopped before it had begun."""
    from search.errors import SpecError
    from search.running.where import is_remote
    from search.spec.reading import expand

    if more:
        raise SpecError([f"A sweep must have begun before it gets more; {name!r} was stopped before. Resume it without --trials first."])
    specs = expand(source(begin[0]), begin[1:], remote=is_remote(address))
    _exit(_run_all(specs, [name], home, workers, address, plain, True))


def _totals(given: Sequence[str]) -> dict[str, float]:
    """`cost=80` as a mapping."""
    from search.errors import SpecError

    found = {}
    for one in given:
        name, _, value = one.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise SpecError([f"--budget must be TOTAL=NUMBER; got {one!r}. Write --budget cost=80."]) from None
    return found


def _more_trials(name: str, given: str, home: Home) -> int:
    """How many configs to add: `+40` adds 40, `40` is the new total."""
    from search.errors import SpecError

    if not given.removeprefix("+").isdecimal() or len(given) > 16 or int(given) == 0:
        raise SpecError([f"--trials must be +N (so many more) or N (so many in all); got {given[:40]!r}. Write --trials +40."])
    if given.startswith("+"):
        return int(given)
    with catalogue_of(home) as catalogue:
        have = int(catalogue.sweep(name).spec.get("budget", {}).get("trials", 0))
    if int(given) <= have:
        raise SpecError([f"--trials N must be more than the {have} configs the sweep has; got {given}. To add, write --trials +{given}."])
    return int(given) - have


def _print_outcome(outcome: Outcome, home: Home, objective: str, address: str | None) -> None:
    from search.telling.text.answer import print_answer
    from search.telling.text.live import duration

    console = printing.console()
    if outcome.answer is not None:
        folder = shown_folder(home, outcome.name)
        print_answer(console, outcome.name, outcome.answer, outcome.notes, home, usual(objective), files=folder)
    else:
        for note in outcome.notes:
            console.print(f"note: {without_passwords(note)}", markup=False, style="yellow", soft_wrap=True)
    if outcome.place.run:
        console.print(_in_mlflow(outcome, home), markup=False, highlight=False, soft_wrap=True, style="dim")
    if outcome.status == "interrupted":
        print_error(_interrupted(outcome.name, home, address))
    elif outcome.status == UNREACHABLE:
        again = command(f"resume {outcome.name}", home, address=address)
        if outcome.problem.endswith("."):
            print_error(f"{outcome.name} ended, for a store is gone: {outcome.problem} Nothing that ended is lost. Go on with: {again}")
        else:  # a disk, with what to do about it
            print_error(f"{outcome.name} stopped: {outcome.problem}, then go on with: {again}")
    elif outcome.status == TAKEN_OVER:
        print_error(f"{outcome.name}: {outcome.problem} Watch it with: {command(f'watch {outcome.name}', home)}")
    elif outcome.status == "refused":
        print_error(f"{outcome.name} was refused: {outcome.problem}")
    elif outcome.status == "failed":
        print_error(f"{outcome.name} failed: {outcome.problem}")
        print_error(f"See every member's state and reason: {command(f'show {outcome.name}', home)}")
    elif outcome.seconds:
        console.print(f"took {duration(outcome.seconds)}", style="dim")


def _interrupted(name: str, home: Home, address: str | None) -> str:
    if not name:  # it has not begun
        return "interrupted"
    return f"{name} was interrupted; nothing is lost. Go on with: {command(f'resume {name}', home, address=address)}"


def _in_mlflow(outcome: Outcome, home: Home) -> str:
    """Where MLflow shows a sweep: on a server now, else as soon as `lagrange ui` runs."""
    from infra.tracking.ui import base_url, is_database

    link = f"{base_url(home)}{outcome.place.runs}"
    served = f"{command(f'ui {outcome.name}', home)}, then " if is_database(home.tracking_uri) else ""
    return f"in MLflow: {served}{link}"


def _print_dry_run(spec: Spec, home: Home, workers: int | None) -> None:
    from search.estimate import dry_run, goals_said
    from search.spec.hours import words
    from search.spec.text import to_yaml
    from search.telling.text.live import duration

    with redirect_stdout(sys.stderr):
        plan = dry_run(spec, home=home, workers=workers)
    console = printing.console()
    console.print(to_yaml(strip_passwords(plan.spec.plain())).rstrip(), markup=False, highlight=False, soft_wrap=True)
    counts = "; ".join(f"{phase} {count} members, at most {plan.epochs[phase]} epochs" for phase, count in plan.members.items())
    if plan.expected_epochs is not None:
        counts += f"; {plan.expected_epochs:,.0f} epochs expected, for some members end early"
    if plan.fits is not None:
        counts += f"\n# the budget has room for about {plan.fits} of {sum(plan.members.values())} members"
    took = f"about {words(spec, plan.worker_seconds)}\n# about {duration(plan.estimate_seconds)}"
    time = f"{took} on {plan.workers} workers at most, from {plan.basis}"
    goals = "".join(f"\n# goal: {said}" for said in goals_said(spec, home))
    told = f"# {counts}\n# {UNTIMED if math.isnan(plan.estimate_seconds) else time}{goals}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)


def _exit(outcomes: Sequence[Outcome]) -> None:
    def ended(one: Outcome) -> str:
        return UNCONFIRMED if one.status == "complete" and one.answer is not None and one.answer.unconfirmed else one.status

    if code := of_statuses(map(ended, outcomes)):
        raise typer.Exit(code)
