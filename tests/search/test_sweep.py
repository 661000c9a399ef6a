"""Real sweeps of the toy on a real Ray: the closed-form answer, and what happens when members end badly."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home
from objectives.base import Phase
from objectives.families.toy import best_lambda
from search import retrain
from search.sweep import Outcome, resume, run
from search.telling import exports

pytestmark = pytest.mark.usefixtures("ray_up")


def spec(**changes: Any) -> dict[str, Any]:
    """A toy sweep of 12 trials and 4 confirmed configs."""
    base: dict[str, Any] = {
        "objective": "toy",
        "search": {"l2": {}},
        "budget": {"trials": 12, "epochs": 6},
        "confirm": {"configs": 5, "seeds": 3},
    }
    return {**base, **changes}


def sweep(home: Home, name: str = "s", **changes: Any) -> tuple[Outcome, list[Any]]:
    outcome = run(spec(**changes), name=name, home=home, workers=2, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        return outcome, catalogue.members(name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path / "home")


def test_the_toys_best_lambda_is_found_and_helps(home: Home) -> None:
    """λ* = σ²/(nS) = 0.5 in closed form; the verdict against λ = 0 is `helps`, for R(0)/R(λ*) = 1 + λ*."""
    dataset = {"name": "none", "noise": 0.5}
    outcome, rows = sweep(home, dataset=dataset, budget={"trials": 24, "epochs": 6}, scheduler="none")
    answer = outcome.answer
    assert answer is not None and answer.verdict == "helps"
    truth = best_lambda(1.0, 0.5)
    assert abs(math.log10(answer.best["l2"] / truth)) < 0.1
    [one] = answer.lambdas
    assert one.low <= truth <= one.high
    # R(0) − R(λ*) = σ²/n − λ*/(1+λ*)·S = 0.5 − 1/3
    assert answer.effect.low <= 0.5 - 1 / 3 + 1e-3 and answer.effect.high >= 0.5 - 1 / 3 - 5e-3
    assert {row.state for row in rows} == {"complete"}


def test_a_sixth_of_the_trials_is_the_off_arm_with_its_nuisances_searched(home: Home) -> None:
    _, rows = sweep(home, search={"l2": {}, "lr": {}})
    search = [row for row in rows if row.phase == Phase.SEARCH]
    off = [row for row in search if row.arm == "off"]
    assert len(off) * 6 >= len(search) == 12
    assert {row.config["l2"] for row in off} == {0.0}
    assert len({row.config["lr"] for row in off}) == len(off)


def test_confirmation_uses_seeds_that_no_search_member_used(home: Home) -> None:
    _, rows = sweep(home)
    searched = {row.seed for row in rows if row.phase == Phase.SEARCH}
    confirmed = {row.seed for row in rows if row.phase == Phase.CONFIRM}
    assert len(confirmed) == 3 and not searched & confirmed


def test_a_stopped_member_is_not_complete(home: Home) -> None:
    """Defect A of the stock glue: a member stopped at a rung has no final score, and says which rung stopped it."""
    _, rows = sweep(home, budget={"trials": 18, "epochs": 12})
    stopped = [row for row in rows if row.state == "stopped"]
    assert stopped
    for row in stopped:
        assert row.score is None and row.epochs < 12 and row.reason.startswith("asha: rank")
    import optuna

    trials = optuna.load_study(study_name="s", storage=home.optuna_url).trials
    assert sum(trial.state.name == "PRUNED" for trial in trials) == sum(row.arm == "search" for row in stopped)
    assert not any(trial.state.name == "RUNNING" for trial in trials)


@pytest.mark.parametrize(("fault", "state", "word"), [("raise", "failed", ""), ("nan", "diverged", ""), ("exit", "failed", "worker died")])
def test_a_bad_member_ends_with_its_state_and_the_sweep_goes_on(home: Home, fault: str, state: str, word: str) -> None:
    """Defects B, C and T: an exception, a NaN or a dead worker is data of that member, at once, and of no other."""
    outcome, rows = sweep(home, dataset={"name": "none", "fault": fault, "fault_at": 2, "fault_members": [1]})
    assert outcome.status == "complete" and outcome.answer is not None
    assert rows[1].state == state and word in rows[1].reason
    assert rows[1].epochs <= 2
    assert any(f"1 {state}" in note for note in outcome.notes)
    assert all(row.state in ("complete", "stopped") for row in rows if row.number != 1)


def test_two_workers_serve_all_phases(home: Home) -> None:
    """A process that knows torch and the data is worth keeping, even when both members end at once and nothing is waiting.

    On a slow machine one process may have trained every member before the other is up, so one is right, too; a third is not.
    """
    dataset = {"name": "none", "noise": 0.5, "seconds_per_epoch": 0.1}
    _, rows = sweep(home, dataset=dataset, scheduler="none")
    assert {row.phase for row in rows} == {"search", "confirm"}
    assert len({row.facts["pid"] for row in rows}) <= 2


def test_a_list_of_values_of_a_lambda_is_searched_and_answered(home: Home) -> None:
    outcome, rows = sweep(home, search={"l2": [0.05, 0.5, 5.0]}, scheduler="none")
    assert outcome.answer is not None and outcome.answer.best["l2"] in (0.0, 0.05, 0.5, 5.0)
    assert {row.config["l2"] for row in rows} <= {0.0, 0.05, 0.5, 5.0}


def test_a_diverged_lambda_counts_against_that_lambda(home: Home) -> None:
    """Above 0.2 every member diverges; the truth 0.5 is out of reach and the best λ stays below."""
    dataset = {"name": "none", "noise": 0.5, "fault": "nan", "fault_above": 0.2}
    outcome, rows = sweep(home, dataset=dataset, budget={"trials": 18, "epochs": 6}, scheduler="none")
    assert outcome.answer is not None and outcome.answer.best["l2"] <= 0.2
    assert any(row.state == "diverged" for row in rows)


def test_a_hanging_member_is_ended_and_the_others_go_on(home: Home) -> None:
    """Defect V: silence is nobody's business but ours."""
    dataset = {"name": "none", "fault": "hang", "fault_at": 2, "fault_members": [1]}
    outcome, rows = sweep(home, dataset=dataset, limits={"silence_seconds": 12})
    assert outcome.answer is not None
    assert rows[1].state == "failed" and "no report for 12 s" in rows[1].reason


