"""The searched members of a sweep as studies in `optuna.db`, for people who open it with Optuna's own tools: a projection of the catalogue.

It differs from the study that asks (`study.py`). Scores have their own sign and name. A member that diverged or collapsed is a failed trial
with its reason; the sampler is told that it is infinitely bad. Every rung score is there. What was confirmed stands in the study's
attributes.

The off arm is a study of its own, `NAME/off`, because a trial with every λ off has no value of λ: a log range holds no 0. In one study
Optuna's importances and slices would then leave out every λ, for they look at the knobs that all trials have.

Of an arm with more than `MOST` members a part is shown: half of `MOST` are the best, the others lie evenly over the order of asking. The
study's attribute `left_out` says how many are not there; the catalogue has all.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from infra.catalogue import MemberRow
from objectives.base import Phase, State, Value
from search.asking import _at_once
from search.asking.space import OFF_ARM, SEARCH_ARM, SEED, Space, distributions
from search.asking.study import excesses
from search.conditions import active
from search.spec.keys import Spec
from search.spec.several import HIGHER, Asked

MOST = 10_000  # trials of one study: Optuna's tools hold all of them in memory


@dataclass(frozen=True)
class Books:
    """What a projection reads: the resolved spec, its space, all members, and the rung scores of members by epoch."""

    spec: Spec
    space: Space
    rows: Sequence[MemberRow]
    curves: Mapping[int, Mapping[int, float]]


class Projection:
    """Writes the studies of one sweep into an Optuna database."""

    def __init__(self, url: str, sweep: str) -> None:
        self._url, self._sweep = url, sweep
        self._begun: Future[None] | None = None

    def begin(self, books: Books) -> None:
        """Begin to write in the background, as soon as the search is over."""
        self._begun = self._begun or ThreadPoolExecutor(1, "lagrange-optuna").submit(self._write, books)

    def finish(self, books: Books, answer: Mapping[str, Any]) -> None:
        """Write what was not begun, wait for it, and add what the answer says. Raises whatever the database raises."""
        self.begin(books)
        begun, self._begun = self._begun, None
        assert begun is not None
        begun.result()
        import optuna

        study = optuna.load_study(study_name=next(self._names(books)), storage=_database(self._url))
        for name, value in answer.items():
            study.set_user_attr(name, value)

    def _names(self, books: Books) -> Iterator[str]:
        return (self._sweep if arm == SEARCH_ARM else f"{self._sweep}/{arm}" for arm in (*books.space.arms, OFF_ARM))

    def _write(self, books: Books) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage, asked, rows = _database(self._url), books.spec.asked, books.rows
        known = {study.study_name for study in optuna.get_all_study_summaries(storage)}
        directions = ["maximize" if one.better == HIGHER else "minimize" for one in asked]
        confirmed = _confirmed([row for row in rows if row.phase == Phase.CONFIRM], asked[0])
        for arm, name in zip((*books.space.arms, OFF_ARM), self._names(books), strict=True):
            if name in known:
                optuna.delete_study(study_name=name, storage=storage)
            study = optuna.create_study(study_name=name, storage=storage, directions=directions)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names([one.name for one in asked])
            study.set_user_attr("confirmed", confirmed)
            mine = [row for row in rows if row.phase == Phase.SEARCH and row.arm == arm and row.state is not None]
            told = thinned(sorted(mine, key=lambda row: row.number))
            if len(told) < len(mine):
                study.set_user_attr("left_out", len(mine) - len(told))
            kinds = _kinds(books.space, arm)
            _at_once.add(study, storage, [_trial(row, books, kinds(row.config)) for row in told])


def thinned(rows: Sequence[MemberRow]) -> Sequence[MemberRow]:
    """The members of an arm that are shown, in their order."""
    if len(rows) <= MOST:
        return rows
    ranked = sorted(rows, key=lambda row: (row.state != State.COMPLETE or row.score is None, row.score or 0.0, row.number))
    best, rest = ranked[: MOST // 2], sorted(ranked[MOST // 2 :], key=lambda row: row.number)
    step = len(rest) / (MOST - len(best))
    return sorted([*best, *(rest[int(step * place)] for place in range(MOST - len(best)))], key=lambda row: row.number)


def _kinds(space: Space, arm: str) -> Callable[[Mapping[str, Value]], dict[str, Any]]:
    """Who says which knobs act in a config of an arm, each with its distribution: made once for all configs that are alike."""
    asked, known = space.asked(arm), dict[tuple[str, ...], dict[str, Any]]()

    def kinds(config: Mapping[str, Value]) -> dict[str, Any]:
        acting = [knob for knob in asked if active(knob, config)]
        names = tuple(knob.name for knob in acting)
        if names not in known:
            known[names] = distributions(acting)
        return known[names]

    return kinds


def _trial(row: MemberRow, books: Books, distributions: Mapping[str, Any]) -> Any:
    import optuna

    score, *others = books.spec.asked
    state, values = _outcome(row, score, others)
    curve = {} if others else books.curves.get(row.number, {})  # with several metrics Optuna takes none
    trial = optuna.trial.create_trial(
        params={name: row.config[name] for name in distributions},
        distributions=dict(distributions),
        state=state,
        values=values,
        user_attrs={"member": row.number, "arm": row.arm, SEED: row.seed, "state": str(row.state), "reason": row.reason},
        intermediate_values={epoch: score.lower(value) for epoch, value in curve.items() if math.isfinite(value)},
        constraints=excesses(row, books.spec.demands, others),
    )
    trial.datetime_start, trial.datetime_complete = _local(row.created), _local(row.ended or row.created)
    return trial


def _outcome(row: MemberRow, score: Asked, others: Sequence[Asked]) -> tuple[Any, list[float] | None]:
    """Optuna's state and values: only a complete member with all its metrics is COMPLETE, and only a stopped one is PRUNED."""
    from optuna.trial import TrialState

    found = [None if row.score is None else score.lower(row.score)]
    found += [None if (value := one.values(row.metrics)) is None else one.lower(value) for one in others]
    values = [value for value in found if value is not None and math.isfinite(value)]
    if row.state == State.COMPLETE and len(values) == len(found):
        return TrialState.COMPLETE, values
    return (TrialState.PRUNED if row.state == State.STOPPED else TrialState.FAIL), None


