"""Schedulers that replace members at milestones: who waits, who starts from whom, what a killed driver finds, and what is answered.

Trainings are formulas with a memory: in each epoch the excess of a member shrinks by a share that depends on how near its λ is to the best
one of that epoch. So the best λ moves, and a schedule is better than every constant.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infra.storage import Home
from objectives.base import Member, Report, State, Value
from search.choosing.answer import Answer, Row
from search.choosing.schedules import candidate, line_of, missing
from search.errors import SpecError
from search.retrain import train
from search.running.where import IN_PROCESS
from search.running.working.work import Prepared, Progress, ReadTest, Result, Train
from search.schedulers import Change, make
from search.schedulers._evolving import pairs
from search.spec.reading import read
from search.sweep import run
from search.telling.listener import introduction
from search.telling.text.live import Display
from tests.search.frail import Frail
from tests.search.kept import in_parts, kept, said
from tests.search.simulated import BETA, LR, Simulated, luck

pytestmark = pytest.mark.turns(3)

EPOCHS = 12
SPEC: dict[str, Any] = {
    "objective": "vae",
    "search": {"beta": {"low": 0.01, "high": 10}},
    "fixed": {"lr": 1e-3},
    "scheduler": {"name": "pbt", "interval_share": 0.25},
    "budget": {"trials": 24, "epochs": EPOCHS},
    "confirm": {"configs": 3, "seeds": 4},
    "pack": 1,
    "check": False,
}
evolving = pytest.mark.parametrize("name", ["pbt", "pb2"])


def spec(name: str = "pbt", **more: Any) -> dict[str, Any]:
    return {**SPEC, "scheduler": {"name": name, "interval_share": 0.25}, **more}


class Moving(Simulated):
    """The best λ falls from 3 to 0.03 in the course of a training. What a member has become is its excess, in a file."""

    def __init__(self, folder: Path, mapping: Mapping[str, Any] = SPEC, listener: Any = None) -> None:
        super().__init__(folder, mapping, lambda config: 0.0, listener=listener)

    def begin(self, work: Any) -> None:
        self._work = work
        if isinstance(work, Train):
            self._ends = [*work.milestones, EPOCHS]
            self._at = {one.member.number: self._state(one) for one in work.assigned}

    def _state(self, one: Any) -> tuple[int, float]:
        """Epoch and excess: of its own checkpoint, of its parent's, or at the start."""
        if one.checkpoint.exists():
            return tuple(json.loads(one.checkpoint.read_text()))
        if one.origin:
            epoch, excess = json.loads(one.origin.checkpoint.read_text())
            assert epoch == one.origin.start
            return epoch, excess
        return 0, 10.0

    def step(self) -> Result:
        if not isinstance(self._work, Train):
            return super().step() if isinstance(self._work, ReadTest) else Prepared(self.facts)
        self._steps += 1
        at = min(epoch for epoch, _ in self._at.values())
        end = min(one for one in self._ends if one > at)
        reports = [report for one in self._work.assigned for report in self._to(one, end)]
        return Progress(tuple(reports), done=end == EPOCHS)

    def _to(self, one: Any, end: int) -> list[Report]:
        (epoch, excess), reports = self._at[one.member.number], []
        while epoch < end:
            excess *= 1.0 - 0.3 * math.exp(-((off(one.member, epoch) / 0.4) ** 2))
            epoch += 1
            score = 20 + excess + 0.02 * luck(one.member.seed, epoch, round(excess, 9))
            done = epoch == EPOCHS
            reports.append(Report(one.member.number, epoch, score, state=State.COMPLETE if done else None, score=score if done else None))
        self._at[one.member.number] = epoch, excess
        for path in (one.checkpoint, *(path for at, path in one.heirlooms.items() if at == epoch)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([epoch, excess]))
        return reports

    def score(self, config: Mapping[str, Value], seed: int) -> float:
        return 20.0


def off(member: Member, epoch: int) -> float:
    """How far λ is from the best one of an epoch, in decades."""
    best = math.log10(3) - 2 * epoch / (EPOCHS - 1)
    return math.log10(float(member.config_after(epoch)["beta"])) - best


