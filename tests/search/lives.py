"""Sweeps without a training whose driver and workers die at random: between any two statements of SQL, before any commit, in any step.

A sweep lives on in its home. `Life` is what one driver does with it. Where a driver dies, nothing more is written: whatever its code still
tries in a `finally` finds no database.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from infra.catalogue import Catalogue
from infra.catalogue.lock import _FREE
from infra.catalogue.tables import SWEEPS
from infra.storage import HOME, Home
from objectives.base import Report, State
from search.running import in_process
from search.running.planning.faults import Cause, in_a_row
from search.running.planning.plan import Job, Kind, Plan
from search.running.where import IN_PROCESS
from search.running.working.work import Assigned, Prepared, Progress, ReadTest, Result, Scored, TestRead, Train, Work
from search.spec.keys import Limits
from search.sweep import Outcome, resume, run
from tests.search.kept import kept, said
from tests.search.simulated import luck

NAME = "s"
RETRIES = Limits().retries


class KilledError(BaseException):
    """The driver is dead. No code of the project catches it."""


class WorkerDiedError(Exception):
    """A worker is dead. Its driver lives."""


@dataclass(frozen=True)
class Case:
    """A kind of sweep. `score` is the truth of a config (NaN: it diverges half way); `more` are the trials that resumes add, one by one."""

    spec: Mapping[str, Any]
    score: Callable[[Mapping[str, Any]], float]
    more: Sequence[int] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Doom:
    """Counts the points at which a driver can die, and kills it at one of them."""

    def __init__(self, at: int | None = None, *, sigkill: bool = False) -> None:
        self._at, self._sigkill = at, sigkill
        self.points = 0

    def point(self, *_: Any) -> None:
        """Here a driver can die. A dead one stays dead."""
        self.points += 1
        if self._at is not None and self.points >= self._at:
            if self._sigkill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KilledError

    @contextmanager
    def hangs_over(self) -> Iterator[None]:
        """Every statement and commit of the block is a point; not those of a thread that another test left to make MLflow's tables."""
        mine = threading.get_ident()

        def met(*_: Any) -> None:
            if threading.get_ident() == mine:
                self.point()

        hooks = [("before_cursor_execute", met), ("commit", met)]
        for name, hook in hooks:
            sa.event.listen(sa.Engine, name, hook)
        try:
            yield
        finally:
            for name, hook in hooks:
                sa.event.remove(sa.Engine, name, hook)


