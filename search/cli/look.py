"""Commands that look at sweeps: `lagrange ls`, `show`, `best` and `ui`; and `rm`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra import machine
from infra.errors import InfraError
from infra.storage.hints import command
from infra.storage.whereabouts import not_here
from objectives.base import Phase, lowered
from objectives.programs.log import LOG, read
from search.asking.space import AGAINST_NOTHING
from search.choosing.words import number, schedule_words
from search.cli import printing
from search.cli.shared import (
    CatalogueOption,
    HomeOption,
    JsonOption,
    StorageOption,
    TrackingOption,
    asking,
    catalogue_of,
    home_of,
    shown_folder,
    sweeps_at,
    usual,
    without_passwords,
)
from search.errors import SpecError
from search.exit_codes import FAILED, OK
from search.spec.several import better_of, own_sign

LISTED = 120  # members that `show` lists of a sweep without being asked for all

if TYPE_CHECKING:
    from infra.catalogue import MemberRow, SweepRow
    from infra.storage import Home


def list_sweeps(as_json: JsonOption = False, home: HomeOption = None, catalogue_url: CatalogueOption = None) -> None:
    """List the sweeps."""
    place = home_of(home, catalogue_url)
    with catalogue_of(place) as catalogue:
        rows = [(row, catalogue.seen(row.name).status) for row in catalogue.sweeps()]
        looked_in = catalogue.looked_in
    if as_json:
        printing.as_json([_sweep_entry(row, status) for row, status in rows])
        return
    if not rows:
        typer.echo(f"No sweeps. {looked_in} Start one: {command('sweep', place)}")
        return
    from search.choosing.answer import Answer

    table = printing.table("name", "objective", "model", "data set", "status", "created", "verdict", "exported λ")
    for row, status in rows:
        answer = Answer.from_dict(row.answer) if row.answer else None
        told = (answer.verdict_word, answer.exported_words()) if answer else ("", "")
        table.add_row(row.name, row.objective, row.model, row.dataset, status, f"{row.created:%Y-%m-%d %H:%M}", *told)
    printing.console().print(table)


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


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep.")],
    member: Annotated[int | None, typer.Option(help="One member of it: config, state, reason, traceback, curve.")] = None,
    log: Annotated[bool, typer.Option("--log", help="What this member has printed (functions and commands).")] = False,
    every: Annotated[bool, typer.Option("--all", help="List every member of a large sweep.")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Show a sweep's answer and members, or one member."""
    place = home_of(home, catalogue_url)
    with catalogue_of(place) as catalogue:
        if log:
            row = catalogue.sweep(name)
            _print_log(place.placed(row.facts), row.name, member, row.facts)
            return
        if member is not None:
            better = better_of(catalogue.sweep(name).spec)
            (one,), reports = own_sign([catalogue.member(name, member)], better), own_sign(catalogue.reports(name, member), better)
            _show_member(name, one, reports, as_json)
            return
        row = catalogue.seen(name)
        better, status = better_of(row.spec), row.status
        members = own_sign(catalogue.outline(name), better)  # whole rows are read of those that are listed
        listed = None if every or as_json else [one.number for one in _worth_a_look(members, better)]
        listed_rows = own_sign(catalogue.members(name, numbers=listed), better)
    if as_json:
        printing.as_json(_sweep_entry(row, status) | {"spec": row.spec, "members": [_member_entry(one) for one in listed_rows]})
        return
    printing.console().print(
        f"{name}: {row.objective} × {row.model or '–'} × {row.dataset} · {status}", markup=False, highlight=False, style="bold"
    )
    printing.console().print(_members_table(listed_rows, _known_to(row, members)))
    if len(listed_rows) < len(members):
        counts = ", ".join(f"{count} {state}" for state, count in sorted(Counter(one.state or "open" for one in members).items()))
        told = f"{len(listed_rows)} of {len(members)} members: open and confirmed ones, and the best of the search; "
        told += f"all: {command(f'show {name} --all', place)}"
        printing.console().print(f"{told}\n{counts}", markup=False, highlight=False, soft_wrap=True)
    from search.telling.text.answer import plan_text, print_stored

    if row.answer is not None:
        print_stored(printing.console(), name, row.answer, place, usual(row.objective), shown_folder(place, name))
        return
    if planned := row.facts.get("plan"):
        said = plan_text({"planned": planned})
        printing.console().print(said, markup=False, highlight=False, soft_wrap=True)
    again = command(f"resume {name}", place, address=row.facts.get("address"))
    if status == "failed" and (problem := row.facts.get("problem")):
        told = f"it failed: {problem}\nWhere the spec is at fault, correct it and sweep under another name; else go on with: {again}"
        printing.console().print(told, markup=False, highlight=False, soft_wrap=True)
    elif status != "running":
        printing.console().print(f"no answer yet; go on with: {again}", markup=False, soft_wrap=True)