def rows_of(one: Simulated) -> list[Any]:
    return [(row.number, row.config, row.seed, row.parent, row.start, row.state, row.score, row.schedule) for row in one.ledger.ordered()]


def test_members_that_take_others_places_are_counted_in_their_stead(tmp_path: Path) -> None:
    def lines(jobs: int) -> list[str]:
        out = io.StringIO()
        display = Display(Console(file=out, width=400), plain=True, clock=itertools.count(0.0, 10.0).__next__)
        with display, Moving(tmp_path, spec(), display) as one:
            display.started(introduction("s", one.spec, 1, one.ledger.ordered()))
            one.run(jobs)
            heirs.append(sum(bool(row.start) for row in one.ledger.rows.values()))
            display.finished(None)
        return out.getvalue().splitlines()

    heirs: list[int] = []
    told = [line for line in [*lines(60), *lines(10_000)] if " searched" in line]  # a driver that ends on the way, and the one after it
    counts = [int(line.split("/24 searched")[0].split()[-1]) for line in told]
    assert 0 < heirs[0] < heirs[1] == 15
    assert max(counts) == counts[-1] == 24 and min(counts) >= 0


@evolving
def test_members_wait_and_the_worst_go_on_from_the_best(name: str, tmp_path: Path) -> None:
    with Moving(tmp_path, spec(name)) as one:
        answer = one.run()
        rows, curves = one.ledger.rows, one.ledger.curves
    first = [row for row in rows.values() if row.phase == "search" and not row.start]
    children = [row for row in rows.values() if row.start]
    assert len(first) == 24 and {row.start for row in children} == {3, 6, 9}
    for row in children:
        parent = rows[row.parent or -1]
        assert (row.arm == parent.arm == "search" and row.parent_epoch == row.start and row.epochs == EPOCHS) or row.state == "stopped"
        alive = [other for other in rows.values() if other.arm == "search" and row.start in curves.get(other.number, {})]
        rank = sorted(curves[other.number][row.start] for other in alive if other.phase == "search").index(curves[parent.number][row.start])
        assert rank < 5, "its parent was among the best quarter of twenty"
    stopped = [row for row in rows.values() if row.state == "stopped"]
    assert len(stopped) == len(children) == 15, "five of twenty at each of three milestones; the off arm has nothing that moves"
    assert all(f"{name}: among the worst of arm 'search'" in row.reason for row in stopped)
    spent = answer.spent if answer else {}
    assert spent["search"]["total"]["epochs"] == 24 * EPOCHS, "an epoch of a parent is counted once"
    assert not list(tmp_path.rglob("after-*.pt"))


@pytest.mark.sampled(2)
@evolving
@pytest.mark.parametrize("seed", range(2))
def test_a_driver_that_is_killed_decides_the_same(name: str, seed: int, tmp_path: Path) -> None:
    with Moving(tmp_path / "whole", spec(name)) as one:
        whole, expected = one.run(), rows_of(one)
    rng, answer, lives = random.Random(seed), None, 0
    while answer is None:
        with Moving(tmp_path / "parts", spec(name)) as one:
            answer, found = one.run(jobs=rng.randint(1, 30)), rows_of(one)
        lives += 1
    assert lives > 4 and found == expected
    assert whole is not None and json.dumps({**answer.to_dict(), "spent": 0}) == json.dumps({**whole.to_dict(), "spent": 0})


class Losing(Frail, Moving):
    """Some members end their worker each time they are trained."""

    def __init__(self, folder: Path, kills: Callable[[Any, int], bool]) -> None:
        super().__init__(folder, spec(), None, kills)  # type: ignore[arg-type]  # `Moving` takes a listener in this place