class Trainer:
    """A worker whose trainings are formulas with a memory (`in_process.Steps`). Checkpoints hold the reports so far, as real ones do.

    It reports after as many epochs as chance says. With `deaths` it dies in a few of its steps, before or after it wrote a checkpoint, but
    only as often as a member or a chore is tried again. `tried` says how often in a row that was. A pack keeps one try more, because with
    the last one its members are trained one by one.
    """

    def __init__(
        self,
        case: Case,
        epochs: int,
        doom: Doom,
        rng: random.Random | None = None,
        deaths: float = 0.0,
        tried: Callable[[Work], int] = lambda work: 0,
    ) -> None:
        self._case, self._epochs, self._doom, self._rng, self._deaths = case, epochs, doom, rng, deaths
        self._tried = tried
        self.work: Work | None = None
        self.died = 0

    def begin(self, work: Work) -> None:
        """Take over a piece of work."""
        self._doom.point()
        self.work = work
        if isinstance(work, Train):
            self._reports = {one.member.number: _record(one.checkpoint) for one in work.assigned}
            for one in work.assigned:
                assert one.origin is None or self._reports[one.member.number] or one.origin.checkpoint.exists(), (
                    "it can start from its parent"
                )
            self._told = dict.fromkeys(self._reports, 0)

    def step(self) -> Result:
        """Train until the next decision, or for some epochs."""
        self._doom.point()
        assert self.work is not None
        doomed = self._dies(self.work)
        if doomed == "early" or (doomed and not isinstance(self.work, Train)):
            raise WorkerDiedError
        if isinstance(self.work, ReadTest):
            assert all(one.weights.exists() for one in self.work.readings), "what is read was kept"
            return TestRead(tuple(Scored(one, {"score": self._score(one.config, one.seed)}) for one in self.work.readings))
        if not isinstance(self.work, Train):
            return Prepared(dict(self._case.facts))
        living = [one for one in self.work.assigned if self._at(one) < self._epochs and not self._lost(one)]
        if living and all(self._told[one.member.number] == len(self._reports[one.member.number]) for one in living):
            self._train(living, self.work.milestones)
        if doomed:
            raise WorkerDiedError
        news = [report for number, reports in self._reports.items() for report in reports[self._told[number] :]]
        self._told = {number: len(reports) for number, reports in self._reports.items()}
        going = [one for one in living if self._at(one) < self._epochs and not self._lost(one)]
        for one in self.work.assigned:
            if one not in going and one.weights is not None:
                one.weights.parent.mkdir(parents=True, exist_ok=True)
                one.weights.touch()
        return Progress(tuple(_report(report) for report in news), done=not going, seconds=0.01)

    def _dies(self, work: Work) -> str:
        """Whether the worker dies in this step, and when."""
        most = RETRIES - 1 if isinstance(work, Train) and len(work.assigned) > 1 else RETRIES
        if self._rng is None or self._tried(work) >= most or self._rng.random() >= self._deaths:
            return ""
        self.died += 1
        return self._rng.choice(("early", "late"))

    def cause(self) -> Cause:
        """Why the worker is gone: one cause is as good as another."""
        assert self._rng is not None
        return self._rng.choice((Cause.DIED, Cause.SILENT, Cause.PREEMPTED, Cause.MEMORY))

    def _at(self, one: Assigned) -> int:
        reports = self._reports[one.member.number]
        return int(reports[-1]["epoch"]) if reports else one.origin.start if one.origin else 0

    def _lost(self, one: Assigned) -> bool:
        reports = self._reports[one.member.number]
        return bool(reports) and reports[-1]["state"] is not None

    def _train(self, living: Sequence[Assigned], milestones: Sequence[int]) -> None:
        """All to one epoch: they were trained equally long."""
        at = self._at(living[0])
        assert all(self._at(one) == at for one in living), "members of a pack agree in their epochs"
        rung = min((one for one in (*milestones, self._epochs) if one > at), default=self._epochs)
        end = rung if self._rng is None else min(rung, at + self._rng.randint(1, 3))
        for one in living:
            reports = self._reports[one.member.number]
            for epoch in range(at + 1, end + 1):
                reports.append(self._trained(one, epoch))
                if reports[-1]["state"] is not None:
                    break
            left = [path for epoch, path in one.heirlooms.items() if epoch == self._at(one)]
            for path in (*left, one.checkpoint):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(reports))

    def _trained(self, one: Assigned, epoch: int) -> dict[str, Any]:
        member = one.member
        score = self._score(member.config, member.seed)
        plain: dict[str, Any] = {"number": member.number, "epoch": epoch, "state": None, "score": None}
        if math.isnan(score) and epoch > self._epochs // 2:
            return {**plain, "rung_score": math.nan, "state": "diverged"}
        final = 10.0 if math.isnan(score) else score
        rung = final + 20 * math.exp(-0.5 * epoch) + 0.2 * luck("rung", member.seed, epoch, sorted(member.config.items()))
        if epoch < self._epochs:
            return {**plain, "rung_score": rung}
        return {**plain, "rung_score": rung, "state": "complete", "score": score}

    def _score(self, config: Mapping[str, Any], seed: int) -> float:
        return self._case.score(config) + 0.3 * luck(seed) + 0.1 * luck(seed, sorted(config.items()))


def _record(checkpoint: Path) -> list[dict[str, Any]]:
    return list(json.loads(checkpoint.read_text())) if checkpoint.exists() else []


