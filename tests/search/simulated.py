"""Searches with a known truth, for the tests of choosing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infra.catalogue import Catalogue, SweepRow
from infra.ray.cluster import Cluster
from infra.storage import Home
from objectives.base import Knob, Member, Report, State, Value
from search.choosing.answer import Answer, Candidate, Row
from search.running import driver
from search.running.in_process import carry_out
from search.running.working.work import Prepared, Progress, ReadTest, Result, Scored, TestRead, Train, Work
from search.schedulers.asha import Scheduler as Halving
from search.spec.reading import read
from search.telling.listener import Listener

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
    """A whole sweep on a real catalogue without a training: what a config scores is known. One object is one driver's life.

    It is the worker too (`in_process.Steps`): every member is complete after one epoch, or ends as the truth says. `facts` are those of
    the data.
    """

    def __init__(
        self,
        folder: Path,
        spec: Mapping[str, Any],
        truth: Truth,
        *,
        sd: float = 0.05,
        shift: float = 1.0,
        listener: Listener | None = None,
    ) -> None:
        self.spec, self._truth, self._sd, self._shift = read(spec), truth, sd, shift
        self.facts: dict[str, Any] = {}
        self._steps = 0
        self.catalogue = Catalogue(f"sqlite:///{folder / 'simulated.db'}")
        if not self.catalogue.has_sweep("s"):
            self.catalogue.create_sweep(SweepRow("s", {}))
        self.plan, self.dispatch = driver.opened("s", self.spec, Home.open(folder), self.catalogue, Cluster(None, 1, {}), listener=listener)
        self.space, self.study, self.ledger = self.plan.space, self.plan.study, self.plan.ledger

    def __enter__(self) -> Simulated:
        return self

    def __exit__(self, *error: object) -> None:
        self.catalogue.close()

    def run(self, jobs: int = 10_000) -> Answer | None:
        """Do at most so many jobs; the answer, if it is there."""
        last = self._steps + jobs
        carry_out(self.plan, self.dispatch, lambda: self._steps >= last, worker=self)
        return self.plan.answer

    def begin(self, work: Work) -> None:
        """Take over a piece of work."""
        self._work = work

    def step(self) -> Result:
        """All of it."""
        self._steps += 1
        if isinstance(self._work, Train):
            return Progress(tuple(self._trained(one.member) for one in self._work.assigned), done=True)
        if isinstance(self._work, ReadTest):
            return TestRead(tuple(Scored(one, {"score": self.score(one.config, one.seed)}) for one in self._work.readings))
        return Prepared(self.facts)

    def _trained(self, member: Member) -> Report:
        score = self.score(member.config, member.seed)
        if not math.isfinite(score):
            return Report(member.number, 1, math.nan, state=State.DIVERGED if math.isnan(score) else State.FAILED)
        beside = {"val_fid": 2 * score} if self.spec.measure else {}
        return Report(member.number, 1, score, beside, state=State.COMPLETE, score=score)

    def score(self, config: Mapping[str, Value], seed: int) -> float:
        """The truth, the seed's own shift, and noise that is a function of both."""
        return self._truth(config) + self._shift * luck(seed) + self._sd * luck(seed, sorted(config.items()))


def luck(*what: object) -> float:
    """A standard normal number that is a function of `what`."""
    digest = hashlib.sha256(repr(what).encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8], "big")).normal())