@pytest.mark.parametrize(
    ("number", "epochs", "parent", "start"),
    [
        pytest.param(2, 0, None, 0, id="before the first milestone"),
        pytest.param(-1, 6, "itself", 6, id="after two milestones"),
        pytest.param(24, 3, "its own", 3, id="one that took another's place"),
    ],
)
def test_a_member_that_is_lost_gets_another_where_it_had_come_to(number: int, epochs: int, parent: Any, start: int, tmp_path: Path) -> None:
    if number < 0:  # one that nobody replaces
        with Moving(tmp_path / "quiet", spec()) as one:
            one.run()
            of_arm = [row for row in one.ledger.ordered() if row.phase == "search" and row.arm == "search" and not row.start]
        number = next(row.number for row in of_arm if row.state == "complete")

    def kills(what: Any, tried: int) -> bool:
        return not isinstance(what, str) and what.number == number and what.epochs >= epochs

    with Losing(tmp_path / "whole", kills) as one:
        answer, rows, expected = one.run(), one.ledger.rows, rows_of(one)
    lost = rows[number]
    (other,) = [row for row in rows.values() if "instead_of" in row.facts]
    assert lost.state == "failed" and lost.facts["infrastructure"] and lost.epochs == epochs
    assert other.facts["instead_of"] == number and other.state in ("complete", "stopped")
    assert (other.config, other.arm) == (lost.config, lost.arm) and other.seed != lost.seed
    assert (other.parent, other.start) == ({"its own": lost.parent, "itself": number}.get(parent), start)
    searched = [row for row in rows.values() if row.phase == "search"]
    assert sum(row.state == "complete" for row in searched) == 24, "as many come to the end as were asked for"
    assert answer is not None and f"member {number} is missing for reasons" in answer.missing and "1 member stands in" in answer.missing
    rng, found = random.Random(number), None
    while found is None:
        with Losing(tmp_path / "parts", kills) as one:
            found, parts = one.run(jobs=rng.randint(10, 60)), rows_of(one)
    assert parts == expected, "a driver that is killed decides the same"
    left = {path.parent.name for path in tmp_path.rglob("after-*.pt")}
    assert left <= {f"{number:05d}"}, "the lost one may be tried again (`resume --retry-failed`); nothing of others stays"


def test_packs_are_the_members_alone(tmp_path: Path) -> None:
    with Moving(tmp_path / "packs", {**SPEC, "pack": 5, "sampler": "random"}) as one:
        one.facts = {"pack": {"members": 5, "why": ""}}
        one.run()
        packed = rows_of(one)
    with Moving(tmp_path / "single", {**SPEC, "sampler": "random"}) as one:
        one.run()
        single = rows_of(one)
    assert packed == single and any(row[4] for row in packed)


@evolving
def test_the_schedule_is_confirmed_beside_off_and_the_best_constant(name: str, tmp_path: Path) -> None:
    with Moving(tmp_path, spec(name)) as one:
        answer = one.run()
        confirmed = [row for row in one.ledger.ordered() if row.phase == "confirm"]
    assert answer is not None and answer.arm == "schedule" and answer.recommended_schedule == answer.schedule
    starts, values = zip(*answer.schedule["beta"], strict=True)
    assert starts[0] == 0 and set(starts) <= {0, 3, 6, 9} and values[-1] < values[0], "the best λ falls"
    mine = [row for row in confirmed if row.schedule]
    assert len(mine) == 4 and all(row.parent is None and row.start == 0 for row in mine), "trained from scratch, on the final seeds"
    assert {row.seed for row in mine} < {row.seed for row in confirmed if not row.schedule}
    assert answer.effect.low > 0 and answer.effect.comparisons == 2
    assert any("the schedule beta = " in note and "gains" in note and "best constant config" in note for note in answer.notes)
    assert "the schedule beta = " in answer.sentence()
    assert Answer.from_dict(answer.to_dict()).schedule == json.loads(json.dumps(answer.schedule))


def test_where_no_schedule_is_found_it_says_why(tmp_path: Path) -> None:
    with Moving(tmp_path, {**spec(), "confirm": {"seeds": 0}}) as one:
        answer = one.run()
        rows = one.plan.table()
    assert answer is not None and any("pbt found a schedule, that of member" in note and "no final seed" in note for note in answer.notes)
    knobs = one.space.knobs
    first = [row for row in rows if row.phase == "search" and not row.start]
    (none,) = missing(first, knobs, [], "pbt")
    assert "pbt found no schedule: no member took the place of another, and the best member" in none
    best = Row(999, "search", "search", first[0].config, 1, "complete", 0.0)
    heirs = sum(row.start > 0 for row in rows)
    assert (
        f"{heirs} members took the place of another, and the best member, 999, had one config"
        in missing([*rows, best], knobs, [], "pbt")[0]
    )
    assert "no member with λ on completed" in missing([], knobs, [], "pb2")[0]
    assert missing(rows, knobs, candidate(rows, knobs), "pbt") == []


