"""Workers that are lost: members are tried again, and where that ends they are missing, and say nothing of λ."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from objectives.base import Report, State
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.from_members import final_seeds, screening_seeds, with_others
from search.choosing.race import Look
from search.kept import Again, More, go_on, to_retry
from search.running.planning.faults import Cause, briefly, cause_of
from search.running.planning.plan import Job
from search.running.working.work import Prepared, Progress
from search.spec.reading import read
from search.telling.mlflow.description import answered
from search.telling.text.answer import fact_rows
from tests.search.frail import SPEC, Frail
from tests.search.simulated import Simulated, parabola


def truth(config: Mapping[str, Any]) -> float:
    return 10 + parabola(0.4)(float(config["l2"]))


def never(what: Any, tried: int) -> bool:
    return False


def lived(folder: Path, kills: Callable[[Any, int], bool], cause: Cause = Cause.DIED, **keys: Any) -> tuple[Frail, Answer | None]:
    folder.mkdir(parents=True, exist_ok=True)
    with Frail(folder, {**SPEC, **keys}, truth, kills, cause) as sweep:
        return sweep, sweep.run()


def told(answer: Answer | None) -> dict[str, Any]:
    assert answer is not None
    found = answer.to_dict()
    found.pop("spent"), found["beside"].pop("plan", None)
    return found


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return told(lived(tmp_path_factory.mktemp("quiet"), never)[1])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), cause=st.sampled_from([Cause.DIED, Cause.SILENT, Cause.PREEMPTED, Cause.MEMORY]))
def test_losses_within_the_limits_change_nothing(seed: int, cause: Cause, quiet: dict[str, Any], tmp_path_factory: Any) -> None:
    """Whatever dies, three times in a row at most: members, prepare and the test read."""
    rng = random.Random(seed)
    sweep, answer = lived(tmp_path_factory.mktemp("frail"), lambda what, tried: tried < 3 and rng.random() < 0.3, cause)
    assert told(answer) == quiet and all(row.state == "complete" for row in sweep.ledger.ordered())


def test_a_member_that_ends_its_worker_each_time_is_missing_and_another_stands_in(tmp_path: Path) -> None:
    sweep, answer = lived(tmp_path, lambda what, tried: not isinstance(what, str) and what.number == 2)
    lost, other = sweep.ledger.rows[2], next(row for row in sweep.ledger.ordered() if row.facts.get("instead_of") == 2)
    assert lost.state == "failed" and lost.facts["infrastructure"] and sweep.died == {2: 4}
    assert "its worker died (SIGSEGV); 4 workers in a row (limits.retries: 3)" in lost.reason
    assert other.state == "complete" and other.arm == lost.arm and other.config != lost.config
    assert answer is not None
    assert "member 2 is missing for reasons that are not its own" in answer.missing and "1 member stands in" in answer.missing
    shown = dict(fact_rows(answer))["missing"]
    assert "not its own" in shown and "--retry-failed" in shown, "what the terminal and the report show"
    assert "missing for reasons that are not its own" in answered("s", answer), "what MLflow shows"
    assert Answer.from_dict(answer.to_dict()).missing == answer.missing


def test_what_is_missing_says_nothing_against_its_lambda(tmp_path: Path) -> None:
    """All other members are those of a sweep without the loss, and the surface is that of these members."""
    sweep, _ = lived(tmp_path / "lost", lambda what, tried: not isinstance(what, str) and what.number == 2)
    whole, _ = lived(tmp_path / "whole", never)
    mine, theirs = ([row for row in one.ledger.ordered() if row.phase == "search"] for one in (sweep, whole))
    mine = [row for row in mine if row.number != 2 and "instead_of" not in row.facts]
    others = [row for row in theirs if row.number != 2]
    assert [(row.config, row.seed, row.score) for row in mine] == [(row.config, row.seed, row.score) for row in others]
    astray = next(row for row in sweep.plan.table() if row.number == 2)
    assert astray.ended == "missing" and astray.astray


def test_a_final_seed_that_is_missing_gets_another_in_its_place(tmp_path: Path) -> None:
    seeds: list[int] = []

    def kills(what: Any, tried: int) -> bool:
        """The last seed of the off arm; a seed that stands in comes later."""
        if isinstance(what, str) or what.phase != "confirm" or what.arm != "off":
            return False
        seeds.append(what.seed)
        return what.seed == seeds[0]

    sweep, answer = lived(tmp_path, kills)
    assert answer is not None and answer.effect.seeds == 4, "as many pairs as were asked for"
    finals = [one for one in sweep.plan.rounds.candidates if one.final]
    assert [(one.seeds, one.instead) for one in finals] == [(5, 1), (5, 1)]
    assert [row.arm for row in sweep.ledger.ordered() if row.state == "failed"] == ["off"]


def test_a_seed_of_the_first_round_that_is_missing_gets_another_in_its_place(tmp_path: Path) -> None:
    """All that are chosen from are trained on it, once; a new driver asks for no others. Which final seeds there are does not change."""
    keys, seeds = {"confirm": {"configs": 4, "screen": 2, "between": 0, "seeds": 4}}, screening_seeds(read(SPEC))

    def kills(what: Any, tried: int) -> bool:
        return not isinstance(what, str) and what.phase == "confirm" and what.arm == "min" and what.seed == seeds[0]

    sweep, answer = lived(tmp_path, kills, **keys)
    first = [row for row in sweep.ledger.ordered() if row.seed in screening_seeds(sweep.spec, 2)]
    rivals = {row.arm for row in first}
    assert len(rivals) == 4 and {row.arm for row in first if row.state == "failed"} == {"min"}
    assert sorted((row.arm, row.seed) for row in first) == sorted((arm, seed) for arm in rivals for seed in screening_seeds(sweep.spec, 1))
    quiet, _ = lived(tmp_path / "quiet", never, **keys)
    finals = [
        {row.seed for row in one.ledger.ordered() if row.phase == "confirm"} - set(screening_seeds(one.spec, 2)) for one in (sweep, quiet)
    ]
    assert finals[0] == finals[1] and answer is not None and not any("between" in words for words in answer.spent)
    assert {row.seed for row in quiet.ledger.ordered()} >= set(screening_seeds(quiet.spec))
    assert screening_seeds(quiet.spec, 1)[-1] not in {row.seed for row in quiet.ledger.ordered()}, "nobody stands in for nobody"


def test_the_counts_of_losses_survive_the_driver(tmp_path: Path) -> None:
    """Three drivers, and four deaths of one member in all."""

    def kills(what: Any, tried: int) -> bool:
        return not isinstance(what, str) and what.number == 1

    drivers = 0
    while True:
        with Frail(tmp_path, SPEC, truth, kills) as sweep:
            sweep.run(3)
            drivers += 1
            row = sweep.ledger.rows.get(1)
            if row is not None and row.state is not None:
                break
    assert drivers > 1 and row.state == "failed" and len(row.facts["losses"]) == 4


def test_the_sweep_has_a_total(tmp_path: Path) -> None:
    sweep, answer = lived(
        tmp_path, lambda what, tried: not isinstance(what, str) and what.number in (1, 3, 5) and tried < 2, limits={"retries_total": 4}
    )
    states = {row.number: row.state for row in sweep.ledger.ordered() if row.number in (1, 3, 5)}
    assert states == {1: "complete", 3: "complete", 5: "failed"} and answer is not None
    assert "the sweep's 4 retries are used up (limits.retries_total)" in sweep.ledger.rows[5].reason


@pytest.mark.parametrize(("step", "problem"), [("prepare", "4 workers in a row"), ("read_test", "")])
def test_a_chore_that_ends_its_worker_each_time_ends_the_sweep_or_leaves_the_test_split(step: str, problem: str, tmp_path: Path) -> None:
    sweep, answer = lived(tmp_path, lambda what, tried: what == step)
    assert sweep.died == {step: 4} and problem in sweep.plan.problem
    assert (answer is None) == (step == "prepare")
    if answer is not None:
        assert answer.test is not None and "4 workers in a row" in answer.test["error"]


def test_a_pack_that_ends_its_worker_is_taken_apart_so_that_one_member_alone_is_missing(tmp_path: Path) -> None:
    keys = {**SPEC, "pack": 4, "objective": "toy", "dataset": {"name": "none"}}
    with Frail(tmp_path, keys, truth, lambda what, tried: not isinstance(what, str) and what.number == 2) as sweep:
        sweep.facts, sweep.plan.division.bundle = {"pack": {"members": 4}}, lambda config: 1
        sweep.run()
        assert {row.number for row in sweep.ledger.ordered() if row.state == "failed"} == {2}


def test_a_member_that_comes_farther_between_its_losses_goes_on() -> None:
    from infra.catalogue import MemberRow
    from search.running.planning.faults import in_a_row

    losses = [["preempted", 1], ["died", 4], ["died", 4]]
    assert [in_a_row(MemberRow(0, {}, 0, epochs=epochs, facts={"losses": losses})) for epochs in (1, 4, 5)] == [3, 2, 0]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("The actor died because its node has died. Node Id: ab", Cause.PREEMPTED),
        ("The actor died because its node was preempted", Cause.PREEMPTED),
        ("Task was killed due to the node running low on memory.", Cause.MEMORY),
        ("The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR", Cause.DIED),
        ("the worker process ended without a word", Cause.DIED),
    ],
)
def test_what_ray_says_of_a_death_has_a_cause(said: str, cause: Cause) -> None:
    assert cause_of(said) is cause


def test_the_reason_has_what_ray_says_without_its_list_of_causes() -> None:
    said = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: (1) The process is …"
    assert briefly(said) == "The actor is dead because its worker process has died" and briefly("killed") == "killed"


def test_a_node_that_left_is_preempted_and_silence_is_said(tmp_path: Path) -> None:
    def kills(what: Any, tried: int) -> bool:
        return not isinstance(what, str) and what.number == 1

    sweep, _ = lived(tmp_path / "a", kills, Cause.PREEMPTED)
    assert sweep.ledger.rows[1].state == "preempted" and "its node left (SIGSEGV)" in sweep.ledger.rows[1].reason
    sweep, _ = lived(tmp_path / "b", kills, Cause.MEMORY, limits={"retries": 0})
    assert "lack of memory" in sweep.ledger.rows[1].reason and sweep.died == {1: 1}


def test_a_fault_of_its_own_is_not_tried_again(tmp_path: Path) -> None:
    spec = {**SPEC, "budget": {"trials": 8, "epochs": 1}}
    with Simulated(tmp_path, spec, lambda config: math.inf if config["l2"] > 1 else truth(config)) as sweep:
        answer = sweep.run()
    failed = [row for row in sweep.ledger.ordered() if row.state == "failed"]
    assert failed and not any("infrastructure" in row.facts for row in failed) and answer is not None and not answer.missing
    assert sum(row.phase == "search" for row in sweep.ledger.ordered()) == 8, "nobody stands in"


@settings(max_examples=60, deadline=None)
@given(lost=st.sets(st.tuples(st.sampled_from(["off", "min"]), st.integers(0, 7)), max_size=10))
def test_seeds_stand_in_for_those_that_are_missing_and_come_to_an_end(lost: set[tuple[str, int]]) -> None:
    """Each missing seed gets one other, which may be missing too; never more than as many as were asked for."""
    spec, found = read({**SPEC, "confirm": {"configs": 2, "seeds": 4}}), [Candidate(arm, {}, "", 4) for arm in ("off", "min")]
    for _ in range(20):
        count = found[0].seeds
        seeds = final_seeds(spec, Look(), count)[:count]
        rows = [
            Row(0, "confirm", arm, {}, seed, "failed" if (arm, place) in lost else "complete", 1.0, astray=(arm, place) in lost)
            for place, seed in enumerate(seeds)
            for arm in ("off", "min")
        ]
        if (more := with_others(found, rows, spec, Look())) == found:
            break
        found = more
    gone = {place for _, place in lost if place < found[0].seeds}
    assert found[0].seeds == 4 + found[0].instead <= 8 and found[0].instead == min(len(gone), 4)


def again(sweep: Frail, which: Again = Again.MISSING) -> list[int]:
    """Open members of a sweep again, as `lagrange resume --retry-failed` does; which."""
    opened = to_retry(sweep.catalogue, "s", sweep.dispatch.home, which)
    go_on(sweep.catalogue, "s", sweep.spec, 0, opened=opened, more=More(which))
    return [row.number for row in opened]


def test_what_is_missing_is_tried_again_when_a_user_says_so(tmp_path: Path) -> None:
    lost = {2, 9}
    sweep, _ = lived(tmp_path, lambda what, tried: not isinstance(what, str) and what.number in lost)
    with sweep:
        assert set(again(sweep)) == lost
    sweep, answer = lived(tmp_path, never)
    assert answer is not None and not answer.missing
    assert all(sweep.ledger.rows[number].state == "complete" for number in lost)
    assert all("4 workers in a row" in sweep.ledger.rows[number].facts["earlier"][0] for number in lost)
    with sweep:
        assert not again(sweep) and not again(sweep, Again.FAILED)


def test_an_own_fault_is_tried_again_only_where_a_user_has_mended_it(tmp_path: Path) -> None:
    with Simulated(tmp_path, SPEC, lambda config: math.inf if config["l2"] > 1 else truth(config)) as broken:
        broken.run()
        failed = {row.number for row in broken.ledger.ordered() if row.state == "failed"}
    with Frail(tmp_path, SPEC, truth, never) as sweep:
        assert failed and not again(sweep) and set(again(sweep, Again.FAILED)) == failed
    _, answer = lived(tmp_path, never)
    assert answer is not None


def test_a_checkpoint_stays_where_a_member_is_missing(tmp_path: Path) -> None:
    def kills(what: Any, tried: int) -> bool:
        if not isinstance(what, str):
            path = sweep.dispatch.home.checkpoint("s", what.number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return not isinstance(what, str) and what.number == 2

    with Frail(tmp_path, SPEC, truth, kills) as sweep:
        sweep.run()
        left = [row.number for row in sweep.ledger.ordered() if sweep.dispatch.home.checkpoint("s", row.number).exists()]
    assert left == [2]


@pytest.mark.parametrize(("lost", "said"), [("silent", "no report for 5 s"), ("died", "its worker died")])
def test_a_process_of_a_users_own_that_is_lost_is_tried_again(lost: str, said: str, tmp_path: Path) -> None:
    """The worker lives, and says so of one of its members."""
    with Simulated(tmp_path, {**SPEC, "budget": {"trials": 8, "epochs": 9}}, truth) as sweep:
        prepare = sweep.plan.next()
        assert isinstance(prepare, Job)
        sweep.plan.heard(prepare, Prepared({}))
        for tried in range(4):
            job = sweep.plan.next()
            assert isinstance(job, Job) and job.numbers == (0,), f"try {tried}"
            end = Report(0, 0, math.nan, state=State.FAILED, reason="no report for 5 s", lost=lost)
            sweep.plan.heard(job, Progress((end,), done=True), sweep.plan.stops(job, Progress((end,), done=True)))
        row = sweep.ledger.rows[0]
        assert row.state == "failed" and row.facts["infrastructure"] and said in row.reason and "4 workers in a row" in row.reason
