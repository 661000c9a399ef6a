"""What MLflow is told about a sweep: a mirror of the catalogue, which may lag behind it."""

from __future__ import annotations

import math
from typing import Any

from infra.catalogue import Catalogue, MemberRow
from infra.storage import Home
from infra.tracking import MlflowTracker, Tracker
from search.choosing.answer import Answer
from search.options import said
from search.spec.keys import Spec
from search.spec.several import LOWER, better_of, own_sign


def tracked_params(row: MemberRow) -> dict[str, Any]:
    """A member's config for MLflow. Every positive number also gets its log10, because MLflow's charts have linear axes."""
    params: dict[str, Any] = dict(row.config)
    for name, value in row.config.items():
        if isinstance(value, float) and value > 0:
            params[f"log10_{name}"] = math.log10(value)
    return params


def tracked_tags(sweep: str, row: MemberRow) -> dict[str, str]:
    """The tags by which an MLflow user filters members."""
    return {
        "phase": row.phase,
        "arm": row.arm,
        "seed": str(row.seed),
        "config_hash": row.config_hash,
        "sweep": sweep,
        "member": str(row.number),
    }


def final_metrics(row: MemberRow, better: str = LOWER) -> dict[str, float]:
    """The last metrics of a member, as far as they are finite, and its score."""
    (row,) = own_sign([row], better)
    final = {key: value for key, value in row.metrics.items() if math.isfinite(value)}
    return final if row.score is None else {**final, "score": row.score}


def final_tags(row: MemberRow) -> dict[str, str]:
    """How a member ended."""
    return {"state": row.state or "", "reason": row.reason[:400]}


def mirrored(name: str, spec: Spec, home: Home, catalogue: Catalogue) -> Tracker:
    """A tracker that has been told everything the catalogue holds of a sweep. MLflow hears of it when it has its first member."""
    row = catalogue.sweep(name)
    tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, name, created=row.created.isoformat(), at_once=False)
    params = {
        "objective": spec.objective,
        "model": spec.model,
        "dataset": spec.dataset.name,
        "sampler": said(spec.sampler),
        "seed": spec.seed,
    }
    params |= {f"budget.{key}": value for key, value in spec.budget.model_dump().items()}
    tags = {f"provenance.{key}": str(value)[:400] for key, value in row.provenance.items()}
    tracker.start_sweep(name, {**params, "scheduler": said(spec.scheduler)}, tags)
    repair(name, catalogue, tracker)
    return tracker


def repair(name: str, catalogue: Catalogue, tracker: Tracker) -> None:
    """Tell MLflow again what the catalogue holds. The tracker leaves out what MLflow already has."""
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
            tracker.end_member(row.number, row.state, final_metrics(row, better_of(catalogue.sweep(name).spec)), final_tags(row))


def attributes(answer: Answer | None) -> dict[str, str]:
    """What an answer says, for whoever keeps a few words beside a sweep."""
    if answer is None:
        return {}
    return {"verdict": answer.verdict_word, "exported": answer.exported_words(), "answer": answer.sentence()}


def end(tracker: Tracker, status: str, answer: Answer | None) -> None:
    """Tell MLflow how a sweep ended, and what its answer says."""
    summary = {} if answer is None else {"effect": answer.effect.mean, "best_score": answer.best_score, "off_score": answer.off_score}
    summary |= {"hypervolume": answer.front.hypervolume.mean} if answer is not None and answer.front is not None else {}
    tags = {} if answer is None else {"verdict": answer.verdict_word, "answer": answer.sentence()}
    tracker.end_sweep(status, {key: value for key, value in summary.items() if value is not None and math.isfinite(value)}, tags)