# Closed forms -----------------------------------------------------------------------------------------------------------------------------


def test_the_worst_quantile_is_paired_with_the_best() -> None:
    scores = {number: float(number) for number in range(8)} | {8: math.nan}
    found = pairs(scores, 0.25, random.Random(0))
    assert set(found) == {7, 8} and set(found.values()) <= {0, 1}
    assert pairs({0: 1.0, 1: 2.0, 2: 3.0}, 0.25, random.Random(0)) == {} and set(pairs({0: 1.0, 1: 2.0}, 0.5, random.Random(0))) == {1}


def test_pbt_moves_by_its_factor_or_draws_afresh_within_the_range() -> None:
    config: dict[str, Value] = {"beta": 0.11, "lr": 1e-3}
    still: Any = make({"name": "pbt", "resample": 0.0, "factor": 2.0}, 20)
    found = [still.explored([BETA, LR], config, random.Random(seed), []) for seed in range(20)]
    assert {one["beta"] for one in found} == {0.1, 0.22} and {one["lr"] for one in found} == {5e-4, 2e-3}
    fresh: Any = make({"name": "pbt", "resample": 1.0}, 20)
    drawn = [fresh.explored([BETA, LR], config, random.Random(seed), []) for seed in range(20)]
    assert len({one["beta"] for one in drawn}) == 20 and all(0.1 <= one["beta"] <= 10 and 1e-4 <= one["lr"] <= 0.1 for one in drawn)


def test_pb2_goes_where_members_improved_lately_and_members_of_one_milestone_apart() -> None:
    rng = random.Random(1)

    def change(epoch: int, beta: float, best: float) -> Change:
        return Change(epoch, {"beta": beta}, math.exp(-((math.log10(beta / best) / 0.3) ** 2)))

    betas = [10 ** rng.uniform(-1, 1) for _ in range(16)]
    told = [change(4, beta, 0.2) for beta in betas] + [change(8, beta, 4.0) for beta in betas]
    one: Any = make({"name": "pb2", "kappa": 0.0}, 20)
    found = [float(one.explored([BETA], {}, random.Random(seed), told)["beta"]) for seed in range(8)]
    assert all(abs(math.log10(value / 4.0)) < 0.3 for value in found), "what was best at the milestone before is old"
    curious: Any = make({"name": "pb2", "kappa": 3.0}, 20)
    first = curious.explored([BETA], {}, random.Random(0), told)
    second = curious.explored([BETA], {}, random.Random(0), [*told, Change(8, first, None)])
    assert first != second, "one that is not trained yet is known about"


