"""Train one config without a sweep: from an exported file, or from a member of a sweep."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import provenance
from infra.catalogue import Catalogue
from infra.errors import StorageError
from infra.ray import cluster
from infra.storage import Home, HomeLike, ready, there
from infra.storage.hints import command
from infra.tracking import MlflowTracker
from objectives.base import Member, ObjectiveError, Phase, Report, State, lowered
from search.choosing.answer import Answer
from search.errors import SpecError
from search.running.working.work import Assigned, Fault, Prepare, Prepared, Progress, Setting, Train
from search.running.working.worker import Worker
from search.spec.keys import Spec
from search.spec.plain import plain_spec
from search.spec.reading import read
from search.spec.several import better_of
from search.spec.text import read_yaml
from search.telling.files import exports
from search.telling.files.exports import best_spec
from search.telling.listener import Listener, Silent
from search.telling.promised import contents, training


@dataclass(frozen=True)
class Retrained:
    """A training outside a sweep. `inside` says whether the score lies in the promised interval; None without a promise.

    `other`: what differs from the training that was promised, so that the promise says nothing of this one; empty where nothing does.
    """

    score: float
    score_name: str
    seed: int
    state: str
    reason: str
    inside: bool | None
    promise: Mapping[str, Any] | None
    reproduces: float | None
    folder: Path
    seconds: float
    # of each metric beside the score: its value, and whether that lies where it was promised (None without a promise)
    beside: Mapping[str, tuple[float, bool | None]] = field(default_factory=dict)
    # of each constraint on a metric: the metric of this training, and whether it keeps to it
    constraints: Mapping[str, tuple[float, bool]] = field(default_factory=dict)
    other: str = ""


def train(
    target: str | Path,
    *,
    home: HomeLike | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    listener: Listener | None = None,
    tracking: bool = True,
) -> Retrained:
    """Train one config without Ray: an exported file, or the member `NAME/17` of a sweep.

    Without `seed` a seed is drawn that no member has used. The result, the weights and a sample grid are written to `out` (default: a
    folder in the home), and to MLflow.

    Raises:
        SpecError: the file has faults or free knobs. InfraError: no such sweep or member.
    """
    home, listener = Home.open(home), listener or Silent()
    title, spec, config, known = _target(str(target), home)
    seed = _fresh_seed(known) if seed is None else seed
    folder = Path(out) if out else home.root / "trained" / f"{title}-{seed}"
    started = time.monotonic()
    cluster.quiet_environment(local=False)
    worker, setting = Worker(), Setting(spec.objective, spec.settings(cache=str(home.cache)), program=spec.program)
    worker.begin(Prepare(setting))
    prepared = worker.step()
    if isinstance(prepared, Prepared):
        _refuse(prepared.fault)
    if isinstance(prepared, Prepared) and prepared.error:
        raise ObjectiveError(prepared.error)
    ready(folder / "result.json")
    tracker = _tracker(title, seed, spec, home, config) if tracking else None
    checkpoint = folder / "checkpoint.pt"
    member = Member(0, config, seed, Phase.RETRAIN, spec.schedule)
    worker.begin(Train(setting, (Assigned(member, checkpoint, folder / "weights.safetensors", folder / "picture.png"),)))
    last = _train(worker, spec, listener, tracker)
    for left in (checkpoint, checkpoint.with_suffix(".json")):
        left.unlink(missing_ok=True)
    score = spec.asked[0].lower(last.score) if last.score is not None else math.nan
    confirmed = spec.promise is not None and math.isfinite(float(spec.promise["low"]))
    promise = spec.promise if confirmed else None
    other = _other(spec, prepared.facts if isinstance(prepared, Prepared) else {})
    inside = None if not promise or other else bool(promise["low"] <= score <= promise["high"])
    metric = spec.score_name
    state = str(last.state)
    result = Retrained(
        score,
        metric,
        seed,
        state,
        last.reason,
        inside,
        promise,
        None if other else known.get(seed),  # of a config that was edited no member is known
        folder,
        round(time.monotonic() - started, 1),
        _beside(spec, last, bool(other)),
        {one.text: (last.metrics[one.metric], one.holds(last.metrics[one.metric])) for one in spec.demands if one.metric in last.metrics},
        other,
    )
    _record(result, last, config, folder)
    exports.write(folder / exports.CONFIG, exports.to_yaml({**plain_spec(spec), "search": {}, "fixed": dict(config)}))
    if tracker is not None:
        tracker.end_member(0, state, {**last.metrics, "score": score} if math.isfinite(score) else {}, {"inside_promise": str(inside)})
        for path in sorted(folder.iterdir()):
            tracker.artifact(path)
        tracker.end_sweep("complete" if last.state is State.COMPLETE else "failed", {}, {})
        tracker.close(30.0)
    return result


def _other(spec: Spec, facts: Mapping[str, Any]) -> str:
    """What differs from the training that was promised. A promise that does not say which one it is for (of an older file) is believed."""
    promise, source = spec.promise or {}, spec.provenance or {}
    # An export leaves defaults out; that of an older version has them all, of the knobs that there were.
    told = {training(plain_spec(spec), known, spec.schedule) for known in (spec.fixed, _settled(spec))}
    if "training" in promise and promise["training"] not in told:
        return "the config, or another key that decides the score, was changed after the export"
    known, found = contents(source.get("data")), contents(facts)
    return "the data is not that of the sweep" if promise and known and found and known != found else ""


def _beside(spec: Spec, last: Report, other: bool) -> dict[str, tuple[float, bool | None]]:
    """The metrics beside the score, and whether each lies in its promised interval."""
    promised = {} if other else (spec.promise or {}).get("beside", {})
    found: dict[str, tuple[float, bool | None]] = {}
    for one in spec.asked[1:]:
        if (value := last.metrics.get(one.name)) is not None:
            interval = promised.get(one.name)
            found[one.name] = value, bool(interval["low"] <= value <= interval["high"]) if interval else None
    return found


def _train(worker: Worker, spec: Spec, listener: Listener, tracker: MlflowTracker | None) -> Report:
    """Train the member with the worker. Returns the member's last report."""
    last = Report(0, 0, math.nan, state=State.FAILED, reason="the objective reported nothing")
    while True:
        result = worker.step()
        assert isinstance(result, Progress)
        _refuse(result.fault)
        for report in result.reports:
            last = report
            listener.report(0, report.epoch, spec.budget.epochs or report.epoch, spec.asked[0].lower(report.rung_score))
            if tracker is not None:
                tracker.log(0, report.epoch, report.metrics)
        if result.done or not result.reports:
            return last


