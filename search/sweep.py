"""The main job on one page: spec → search → confirm → decide → export. Read this file first.

`run` starts a sweep and `resume` goes on with one. Both end in `_drive`. It opens the books (`running/driver.py`) and has the plan carried
out (`running/planning` says what is next, `running/working` does it). Then the answer (`choosing/verdict.py`) is passed on by `telling/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.catalogue import Catalogue, utc_now
from infra.errors import InfraError
from infra.machine import uptime_s
from infra.ray.cluster import Cluster
from infra.storage import Home, HomeLike, hidden_in, strip_address, sweep_name
from infra.tracking import Place, Tracker
from search import kept
from search.asking.projection import Projection
from search.choosing.answer import Answer
from search.running import driver, halting
from search.running.alone import CutOff, Driver
from search.running.planning.dispatch import Dispatch
from search.running.planning.plan import Plan, books, ended
from search.running.where import Where, is_remote
from search.running.writing.ledger import failures
from search.spec.keys import Spec
from search.spec.reading import read, resolve
from search.telling.files import exports
from search.telling.listener import Listener, Silent, introduction
from search.telling.mlflow import mirror, shown


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended: complete, interrupted, failed, or refused (its objective found a mistake; a new sweep is not kept then); or
    unreachable (a store is gone) or taken over (by another driver): see `exit_codes`."""

    name: str
    status: str
    answer: Answer | None = None
    problem: str = ""  # why it failed, was refused, or could not go on
    seconds: float = 0.0
    notes: tuple[str, ...] = ()  # remarks for the user
    place: Place = field(default_factory=Place)  # where MLflow shows it


def run(
    spec: Spec | Mapping[str, Any] | str | Path,
    *,
    name: str | None = None,
    home: HomeLike | None = None,
    workers: int | None = None,
    address: str | None = None,
    listener: Listener | None = None,
    tracking: bool = True,
) -> Outcome:
    """Run a sweep to its answer.

    Args:
        spec: what to search: a Spec, a mapping, or a YAML file.
        name: the sweep's name; if it is not given, one is made from objective and data set.
        home: where everything is kept (default: ./mlflow_runs).
        workers: members trained at once (default: the spec's, or as many as fit).
        address: a Ray cluster that is up (`auto` or host:port), or `in-process` for no Ray at all; None starts a local one.
        listener, tracking: who is told of everything (None: Python's logging tells of a wait alone); False switches MLflow off.

    Raises:
        SpecError: the spec has faults (all are listed). InfraError: the name is taken, or a store or the cluster cannot be reached.
    """
    where = Where(Home.open(home), workers, address, listener or Silent(), tracking)
    spec = resolve(spec, remote=is_remote(address)) if isinstance(spec, Spec) else read(spec, remote=is_remote(address))
    # What can be refused is checked first. Workers start before the first row: a sweep that cannot start leaves nothing behind.
    prior = kept.admitted(where.home, spec, name := None if name is None else sweep_name(name), where.waits)
    with where.up(spec) as up, Catalogue(where.home.catalogue_url, told=where.waits) as catalogue:
        name = kept.begin(catalogue, spec, name, where.home, where.listener.note, up.workers, prior, where.address)
        outcome = _drive(name, spec, where, catalogue, up)
        if outcome.status == "refused":
            kept.take_back(catalogue, name, where.home)
        return outcome


def resume(
    name: str,
    *,
    home: HomeLike | None = None,
    trials: int | None = None,
    more: kept.More = kept.More(),
    workers: int | None = None,
    address: str | None = None,
    listener: Listener | None = None,
    tracking: bool = True,
) -> Outcome:
    """Go on with a sweep from its catalogue, with `trials` more configs, and with `more`: members that are tried again, a new budget.

    Raises:
        InfraError: no such sweep, or its driver is alive.
    """
    where = Where(Home.open(home), workers, address, listener or Silent(), tracking)
    with Catalogue(where.home.catalogue_url, create=False, told=where.waits) as catalogue:
        row, opened = catalogue.sweep(name), kept.to_retry(catalogue, name, where.home, more.again)
        if not (trials or opened or more.budget) and row.status == "complete" and row.answer is not None and not row.facts.get(kept.CUT):
            return Outcome(name, "complete", Answer.from_dict(row.answer), notes=mirror.caught_up(name, where.home, catalogue, tracking))
        if holder := catalogue.locked_by(name):
            raise InfraError(f"A sweep has one driver at a time; {name!r} is driven by {holder}. Wait for it, or stop it first.")
        spec, where = read(row.spec), where.of(row.facts)
        with where.up(spec) as up:
            spec = kept.go_on(catalogue, name, spec, trials or 0, up.workers, where.address, where.listener.note, opened, more, where.home)
            return _drive(name, spec, where, catalogue, up)


def _drive(name: str, spec: Spec, where: Where, catalogue: Catalogue, up: Cluster) -> Outcome:
    """What one driver does: it opens the books, carries out the plan, stores the answer and tells it."""
    started, one = uptime_s(), Driver(catalogue, name, where.home, where.waits)
    try:
        with one.alone():
            one.tracker = mirror.mirrored(name, spec, where.home, catalogue) if where.tracking else one.tracker
            plan, dispatch = driver.opened(name, spec, where.home, catalogue, up, tracker=one.tracker, listener=where.listener)
            optuna = Projection(where.home.optuna_url, name)
            plan.answered = lambda: optuna.begin(books(plan))
            where.listener.started(introduction(name, spec, up.workers, dispatch.ledger.ordered()))
            status, problem = ended(plan, where.carry_out(plan, dispatch, one.interrupted))
            kept.remember(catalogue, name, problem, plan.cut, uptime_s() - started)
            notes = _finish(dispatch, catalogue, one.tracker, plan, optuna, "failed" if status == "refused" else status)
            notes += filter(None, [halting.closed(one.tracker, one.interrupted)])  # nothing where MLflow has all
    except CutOff as cut:
        return Outcome(name, cut.status, None, cut.problem, uptime_s() - started, place=one.tracker.place())
    if plan.answer is not None:
        where.listener.finished(plan.answer)
    return Outcome(name, halting.told(status, problem), plan.answer, problem, uptime_s() - started, tuple(notes), one.tracker.place())


def _finish(dispatch: Dispatch, catalogue: Catalogue, tracker: Tracker, plan: Plan, optuna: Projection, status: str) -> list[str]:
    """Store the answer first, then its projections: files, MLflow, Optuna. If a projection fails, that is a note and not a failure."""
    name, home, notes = dispatch.name, dispatch.home, failures(rows := dispatch.ledger.ordered())
    if plan.answer is not None:
        plan.answer = kept.told(catalogue, name, plan.answer, notes, plan.spec.asked[0].better, rows)
        files = exports.write_reports(name, plan.spec, plan.answer, plan.table(), catalogue, home, status, rows)
        shown.sweep(tracker, home, name, files, dispatch.ledger.rows, dispatch.ledger.leftovers.exemplars)
    if status == "complete":
        try:
            optuna.finish(books(plan), mirror.attributes(plan.answer))
        except Exception as error:
            notes.append(f"Optuna's database {strip_address(home.optuna_url)} was not written: {hidden_in(str(error), home.optuna_url)}")
    mirror.made_up(name, catalogue, dispatch.ledger.mirror)
    mirror.end(tracker, name, status, plan.answer, plan.problem)
    catalogue.update_sweep(name, status=status, finished=utc_now())
    return notes
