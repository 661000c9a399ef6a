"""Who gets the next job: workers that are up, and nobody else. The plan is a real one; workers are simulated, in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.base import State
from search.facts import LOSSES
from search.running.planning.plan import Pause
from search.running.tune.crew import FAILED_STARTS, NO_START, Crew
from search.running.working.work import Prepare, Train, Warm, Warmed, Work
from tests.search.simulated import Simulated

SPEC: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}},
    "sampler": "random",
    "budget": {"trials": 6, "epochs": 1},
    "confirm": {"configs": 2, "seeds": 2, "between": 0},
}


class Ship:
    """A crew whose workers do at once what they are told, when they are asked for a step."""

    def __init__(self, sweep: Simulated, **options: Any) -> None:
        self.sweep, self.now, self.told = sweep, 0.0, list[tuple[int, int]]()
        self.crew = Crew(sweep.plan, sweep.dispatch, 60.0, told=lambda *said: self.told.append(said), clock=lambda: self.now, **options)
        self.work: dict[str, Work] = {}  # what each busy worker does
        self.trained: dict[str, list[int]] = {}
        self.starting: list[str] = []
        self.count = 0

    def start(self) -> str:
        key = f"w{self.count}"
        self.count += 1
        self.crew.starts(key)
        self.starting.append(key)
        return key

    def up(self, key: str) -> None:
        self.starting.remove(key)
        self.crew.is_up(key, f"node-{key}")

    def serve(self) -> list[tuple[str, Work]]:
        given_now = self.crew.assigned()
        for key, work in given_now:
            assert key not in self.starting, "a worker that starts was given work"
            assert key not in self.work, "a busy worker was given work"
            self.work[key] = work
        return given_now

    def step(self, key: str) -> None:
        work = self.work[key]
        if isinstance(work, Warm):
            self.crew.heard(key, Warmed())
        else:
            self.sweep.begin(work)
            assert self.crew.heard(key, self.sweep.step()) is False
            if isinstance(work, Train):
                self.trained.setdefault(key, []).extend(one.member.number for one in work.assigned)
        del self.work[key]

    def lose(self, key: str) -> None:
        self.work.pop(key, None)
        if key in self.starting:
            self.starting.remove(key)
        self.crew.lost(key, "it died")

    def sail(self) -> None:
        """Until the plan has nothing left to do, with workers that never fail."""
        for _ in range(1000):
            self.serve()
            if self.crew.done:
                return
            for key in list(self.work):
                self.step(key)
            if not self.crew.workers:
                self.start()
            for key in list(self.starting):
                self.up(key)
            self.now += 2.0
        raise AssertionError("the sweep does not end")


def sweep(folder: Path) -> Simulated:
    return Simulated(folder, SPEC, lambda config: float(config["l2"]))


def test_a_worker_that_starts_slowly_gets_the_next_job_as_soon_as_it_is_up(tmp_path: Path) -> None:
    """Where a training is shorter than the start of the second worker, the first trains what there is meanwhile."""
    with sweep(tmp_path) as one:
        ship = Ship(one)
        fast, slow = ship.start(), ship.start()
        ship.up(fast)
        assert [type(work) for _, work in ship.serve()] == [Prepare]
        ship.step(fast)
        for _ in range(3):
            assert [key for key, _ in ship.serve()] == [fast]
            ship.step(fast)
        assert ship.told == [(1, 2)]
        ship.serve()  # the first trains again
        ship.up(slow)
        assert [key for key, _ in ship.serve()] == [slow]
        assert ship.told[-1] == (2, 2)
        ship.sail()
        assert one.plan.answer is not None and ship.trained[slow]


def test_while_one_prepares_each_other_worker_warms_up_once(tmp_path: Path) -> None:
    with sweep(tmp_path) as one:
        ship = Ship(one)
        keys = [ship.start() for _ in range(3)]
        for key in keys:
            ship.up(key)
        assert [type(work) for _, work in ship.serve()] == [Prepare, Warm, Warm]
        ship.step(keys[1])
        assert ship.serve() == []
        assert ship.crew.free() == [keys[1]]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_in_whatever_order_workers_start_work_and_die_the_sweep_ends_with_every_member(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, sweep(Path(folder)) as one:
        ship, deaths = Ship(one), 0
        for _ in range(data.draw(st.integers(5, 40))):
            doings: list[Callable[[], object]] = [ship.serve]
            doings += [ship.start] if len(ship.crew.workers) < 4 else []
            doings += [lambda key=key: ship.up(key) for key in ship.starting]  # type: ignore[misc]
            doings += [lambda key=key: ship.step(key) for key in ship.work]  # type: ignore[misc]
            training = [key for key, work in ship.work.items() if isinstance(work, Train)]
            doings += [lambda key=key: ship.lose(key) for key in training if deaths < 1]  # type: ignore[misc]
            doing, before = data.draw(st.sampled_from(doings)), len(training)
            doing()
            deaths += sum(isinstance(work, Train) for work in ship.work.values()) < before and ship.count > 0
            ship.now += 2.0
            if ship.crew.done:
                break
        ship.sail()
        assert one.plan.answer is not None, one.plan.problem
        assert {row.state for row in one.ledger.ordered()} == {State.COMPLETE}
        told = [number for numbers in ship.trained.values() for number in numbers]
        assert sorted(told) == sorted(one.ledger.rows), "a member was trained twice, or never"


def test_workers_of_a_node_that_is_not_admitted_get_nothing(tmp_path: Path) -> None:
    admitted: set[str] = set()
    with sweep(tmp_path) as one:
        ship = Ship(one, admitted=admitted.__contains__)
        ship.up(ship.start())
        assert ship.serve() == []
        admitted.add("node-w0")
        assert [type(work) for _, work in ship.serve()] == [Prepare]


def test_where_no_worker_comes_up_the_sweep_ends_and_says_why(tmp_path: Path) -> None:
    with sweep(tmp_path) as one:
        ship = Ship(one)
        for _ in range(FAILED_STARTS):
            assert not ship.crew.done
            ship.lose(ship.start())
        assert ship.crew.done and one.plan.problem.startswith(NO_START) and "it died" in one.plan.problem


def test_where_others_are_up_no_more_are_asked_for_until_there_is_a_new_node(tmp_path: Path) -> None:
    with sweep(tmp_path) as one:
        ship = Ship(one)
        ship.up(ship.start())
        for _ in range(FAILED_STARTS):
            assert ship.crew.starting
            ship.lose(ship.start())
        assert not ship.crew.starting and not ship.crew.done
        ship.crew.again()
        assert ship.crew.starting
        ship.sail()
        assert one.plan.answer is not None


def test_a_worker_that_is_silent_for_too_long_is_named(tmp_path: Path) -> None:
    with sweep(tmp_path) as one:
        ship = Ship(one)
        ship.up(ship.start())
        ship.now = 1e6
        assert ship.crew.condemned() == [], "nothing is expected of a worker without work"
        ship.serve()
        ship.now += 100.0
        assert ship.crew.condemned() == [], "to prepare takes longer"
        ship.step("w0")
        ship.now += 2.0
        ship.serve()
        ship.now += 59.0
        assert ship.crew.condemned() == []
        ship.now += 2.0
        assert ship.crew.condemned() == ["w0"] and ship.crew.condemned() == []
        ship.lose("w0")
        assert one.ledger.rows[0].facts[LOSSES] == [["silent", 0]]


def test_a_plan_that_waits_for_nobody_ends_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sweep(tmp_path) as one:
        ship = Ship(one)
        ship.up(ship.start())
        monkeypatch.setattr(one.plan, "next", lambda: Pause.WAIT)
        ship.serve()
        assert ship.crew.done and "no worker has them" in one.plan.problem


@pytest.mark.parametrize("there", [1, 3])
def test_a_plan_that_waits_is_not_asked_in_every_turn(there: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sweep(tmp_path) as one:
        ship = Ship(one)
        for _ in range(there):
            ship.up(ship.start())
        ship.serve()
        asked: list[int] = []
        real = one.plan.next
        monkeypatch.setattr(one.plan, "next", lambda: asked.append(1) or real())
        for key in list(ship.work):
            if isinstance(ship.work[key], Warm):
                ship.step(key)
        for _ in range(20):
            ship.serve()
        assert len(asked) <= 1