def test_out_of_memory_ends_two_members_and_no_neighbour(home: Home) -> None:
    """Defect R: two members that ask for too much at once fail by themselves."""
    dataset = {"name": "none", "fault": "oom", "fault_at": 2, "fault_members": [1, 2]}
    outcome, rows = sweep(home, dataset=dataset, limits={"memory_gb": 3})
    assert outcome.answer is not None
    assert [rows[number].state for number in (1, 2)] == ["failed", "failed"]
    assert all("out of memory" in rows[number].reason for number in (1, 2))


def test_if_every_member_fails_the_sweep_fails_loudly(home: Home) -> None:
    outcome, _ = sweep(home, dataset={"name": "none", "fault": "raise"})
    assert outcome.status == "failed" and outcome.answer is None
    assert "at least one λ member must complete" in outcome.problem
    with pytest.raises(InfraError, match="needs an answer"):
        exports.export("s", home=home)


def test_a_sweep_that_came_to_nothing_does_not_hold_its_name(home: Home) -> None:
    failed, members = sweep(home, objective="tests.search.dying:Unready", dataset={"name": "digits"}, budget={"trials": 4, "epochs": 1})
    assert "moon" in failed.problem
    assert (failed.status, members) == ("failed", [])
    again, members = sweep(home)
    assert again.status == "complete" and len(members) == 12 + 5 * 3
    with pytest.raises(InfraError, match="used once"):
        sweep(home)


def test_one_worker_and_one_seed_repeat_a_sweep(tmp_path: Path) -> None:
    found = []
    for folder in ("a", "b"):
        home = Home.open(tmp_path / folder)
        outcome = run(spec(search={"l2": {}, "lr": {}}), name="s", home=home, workers=1, tracking=False)
        with Catalogue(home.catalogue_url) as catalogue:
            found.append([(row.config, row.seed, row.phase, row.state, row.score) for row in catalogue.members("s")])
        assert outcome.answer is not None
    assert found[0] == found[1]


def test_a_spec_made_in_python_is_resolved(home: Home) -> None:
    from search import Sweep
    from search import run as run_sweep

    spec = Sweep(objective="toy", budget={"trials": 6, "epochs": 3}, confirm={"configs": 3, "seeds": 2})  # type: ignore[arg-type]
    outcome = run_sweep(spec, home=home, workers=2, tracking=False)
    assert outcome.name == "toy-none-1" and outcome.answer is not None


def test_a_catalogue_that_cannot_be_opened_is_refused_before_anything_starts(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home", catalogue_url="postgresql+psycopg://ann:hunter2@127.0.0.1:1/none")
    with pytest.raises(InfraError) as caught:
        run(spec(), home=home, tracking=False)
    assert "hunter2" not in str(caught.value) and not (tmp_path / "home").exists()


def test_a_name_is_used_once_and_nothing_is_left_behind(home: Home) -> None:
    sweep(home)
    with pytest.raises(InfraError, match="'s' exists"):
        run(spec(), name="s", home=home, tracking=False)
    with sqlite3.connect(home.root / "lagrange.db") as database:
        assert database.execute("select count(*) from sweeps").fetchone() == (1,)


def test_more_trials_extend_a_finished_sweep(home: Home) -> None:
    first, before = sweep(home)
    outcome = resume("s", home=home, trials=6, workers=2, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        rows = catalogue.members("s")
    assert first.answer is not None and outcome.answer is not None
    assert sum(row.phase == Phase.SEARCH for row in rows) == 18
    assert [(row.config, row.seed) for row in rows[: len(before)]] == [(row.config, row.seed) for row in before]
    # A config and seed that was confirmed is not trained again.
    confirmed = [(row.config_hash, row.seed) for row in rows if row.phase == Phase.CONFIRM]
    assert len(confirmed) == len(set(confirmed))


def test_the_wall_time_ends_a_sweep_and_every_member_has_its_state(home: Home) -> None:
    """Defect N: nothing stays open when the time is over."""
    dataset = {"name": "none", "seconds_per_epoch": 0.6}
    budget = {"trials": 200, "epochs": 100, "wall_minutes": 0.4}  # a member would take 60 s, the sweep may take 24
    outcome, rows = sweep(home, dataset=dataset, budget=budget, scheduler="none")
    assert 1 <= len(rows) <= 2
    assert all(row.state == "stopped" and row.reason.startswith("budget:") for row in rows)
    assert outcome.status == "failed" and "must complete" in outcome.problem


def test_the_export_is_a_spec_with_no_free_knob_that_reproduces_a_confirmed_seed(home: Home, tmp_path: Path) -> None:
    outcome, rows = sweep(home)
    path = tmp_path / "best.yaml"
    exports.export("s", path, home=home)
    assert outcome.answer is not None
    member = next(row for row in rows if row.phase == Phase.CONFIRM and row.config == outcome.answer.recommended)
    again = retrain.train(path, home=home, seed=member.seed, tracking=False)
    assert again.score == member.score == again.reproduces
    fresh = retrain.train(path, home=home, tracking=False)
    assert fresh.seed not in {row.seed for row in rows} and fresh.inside is not None
