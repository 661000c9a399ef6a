"""A large sweep costs as much for each member as a small one, and loses none of them when nodes fail.

Work is counted, not timed: rows of the ledger that anybody goes through, statements of SQL, and trials that a sampler looks at.
"""

from __future__ import annotations

import math
import pkgutil
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.ray.cluster import Cluster
from infra.storage import Home
from objectives.base import Phase, State
from search.asking import _at_once, study
from search.asking.projection import MOST as SHOWN
from search.asking.projection import thinned as shown
from search.choosing import fitted
from search.choosing.answer import Row
from search.modelling.final import Final, in_order, nearest
from search.running import driver
from search.running.planning.plan import Plan
from search.schedulers import make
from search.spec.plain import plain_spec
from search.spec.reading import read
from tests.benchmarks.cluster_of import Simulation
from tests.benchmarks.scale import spec_of
from tests.search.simulated import L2, parabola, simulated_search
from tests.study.worlds import WORLDS

pytestmark = pytest.mark.turns(2)

WORLD = WORLDS["bowl-2"]


class Books(dict[int, MemberRow]):
    """Rows of a ledger that count how many of them anybody went through."""

    touched = 0

    def _counted(self, rows: Any) -> Iterator[Any]:
        for row in rows:
            self.touched += 1
            yield row

    def __iter__(self) -> Iterator[int]:
        return self._counted(super().__iter__())

    def values(self) -> Any:
        return self._counted(super().values())

    def items(self) -> Any:
        return self._counted(super().items())


class Sweep:
    """The search of one sweep on a simulated cluster, over a real catalogue."""

    def __init__(self, folder: Path, members: int, until: int | None = None, **options: Any) -> None:
        chosen = {key: options.pop(key) for key in ("sampler", "scheduler") if key in options}
        self.spec = read(spec_of("bowl-2", members, 20, **{"sampler": "random", "scheduler": "auto", **chosen}))
        self.until, self.name = until or members, "s"
        self.catalogue = Catalogue(Home.open(folder).catalogue_url)
        if not self.catalogue.has_sweep(self.name):
            self.catalogue.create_sweep(SweepRow(self.name, plain_spec(self.spec)))
        self.simulation = Simulation(WORLD, **{"gpus": 40, **options})
        self.plan, self.dispatch = driver.opened(
            self.name, self.spec, Home.open(folder), self.catalogue, Cluster(None, self.simulation.gpus, {})
        )

    def run(self, watch: Callable[[Plan], None] = lambda plan: None) -> Plan:
        def asks(plan: Plan) -> bool:
            watch(plan)
            return plan.searched() < self.until or bool(plan._queue)

        self.simulation.asks = asks
        self.simulation.carry_out(self.plan, self.dispatch, lambda: False)
        return self.plan


def told(catalogue: Catalogue) -> list[Any]:
    """What is to be the same, however a sweep went: of each member its config and seed, and how it ended."""
    curves: dict[int, list[Any]] = {}
    for report in catalogue.reports("s"):
        curves.setdefault(report.number, []).append((report.epoch, report.rung_score))
    return [(row.number, row.config, row.seed, row.state, row.score, curves.get(row.number)) for row in catalogue.members("s")]


def test_nodes_that_fail_change_no_member(tmp_path: Path) -> None:
    quiet, rough = Sweep(tmp_path / "a", 120, scheduler="none"), Sweep(tmp_path / "b", 120, scheduler="none", mtbf_s=2500.0, seed=3)
    quiet.run()
    rough.run()
    assert rough.simulation.failures >= 2 and rough.simulation.deaths >= 8 and quiet.simulation.failures == 0
    first = told(quiet.catalogue)
    assert [one[0] for one in first] == list(range(120)) and told(rough.catalogue) == first


