"""The budget in hours and money, and the time limit of a member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.catalogue import Catalogue, MemberRow
from objectives.base import Report
from search.choosing.verdict import with_chores
from search.errors import SpecError
from search.estimate import Cost, DryRun, _with_time
from search.facts import CHORES
from search.kept import More, go_on
from search.running.planning.faults import Cause
from search.running.planning.plan import Job
from search.running.planning.spending import Spending
from search.running.planning.wall import WallTime
from search.running.working.work import Prepared, Progress, Result
from search.running.working.work import TestRead as ReadSplit
from search.spec.hours import limit, used, with_budget, words
from search.spec.keys import Budget
from search.spec.reading import read
from search.telling.text.beside import cost_lines
from tests.search.frail import SPEC, Frail
from tests.search.simulated import Simulated, parabola


def truth(config: Mapping[str, Any]) -> float:
    return 10 + parabola(0.4)(float(config["l2"]))


def spec(**keys: Any) -> Any:
    return read({**SPEC, **keys}, remote=True)


def budget(**totals: float) -> dict[str, Any]:
    return {"trials": 8, "epochs": 1, **totals}


@given(
    gpu=st.sampled_from([0.25, 1.0, 2.0]),
    cpu=st.floats(0.5, 8),
    totals=st.dictionaries(st.sampled_from(["gpu_hours", "cpu_hours", "cost"]), st.floats(0.01, 1000), min_size=1),
    price=st.floats(0.01, 10),
)
def test_the_tightest_total_is_used_up_first(gpu: float, cpu: float, totals: dict[str, float], price: float) -> None:
    asked = spec(resources={"gpu": gpu, "cpu": cpu}, budget=budget(**totals, price_per_gpu_hour=price))
    seconds, name = limit(asked)
    at = used(asked, seconds)
    assert at[name] == pytest.approx(totals[name]) and all(at[one] <= most * (1 + 1e-9) for one, most in totals.items())
    assert at["gpu_hours"] == pytest.approx(seconds * gpu / 3600) and at["cost"] == pytest.approx(price * at["gpu_hours"])


def test_used_hours_are_said_beside_the_total() -> None:
    asked = spec(resources={"gpu": 2, "cpu": 4}, budget=budget(gpu_hours=20, price_per_gpu_hour=2.5))
    assert words(asked, 3600) == "2 of 20 GPU-hours, 4 CPU-hours, 5 in money"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"budget": {"gpu_hours": 5}}, "budget.gpu_hours must go with GPUs"),
        ({"budget": {"cost": 5}}, "price_per_cpu_hour"),
        ({"budget": {"cost": 5, "price_per_gpu_hour": 2}}, "budget.cost must go with the price"),
        ({"budget": {"cpu_hours": 0}}, "cpu_hours"),
        ({"limits": {"retries": -1}}, "retries"),
        ({"limits": {"member_minutes": 0}}, "member_minutes"),
    ],
)
def test_a_total_that_would_never_be_used_up_is_a_fault(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        spec(**keys)


def driven(folder: Path, hours: float, most: int = 10_000) -> Frail:
    """A driver of a sweep whose trainings take 360 s of a core each. All that was planned is sixteen."""
    with Frail(folder, {**SPEC, "budget": budget(cpu_hours=hours)}, truth, lambda what, tried: False, seconds=360.0) as sweep:
        sweep.run(most)
        return sweep


def test_a_sweep_ends_with_its_hours_and_an_answer(tmp_path: Path) -> None:
    """There is room for ten members. The search leaves the confirmation its share."""
    sweep = driven(tmp_path, 1.0)
    hours, answer = sum(row.seconds for row in sweep.ledger.ordered()) / 3600, sweep.plan.answer
    assert 0.8 <= hours <= 1.1, "one training more than there is room for, at most"
    assert answer is not None and answer.effect.seeds == 2
    assert any("of 8 trials were searched: the search's share of the budget is used up" in note for note in answer.notes)
    assert f"used: {hours:.3g} of 1 CPU-hours" in answer.notes


def test_what_was_used_counts_for_the_next_driver_and_another_total_goes_on(tmp_path: Path) -> None:
    driven(tmp_path, 1.0, most=4)
    first = driven(tmp_path, 1.0)
    assert first.plan.wall.used_s == sum(row.seconds for row in first.ledger.ordered()) <= 1.1 * 3600
    assert len(driven(tmp_path, 1.0).ledger.rows) == len(first.ledger.rows), "nothing is left to spend"
    with Catalogue(first.catalogue.url) as catalogue:
        assert go_on(catalogue, "s", first.spec, 0, more=More(budget={"cpu_hours": 9})).budget.cpu_hours == 9
    last = driven(tmp_path, 9.0)
    assert last.plan.answer is not None and last.plan.answer.effect.seeds == 4
    assert sum(row.phase == "search" for row in last.ledger.ordered()) == 8


def test_the_seconds_of_open_members_survive_their_driver(tmp_path: Path) -> None:
    keys = {**SPEC, "budget": {"trials": 8, "epochs": 9, "cpu_hours": 1}}
    with Simulated(tmp_path, keys, truth) as sweep:
        job = begun(sweep)
        sweep.plan.heard(job, Progress((Report(0, 1, 1.0),), seconds=50.0))
    with Simulated(tmp_path, keys, truth) as sweep:
        assert sweep.ledger.rows[0].seconds == 50.0 and sweep.plan.wall.used_s == 50.0


def begun(sweep: Simulated) -> Job:
    """The first members of a sweep, in training."""
    prepare = sweep.plan.next()
    assert isinstance(prepare, Job)
    sweep.plan.heard(prepare, Prepared({}))
    job = sweep.plan.next()
    assert isinstance(job, Job) and job.rows
    return job


def test_a_member_that_has_had_its_time_fails_by_its_own_fault(tmp_path: Path) -> None:
    keys = {**SPEC, "budget": {"trials": 8, "epochs": 9}, "limits": {"member_minutes": 2}}
    with Simulated(tmp_path, keys, truth) as sweep:
        job = begun(sweep)
        for epoch, stops in ((1, False), (2, True)):
            progress = Progress((Report(0, epoch, 1.0),), seconds=70.0)
            assert sweep.plan.stops(job, progress) is stops
            sweep.plan.heard(job, progress, stops)
        row = sweep.ledger.rows[0]
        assert row.state == "failed" and row.reason == "time limit: 2.33 min of training (limits.member_minutes: 2)"
        assert "infrastructure" not in row.facts and row.epochs == 2


def test_a_member_that_is_ended_between_two_reports_is_late_and_not_lost(tmp_path: Path) -> None:
    keys = {**SPEC, "budget": {"trials": 8, "epochs": 9}, "limits": {"member_minutes": 2}}
    with Simulated(tmp_path, keys, truth) as sweep:
        job = begun(sweep)
        assert sweep.plan.faults.left_s(job.numbers) == 120.0
        sweep.plan.lost(job, "time limit", Cause.LATE, 121.0)
        row = sweep.ledger.rows[0]
        assert row.state == "failed" and row.reason.startswith("time limit: 2.02 min") and not row.facts.get("losses")


def test_what_a_lost_worker_did_is_used_too(tmp_path: Path) -> None:
    with Simulated(tmp_path, {**SPEC, "budget": budget(cpu_hours=1)}, truth) as sweep:
        job = begun(sweep)
        sweep.plan.lost(job, "killed", Cause.SILENT, 600.0)
        assert sweep.plan.wall.used_s == 600.0 == sweep.ledger.rows[0].seconds
    with Simulated(tmp_path, {**SPEC, "budget": budget(cpu_hours=1)}, truth) as sweep:
        assert sweep.plan.wall.used_s == 600.0


class Slow(Simulated):
    """To prepare the data takes five minutes, and to read the test split two."""

    def step(self) -> Result:
        done = super().step()
        if isinstance(done, Prepared | ReadSplit):
            return replace(done, seconds=300.0 if isinstance(done, Prepared) else 120.0)
        return done


def test_what_is_no_training_is_used_too_and_told(tmp_path: Path) -> None:
    asked = {**SPEC, "budget": budget(cpu_hours=1)}
    with Slow(tmp_path, asked, truth) as sweep:
        sweep.run(jobs=3)
        assert sweep.plan.wall.used_s == 300.0, "members take no time here"
    with Slow(tmp_path, asked, truth) as sweep:
        assert sweep.plan.wall.used_s == 300.0, "a driver that goes on knows it, and prepares again"
        answer = sweep.run()
        assert sweep.plan.wall.used_s == 720.0
        facts = sweep.catalogue.sweep("s").facts
    assert answer is not None and {"preparation", "test split"} <= set(answer.spent)
    assert [answer.spent[phase]["total"]["seconds"] for phase in ("preparation", "test split", "total")] == [600.0, 120.0, 720.0]
    told = dict(cost_lines(answer))["cost"]
    assert "preparation 10 min; test split 2 min (of all workers, added up)" in told
    assert with_chores(answer.spent, {"prepare": 600.0, "read_test": 240.0})["total"]["total"]["seconds"] == 840.0
    assert facts[CHORES] == {"prepare": 600.0, "read_test": 120.0}


def test_the_budget_ends_a_sweep_whose_preparation_took_all_of_it(tmp_path: Path) -> None:
    with Slow(tmp_path, {**SPEC, "budget": budget(cpu_hours=0.05)}, truth) as sweep:
        sweep.run()
        assert sweep.plan.wall.over() and sweep.plan.wall.why() == "the budget is used up (0.0833 of 0.05 CPU-hours)"


def test_the_wall_time_and_the_hours_end_a_sweep_alike() -> None:
    now = [0.0]
    asked = spec(budget=budget(cpu_hours=1, wall_minutes=10))
    left = Spending(asked, WallTime(10, 0.5, lambda: now[0]), [MemberRow(0, {}, 0, seconds=1800)], 0.5, workers=2)
    assert left.left_s() == 600 and not left.over() and not left.search_over()
    left.add(1)
    assert left.search_over() and not left.over() and left.why() == "the search's share of the budget is used up"
    now[0] = 601.0
    assert left.over() and left.why() == "the wall time is over"


def test_a_plan_says_what_the_budget_has_room_for() -> None:
    asked = spec(budget=budget(cpu_hours=1))
    plan = DryRun(asked, {"search": 8, "confirm": 12}, {"search": 8, "confirm": 12}, 2, 0.0, "")
    told = _with_time(plan, Cost(0.0, 360.0), "")
    assert told.worker_seconds == 20 * 360 and told.fits == 10
    assert words(asked, told.worker_seconds) == "2 of 1 CPU-hours"
    assert _with_time(plan, Cost(0.0, 36.0), "").fits is None
    told = _with_time(plan, Cost(0.0, 360.0, chores=720.0), "")
    assert told.worker_seconds == 20 * 360 + 720 and told.fits == 8, "what is no training is a part of the budget"


@pytest.mark.parametrize("totals", [{"trials": 5.0}, {"cost": -1.0}, {"cpu_hours": float("nan")}])
def test_another_total_must_be_one(totals: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        with_budget(Budget(), totals)