def _refuse(fault: Fault | None) -> None:
    """Raise StorageError where a disk takes no more, ObjectiveError for another fault around the training."""
    if fault is not None:
        raise StorageError(fault.words) if fault.disk else ObjectiveError(fault.words)


def _target(target: str, home: Home) -> tuple[str, Spec, dict[str, Any], dict[int, float]]:
    """A title, the spec, the config, and the scores of the seeds that have been trained with this config."""
    name, slash, number = target.rpartition("/")
    if slash and number.isdecimal() and len(number) < 10 and not there(target):
        with Catalogue(home.catalogue_url, create=False) as catalogue:
            member, row = catalogue.member(name, int(number)), catalogue.sweep(name)
            alike = [other for other in catalogue.members(name) if other.config_hash == member.config_hash]
            promise = None
            if row.answer is not None:
                exported = best_spec(name, row, Answer.from_dict(row.answer), alike)
                promise = exported["promise"] if exported["fixed"] == member.config else None
        mapping = {**row.spec, "search": {}, "points": [], "fixed": member.config, "promise": promise}
        known = {other.seed: lowered(other.score, better_of(row.spec)) for other in alike if other.score is not None}
        return f"{name}-{number}", read(_without_none(mapping), purpose="train"), dict(member.config), known
    mapping = read_yaml(target)
    if mapping.get("search"):
        names = ", ".join(mapping["search"])
        export = command("export NAME -o best.yaml", home)
        raise SpecError([f"`train` needs a config with no free knob; {target} searches {names}. Export one: {export}"])
    spec = read({**mapping, "search": {}}, purpose="train")
    config = _settled(spec)
    confirmed = (spec.promise or {}).get("confirmed", [])
    return Path(target).stem, spec, config, {entry["seed"]: entry["score"] for entry in confirmed}


def _settled(spec: Spec) -> dict[str, Any]:
    """The config of a spec with no free knob: a value for every knob."""
    return {name: knob.default for name, knob in spec.trained.knobs.items()} | dict(spec.fixed)


def _without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}


def _fresh_seed(known: Mapping[int, float]) -> int:
    while True:
        seed = secrets.randbelow(2**31)
        if seed not in known:
            return seed


def _tracker(title: str, seed: int, spec: Spec, home: Home, config: Mapping[str, Any]) -> MlflowTracker:
    name = f"train-{title}-{seed}"
    tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, name)
    tracker.start_sweep(name, {"objective": spec.objective, "model": spec.model, "dataset": spec.dataset.name}, {})
    tracker.start_member(0, dict(config), {"phase": "retrain", "seed": str(seed)})
    return tracker


def _record(result: Retrained, last: Report, config: Mapping[str, Any], folder: Path) -> None:
    beside = {name: {"value": value, "inside_promise": kept} for name, (value, kept) in result.beside.items()}
    bounds = {text: {"value": value, "kept": kept} for text, (value, kept) in result.constraints.items()}
    record = {
        "score": result.score if math.isfinite(result.score) else None,
        "metric": result.score_name,
        "seed": result.seed,
        "state": result.state,
        "reason": result.reason,
        "inside_promise": result.inside,
        **({"promise_is_of_another": result.other} if result.other else {}),
        **({"beside": beside} if beside else {}),
        **({"constraints": bounds} if bounds else {}),
        "promise": result.promise,
        "config": dict(config),
        "metrics": {key: value for key, value in last.metrics.items() if math.isfinite(value)},
        "provenance": provenance.collect(),
    }
    exports.write(folder / "result.json", json.dumps(record, indent=2, default=str) + "\n")
