"""What MLflow is told about a sweep: a mirror of the catalogue, which may lag behind it."""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from infra.catalogue import Catalogue, MemberRow, SweepRow, each_report
from infra.errors import InfraError
from infra.storage import Home
from infra.tracking import MlflowTracker, NullTracker, Tracker
from infra.tracking.notes import NOTE
from infra.tracking.query import find
from infra.tracking.spool import left_of
from objectives.pictures import large
from search.asking.space import AGAINST_NOTHING
from search.choosing.answer import Answer
from search.choosing.missing import again_words
from search.options import said
from search.spec.keys import Spec
from search.spec.reading import read
from search.telling.mlflow import description, shown, ui_view
from search.telling.mlflow.portrait import Portrait

PROGRESS_S: Final = 15.0
"""At most so often the description of a sweep that runs says how far it is."""
CATCH_UP_S: Final = 3600.0
"""How long MLflow may take for what it missed. Where every call fails it ends sooner."""
DIGEST: Final = 32


@dataclass
class Mirror:
    """Tells MLflow of the members of one sweep, as its driver hears of them."""

    tracker: Tracker = field(default_factory=NullTracker)
    portrait: Portrait = field(default_factory=Portrait)
    planned: Mapping[str, int] = field(default_factory=dict)
    score_name: str = ""
    _told_s: float = field(default_factory=lambda: time.monotonic())

    def prepared(self, facts: Mapping[str, Any]) -> None:
        """The data was looked at: from now on members have its digest, and their metrics their full names."""
        self.portrait.labels = {str(name): str(label) for name, label in facts.get("labels", {}).items()}
        if (data := facts.get("dataset")) and (name := str(data.get("name", ""))):
            hashes = {str(split): str(value) for split, value in sorted((data.get("sha256") or {}).items())}
            joined = hashlib.sha256("".join(f"{split}:{value}" for split, value in hashes.items()).encode()).hexdigest()
            digest = joined[:DIGEST] if hashes else "unknown"
            source = {"name": name, **{key: value for key, value in data.items() if key in ("options", "source_sha256", "licence")}}
            self.tracker.data(name, digest, source, {"sizes": data.get("sizes", {}), "sha256": hashes})

    def begin(self, row: MemberRow) -> None:
        """A member goes to a worker."""
        look = self.portrait
        self.tracker.start_member(row.number, look.params(row), look.begun(row), look.name(row), look.metrics(row))

    def report(self, number: int, report: Any) -> None:
        """A member finished an epoch."""
        self.tracker.log(number, report.epoch, self.portrait.reported(report))

    def end(self, row: MemberRow) -> None:
        """A member has its state."""
        self.tracker.end_member(row.number, row.state or "", self.portrait.final(row), self.portrait.ended(row))

    def progress(self, rows: Mapping[int, MemberRow]) -> None:
        """Say how far the sweep is, if that was not said lately. `rows` are all its members."""
        if time.monotonic() - self._told_s >= PROGRESS_S:
            self._told_s = time.monotonic()
            text = description.running(self.portrait, list(rows.values()), self.planned, self.score_name)
            self.tracker.add({}, {NOTE: text})

    def tested(self, row: MemberRow, scores: Mapping[str, float]) -> None:
        """What a member came to on the test split."""
        named = {f"test_{name.removeprefix('test_')}": float(value) for name, value in scores.items()}
        self.tracker.add({name: value for name, value in named.items() if math.isfinite(value)}, {}, row.number, row.epochs)


def of(name: str, spec: Spec, tracker: Tracker, planned: Mapping[str, int]) -> Mirror:
    """The mirror of a sweep with a resolved spec; `planned` are its members by phase."""
    return Mirror(tracker, Portrait.of(name, spec), planned, spec.score_name)


def mirrored(name: str, spec: Spec, home: Home, catalogue: Catalogue) -> Tracker:
    """A tracker that has been told everything the catalogue holds of a sweep. MLflow hears of it when it has its first member."""
    row = catalogue.sweep(name)
    tracker = _tracker(row, home, catalogue, at_once=False)
    params = {
        "objective": spec.objective,
        "model": spec.model,
        "dataset": spec.dataset.name,
        "sampler": said(spec.sampler),
        "seed": spec.seed,
    }
    params |= {f"budget.{key}": value for key, value in spec.budget.model_dump().items() if value is not None}
    tags = {f"provenance.{key}": str(value)[:400] for key, value in row.provenance.items()}
    mirror = of(name, spec, tracker, {})
    tags |= {**mirror.portrait.tags, NOTE: description.running(mirror.portrait, [], {}, spec.score_name)}
    tracker.start_sweep(name, {**params, "scheduler": said(spec.scheduler)}, tags)
    tracker.experiment(ui_view.tags(name, row, spec, mirror.portrait))
    repair(name, catalogue, mirror)
    shown.members(tracker, home, name, catalogue.members(name))
    return tracker


def _tracker(row: SweepRow, home: Home, catalogue: Catalogue, *, at_once: bool) -> MlflowTracker:
    return MlflowTracker(
        home.tracking_uri,
        home.artifacts,
        home.spool,
        row.name,
        created=row.created.isoformat(),
        at_once=at_once,
        drawn=large,
        allowed=catalogue.sure,
    )