def test_the_line_of_the_best_member_is_a_schedule() -> None:
    def member(number: int, beta: float, score: float | None, parent: int | None = None, start: int = 0) -> Row:
        state = "complete" if score is not None else "stopped"
        return Row(number, "search", "search", {"beta": beta}, 1, state, score, parent=parent, start=start)

    rows = [member(0, 3.0, 5.0), member(1, 2.0, None), member(2, 1.0, None, 0, 4), member(3, 1.0, 4.0, 2, 6), member(4, 0.5, 3.0, 3, 8)]
    assert [row.number for row in line_of({row.number: row for row in rows}, rows[4])] == [0, 2, 3, 4]
    (found,) = candidate(rows, [BETA])
    assert found.schedule == {"beta": [[0, 3.0], [4, 1.0], [8, 0.5]]} and found.config == {"beta": 3.0}
    assert candidate(rows[:2], [BETA]) == [], "the best one never moved"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"search": {"beta": {}, "l2": {}}, "alone": True}, ["must move all λ together", "alone: false"]),
        ({"scheduler": {"name": "pbt", "wraps": "asha"}}, ["must stand alone"]),
        ({"search": {"beta": [0.1, 1.0]}}, ["must have a λ that may move in training", "beta may not"]),
        ({"budget": {"trials": 24, "epochs": 1}}, ["a milestone before the last epoch", "budget.epochs is 1"]),
        ({"budget": {"trials": 4, "epochs": 12}}, ["must have members to replace", "3 are too few", "budget.trials"]),
        ({"objective": "toy", "search": {"l2": {}}, "fixed": {}}, ["objective whose members can hand on"]),
        ({"schedule": {"beta": [[0, 1.0], [3, 2.0]]}, "scheduler": "none"}, ["schedule must be left out of a sweep"]),
    ],
)
def test_what_cannot_move_is_refused(more: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SpecError) as refused:
        read({**SPEC, **more})
    assert any(all(word in fault for word in words) for fault in refused.value.faults), refused.value.faults


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"beta": [[1, 0.5]]}, "ascending epochs below 12; got epochs [1]"),
        ({"beta": [[0, 0.5], [12, 1.0]]}, "ascending epochs below 12; got epochs [0, 12]"),
        ({"latent_dim": [[0, 4], [3, 8]]}, "schedule.latent_dim must be a knob that may move"),
        ({"bate": [[0, 0.5]]}, "Did you mean 'beta'"),
        ({"beta": [[0, -3.0]]}, "schedule.beta must lie within"),
    ],
)
def test_a_schedule_that_is_none_is_refused(schedule: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match="schedule") as refused:
        read({"objective": "vae", "budget": {"epochs": 12}, "search": {}, "schedule": schedule}, purpose="train")
    assert any(words in fault for fault in refused.value.faults), refused.value.faults


# Real trainings ---------------------------------------------------------------------------------------------------------------------------

REAL: dict[str, Any] = {
    "objective": "autoencoder",
    "model": "shallow",
    "fixed": {"lr": 0.01},
    "dataset": {"name": "digits", "train_size": 64},
    "search": {"l2": {"low": 1e-4, "high": 1}},
    "scheduler": {"name": "pbt", "interval_share": 0.25, "quantile": 0.5, "factor": 3.0, "resample": 0.0},
    "budget": {"trials": 8, "epochs": 4},
    "confirm": {"configs": 2, "seeds": 2},
    "pack": 3,
    "check": False,
}


@pytest.mark.trains
def test_a_real_member_goes_on_where_what_it_started_from_is_gone(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    run({**REAL, "pack": 1}, name="s", home=home, address=IN_PROCESS, tracking=False)
    rows = kept(home, "s")[0]
    assert any(row.start and row.epochs - row.start > 1 for row in rows), "a child lives longer than to the next milestone"
    assert [row.reason for row in rows if row.state == "failed"] == []


@pytest.mark.trains
@pytest.mark.slow
def test_a_real_population_that_is_interrupted_ends_as_if_it_was_not_and_its_export_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_home, home = Home.open(tmp_path / "whole"), Home.open(tmp_path / "parts")
    whole = run(REAL, name="s", home=whole_home, address=IN_PROCESS, tracking=False)
    outcome, lives = in_parts(REAL, home, 7, monkeypatch)
    assert lives > 2 and said(outcome) == said(whole)
    one, other = kept(home, "s")[0], kept(whole_home, "s")[0]
    assert [(row.config, row.start, row.score) for row in one] == [(row.config, row.start, row.score) for row in other]
    moved = [row for row in one if row.schedule]
    assert any(row.start for row in one) and moved, "a schedule was found and trained"
    mapping = {**REAL, "search": {}, "fixed": moved[0].config, "schedule": moved[0].schedule, "scheduler": "none"}
    file = tmp_path / "best.yaml"
    file.write_text(json.dumps(mapping))
    again = train(file, home=home, seed=moved[0].seed, tracking=False)
    assert again.score == pytest.approx(moved[0].score, rel=1e-4)
    constant = train(_without(file, "schedule"), home=home, seed=moved[0].seed, tracking=False)
    assert constant.score != pytest.approx(moved[0].score, rel=1e-6)


def _without(file: Path, key: str) -> Path:
    mapping = json.loads(file.read_text())
    del mapping[key]
    other = file.with_name("constant.yaml")
    other.write_text(json.dumps(mapping))
    return other