def _report(plain: Mapping[str, Any]) -> Report:
    return Report(**{**plain, "state": State(plain["state"]) if plain["state"] else None})


class Life:
    """One driver: it begins the sweep, goes on with it, or adds the trials that are next."""

    def __init__(self, case: Case, home: Home, doom: Doom, rng: random.Random | None = None, deaths: float = 0.0) -> None:
        self._case, self.home, self._doom, self._rng, self._deaths = case, home, doom, rng, deaths
        self.workers_died = 0
        self._counted: Path | None = None

    def count_in(self, told: Path) -> None:
        """Write a letter into this file for every worker that dies."""
        self._counted = told

    def live(self) -> Outcome:
        """Drive until nothing is left to do, or until death."""
        with patch.object(in_process, "carry_out", self._carry_out), self._doom.hangs_over():
            outcome = self._begin_or_go_on()
            while (missing := self._missing()) is not None:
                outcome = resume(NAME, home=self.home, trials=missing, address=IN_PROCESS, tracking=False)
            return outcome

    def _begin_or_go_on(self) -> Outcome:
        with Catalogue(self.home.catalogue_url) as catalogue:
            begun = catalogue.has_sweep(NAME)
        if begun:
            return resume(NAME, home=self.home, address=IN_PROCESS, tracking=False)
        return run(self._case.spec, name=NAME, home=self.home, address=IN_PROCESS, tracking=False)

    def _missing(self) -> int | None:
        """How many trials the next resume adds: what a user would type who looks at what the sweep has."""
        with Catalogue(self.home.catalogue_url) as catalogue:
            trials = int(catalogue.sweep(NAME).spec["budget"]["trials"])
        had = trials - int(self._case.spec["budget"]["trials"])
        for more in self._case.more:
            if had < more:
                return more
            had -= more
        return None

    def _carry_out(self, plan: Plan, dispatch: Any, interrupted: Any) -> bool:
        def tried(work: Work) -> int:
            if isinstance(work, Train):
                return max(in_a_row(plan.ledger.rows[one.member.number]) for one in work.assigned)
            return plan.faults.counts.get(job_of(work).kind, 0)

        def job_of(work: Work) -> Job:
            if isinstance(work, Train):
                return Job(Kind.TRAIN, tuple(plan.ledger.rows[one.member.number] for one in work.assigned))
            return Job(Kind.READ_TEST if isinstance(work, ReadTest) else Kind.PREPARE)

        trainer = Trainer(self._case, plan.spec.settings().epochs, self._doom, self._rng, self._deaths, tried)
        while True:
            try:
                return CARRY_OUT(plan, dispatch, interrupted, trainer)
            except WorkerDiedError:
                assert trainer.work is not None
                self.workers_died += 1
                if self._counted:
                    self._counted.write_text("." * self.workers_died)
                plan.lost(job_of(trainer.work), "killed", trainer.cause())


CARRY_OUT = in_process.carry_out


def bury(home: Home) -> None:
    """The process that drove the sweep is gone. (It is this one, which lives on; so its lock is given back by hand.)"""
    with Catalogue(home.catalogue_url) as catalogue, catalogue._database.write() as connection:
        connection.execute(sa.update(SWEEPS).values(**_FREE))


def everything(home: Home, outcome: Outcome) -> Any:
    """All that a sweep leaves but for times."""
    with Catalogue(home.catalogue_url) as catalogue:
        row = catalogue.sweep(NAME)
    facts = {key: value for key, value in row.facts.items() if key not in ("took_seconds", "plan", "retried", HOME)}
    return kept(home, NAME), said(outcome), row.status, row.spec, facts


def undisturbed(case: Case, folder: Path) -> tuple[Any, int]:
    """What a sweep leaves whose driver and workers all live; and how many points it has at which they could have died."""
    doom, home = Doom(), Home.open(folder)
    outcome = Life(case, home, doom).live()
    return everything(home, outcome), doom.points


@dataclass(frozen=True)
class Disturbed:
    """What a sweep left, and how often its drivers and its workers were killed."""

    left: Any
    drivers: int
    workers: int


