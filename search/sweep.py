"""The main job on one page: spec → space → sampler → trials → confirm → select → export.

`run` starts a sweep, `resume` goes on with one; both end in `_drive`, which hands the plan to Ray Tune and the answer to whoever asked.
Read this file first, then `plan` (what comes next), `trainable` (what a worker does) and `selection` (what the numbers say).
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import cluster, provenance, tracking
from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.errors import InfraError
from infra.storage import Home, strip_passwords, sweep_name
from infra.tracking import MlflowTracker, NullTracker, Tracker
from objectives.base import Member, Objective, Phase, Settings
from objectives.registry import load
from search import schedulers, selection
from search import study as study_module
from search.ledger import Ledger, Listener, Silent, tracked_params, tracked_tags
from search.plan import Job, Plan
from search.space import Space
from search.spec import Spec, resolve
from search.study import Study

CLOSE_SECONDS = 30.0


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended. `status` is complete, interrupted or failed; `problem` says why it failed; `notes` are worth reading."""

    name: str
    status: str
    answer: selection.Answer | None = None
    problem: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Where:
    """Where a sweep runs: how many workers, on which Ray, watched by whom."""

    home: Home
    workers: int | None = None
    address: str | None = None
    listener: Listener = field(default_factory=Silent)
    tracking: bool = True


def run(
    spec: Spec | Mapping[str, Any] | str | Path,
    *,
    name: str | None = None,
    home: Home | None = None,
    workers: int | None = None,
    address: str | None = None,
    listener: Listener | None = None,
    tracking: bool = True,
) -> Outcome:
    """Run a sweep to its answer.

    Args:
        spec: what to search: a Spec, a mapping, or a YAML file.
        name: the sweep's name; one is made up from objective and data set if it is not given.
        home: where everything is kept (default: ./mlflow_runs).
        workers: members trained at once (default: as many as the cores allow).
        address: a Ray cluster that is up (`auto` or host:port); None starts a local one.
        listener: told of everything as it happens.
        tracking: False keeps MLflow out.

    Raises:
        SpecError: the spec has faults (all are listed). InfraError: the name is taken, or a store or the cluster cannot be reached.
    """
    remote = address is not None
    spec = resolve(spec, remote=remote) if isinstance(spec, Spec) else Spec.read(spec, remote=remote)
    where = Where(home or Home.open(), workers, address, listener or Silent(), tracking)
    with ExitStack() as stack:
        # What can be refused is refused first, and Ray starts before the first row: a sweep that cannot start leaves nothing behind.
        name = name and sweep_name(name)
        refuse_taken(where.home, [name])
        up = stack.enter_context(_cluster(spec, where))
        catalogue = stack.enter_context(Catalogue(where.home.catalogue_url))
        if name and catalogue.has_sweep(name):
            refuse_taken(where.home, [name])  # by another driver, meanwhile
            for left in remove(name, home=where.home):  # it had come to nothing
                where.listener.note(left)
        name = name or _free_name(catalogue, spec)
        catalogue.create_sweep(_sweep_row(name, spec))
        return _drive(name, spec, where, catalogue, up)


def resume(
    name: str,
    *,
    home: Home | None = None,
    trials: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    listener: Listener | None = None,
    tracking: bool = True,
) -> Outcome:
    """Go on with a sweep from its catalogue; `trials` more configs are searched than its spec asked for.

    Raises:
        InfraError: no such sweep, or its driver is alive.
    """
    where = Where(home or Home.open(), workers, address, listener or Silent(), tracking)
    with ExitStack() as stack:
        catalogue = stack.enter_context(Catalogue(where.home.catalogue_url, create=False))
        row = catalogue.sweep(name)
        spec = Spec.read(row.spec)
        if trials:
            spec = spec.model_copy(update={"budget": spec.budget.model_copy(update={"trials": spec.budget.trials + trials})})
        elif row.status == "complete" and row.answer is not None:
            return Outcome(
                name, "complete", selection.Answer.from_dict(row.answer), notes=("this sweep was complete: nothing was left to do",)
            )
        holder = catalogue.locked_by(name)
        if holder:
            raise InfraError(f"A sweep has one driver at a time; {name!r} is driven by {holder}. Wait for it, or stop it first.")
        up = stack.enter_context(_cluster(spec, where))
        # More trials may move the minimum; otherwise what was chosen stays chosen.
        catalogue.update_sweep(name, spec=plain_spec(spec), status="running", answer=None, candidates=None if trials else row.candidates)
        return _drive(name, spec, where, catalogue, up)