@pytest.mark.parametrize("scheduler", ["auto", *(pytest.param(one, marks=pytest.mark.slow) for one in ("asha", "median", "hyperband"))])
def test_the_work_for_a_member_does_not_grow_with_their_number(tmp_path: Path, scheduler: str) -> None:
    sweep = Sweep(tmp_path, 600, until=160, scheduler=scheduler)
    books = sweep.plan.ledger.rows = Books(sweep.plan.ledger.rows)
    sweep.plan.ledger.mirror._told_s = math.inf  # a description now and then goes through all members, by the clock
    statements, seen = [0], dict[int, tuple[int, int, int]]()
    sa.event.listen(sweep.catalogue._database._engine, "before_cursor_execute", lambda *_: statements.__setitem__(0, statements[0] + 1))

    def watch(plan: Plan) -> None:
        seen.setdefault(plan.searched(), (statements[0], books.touched, sweep.simulation.reports))

    sweep.run(watch)
    early, late = ([after - before for before, after in zip(seen[a], seen[b], strict=True)] for a, b in ((40, 80), (120, 160)))
    assert early[1] == late[1] == 0, "nobody goes through the rows of all members"
    few, many = (statements / (40 + reports) for statements, _, reports in (early, late))  # a member and a report are a commit each
    assert many <= 1.1 * few <= 10


def test_no_member_makes_the_driver_read_a_folder_or_asks_what_it_may_be_packed_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked, modules = list[str](), list[Any](), pkgutil.iter_modules
    sweep = Sweep(tmp_path, 40, gpus=4)
    monkeypatch.setattr(pkgutil, "iter_modules", lambda folders, *given: read.extend(folders) or modules(folders, *given))
    monkeypatch.setattr(sweep.plan.division, "bundle", asked.append)
    sweep.run()
    assert sweep.plan.searched() == 40 and not asked
    assert len(read) < 20, "folders are read a few times at the beginning, however many members there are"


def test_a_sampler_learns_from_so_many_trials_and_a_driver_that_comes_later_from_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MOST", 24), ("KEPT", 12), ("BEST", 4), ("OPEN", 3)):
        monkeypatch.setattr(study, name, value)
    whole = Sweep(tmp_path / "a", 60, gpus=1, sampler="tpe")
    whole.run(lambda plan: _small(plan.study))
    for stop in (30, 47, 60):
        Sweep(tmp_path / "b", 60, until=stop, gpus=1, sampler="tpe").run()
    with Catalogue(Home.open(tmp_path / "b").catalogue_url) as catalogue:
        assert told(catalogue) == told(whole.catalogue)
        assert set(catalogue.sweep("s").facts["sampler"]) == {"search"}


def _small(asked: Any) -> None:
    assert all(len(one.get_trials(deepcopy=False)) <= 24 for one in asked._studies.values())


def test_who_does_not_learn_is_told_of_no_trial(tmp_path: Path) -> None:
    plan = Sweep(tmp_path, 40, gpus=4).run()
    assert not any(one.get_trials(deepcopy=False) for one in plan.study._studies.values())
    assert not plan.study._open


DONORS = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.5, 2.0, 7.0]) | st.floats(-9, 9), st.floats(-9, 9)), max_size=60)


@given(DONORS, st.sampled_from([0.0, 1.25, 1.5, 9.0]) | st.floats(-9, 9))
def test_the_nearest_donors_are_those_of_a_whole_search(donors: list[tuple[float, float]], at: float) -> None:
    given_ = [(rung, Final(score)) for rung, score in donors]
    assert nearest(in_order(given_), at) == sorted(given_, key=lambda one: (abs(one[0] - at), one[0], one[1].score))[:8]


REPORTS = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([2, 4, 8, 12, 20]), st.sampled_from([1.0, 2.0, 3.0, math.nan]) | st.floats(0, 9)),
    max_size=60,
)


@given(REPORTS)
def test_a_member_is_judged_as_by_going_through_all_others(reports: list[tuple[int, int, float]]) -> None:
    halving, median = make({"name": "asha", "grace_share": 0.2}, 20), make({"name": "median", "min_members": 1}, 20)
    curves: dict[int, dict[int, float]] = {}
    for number, epoch, score in reports:
        curves.setdefault(number, {})[epoch] = math.inf if math.isnan(score) else score
        rung = sorted((one[epoch], other) for other, one in curves.items() if epoch in one)
        kept = max(1, math.ceil(len(rung) / 3))
        beaten = rung.index((curves[number][epoch], number)) + 1 > kept
        assert bool(halving.decide(number, "a", epoch, score)) == (beaten and epoch in halving.milestones)
        until = {other: [one[e] for e in sorted(one) if e <= epoch] for other, one in curves.items() if epoch in one}
        means = [statistics.fmean(one) for other, one in until.items() if other != number]
        worse = bool(means) and min(until[number]) > statistics.median(means)
        assert bool(median.decide(number, "a", epoch, score)) == (worse and epoch in median.milestones)