def disturbed(case: Case, folder: Path, points: int, seed: int, *, lives: int = 6, deaths: float = 0.1, sigkill: bool = False) -> Disturbed:
    """The same sweep by drivers each of which dies, on average, after a `lives`-th of the points of a whole sweep.

    With `sigkill` every driver is a process of its own, which ends by SIGKILL. Without, an exception is its death.
    """
    home, workers = Home.open(folder), 0
    for number in range(500):
        rng = random.Random(f"{seed} {number}")
        life = Life(case, home, Doom(1 + int(rng.expovariate(lives / points)), sigkill=sigkill), rng, deaths)
        left, died = _forked(life, folder / "told") if sigkill else _alive(life)
        workers += died
        if left is not None:
            return Disturbed(left, number, workers)
        bury(home)
    raise AssertionError("five hundred drivers came to no end")


def _alive(life: Life) -> tuple[Any, int]:
    """What a life leaves, None if it ends by death; and how many of its workers died."""
    try:
        return everything(life.home, life.live()), life.workers_died
    except KilledError:
        return None, life.workers_died


def _forked(life: Life, told: Path) -> tuple[Any, int]:
    """The same in a child process. A worker's deaths are told in a file, for a driver that was killed cannot say them."""
    child = os.fork()
    if not child:
        life.count_in(told)
        try:
            told.with_suffix(".left").write_bytes(pickle.dumps(_alive(life)[0]))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    died = len(told.read_text()) if told.exists() else 0
    told.unlink(missing_ok=True)
    assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status), "a driver failed"
    return (None if os.WIFSIGNALED(status) else pickle.loads(told.with_suffix(".left").read_bytes())), died


def truth(config: Mapping[str, Any]) -> float:
    """A bowl in log λ with its minimum at 0.1, 0.4 below off; everything above 3 diverges. The best learning rate is 0.01."""
    value = float(config["l2"])
    if value > 3:
        return math.nan
    return 10 + (0.5 * (math.log10(value) + 1) ** 2 - 0.4 if value else 0.0) + abs(math.log10(float(config["lr"])) + 2)


def alone(config: Mapping[str, Any]) -> float:
    """The same, with another λ that does nothing but harm."""
    return truth(config) + float(config["dropout"])


SPEC: dict[str, Any] = {
    "objective": "vae",
    "search": {"l2": {"low": 1e-3, "high": 10}, "lr": {"low": 1e-4, "high": 1e-1}},
    "scheduler": "asha",
    "budget": {"trials": 8, "epochs": 9},
    "confirm": {"configs": 3, "screen": 1, "seeds": 3},
    "pack": 1,
    "check": False,
    "limits": {"retries_total": 10_000},
}
PACKS = {"pack": {"members": 3, "why": ""}}
ONE = {"search": {"l2": {"low": 1e-3, "high": 10}}, "fixed": {"lr": 1e-2}}
CASES = {
    "race": Case(SPEC, truth),
    "packs": Case({**SPEC, "pack": 3, "budget": {"trials": 12, "epochs": 9}}, truth, facts={"pack": PACKS["pack"]}),
    "goals": Case({**SPEC, "until": ["effect ± 0.3", "lambda within 0.8 decades"]}, truth),
    "resumes": Case(SPEC, truth, more=(4, 3)),
    "alone": Case({**SPEC, "alone": True, "search": {**SPEC["search"], "dropout": {}}, "confirm": {"configs": 4, "seeds": 3}}, alone),
    "median": Case({**SPEC, "scheduler": "median", "pack": 3}, truth, facts={"pack": PACKS["pack"]}),
    "pbt": Case({**SPEC, **ONE, "scheduler": "pbt", "budget": {"trials": 12, "epochs": 9}, "pack": 3}, truth, facts=PACKS),
    "path": Case({**SPEC, **ONE, "scheduler": "none", "sampler": "path", "budget": {"trials": 14, "epochs": 4}}, truth),
}
