"""One simulated sweep of a world: the real plan, study, schedulers and answer; only the training is a formula."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from infra.catalogue import Catalogue
from infra.ray.cluster import Cluster
from infra.storage import Home
from objectives.base import Member, Report, State
from search.choosing.answer import Answer
from search.facts import PRIOR
from search.running import driver
from search.running.in_process import carry_out
from search.running.planning.plan import Plan
from search.running.working.work import Prepared, Progress, ReadTest, Result, Scored, TestRead, Train, Work
from search.spec.reading import read
from tests.benchmarks.regret import Forgetful
from tests.study.worlds import World, normal


@dataclass(frozen=True)
class Swept:
    """What a simulated sweep ended with, and the member-epochs that it took."""

    answer: Answer | None
    plan: Plan
    epochs: int
    problem: str


def sweep(world: World, seed: int, prior: Sequence[Mapping[str, Any]] = (), /, searched: bool = False, **spec: Any) -> Swept:
    """One whole sweep. `spec` are keys of the spec beside the world's own, `prior` what it takes over. With `searched` it has no answer."""
    plan, dispatch = driver.opened(
        "s", read(world.spec(seed, **spec)), Home.open("nowhere"), cast(Catalogue, Forgetful({PRIOR: list(prior)})), Cluster(None, 1, {})
    )
    trials = plan.spec.budget.trials

    def over() -> bool:
        return searched and plan.searched() >= trials and all(row.state is not None for row in plan.ledger.rows.values())

    carry_out(plan, dispatch, over, worker=Trained(world, plan.spec.settings().epochs))
    return Swept(plan.answer, plan, sum(row.epochs for row in plan.ledger.rows.values()), plan.problem)


class Trained:
    """A worker that trains nothing (`in_process.Steps`): its curves fall to the world's score, slower with a small learning rate."""

    def __init__(self, world: World, epochs: int) -> None:
        self._world, self._epochs = world, epochs

    def begin(self, work: Work) -> None:
        self._work = work
        if isinstance(work, Train):
            self._ends = [*work.milestones, self._epochs]

    def step(self) -> Result:
        if isinstance(self._work, ReadTest):
            return TestRead(tuple(Scored(one, {"score": self._world.score(one.config, one.seed)}) for one in self._work.readings))
        if not isinstance(self._work, Train):
            return Prepared({})
        end = self._ends.pop(0)
        return Progress(tuple(self._to(one.member, end) for one in self._work.assigned), done=not self._ends)

    def _to(self, member: Member, end: int) -> Report:
        score = self._world.score(member.config, member.seed)
        if math.isnan(score):
            return Report(member.number, end, math.nan, state=State.DIVERGED, reason="diverged")
        if end == self._epochs:
            metrics = self._world.measured(member.config, member.seed)
            return Report(member.number, end, score, metrics, state=State.COMPLETE, score=score)
        metrics = self._world.measured(member.config, member.seed, 1 - 0.5 * math.exp(-4 * end / self._epochs))
        return Report(member.number, end, self._rung(member.config, member.seed, end, score), metrics)

    def _rung(self, config: Mapping[str, Any], seed: int, epoch: int, score: float) -> float:
        """A rung's score is another quantity than the final one: it falls to it, and has noise and a bias of its own (−ELBO for NLL)."""
        speed = 0.3 * (float(config["lr"]) / 3e-3) ** 0.2
        own = normal("rung", seed, epoch, *(float(config[name]) for name in self._world.searched))
        bias = 1.5 * math.log10(float(config["beta"])) ** 2 if "beta" in self._world.searched else 0.0
        return score + 30.0 * math.exp(-speed * epoch) + 0.5 * own + bias
