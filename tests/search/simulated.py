"""Searches with a known truth, for the tests of choosing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.tracking import NullTracker
from objectives.base import Knob, Report, State, Value
from objectives.registry import load
from search import schedulers
from search.ledger import Ledger, Silent
from search.plan import Job, Pause, Plan
from search.schedulers.asha import Scheduler as Halving
from search.selection import Answer, Candidate, Row
from search.space import Space
from search.spec import Spec
from search.study import Study

L2 = Knob("l2", "", "", "1", 0.0, low=1e-3, high=10.0, log=True, off=0.0, more="high")
DROPOUT = Knob("dropout", "", "", "1", 0.0, low=0.0, high=0.8, off=0.0, more="high")
LR = Knob("lr", "", "", "1", 1e-3, low=1e-4, high=1e-1, log=True)
ACT = Knob("act", "", "", "", "relu", choices=("relu", "elu"))
BETA = Knob("beta", "", "", "1", 1.0, low=0.1, high=10.0, log=True, off=1.0, more="high")

Curve = Callable[[float], float]


def parabola(gain: float, at: float = -1.0) -> Curve:
    """Excess over the off arm: −gain at log₁₀ λ = `at`, rising by ½ per squared decade; 0 at λ = 0."""
    return lambda value: 0.5 * (math.log10(value) - at) ** 2 - gain if value else 0.0


def simulated_search(curve: Curve, count: int, seed: int, sd: float = 0.1) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        arm = "search" if index % 6 else "off"
        value = 10 ** rng.uniform(-3, 1) if arm == "search" else 0.0
        rows.append(Row(index, "search", arm, {"l2": value}, 7, "complete", 10 + curve(value) + sd * rng.normal()))
    return rows


def by_arm(found: list[Candidate], knob: str = "l2") -> dict[str, float]:
    return {one.arm: float(one.config[knob]) for one in found}


def vae(beta: float, lr: float, gain: float = 5.0) -> float:
    """A final score with its minimum at β = 0.8, lr = 0.005, in which the learning rate weighs as much as β."""
    a, b = math.log10(beta / 0.8), math.log10(lr / 5e-3)
    return 100 + gain * a * a * (1 + max(a, 0)) + 6 * b * b * (1 + 3 * max(b, 0))


def halved_search(seed: int, gain: float = 5.0, epochs: int = 20, trials: int = 24, sd: float = 0.1) -> list[Row]:
    """A search under ASHA: about five λ members of twenty complete. A small learning rate also trains slower."""
    rng, halving, rows = np.random.default_rng(seed), Halving(epochs), []
    for number in range(trials):
        arm = "search" if number % 6 else "off"
        config: dict[str, Value] = {"beta": 10 ** rng.uniform(-1, 1) if arm == "search" else 1.0, "lr": 10 ** rng.uniform(-4, -1)}
        final = vae(float(config["beta"]), float(config["lr"]), gain) + sd * rng.normal()
        speed = 0.35 * (float(config["lr"]) / 5e-3) ** 0.25 * math.exp(0.2 * rng.normal())
        curve, state = {}, "complete"
        for epoch in range(1, epochs + 1):
            curve[epoch] = final + (60 * math.exp(-speed * epoch) if epoch < epochs else 0.0)
            if epoch < epochs and halving.decide(number, arm, epoch, curve[epoch]):
                state = "stopped"
                break
        rows.append(Row(number, "search", arm, config, 7, state, final if state == "complete" else None, curve[epoch], epoch, 1.0, curve))
    return rows


Truth = Callable[[Mapping[str, Value]], float]  # what a config scores, but for the luck of its seed; NaN: it diverges, ∞: it fails


class Simulated:
    """A whole sweep on a real catalogue without a training: what a config scores is known. One object is one driver's life."""

    def __init__(self, folder: Path, spec: Mapping[str, Any], truth: Truth, *, sd: float = 0.05, shift: float = 1.0) -> None:
        self.spec, self._truth, self._sd, self._shift = Spec.read(spec), truth, sd, shift
        self.space = Space(self.spec, load(self.spec.objective))
        self.catalogue = Catalogue(f"sqlite:///{folder / 'simulated.db'}")
        if not self.catalogue.has_sweep("s"):
            self.catalogue.create_sweep(SweepRow("s", {}))
        never = schedulers.make("none", 1)
        books = {"epochs": 1, "score_name": "score", "checkpoint": lambda number: folder / f"{number}"}
        self.ledger = Ledger("s", self.catalogue, NullTracker(), Silent(), never, **books)
        self.study = Study(self.space, self.spec.sampler, self.spec.seed, self.spec.budget.trials)
        self.study.rebuild([row for row in self.ledger.ordered() if row.phase == "search"])
        chosen = [Candidate(**fields) for fields in self.catalogue.sweep("s").candidates or []]
        self.plan = Plan(self.spec, self.space, self.study, self.ledger, str, candidates=chosen)

    def __enter__(self) -> Simulated:
        return self

    def __exit__(self, *error: object) -> None:
        self.catalogue.close()

    def run(self, jobs: int = 10_000) -> Answer | None:
        """Do at most so many jobs; the answer, if it is there."""
        for _ in range(jobs):
            job = self.plan.next()
            if job is Pause.DONE:
                break
            assert isinstance(job, Job)
            self._do(job)
        return self.plan.answer

    def _do(self, job: Job) -> None:
        if job.kind == "prepare":
            self.plan.prepared({}, "")
        elif not job.rows:
            self.plan.test_read([{**item, "scores": {"score": self.score(item["config"], item["seed"])}} for item in job.items], "")
        else:
            for row in job.rows:
                self._train(row)

    def _train(self, row: MemberRow) -> None:
        score = self.score(row.config, row.seed)
        beside = {"val_fid": 2 * score} if self.spec.measure else {}
        end = Report(row.number, 1, score, beside, state=State.COMPLETE, score=score)
        if not math.isfinite(score):
            end = Report(row.number, 1, math.nan, state=State.DIVERGED if math.isnan(score) else State.FAILED)
        self.ledger.record({row.number: [end]}, 0.0, {})
        self.plan.ended(row.number)

    def score(self, config: Mapping[str, Value], seed: int) -> float:
        """The truth, the seed's own shift, and noise that is a function of both."""
        return self._truth(config) + self._shift * _luck(seed) + self._sd * _luck(seed, sorted(config.items()))


def _luck(*what: object) -> float:
    """A standard normal number that is a function of `what`."""
    digest = hashlib.sha256(repr(what).encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8], "big")).normal())