def _confirmed(rows: Iterable[MemberRow], score: Asked) -> list[dict[str, Any]]:
    """The members on fresh seeds, in plain data."""
    return [
        {
            "member": row.number,
            "arm": row.arm,
            "config": dict(row.config),
            "seed": row.seed,
            "state": str(row.state),
            "score": None if row.score is None or not math.isfinite(row.score) else score.lower(row.score),
        }
        for row in rows
    ]


def _local(moment: datetime) -> datetime:
    """A moment as Optuna keeps it: local, without a zone."""
    return moment.astimezone().replace(tzinfo=None)


def _database(url: str) -> Any:
    """Optuna's database. If two sweeps create it at the same moment, Optuna's migration fails for the later one, which tries again."""
    import optuna

    for _ in range(4):
        try:
            return optuna.storages.RDBStorage(url)
        except Exception:
            time.sleep(0.5)
    return optuna.storages.RDBStorage(url)


def forget(url: str, sweep: str) -> None:
    """Remove a sweep's studies from an Optuna database. A missing file is not created."""
    file = url.removeprefix("sqlite:///")
    if url.startswith("sqlite:///") and not Path(file).exists():
        return
    import optuna

    storage = _database(url)
    for name in {study.study_name for study in optuna.get_all_study_summaries(storage)}:
        if name == sweep or name.startswith(f"{sweep}/"):
            optuna.delete_study(study_name=name, storage=storage)