def caught_up(name: str, home: Home, catalogue: Catalogue, tracking: bool = True) -> tuple[str, ...]:
    """Send MLflow what it missed of a sweep that is over. Returns what is to be said of it.

    Raises:
        InfraError: another process drives the sweep, or does the same.
    """
    return (*_caught_up(name, home, catalogue, tracking), *again_words(name, catalogue.members(name), home))


def _caught_up(name: str, home: Home, catalogue: Catalogue, tracking: bool) -> tuple[str, ...]:
    over, waiting = "this sweep was complete", left_of(home.spool, name) if tracking else 0
    lost = not waiting and tracking and (home.spool / f"{name}.jsonl").exists()
    if not waiting and not lost and not (behind := _behind(name, home, catalogue) if tracking else 0):
        return (f"{over}: nothing was left to do",)
    if not waiting:
        why = "what a full disk had kept from it" if lost else f"how {behind} members ended, which it showed otherwise"
        return (f"{over}; MLflow was told again {why}", *filter(None, [_all_again(name, home, catalogue)]))
    with catalogue.lock(name):
        unsent = _tracker(catalogue.sweep(name), home, catalogue, at_once=True).close(CATCH_UP_S)
    sent = max(0, waiting - unsent.records)
    return (f"{over}; MLflow has taken {sent} of {waiting} records that it had missed", *filter(None, [str(unsent)]))


def _behind(name: str, home: Home, catalogue: Catalogue) -> int:
    """How many members of a sweep that is over MLflow shows in another state than they have. 0 where it does not answer."""
    created, states = catalogue.sweep(name).created.isoformat(), {row.number: row.state for row in catalogue.members(name)}
    try:
        found = [run for run in find(home.tracking_uri, sweep=name) if run.tags.get("lagrange.created") == created]
    except InfraError:
        return 0
    return sum(run.member in states and run.tags.get("state") != states[run.member] for run in found)


def _all_again(name: str, home: Home, catalogue: Catalogue) -> str:
    """Tell MLflow all of a sweep that is over. What it lacks then, in words."""
    row = catalogue.sweep(name)
    with catalogue.lock(name):
        tracker = mirrored(name, read(row.spec), home, catalogue)
        end(tracker, name, row.status, Answer.from_dict(row.answer) if row.answer else None)
        return str(tracker.close(CATCH_UP_S))


def repair(name: str, catalogue: Catalogue, mirror: Mirror) -> None:
    """Tell MLflow again what the catalogue holds. The tracker leaves out what MLflow already has."""
    mirror.prepared(catalogue.sweep(name).facts or {})
    rows = catalogue.members(name)
    mirror.portrait.know(rows)
    reports = each_report(catalogue, name, [row.number for row in rows])
    curves = itertools.groupby(reports, key=lambda report: report.number)
    at, mine = next(curves, (None, iter(())))
    for row in rows:
        if row.number != at and row.state is None:
            continue
        mirror.begin(row)
        if row.number == at:
            for report in mine:
                mirror.report(row.number, report)
            at, mine = next(curves, (None, iter(())))
        if row.state is not None:
            mirror.end(row)


def made_up(name: str, catalogue: Catalogue, mirror: Mirror) -> None:
    """Say again what a full disk has lost on its way, now that the sweep is over and there may be room."""
    if mirror.tracker.missed:
        mirror.tracker.missed = 0
        repair(name, catalogue, mirror)


def attributes(answer: Answer | None) -> dict[str, str]:
    """What an answer says, for whoever keeps a few words beside a sweep."""
    if answer is None:
        return {}
    return {"verdict": answer.verdict_word, "exported": answer.exported_words(), "answer": answer.sentence()}


def end(tracker: Tracker, name: str, status: str, answer: Answer | None, problem: str = "") -> None:
    """Tell MLflow how a sweep ended, and what its answer says."""
    if answer is None:
        tracker.end_sweep(status, {}, {NOTE: description.without_answer(name, status, problem)})
        tracker.experiment({NOTE: description.line_without_answer(name, status)}, keep=True)  # the answer of another sweep says more
        return
    note = description.answered(name, answer, status)
    tags = {"verdict": answer.verdict_word, "answer": answer.sentence(), NOTE: note}
    tracker.end_sweep(status, {key: value for key, value in summary(answer).items() if math.isfinite(value)}, tags)
    tracker.experiment({NOTE: description.line(name, answer)})


def summary(answer: Answer) -> dict[str, float]:
    """The answer in numbers: of what is exported; and the best arm with λ on beside it where that is another one."""
    effect, promise, test = answer.effect, answer.promise, (answer.test or {}).get("effect")
    found = {"recommended_score": answer.recommended_score}
    if answer.against != AGAINST_NOTHING:
        found |= {"off_score": answer.off_score, "effect": effect.mean, "effect_low": effect.low, "effect_high": effect.high}
    found |= {"promise_low": promise.low, "promise_high": promise.high}
    found |= {f"best.{name}": value for name, value in answer.exported.items()}
    if isinstance(test, Mapping) and answer.against != AGAINST_NOTHING:
        found |= {"test_effect": test["mean"], "test_effect_low": test["low"], "test_effect_high": test["high"]}
    if answer.front is not None:
        found["hypervolume"] = answer.front.hypervolume.mean
    if answer.keeps_off and not answer.uncompleted:  # else there is no arm with λ on
        found["lambda_arm_score"] = answer.best_score
        found |= {f"lambda_arm.{one.name}": float(one.value) for one in answer.lambdas}
    return found