def _many(count: int, seed: int = 0, gain: float = 1.0) -> list[Row]:
    confirmed = [Row(count + k, Phase.CONFIRM, "min", {"l2": 0.1}, k, "complete", 9.0) for k in range(5)]
    return simulated_search(parabola(gain), count, seed, sd=0.3) + confirmed


def test_few_members_are_all_in_the_surface_and_many_are_thinned_to_so_many() -> None:
    few, many = _many(300), _many(3000)
    assert fitted.thinned(few, [L2]) is few
    kept = fitted.thinned(many, [L2])
    assert fitted.MOST - 10 <= len(kept) <= fitted.MOST + 10 and {one.number for one in kept} >= {3000, 3001, 3002, 3003, 3004}
    near = [one for one in kept if one.arm == "search" and 0.03 < float(one.config["l2"]) < 0.3]
    assert len(near) > 3 * len(kept) / 10, "the region of the minimum has more than its share"
    assert sum(one.arm == "off" for one in kept) == pytest.approx(fitted.MOST / 6, abs=3)


def test_nobody_is_in_the_surface_because_its_score_was_lucky() -> None:
    luck = [replace(one, score=random.Random(one.number).gauss(0.0, 1.0)) for one in simulated_search(parabola(1.0), 4000, 1)]
    kept = [one.score for one in fitted.thinned(luck, [L2]) if one.score is not None]
    assert abs(statistics.fmean(kept)) < 4 / math.sqrt(len(kept))


def test_the_surface_of_the_same_members_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _many(40, seed=3)
    first = fitted.surface_of_all(rows, [L2])
    monkeypatch.setattr(fitted.Surface, "of", None)
    assert fitted.surface_of_all(list(rows), [L2]) is first
    monkeypatch.undo()
    other = fitted.surface_of_all([*rows[1:], replace(rows[0], score=0.0)], [L2])
    assert other is not None and other is not first


def _trial(number: int) -> Any:
    knobs = {
        "beta": optuna.distributions.FloatDistribution(0.1, 10, log=True),
        "act": optuna.distributions.CategoricalDistribution(("a", "b")),
    }
    lost = number == 1
    return optuna.trial.create_trial(
        params={"beta": 1.0 + number, "act": "b"},
        distributions=knobs,
        state=optuna.trial.TrialState.FAIL if lost else optuna.trial.TrialState.COMPLETE,
        value=None if lost else math.inf if number == 2 else 1.0,
        user_attrs={"member": number, "reason": "ü"},
        intermediate_values={1: math.nan, 2: 3.0, 3: -math.inf},
        constraints={"kl": -1.0},
    )


@pytest.mark.parametrize("broken", [False, True])
def test_trials_that_are_written_at_once_are_those_that_optuna_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage, trials = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'o.db'}"), [_trial(number) for number in range(4)]
    theirs, ours = (optuna.create_study(study_name=name, storage=storage) for name in ("theirs", "ours"))
    theirs.add_trials(trials)
    if broken:
        monkeypatch.setattr(_at_once, "TABLES", ())
    _at_once.add(ours, storage, trials)
    plain = [[{**vars(one), "_trial_id": 0} for one in each.get_trials()] for each in (theirs, ours)]
    assert repr(plain[0]) == repr(plain[1])


def test_optunas_tools_are_shown_the_best_and_an_even_part_of_the_others() -> None:
    rows = [
        MemberRow(number, {}, 0, state=State.COMPLETE if number % 3 else State.STOPPED, score=float(-number) if number % 3 else None)
        for number in range(SHOWN + 5000)
    ]
    kept = [row.number for row in shown(rows)]
    assert len(kept) == SHOWN and kept == sorted(set(kept)) and shown(rows[:9]) == rows[:9]
    best = sorted(row.number for row in sorted(rows, key=lambda row: (row.score is None, row.score or 0))[: SHOWN // 2])
    assert set(best) <= set(kept) and sum(number < 5000 for number in kept) >= SHOWN / 4 - 1
