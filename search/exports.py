"""What a sweep leaves behind: the best config as a spec with no free knob, the reports, and training from either.

The exported file *is* a sweep spec, so `lagrange train best.yaml` runs the code that the sweep ran: the same objective, the same loop.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra import cluster, provenance
from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.errors import InfraError
from infra.storage import Home, ready
from infra.tracking import MlflowTracker
from objectives.base import Member, Phase, Report, State
from objectives.registry import load
from search.ledger import Listener, Silent
from search.selection import Answer, Row
from search.spec import Spec, SpecError, read_yaml


@dataclass(frozen=True)
class BestRow:
    """The best λ of one objective, model and data set."""

    objective: str
    model: str
    dataset: str
    sweep: str
    score_name: str
    answer: Answer
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Retrained:
    """A training outside a sweep. `inside` says whether the score lies in the promised interval; None without a promise."""

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


def best_spec(name: str, row: SweepRow, answer: Answer, rows: Sequence[MemberRow]) -> dict[str, Any]:
    """The recommended config as a spec with no free knob, with its provenance and its promise."""
    spec = {key: value for key, value in row.spec.items() if key not in ("search", "points", "simplify", "alone", "provenance", "promise")}
    from infra.catalogue import config_hash

    digest = config_hash(answer.recommended)
    confirmed = [
        {"seed": member.seed, "score": member.score}
        for member in rows
        if member.phase == Phase.CONFIRM and member.config_hash == digest and member.state == State.COMPLETE
    ]
    promise = {
        "metric": answer.score_name,
        "mean": answer.promise.mean,
        "low": answer.promise.low,
        "high": answer.promise.high,
        "level": 0.95,
        "confirmed": confirmed,
    }
    source = {
        "sweep": name,
        "arm": answer.recommended_arm,
        "verdict": str(answer.verdict),
        "answer": answer.sentence(),
        "created": row.created.isoformat(),
        "data": row.facts,
        **row.provenance,
    }
    return {**spec, "search": {}, "fixed": dict(answer.recommended), "provenance": source, "promise": promise}


def export(name: str, path: str | Path | None = None, *, home: Home | None = None) -> str:
    """The best config of a sweep as YAML; written to `path` if one is given.

    Raises:
        InfraError: no such sweep, or it has no answer yet.
    """
    home = home or Home.open()
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        row = catalogue.sweep(name)
        if row.answer is None:
            raise InfraError(
                f"An export needs an answer; the sweep {name!r} is {row.status} and has none. Go on with it: lagrange resume {name}"
            )
        text = to_yaml(best_spec(name, row, Answer.from_dict(row.answer), catalogue.members(name)))
    if path is not None:
        _write(Path(path), text)
    return text


def export_all(folder: str | Path, *, home: Home | None = None) -> list[Path]:
    """One file for the best config of each objective, model and data set, into `folder`."""
    home = home or Home.open()
    written = []
    for row in best(home=home):
        stem = "-".join(part.replace(":", ".").replace("/", ".") for part in (row.objective, row.model, row.dataset) if part)
        path = Path(folder) / f"{stem}.yaml"
        export(row.sweep, path, home=home)
        written.append(path)
    return written


def best(objective: str | None = None, dataset: str | None = None, *, home: Home | None = None) -> list[BestRow]:
    """The best λ per model: of every objective, model and data set, the answered sweep whose recommended config scores best."""
    home = home or Home.open()
    found: dict[tuple[str, ...], BestRow] = {}
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        for row in catalogue.sweeps():
            if row.answer is None or (objective and row.objective != objective) or (dataset and row.dataset != dataset):
                continue
            answer = Answer.from_dict(row.answer)
            key = (row.objective, row.model, row.dataset, answer.score_name, json.dumps(row.spec.get("dataset"), sort_keys=True))
            rival = found.get(key)
            if rival is None or answer.promise.mean < rival.answer.promise.mean:
                found[key] = BestRow(row.objective, row.model, row.dataset, row.name, answer.score_name, answer, row.spec)
    return sorted(found.values(), key=lambda row: (row.objective, row.model, row.dataset, row.sweep))


def train(
    target: str | Path,
    *,
    home: Home | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    listener: Listener | None = None,
    tracking: bool = True,
) -> Retrained:
    """Train one config without Ray: an exported file, or the member `NAME/17` of a sweep.

    Without `seed` a seed is drawn that no member used. The result, the weights and a sample grid are written to `out` (default: a folder in
    the home), and to MLflow.

    Raises:
        SpecError: the file has faults or free knobs. InfraError: no such sweep or member.
    """
    home, listener = home or Home.open(), listener or Silent()
    title, spec, config, known = _target(str(target), home)
    seed = _fresh_seed(known) if seed is None else seed
    folder = Path(out) if out else home.root / "trained" / f"{title}-{seed}"
    started = time.monotonic()
    cluster.quiet_environment(local=False)
    objective = load(spec.objective)(spec.settings(device="cuda" if spec.resources.gpu else "cpu", threads=1, cache=str(home.cache)))
    objective.prepare()
    run = objective.start([Member(0, config, seed, Phase.RETRAIN)])
    tracker = _tracker(title, seed, spec, home, config) if tracking else None
    last = _train(run, spec, listener, tracker)
    ready(folder / "result.json")
    if last.state is State.COMPLETE:
        run.save_weights(0, folder / "weights.safetensors")
        run.save_picture(0, folder / "picture.png")
    score = last.score if last.score is not None else math.nan
    promise = spec.promise
    inside = None if not promise else bool(promise["low"] <= score <= promise["high"])
    metric = spec.metric or objective.score
    state = str(last.state)
    result = Retrained(
        score, metric, seed, state, last.reason, inside, promise, known.get(seed), folder, round(time.monotonic() - started, 1)
    )
    _record(result, last, config, folder)
    if tracker is not None:
        tracker.end_member(0, state, {**last.metrics, "score": score} if math.isfinite(score) else {}, {"inside_promise": str(inside)})
        for path in sorted(folder.iterdir()):
            tracker.artifact(path)
        tracker.end_sweep("complete" if last.state is State.COMPLETE else "failed", {}, {})
        tracker.close(30.0)
    return result


def _train(run: Any, spec: Spec, listener: Listener, tracker: MlflowTracker | None) -> Report:
    last = Report(0, 0, math.nan, state=State.FAILED, reason="the objective reported nothing")
    while True:
        reports = run.step()
        for report in reports:
            last = report
            listener.report(0, report.epoch, spec.budget.epochs or report.epoch, report.rung_score)
            if tracker is not None:
                tracker.log(0, report.epoch, report.metrics)
        if not reports or last.state is not None:
            return last


def _target(target: str, home: Home) -> tuple[str, Spec, dict[str, Any], dict[int, float]]:
    """A title, the spec, the config, and the scores of the seeds that have been trained with it."""
    name, slash, number = target.rpartition("/")
    if slash and number.isdigit() and not Path(target).exists():
        with Catalogue(home.catalogue_url, create=False) as catalogue:
            member, row = catalogue.member(name, int(number)), catalogue.sweep(name)
            alike = [other for other in catalogue.members(name) if other.config_hash == member.config_hash]
            promise = None
            if row.answer is not None:
                exported = best_spec(name, row, Answer.from_dict(row.answer), alike)
                promise = exported["promise"] if exported["fixed"] == member.config else None
        mapping = {**row.spec, "search": {}, "points": [], "fixed": member.config, "promise": promise}
        known = {other.seed: other.score for other in alike if other.score is not None}
        return f"{name}-{number}", Spec.read(_without_none(mapping), purpose="train"), dict(member.config), known
    mapping = read_yaml(target)
    if mapping.get("search"):
        names = ", ".join(mapping["search"])
        raise SpecError(
            [f"`train` needs a config with no free knob; {target} searches {names}. Export one: lagrange export NAME -o best.yaml"]
        )
    spec = Spec.read({**mapping, "search": {}}, purpose="train")
    knobs = load(spec.objective).knobs
    config = {name: knob.default for name, knob in knobs.items()} | dict(spec.fixed)
    confirmed = (spec.promise or {}).get("confirmed", [])
    return Path(target).stem, spec, config, {entry["seed"]: entry["score"] for entry in confirmed}


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
    record = {
        "score": result.score if math.isfinite(result.score) else None,
        "metric": result.score_name,
        "seed": result.seed,
        "state": result.state,
        "reason": result.reason,
        "inside_promise": result.inside,
        "promise": result.promise,
        "config": dict(config),
        "metrics": {key: value for key, value in last.metrics.items() if math.isfinite(value)},
        "provenance": provenance.collect(),
    }
    _write(folder / "result.json", json.dumps(record, indent=2, default=str) + "\n")


def write_reports(name: str, spec: Spec, answer: Answer, table: Sequence[Row], catalogue: Catalogue, home: Home) -> list[Path]:
    """The exported config, the answer, the λ curve, and quality against cost where the objective trades one for the other; their paths."""
    from search import curve

    folder = home.reports(name)
    row = catalogue.sweep(name)
    exported, stored, picture = folder / "best.yaml", folder / "answer.json", folder / "curve.png"
    _write(exported, to_yaml(best_spec(name, row, answer, catalogue.members(name))))
    _write(stored, json.dumps(answer.to_dict(), indent=2) + "\n")
    title = f"{spec.objective} · {spec.model or ''} · {spec.dataset.name}"
    curve.draw(answer, table, picture, f"{title}: {answer.verdict}")
    trade = getattr(load(spec.objective), "trade", None)
    return [exported, stored, picture, *(_write_trade(folder, title, answer, table, trade, catalogue.members(name)) if trade else [])]


def _write_trade(
    folder: Path, title: str, answer: Answer, table: Sequence[Row], trade: tuple[str, str, str], members: Sequence[MemberRow]
) -> list[Path]:
    """Quality against cost of the confirmed arms; nothing where none was confirmed."""
    from search import pareto

    metrics = {member.number: member.metrics for member in members}
    found = pareto.points(table, metrics, trade)
    if not found:
        return []
    budget = next((one[trade[2]] for one in metrics.values() if trade[2] in one), None)
    listed, picture = folder / "pareto.csv", folder / "pareto.png"
    _write(listed, pareto.table(found, answer, trade))
    return [listed, pareto.draw(found, answer, picture, trade, budget, f"{title}: {trade[0]} against {trade[1]}")]


def to_yaml(mapping: Mapping[str, Any]) -> str:
    """YAML in the order of the spec, floats written so that every reader sees floats."""
    return yaml.safe_dump(dict(mapping), sort_keys=False, allow_unicode=True, width=120)


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    torn = ready(path).with_name(path.name + ".tmp")
    torn.write_text(text, encoding="utf-8")
    torn.replace(path)
