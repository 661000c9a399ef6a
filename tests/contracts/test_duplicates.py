"""No two searched members are one training, whoever asks for them. New samplers and schedulers are collected here without an edit.

A training is a config, a seed, and the member from whose weights it starts. A copy would cost as much as another member and say nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import MemberRow, config_hash
from objectives.base import Report, State, Value
from objectives.registry import load, names
from search.asking.samplers import conflicts
from search.asking.samplers import hands_on as starts_from_others
from search.asking.space import Space
from search.facts import PRIOR
from search.running.working.work import Prepared, Progress, ReadTest, Result, Train
from search.running.writing.told import PROPOSED
from search.schedulers import evolving
from search.schedulers import known as schedulers
from search.spec.reading import read
from tests.search.simulated import Simulated

pytestmark = pytest.mark.turns(3)

FOREIGN = ["optuna.samplers:RandomSampler", "optuna.samplers:BruteForceSampler"]
SAMPLERS = names("sampler", "search.asking.samplers")
SPACES: list[dict[str, Any]] = [
    {"search": {"beta": [0.3, 1.0, 3.0], "lr": [1e-3, 1e-2]}},
    {"search": {"beta": {"low": 0.1, "high": 10.0}}, "fixed": {"lr": 1e-3}},
]
SPEC: dict[str, Any] = {
    "objective": "vae",
    "budget": {"trials": 24, "epochs": 8},
    "scheduler": "none",
    "confirm": {"seeds": 0},
    "pack": 1,
    "check": False,
}


class Handing(Simulated):
    """Members may start from others. Where λ is large, and for every fifth member, a training is lost."""

    def step(self) -> Result:
        if not isinstance(self._work, Train):
            return super().step() if isinstance(self._work, ReadTest) else Prepared(self.facts)
        self._steps += 1
        reports = []
        for one in self._work.assigned:
            at = int(json.loads(one.checkpoint.read_text())) if one.checkpoint.exists() else one.origin.start if one.origin else 0
            end = next((epoch for epoch in self._work.milestones if epoch > at), 8)
            lost = float(one.member.config["beta"]) > 4 or one.member.number % 5 == 4
            for path in (one.checkpoint, *(path for epoch, path in one.heirlooms.items() if epoch == end)):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(end))
            score = self.score(one.member.config, one.member.seed)
            state = State.DIVERGED if lost else State.COMPLETE if end == 8 else None
            reports.append(Report(one.member.number, end, math.nan if lost else score, state=state, score=score if end == 8 else None))
        return Progress(tuple(reports), done=all(one.state is not None for one in reports))


def truth(config: Mapping[str, Value]) -> float:
    return 20 + math.log10(float(config["beta"]) / 0.5) ** 2


def searched(folder: Path, spec: Mapping[str, Any], jobs: int = 10_000, prior: Any = None) -> list[MemberRow]:
    """The searched members of a sweep. It ends on the way after so many jobs, and another driver goes on."""
    with Handing(folder, spec, truth) as one:
        if prior:
            one.catalogue.update_sweep("s", facts={PRIOR: prior})
    with Handing(folder, spec, truth) as one:
        one.run(jobs)
    with Handing(folder, spec, truth) as one:
        one.run()
        return [row for row in one.ledger.ordered() if row.phase == "search"]


def trainings(rows: list[MemberRow]) -> list[tuple[object, ...]]:
    return [(config_hash(row.config), row.seed, row.parent, row.start) for row in rows]


def space_for(sampler: str) -> dict[str, Any]:
    """The space of fewest points that a sampler does not refuse."""

    def refused(search: dict[str, Any]) -> bool:
        space = Space(read({**SPEC, **search}), load("vae"))
        return any(one.level == "error" for one in conflicts(sampler, space, 24))

    return next(search for search in SPACES if not refused(search))


@pytest.mark.parametrize("sampler", [*SAMPLERS, *FOREIGN])
def test_no_sampler_trains_a_copy(sampler: str, tmp_path: Path) -> None:
    rows = searched(tmp_path, {**SPEC, **space_for(sampler), "sampler": sampler}, jobs=9)
    found = trainings(rows)
    assert len(rows) == 24 and len(set(found)) == 24
    if not starts_from_others(sampler):
        assert len({one[:2] for one in found}) == 24, "no two have one config and one seed"


@pytest.mark.parametrize("lost", [False, True])
def test_a_path_repeats_config_and_seed_from_another_start_only(tmp_path: Path, lost: bool) -> None:
    """On the way back a chain comes to a λ again, with its seed, from other weights. Where all were lost, it starts from scratch again."""
    search = {"search": {"beta": {"low": 5.0 if lost else 0.1, "high": 50.0 if lost else 3.0}}, "fixed": {"lr": 1e-3}}
    rows = [row for row in searched(tmp_path, {**SPEC, **search, "sampler": "path"}, jobs=9) if row.arm != "off"]
    assert len(set(trainings(rows))) == len(rows) == 20
    assert all((row.state == "diverged") and row.parent is None for row in rows) or not lost
    assert len({(config_hash(row.config), row.seed) for row in rows}) == (20 if lost else 10)


@pytest.mark.parametrize("scheduler", [name for name in schedulers() if evolving(name)])
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_members_that_replace_others_are_no_copies(scheduler: str, sampler: str, tmp_path: Path) -> None:
    chosen = {"name": scheduler, "interval_share": 0.25}
    spec = {**SPEC, "search": {"beta": {"low": 0.5, "high": 0.6}, "lr": [1e-3, 1e-2]}, "sampler": sampler, "scheduler": chosen}
    rows = searched(tmp_path, spec, jobs=40)
    assert any(row.start for row in rows)
    found = [one[:2] for one in trainings(rows)]
    assert len(set(found)) == len(found)


def test_a_prior_proposes_no_copy_and_the_others_keep_their_seeds(tmp_path: Path) -> None:
    few = {"search": {"beta": [0.03, 0.1, 0.3, 1.0, 3.0]}, "fixed": {"lr": 1e-3}, "budget": {"trials": 33, "epochs": 8}}
    source = [[{"beta": beta}, seed, truth({"beta": beta}), 0.0] for beta in (0.03, 0.1, 0.3, 1.0, 3.0) for seed in (1, 2)]
    prior = [{"name": "before", "dataset": "digits", "model": "mlp400", "best": {"beta": 0.3}, "trainings": source}]
    with_prior = searched(tmp_path / "with", {**SPEC, **few, "prior": ["before"]}, jobs=14, prior=prior)
    without = searched(tmp_path / "without", {**SPEC, **few}, jobs=14)
    proposed = [row for row in with_prior if PROPOSED in row.facts]
    assert proposed and any(row.config == other.config for row in proposed for other in without), "an exact repeat of a config"
    assert len({one[:2] for one in trainings(with_prior)}) == len(with_prior)
    kept = [(row.config, row.seed) for row in with_prior if PROPOSED not in row.facts]
    assert kept == [(row.config, row.seed) for row in without][: len(kept)] and len(kept) >= 30


def test_points_of_the_user_and_choices_that_are_off_get_fresh_seeds(tmp_path: Path) -> None:
    points = [{"beta": 1, "lr": 1e-3}, {"beta": 1.0, "lr": 1e-3}, {"beta": 0.3, "lr": 1e-2}, {"beta": 0.3, "lr": 1e-2}]
    found = trainings(searched(tmp_path, {**SPEC, **SPACES[0], "points": points, "sampler": "brute"}, jobs=5))
    assert len(set(found)) == len(found) == 24