def remove(name: str, *, home: Home | None = None) -> list[str]:
    """Remove a sweep: rows, files, Optuna's studies, and its MLflow runs (marked deleted). Returns what could not be removed.

    Raises:
        InfraError: no such sweep, or it is running.
    """
    home = home or Home.open()
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        holder = catalogue.locked_by(name)
        if holder:
            raise InfraError(f"A sweep that is running must not be removed; {name!r} is driven by {holder}. Stop it first.")
        catalogue.delete_sweep(name)
    home.remove_sweep(name)
    left = []
    for what, forget, url in (("MLflow", tracking.forget, home.tracking_uri), ("Optuna", study_module.forget, home.optuna_url)):
        try:
            forget(url, name)
        except Exception as error:
            left.append(f"{what} at {strip_passwords(url)} still holds it: {strip_passwords(str(error))[:200]}")
    return left


@dataclass(frozen=True)
class DryRun:
    """What a sweep would do: members and epochs at most by phase, and how long that takes here. `basis` says what the estimate rests on."""

    spec: Spec
    members: dict[str, int]
    epochs: dict[str, int]
    workers: int
    estimate_seconds: float
    basis: str


# Ray, two workers with torch, and the last writes: measured on two cores.
OVERHEAD_SECONDS = 15.0


def dry_run(spec: Spec, *, home: Home | None = None, workers: int | None = None) -> DryRun:
    """The plan of a sweep and a time estimate, from members of the same kind in the catalogue, else from what is trained here and now."""
    home = home or Home.open()
    members = planned(spec)
    epochs = {phase: count * (spec.budget.epochs or 0) for phase, count in members.items()}
    count = workers or max(1, int(len(os.sched_getaffinity(0)) // max(spec.resources.cpu, 1e-9)))
    per_epoch, basis = _seconds_per_epoch(spec, home)
    estimate = OVERHEAD_SECONDS + per_epoch * sum(epochs.values()) / count
    return DryRun(spec, members, epochs, count, estimate, basis)


def planned(spec: Spec) -> dict[str, int]:
    """How many members each phase will have."""
    lambdas = len(Space(spec, load(spec.objective)).lambdas)
    configs = spec.confirm.configs if spec.confirm.configs is not None else selection.usual(lambdas, bool(spec.alone))
    return {"search": spec.budget.trials, "confirm": configs * spec.confirm.seeds}


def _seconds_per_epoch(spec: Spec, home: Home) -> tuple[float, str]:
    kind = (spec.objective, spec.model or "", spec.dataset.name or "")
    if not home.catalogue_url.startswith("sqlite:///") or Path(home.catalogue_url.removeprefix("sqlite:///")).exists():
        with Catalogue(home.catalogue_url, create=False) as catalogue:
            alike = [row.name for row in catalogue.sweeps() if (row.objective, row.model, row.dataset) == kind]
            costs = sorted(row.seconds / row.epochs for name in alike for row in catalogue.members(name) if row.epochs)
            if costs:
                return costs[len(costs) // 2], f"the median of {len(costs)} members trained before"
    trained = load(spec.objective)(settings(spec, home))
    trained.prepare()
    config = Space(spec, load(spec.objective)).config({})
    if (timed := getattr(trained, "epoch_seconds", None)) is not None:
        return timed(config), "a few steps and an evaluation, here and now"
    run = trained.start([Member(0, config, 0)])
    run.step()  # the first epoch pays for warming up
    started = time.monotonic()
    run.step()
    return time.monotonic() - started, "one epoch trained here and now"


def _drive(name: str, spec: Spec, where: Where, catalogue: Catalogue, up: cluster.Cluster) -> Outcome:
    """One driver's life: books open, Tune runs the plan, the answer is stored and told."""
    started = time.time()
    objective = load(spec.objective)
    space = Space(spec, objective)
    home, listener, epochs = where.home, where.listener, settings(spec, where.home).epochs
    deadline = started + 60 * spec.budget.wall_minutes if spec.budget.wall_minutes else None
    with catalogue.lock(name), _stop_signals() as interrupted:
        tracker = _tracker(name, spec, where, catalogue)
        ledger = Ledger(
            name,
            catalogue,
            tracker,
            listener,
            schedulers.make(spec.scheduler, epochs),
            epochs=epochs,
            score_name=spec.metric or objective.score,
            checkpoint=lambda number: home.checkpoint(name, number),
        )
        study = Study(space, spec.sampler, spec.seed, spec.budget.trials)
        study.rebuild([row for row in ledger.ordered() if row.phase == Phase.SEARCH])
        chosen = [selection.Candidate(**fields) for fields in catalogue.sweep(name).candidates or []]
        plan = Plan(
            spec,
            space,
            study,
            ledger,
            lambda number: str(home.weights(name, number)),
            deadline=deadline,
            candidates=chosen,
            bundle=getattr(objective, "bundle", None),
            workers=up.workers,
        )
        listener.started(_info(name, spec, objective, up, ledger))
        status, problem = "complete", ""
        try:
            if not fit(plan, ledger, spec, home, name, up, interrupted):
                status = "interrupted"
        except BaseException:
            catalogue.update_sweep(name, status="interrupted")
            tracker.close(1.0)
            raise
        if status == "complete" and plan.answer is None:
            status, problem = "failed", plan.problem or _why_no_answer(ledger)
        _remember(catalogue, name, problem)
        notes = _finish(name, spec, home, catalogue, tracker, ledger, plan, study, status)
    outcome = Outcome(name, status, plan.answer, problem, time.time() - started, tuple(notes))
    if plan.answer is not None:
        listener.finished(plan.answer)
    return outcome


def _remember(catalogue: Catalogue, name: str, problem: str) -> None:
    """Keep why a sweep failed, for whoever looks at it later; a sweep that went on to its answer has no such reason any more."""
    facts = {key: value for key, value in catalogue.sweep(name).facts.items() if key != "problem"}
    catalogue.update_sweep(name, facts=facts | ({"problem": problem} if problem else {}))


def fit(plan: Plan, ledger: Ledger, spec: Spec, home: Home, name: str, up: cluster.Cluster, interrupted: Callable[[], bool]) -> bool:
    """Let Ray Tune run the plan; False when it was interrupted. One Tune run serves all phases, so workers start once."""
    from ray import tune

    from search.searcher import Interrupted, PlanSearcher, Rungs, Watch
    from search.trainable import MemberTrainable

    searcher = PlanSearcher(plan, lambda job: as_config(job, spec, home, name, up, ledger), up.workers)
    need = {"cpu": spec.resources.cpu, "gpu": spec.resources.gpu}
    scratch = home.storage / name / ".tune"
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(up.workers)
    tuner = tune.Tuner(
        tune.with_resources(MemberTrainable, need),
        tune_config=tune.TuneConfig(search_alg=searcher, scheduler=Rungs(searcher, ledger), num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            name=f"run-{os.getpid()}",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[Watch(searcher, ledger, spec.limits.silence_seconds, interrupted)],
            # Retries and checkpoints are ours: they must survive the driver, and Tune's do not.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except Interrupted:
        return False
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return not interrupted()


def as_config(job: Job, spec: Spec, home: Home, name: str, up: cluster.Cluster, ledger: Ledger) -> dict[str, Any]:
    """A job as the plain data a worker needs."""
    base: dict[str, Any] = {
        "kind": job.kind,
        "objective": spec.objective,
        "settings": dataclasses.asdict(settings(spec, home)),
        "memory_gb": spec.limits.memory_gb,
        # A remote Ray ships the folder; a local worker imports from where the user stands.
        "folder": str(Path.cwd()) if up.local else None,
    }
    if not job.rows:
        searched = list(spec.search or {})
        # A sweep that goes on keeps the width that it began with: which configs are asked for depends on it.
        chore = {**base, "items": list(job.items), "pack": ledger.pack_members() or spec.pack}
        return chore | ({"check": searched if spec.check else [], "searched": searched, **_room(spec, up)} if job.kind == "prepare" else {})
    for row in job.rows:
        ledger.dispatched(row)
    members = [{"number": row.number, "config": dict(row.config), "seed": row.seed, "phase": row.phase} for row in job.rows]
    paths = {"checkpoints": {str(row.number): str(home.checkpoint(name, row.number)) for row in job.rows}}
    if job.rows[0].phase == Phase.CONFIRM:
        paths["weights"] = {str(row.number): str(home.weights(name, row.number)) for row in job.rows}
        paths["pictures"] = {str(row.number): str(home.picture(name, row.number)) for row in job.rows}
    milestones = list(schedulers.make(spec.scheduler, base["settings"]["epochs"]).milestones) if job.rows[0].phase == Phase.SEARCH else []
    return {**base, **paths, "members": members, "milestones": milestones, "fused": True}


def _room(spec: Spec, up: cluster.Cluster) -> dict[str, int]:
    """How many members a worker is to train in all, and how many of them may be one pack: every worker has a part of each phase."""
    shares = [-(-members // up.workers) for members in planned(spec).values()]
    return {"widest": max(shares), "to_train": sum(shares)}


def settings(spec: Spec, home: Home) -> Settings:
    """A spec as an objective sees it."""
    return spec.settings(device="cuda" if spec.resources.gpu else "cpu", threads=max(1, int(spec.resources.cpu)), cache=str(home.cache))


def _finish(
    name: str, spec: Spec, home: Home, catalogue: Catalogue, tracker: Tracker, ledger: Ledger, plan: Plan, study: Study, status: str
) -> list[str]:
    """Store the answer first, then its projections: files, MLflow, Optuna. What a projection cannot take is a note, not a failure."""
    notes = failures(ledger.ordered())
    answer = plan.answer
    if answer is not None:
        answer = plan.answer = dataclasses.replace(answer, notes=[*answer.notes, *notes])
        catalogue.update_sweep(name, answer=answer.to_dict())
        from search import exports

        for path in exports.write_reports(name, spec, answer, plan.table(), catalogue, home):
            tracker.artifact(path)
    if status == "complete":
        try:
            study.project(home.optuna_url, name)
        except Exception as error:
            notes.append(f"Optuna's database {strip_passwords(home.optuna_url)} was not written: {strip_passwords(str(error))}")
    summary = {} if answer is None else {"effect": answer.effect.mean, "best_score": answer.best_score, "off_score": answer.off_score}
    tags = {} if answer is None else {"verdict": str(answer.verdict), "answer": answer.sentence()}
    tracker.end_sweep(status, {key: value for key, value in summary.items() if value is not None and math.isfinite(value)}, tags)
    catalogue.update_sweep(name, status=status, finished=_now())
    left = tracker.close(CLOSE_SECONDS)
    if left:
        notes.append(str(left))
    return notes


def failures(rows: list[MemberRow]) -> list[str]:
    """A note for every way in which members ended badly."""
    reasons: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.state in ("failed", "diverged", "collapsed", "preempted"):
            # The evidence of a collapse differs from member to member; what stands before the colon is what it was.
            reason = row.reason.partition(":")[0] if row.state == "collapsed" else row.reason
            reasons.setdefault((row.state, reason), []).append(row.number)
    return [f"{len(numbers)} {state} (member {', '.join(map(str, numbers[:8]))}): {reason}" for (state, reason), numbers in reasons.items()]


def _why_no_answer(ledger: Ledger) -> str:
    notes = failures(ledger.ordered())
    return "no member ended well" + (": " + "; ".join(notes[:3]) if notes else "; the sweep's time may have been too short")


def _tracker(name: str, spec: Spec, where: Where, catalogue: Catalogue) -> Tracker:
    if not where.tracking:
        return NullTracker()
    home, row = where.home, catalogue.sweep(name)
    tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, name, created=row.created.isoformat())
    params = {"objective": spec.objective, "model": spec.model, "dataset": spec.dataset.name, "sampler": spec.sampler, "seed": spec.seed}
    params |= {f"budget.{key}": value for key, value in spec.budget.model_dump().items()}
    tags = {f"provenance.{key}": str(value)[:400] for key, value in row.provenance.items()}
    tracker.start_sweep(name, {**params, "scheduler": spec.scheduler}, tags)
    repair(name, catalogue, tracker)
    return tracker


def repair(name: str, catalogue: Catalogue, tracker: Tracker) -> None:
    """Tell MLflow again what the catalogue holds; the tracker leaves out what is there."""
    curves: dict[int, list[Any]] = {}
    for report in catalogue.reports(name):
        curves.setdefault(report.number, []).append(report)
    for row in catalogue.members(name):
        if row.number not in curves and row.state is None:
            continue
        tracker.start_member(row.number, tracked_params(row), tracked_tags(name, row))
        for report in curves.get(row.number, []):
            tracker.log(row.number, report.epoch, report.metrics)
        if row.state is not None:
            final = {key: value for key, value in row.metrics.items() if math.isfinite(value)}
            final |= {"score": row.score} if row.score is not None else {}
            tracker.end_member(row.number, row.state, final, {"state": row.state, "reason": row.reason[:400]})


@contextmanager
def _cluster(spec: Spec, where: Where) -> Iterator[cluster.Cluster]:
    own_module = Path.cwd() if spec.own and where.address else None
    tracking.quiet_environment()  # Ray imports MLflow too, tracking or not
    ahead = ("mlflow",) * where.tracking + ("sklearn.gaussian_process", "matplotlib.figure")
    cpu, gpu = spec.resources.cpu, spec.resources.gpu
    with cluster.connect(where.address, workers=where.workers, cpu=cpu, gpu=gpu, folder=own_module, ahead=ahead) as up:
        yield up


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask the sweep to stop; a second Ctrl-C stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _info(name: str, spec: Spec, objective: type[Objective], up: cluster.Cluster, ledger: Ledger) -> dict[str, Any]:
    score = spec.metric or objective.score
    metric = objective.metrics.get(score)
    return {
        "name": name,
        "objective": spec.objective,
        "model": spec.model,
        "dataset": spec.dataset.name,
        "trials": spec.budget.trials,
        "epochs": spec.budget.epochs,
        "seeds": spec.confirm.seeds,
        "workers": up.workers,
        "score": score,
        "unit": metric.unit if metric else "",
        "done": sum(row.state is not None and row.phase == Phase.SEARCH for row in ledger.rows.values()),
        "states": Counter(row.state for row in ledger.rows.values() if row.state is not None),
    }


def plain_spec(spec: Spec) -> dict[str, Any]:
    """The spec as it is stored: plain data, without passwords."""
    found: dict[str, Any] = strip_passwords(spec.model_dump(mode="json", exclude_none=True))
    return found


def _sweep_row(name: str, spec: Spec) -> SweepRow:
    return SweepRow(
        name=name,
        spec=plain_spec(spec),
        objective=spec.objective,
        model=spec.model or "",
        dataset=spec.dataset.name or "",
        provenance=provenance.collect(),
    )


def refuse_taken(home: Home, names: Iterable[str | None]) -> None:
    """Raise InfraError where the catalogue cannot be opened, or sweeps hold some of these names; a file that is not there is not made."""
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        taken = [name for name in names if name is not None and _holds(catalogue, name)]
    if taken:
        which = ", ".join(map(repr, taken)) + (" exists" if len(taken) == 1 else " exist")
        raise InfraError(f"A sweep's name is used once; {which}. Choose another --name, resume it, or remove it: lagrange rm {taken[0]}")


def _holds(catalogue: Catalogue, name: str) -> bool:
    """Whether a sweep has this name to itself.

    One that failed before its first member (a data file that cannot be read, a λ that does nothing) leaves it to the next.
    """
    if not catalogue.has_sweep(name):
        return False
    return catalogue.sweep(name).status != "failed" or bool(catalogue.members(name)) or catalogue.locked_by(name) is not None


def _free_name(catalogue: Catalogue, spec: Spec) -> str:
    stem = sweep_name("-".join(part.replace(":", ".").replace("/", ".") for part in (spec.objective, spec.dataset.name or "data")))
    number = 1
    while catalogue.has_sweep(f"{stem}-{number}"):
        number += 1
    return f"{stem}-{number}"


def _now() -> Any:
    from infra.catalogue import utc_now

    return utc_now()