def _print_log(home: Home, name: str, member: int | None, facts: Mapping[str, Any]) -> None:
    """Print what a member has printed."""
    if member is None:
        raise SpecError(["--log must come with --member N: each member has a log of its own."])
    path = home.own(name, member) / LOG
    for one in home.depot.names(path.parent, f"{LOG}*"):
        home.depot.fetch(one)
    if not path.exists():
        why = not_here(home, name, facts) or "it printed nothing, or its objective is no function or command"
        raise SpecError([f"member {member} of {name} has no log at {path}: {why}."])
    typer.echo(read(path), nl=False)


def _known_to(row: SweepRow, members: Sequence[MemberRow]) -> float:
    """How small a difference of two scores matters: the narrowest interval of the answer, or how far the scores lie apart."""
    told = [(row.answer or {}).get(name, {}) for name in ("effect", "promise")]
    widths: list[float] = [
        one["high"] - one["low"] for one in told if isinstance(one.get("high"), float) and isinstance(one.get("low"), float)
    ]
    scores = [one.score for one in members if one.score is not None and math.isfinite(one.score)]
    known: list[float] = [width for width in widths if 0 < width < math.inf] or [max(scores, default=0.0) - min(scores, default=0.0)]
    return min(known)


def _worth_a_look(members: Sequence[MemberRow], better: str) -> list[MemberRow]:
    """All members of a small sweep. Of a large one those that are open or were confirmed, and the best of the search."""
    if len(members) <= LISTED:
        return list(members)
    scored = [one for one in members if one.phase == Phase.SEARCH and one.score is not None and math.isfinite(one.score)]
    best = {one.number for one in sorted(scored, key=lambda one: lowered(one.score or 0.0, better))[: LISTED // 4]}
    kept = [one for one in members if one.state is None or one.phase != Phase.SEARCH or one.number in best]
    return kept[-LISTED:]


def _members_table(members: Sequence[MemberRow], known_to: float) -> Any:
    from rich.markup import escape

    from search.telling.text.live import COLOURS, config_text, score_text

    table = printing.table("member", "phase", "arm", "state", "score", "epochs", "config", "reason")
    names = list(dict.fromkeys(name for one in members for name in one.config))
    # Values that are the same for all members are not shown here: they are in the spec and in `--member N`.
    varied = [name for name in names if len({one.config.get(name) for one in members}) > 1] or names
    for one in members:
        state = one.state or "open"
        table.add_row(
            str(one.number),
            one.phase,
            one.arm,
            f"[{COLOURS.get(state, 'dim')}]{state}[/]",
            score_text(one.score, known_to),
            str(one.epochs),
            escape(config_text({key: one.config[key] for key in varied if key in one.config})),
            escape(one.reason.partition("\n")[0]),
        )
    return table


def _moving(one: MemberRow) -> dict[str, str]:
    """From whom a member started, and the knobs that moved in its training."""
    found = {"schedule": schedule_words(one.schedule)} if one.schedule else {}
    if one.parent is not None:
        found["starts from"] = f"member {one.parent} after {one.parent_epoch} epochs" + (
            f"; counts on from {one.start}" if one.start else ""
        )
    return found


def _member_entry(one: MemberRow) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one)


def _exact(value: float | None) -> str:
    """A number of one member, with enough digits to compare it with those of others."""
    return "–" if value is None or math.isnan(value) else f"{value:.6g}"


def _show_member(name: str, one: MemberRow, reports: Sequence[Any], as_json: bool) -> None:
    from search.telling.text.live import duration, sparkline

    curve = [{"epoch": report.epoch, "rung_score": report.rung_score, **report.metrics} for report in reports]
    if as_json:
        printing.as_json(_member_entry(one) | {"curve": curve})
        return
    console = printing.console()
    facts = {
        "member": f"{name}/{one.number}",
        "phase": f"{one.phase} (arm {one.arm})" if one.arm else one.phase,
        "config": ", ".join(f"{key}={value}" for key, value in one.config.items()),  # with every digit, to train it again
        "seed": str(one.seed),
        **_moving(one),
        **({"proposed by": f"prior {source}"} if (source := one.facts.get("proposed_by")) else {}),
        "state": one.state or "open",
        "reason": one.reason,
        "score": _exact(one.score),
        "epochs": f"{one.epochs} in {duration(one.seconds)}",
        "curve": sparkline([report.rung_score for report in reports]),
    }
    facts |= {key: _exact(value) if isinstance(value, float) else str(value) for key, value in one.metrics.items()}
    printing.facts(facts)
    if one.traceback:
        console.print(one.traceback.rstrip(), markup=False, highlight=False, soft_wrap=True)


def best(
    objective: Annotated[str | None, typer.Option(help="Of this objective only.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Of this data set only.")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """The best λ per model: one row for each objective, model and data set."""
    from search.telling.files.exports import best as best_rows
    from search.telling.text.answer import effect_text

    place = home_of(home, catalogue_url)
    rows = best_rows(objective, dataset, home=place)
    if as_json:
        keys = ("objective", "model", "dataset", "sweep", "score_name")
        printing.as_json([{key: getattr(row, key) for key in keys} | {"answer": row.answer.to_dict()} for row in rows])
        return
    if not rows:
        asked = " and ".join(f"{what} {given!r}" for what, given in (("objective", objective), ("data set", dataset)) if given)
        typer.echo(f"No sweep{f' of {asked}' if asked else ''} has an answer yet. {sweeps_at(place)}")
        return
    apart = {row.what: _apart([other.scale for other in rows if other.what == row.what]) for row in rows}
    columns = ["objective", "model", "data set", "exported λ", "score", "effect of λ", "verdict", "sweep"]
    table = printing.table(*columns, *(["measured with"] if any(apart.values()) else []))
    for row in rows:
        answer = row.answer
        score = f"{row.score_name} {number(answer.recommended_score, answer.promise.high - answer.promise.low)}"
        what = (row.objective, row.model, _data_name(row.spec), answer.exported_words())
        effect = effect_text(answer.effect) if answer.against != AGAINST_NOTHING else "–"
        scale = ", ".join(f"{name} {_short(row.scale.get(name, '–'))}" for name in apart[row.what])
        table.add_row(*what, score, effect, answer.verdict_word, row.sweep, *([scale] if any(apart.values()) else []))
    printing.console().print(table)


def _short(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _apart(scales: Sequence[Mapping[str, Any]]) -> list[str]:
    """In what the scores of one objective, model and data set differ, so that they cannot be compared."""
    names = dict.fromkeys(name for scale in scales for name in scale)
    return [name for name in names if len({str(scale.get(name)) for scale in scales}) > 1]


def _data_name(spec: Mapping[str, Any]) -> str:
    """A data set as a table shows it. Where the user's own file or folder decides what it is, with that file or folder."""
    dataset = spec.get("dataset") or {}
    own = {"array_file": dataset.get("path"), "image_folder": dataset.get("root")}.get(str(dataset.get("name")))
    return f"{dataset.get('name')} ({Path(own).name})" if own else str(dataset.get("name"))


def ui(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A sweep (default: the latest).")] = None,
    port: Annotated[int, typer.Option(help="The port on this machine; if it is taken, the next free one.", min=1, max=65535)] = 5000,
    home: HomeOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Open MLflow on the store of the sweeps, and say where a sweep and its answer are in it; Ctrl-C ends it."""
    from infra.catalogue.beside import refuse_no_mlflow
    from infra.tracking.ui import base_url, find, is_database, ui_command, ui_environment, usable_port

    place = home_of(home, tracking_uri=tracking_uri)
    refuse_no_mlflow(place.tracking_uri)
    served = is_database(place.tracking_uri)
    free = usable_port(port, place, name) if served else port
    shown = find(place, name or "")
    if name and not shown.run:
        raise InfraError(
            f"MLflow at {without_passwords(place.tracking_uri)} must hold the sweep {name!r}; it does not. See: {command('ls', place)}"
        )
    if not served:
        typer.echo("The runs are on a server:")
    elif free != port:
        typer.echo(f"Port {port} is taken; MLflow will be on port {free} in some seconds (Ctrl-C ends it):")
    else:
        typer.echo("MLflow will be up in some seconds (Ctrl-C ends it):")
    url = base_url(place, free)
    typer.echo(f"  {url}{shown.runs}" + (f"   # the members of {shown.sweep}" if shown.run else ""))
    if shown.run:
        typer.echo(f"  {url}{shown.answer}   # its answer")
    if served:
        raise typer.Exit(_serve(ui_command(place, free), ui_environment(place)))


def _serve(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a server until it ends or we are told to stop. It gets a process group of its own, because its children would outlive it."""
    import signal
    import subprocess

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = subprocess.Popen(command, env=env, start_new_session=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return OK
    finally:
        machine.terminate(server)
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=10)
        signal.signal(signal.SIGTERM, before)


def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A sweep.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: StorageOption = None,
    home: HomeOption = None,
    catalogue_url: CatalogueOption = None,
) -> None:
    """Remove a sweep: rows, files, Optuna's studies, and its MLflow runs (marked deleted)."""
    from search.kept import remove

    place = home_of(home, catalogue_url, storage=storage)
    with catalogue_of(place) as catalogue:
        members = len(catalogue.members(name))
    if not yes:
        with asking(f"Remove it without a question: {command(f'rm {name} --yes', place)}"):
            wanted = typer.confirm(f"Remove {name} with its {members} members, weights and reports?")
        if not wanted:
            typer.echo("nothing was removed")
            raise typer.Exit(FAILED)
    for left in remove(name, home=place):
        typer.echo(left, err=True)
    typer.echo(f"removed {name}")
