"""Sweeps of the toy, carried out in this process: the closed-form answer, and what happens when members end badly.

What needs processes of their own (death, silence, memory, two workers) is in test_on_ray.py.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.catalogue import Catalogue, MemberRow
from infra.errors import InfraError
from infra.storage import Home
from objectives.base import ObjectiveError, Phase
from objectives.checks import device
from objectives.families import toy
from search import retrain, sweep
from search.asking.projection import Books, Projection
from search.asking.space import Space
from search.choosing import from_members
from search.choosing.answer import Answer
from search.choosing.race import Look
from search.cli import app
from search.facts import TOOK
from search.running import driver
from search.running.where import IN_PROCESS
from search.running.working import worker
from search.spec.reading import read
from search.spec.text import parse_yaml
from search.sweep import Outcome
from search.telling.files import exports
from search.telling.listener import Silent

pytestmark = pytest.mark.turns(3)


def spec(**changes: Any) -> dict[str, Any]:
    """A toy sweep of 8 trials and 3 confirmed configs."""
    base: dict[str, Any] = {
        "objective": "toy",
        "search": {"l2": {}},
        "budget": {"trials": 8, "epochs": 6},
        "confirm": {"configs": 3, "seeds": 2},
    }
    return {**base, **changes}


def run(home: Home, name: str = "s", **changes: Any) -> tuple[Outcome, list[MemberRow]]:
    outcome = sweep.run(spec(**changes), name=name, home=home, address=IN_PROCESS, tracking=False)
    return outcome, members(home, name)


def members(home: Home, name: str = "s") -> list[MemberRow]:
    with Catalogue(home.catalogue_url) as catalogue:
        return catalogue.members(name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.open(tmp_path / "home")


Halved = tuple[Home, Outcome, list[MemberRow]]
HALVED: dict[str, Any] = {
    "search": {"l2": {}, "lr": {}},
    "budget": {"trials": 18, "epochs": 12},
    "confirm": {"configs": 3, "seeds": 3},
}


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Halved:
    """A sweep with a nuisance knob and rungs, at which several tests look."""
    home = Home.open(tmp_path_factory.mktemp("halved"))
    return home, *run(home, **HALVED)


@pytest.fixture
def copied(halved: Halved, tmp_path: Path) -> Home:
    """The same home, to be changed."""
    return Home.open(shutil.copytree(halved[0].root, tmp_path / "copied"))


def test_the_toys_best_lambda_is_found_and_helps(home: Home) -> None:
    """λ* = σ²/(nS) = 0.5 in closed form; the verdict against λ = 0 is `helps`, for R(0)/R(λ*) = 1 + λ*."""
    whole = {"budget": {"trials": 24, "epochs": 6}, "confirm": {"configs": 5, "seeds": 3}}
    outcome, rows = run(home, dataset={"name": "none", "noise": 0.5}, scheduler="none", **whole)
    answer = outcome.answer
    assert answer is not None and answer.verdict == "helps"
    truth = toy.best_lambda(1.0, 0.5)
    assert abs(math.log10(answer.best["l2"] / truth)) < 0.1
    [one] = answer.lambdas
    assert one.low <= truth <= one.high
    # R(0) − R(λ*) = σ²/n − λ*/(1+λ*)·S = 0.5 − 1/3
    assert answer.effect.low <= 0.5 - 1 / 3 + 1e-3 and answer.effect.high >= 0.5 - 1 / 3 - 5e-3
    assert {row.state for row in rows} == {"complete"}


def test_a_sixth_of_the_trials_is_the_off_arm_with_its_nuisances_searched(halved: Halved) -> None:
    search = [row for row in halved[2] if row.phase == Phase.SEARCH]
    off = [row for row in search if row.arm == "off"]
    assert len(off) * 6 >= len(search) == 18
    assert {row.config["l2"] for row in off} == {0.0}
    assert len({row.config["lr"] for row in off}) == len(off)


def test_confirmation_uses_seeds_that_no_search_member_used(halved: Halved) -> None:
    searched = {row.seed for row in halved[2] if row.phase == Phase.SEARCH}
    confirmed = [row for row in halved[2] if row.phase == Phase.CONFIRM]
    assert confirmed and not searched & {row.seed for row in confirmed}
    assert {row.state for row in confirmed} == {"complete"}


def test_a_stopped_member_is_not_complete(halved: Halved) -> None:
    """Defect A of the stock glue: a member stopped at a rung has no final score, and says which rung stopped it."""
    home, _, rows = halved
    stopped = [row for row in rows if row.state == "stopped"]
    assert stopped
    for row in stopped:
        assert row.score is None and row.epochs < 12 and row.reason.startswith("asha: rank")
    import optuna

    trials = optuna.load_study(study_name="s", storage=home.optuna_url).trials
    assert sum(trial.state.name == "PRUNED" for trial in trials) == sum(row.arm == "search" for row in stopped)
    assert not any(trial.state.name == "RUNNING" for trial in trials)


def test_optunas_tools_read_names_reasons_curves_and_confirmations(halved: Halved) -> None:
    import optuna

    home, outcome, rows = halved
    assert outcome.answer is not None
    study = optuna.load_study(study_name="s", storage=home.optuna_url)
    assert study.metric_names == ["val_risk"] and study.user_attrs["verdict"] == outcome.answer.verdict_word
    searched = {row.number: row for row in rows if row.phase == Phase.SEARCH and row.arm == "search"}
    assert {trial.user_attrs["member"] for trial in study.trials} == set(searched)
    for trial in study.trials:
        row = searched[trial.user_attrs["member"]]
        assert max(trial.intermediate_values) == row.epochs and trial.user_attrs["reason"] == row.reason
        assert trial.user_attrs["state"] == row.state and trial.value == row.score
    confirmed = [row for row in rows if row.phase == Phase.CONFIRM]
    assert [one["member"] for one in study.user_attrs["confirmed"]] == [row.number for row in confirmed]
    assert "l2" in optuna.importance.get_param_importances(study), "λ is a parameter of every trial"


def test_a_lost_member_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    import optuna

    spec = read({"objective": "toy", "search": {"l2": {}}})
    space, url = Space(spec, spec.trained), f"sqlite:///{tmp_path / 'optuna.db'}"
    ends = {"diverged": (None, "NaN"), "collapsed": (None, "all codes alike"), "stopped": (None, "asha"), "complete": (2.0, "")}
    config = space.config({"l2": 0.1})
    rows = [
        MemberRow(number=number, phase="search", arm="search", config=config, seed=1, state=state, score=score, reason=reason)
        for number, (state, (score, reason)) in enumerate(ends.items())
    ]
    Projection(url, "s").finish(Books(spec, space, rows, {0: {1: 3.0}}), {"answer": "words"})
    trials = optuna.load_study(study_name="s", storage=url).trials
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL", "PRUNED", "COMPLETE"]
    assert [trial.user_attrs["reason"] for trial in trials] == ["NaN", "all codes alike", "asha", ""]
    assert trials[0].intermediate_values == {1: 3.0} and trials[3].value == 2.0


def test_one_worker_and_one_seed_repeat_a_sweep(halved: Halved, home: Home) -> None:
    outcome, rows = run(home, **HALVED)
    assert outcome.answer is not None
    first, again = ([(row.config, row.seed, row.phase, row.state, row.score) for row in found] for found in (halved[2], rows))
    assert again == first


def test_a_name_is_used_once_and_nothing_is_left_behind(halved: Halved) -> None:
    home, *_ = halved
    with pytest.raises(InfraError, match="'s' exists"):
        run(home)
    with sqlite3.connect(home.root / "lagrange.db") as database:
        assert database.execute("select count(*) from sweeps").fetchone() == (1,)


def test_the_export_is_a_spec_with_no_free_knob_that_reproduces_a_confirmed_seed(halved: Halved, copied: Home, tmp_path: Path) -> None:
    path, (_, outcome, rows) = tmp_path / "best.yaml", halved
    exports.export("s", path, home=copied)
    assert outcome.answer is not None
    member = next(row for row in rows if row.phase == Phase.CONFIRM and row.config == outcome.answer.recommended)
    again = retrain.train(path, home=copied, seed=member.seed, tracking=False)
    assert again.score == member.score == again.reproduces
    fresh = retrain.train(path, home=copied, tracking=False)
    assert fresh.seed not in {row.seed for row in rows} and fresh.inside is not None


def test_more_trials_extend_a_finished_sweep(copied: Home, halved: Halved) -> None:
    before = halved[2]
    outcome = sweep.resume("s", home=copied, trials=6, address=IN_PROCESS, tracking=False)
    rows = members(copied)
    assert outcome.answer is not None
    assert sum(row.phase == Phase.SEARCH for row in rows) == 24
    assert [(row.config, row.seed) for row in rows[: len(before)]] == [(row.config, row.seed) for row in before]
    # A config and seed that was confirmed is not trained again.
    confirmed = [(row.config_hash, row.seed) for row in rows if row.phase == Phase.CONFIRM]
    assert len(confirmed) == len(set(confirmed))
    # The second verdict is that of seeds which no earlier one used; so going on until it helps does not make it help.
    finals = set(from_members.final_seeds(read(spec(**HALVED)), Look(2, 3)))
    assert not finals & {row.seed for row in before}
    own = [row for row in rows if row.config == outcome.answer.best and row.seed in finals]
    assert len(own) == outcome.answer.effect.seeds > 0


@pytest.mark.parametrize(("fault", "state"), [("raise", "failed"), ("nan", "diverged")])
def test_a_bad_member_ends_with_its_state_and_the_sweep_goes_on(home: Home, fault: str, state: str) -> None:
    """Defects B and C: an exception or a NaN is data of that member, at once, and of no other."""
    outcome, rows = run(home, dataset={"name": "none", "fault": fault, "fault_at": 2, "fault_members": [1]})
    assert outcome.status == "complete" and outcome.answer is not None
    assert rows[1].state == state and rows[1].epochs <= 2
    assert any(f"1 {state}" in note for note in outcome.notes)
    assert all(row.state in ("complete", "stopped") for row in rows if row.number != 1)


def test_a_list_of_values_of_a_lambda_is_searched_and_answered(home: Home) -> None:
    outcome, rows = run(home, search={"l2": [0.05, 0.5, 5.0]}, scheduler="none")
    assert outcome.answer is not None and outcome.answer.best["l2"] in (0.0, 0.05, 0.5, 5.0)
    assert {row.config["l2"] for row in rows} <= {0.0, 0.05, 0.5, 5.0}


def test_a_diverged_lambda_counts_against_that_lambda(home: Home) -> None:
    """Above 0.2 every member diverges; the truth 0.5 is out of reach and the best λ stays below."""
    dataset = {"name": "none", "noise": 0.5, "fault": "nan", "fault_above": 0.2}
    outcome, rows = run(home, dataset=dataset, budget={"trials": 18, "epochs": 6}, scheduler="none")
    assert outcome.answer is not None and outcome.answer.best["l2"] <= 0.2
    assert any(row.state == "diverged" for row in rows)


def test_if_every_lambda_diverges_and_off_is_sound_the_answer_is_to_keep_off(home: Home) -> None:
    dataset = {"name": "none", "noise": 0.5, "fault": "nan", "fault_above": 1e-4}  # the range begins at 1e-3
    outcome, rows = run(home, dataset=dataset, budget={"trials": 12, "epochs": 3}, scheduler="none")
    found = outcome.answer
    assert outcome.status == "complete" and found is not None, outcome.problem
    assert found.verdict in ("hurts", "no evidence") and found.recommended_arm == "off" and found.recommended["l2"] == 0.0
    assert found.sentence().startswith("No training with l2 on completed: keep l2 = 0")
    assert {row.config["l2"] for row in rows if row.phase == Phase.CONFIRM} == {0.0}
    assert {row.state for row in rows if row.config["l2"]} == {"diverged"}
    assert parse_yaml(exports.export("s", home=home))["fixed"]["l2"] == 0.0
    with Catalogue(home.catalogue_url) as catalogue:
        stored = catalogue.sweep("s").answer
    assert stored is not None and Answer.from_dict(stored).sentence() == found.sentence()


def test_if_every_member_fails_the_sweep_fails_loudly(home: Home) -> None:
    outcome, _ = run(home, dataset={"name": "none", "fault": "raise"})
    assert outcome.status == "failed" and outcome.answer is None
    assert "at least one member must complete" in outcome.problem and "8 failed" in outcome.problem
    with pytest.raises(InfraError, match="needs an answer"):
        exports.export("s", home=home)


LITTLE = {"budget": {"trials": 4, "epochs": 1}, "confirm": {"configs": 2, "seeds": 2}}


class Unready(toy.Toy):
    """Finds out when it prepares that it can not be trained. A signal of 2 stands for a fault of its own, and not of the user."""

    def prepare(self) -> dict[str, Any]:
        if self.options["signal"] == 2:
            raise RuntimeError("no memory for the moon")
        raise ObjectiveError("the moon must be full; it is new. Wait a fortnight.")


UNREADY = f"{__name__}:{Unready.__name__}"


def test_a_mistake_that_only_the_preparation_finds_is_refused_and_nothing_of_it_is_kept(home: Home) -> None:
    outcome = sweep.run(spec(objective=UNREADY, **LITTLE), home=home, address=IN_PROCESS)
    assert outcome.status == "refused" and "moon must be full" in outcome.problem
    with Catalogue(home.catalogue_url) as catalogue:
        assert not catalogue.sweeps()
    left = {path.name for path in home.root.rglob("*")}
    assert left <= {"lagrange.db", "lagrange.db-shm", "lagrange.db-wal"}, "no files, and nothing in MLflow"
    told = CliRunner().invoke(app, ["sweep", UNREADY, "--address", IN_PROCESS, "--home", str(home.root)])
    assert told.exit_code == 2 and "was refused: the moon must be full" in told.stderr


@pytest.mark.parametrize("named", ["cuda", "mps", "xpu"])
@pytest.mark.parametrize("objective", ["toy", "vae"])
def test_a_device_that_torch_does_not_find_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch, objective: str, named: str) -> None:
    monkeypatch.setattr(device, "DEVICES", {"cpu": lambda: True, named: lambda: False})
    outcome = sweep.run({"objective": objective, "resources": {"device": named}}, home=home, address=IN_PROCESS, tracking=False)
    assert outcome.status == "refused"
    assert f"device must be one that torch finds here, cpu; got '{named}'. Set resources.device" in outcome.problem
    with Catalogue(home.catalogue_url) as catalogue:
        assert not catalogue.sweeps()


def test_a_sweep_that_goes_on_is_kept_though_it_is_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data of an old sweep is gone: that takes nothing from what it has found."""
    _, before = run(home, **LITTLE)
    monkeypatch.setattr(toy.Toy, "prepare", Unready.prepare)
    outcome = sweep.resume("s", home=home, trials=2, address=IN_PROCESS, tracking=False)
    assert outcome.status == "refused" and members(home) == before


def test_a_sweep_that_came_to_nothing_does_not_hold_its_name(home: Home) -> None:
    failed, rows = run(home, objective=UNREADY, dataset={"name": "none", "signal": 2}, **LITTLE)
    assert "moon" in failed.problem
    assert (failed.status, rows) == ("failed", [])
    again, rows = run(home, **LITTLE)
    assert again.status == "complete" and len(rows) == 4 + 2 * 2
    with pytest.raises(InfraError, match="used once"):
        run(home)


def test_a_spec_made_in_python_is_resolved(home: Home) -> None:
    from search import Sweep
    from search import run as run_sweep

    made = Sweep(objective="toy", budget={"trials": 6, "epochs": 3}, confirm={"configs": 3, "seeds": 2})  # type: ignore[arg-type]
    outcome = run_sweep(made, home=home, address=IN_PROCESS, tracking=False)
    assert outcome.name == "toy-none-1" and outcome.answer is not None


def test_a_catalogue_that_cannot_be_opened_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGRANGE_PATIENCE_S", "0.5")
    home = Home.open(tmp_path / "home", catalogue_url="postgresql+psycopg://ann:hunter2@127.0.0.1:1/none")
    with pytest.raises(InfraError) as caught:
        sweep.run(spec(), home=home, tracking=False)
    assert "hunter2" not in str(caught.value) and not (tmp_path / "home").exists()


def test_without_a_listener_a_wait_for_the_catalogue_is_a_warning_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAGRANGE_PATIENCE_S", "1")
    home = Home.open(tmp_path / "home", catalogue_url="postgresql+psycopg://ann:hunter2@127.0.0.1:1/none")
    with pytest.raises(InfraError):
        sweep.run(spec(), home=home, tracking=False)
    (said,) = [one for one in caplog.records if one.name == "lagrange"]
    assert said.levelname == "WARNING" and said.message.startswith("The sweep waits for the catalogue, at most 1 s: ")
    assert "hunter2" not in caplog.text
    caplog.clear()
    heard = Notes()
    with pytest.raises(InfraError):
        sweep.run(spec(), home=home, tracking=False, listener=heard)
    assert [text.startswith("waits for the catalogue") for text in heard.notes] == [True]
    assert not [one for one in caplog.records if one.name == "lagrange"], "a listener hears it"


class Notes(Silent):
    """Hears notes alone."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Clock:
    """A time that passes while a member sleeps, and not otherwise."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_neither_ends_a_sweep_nor_prolongs_it(jump_s: float, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """NTP, or a person, sets the clock again and again. Half an hour of wall time is what has passed, as is what was taken."""
    real, read = time.time, []

    def time_of_day() -> float:
        read.append(1)
        return real() + jump_s * len(read)

    monkeypatch.setattr(time, "time", time_of_day)
    outcome, rows = run(home, budget={"trials": 8, "epochs": 2, "wall_minutes": 30})
    monkeypatch.setattr(time, "time", real)
    assert read and outcome.status == "complete" and sum(row.phase == Phase.SEARCH for row in rows) == 8
    assert 0 < outcome.seconds < 600
    with Catalogue(home.catalogue_url) as catalogue:
        assert 0 < catalogue.sweep("s").facts[TOOK] < 600


def test_the_wall_time_ends_a_sweep_and_every_member_has_its_state(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect N: nothing stays open when the time is over. The first report after it is a member's last."""
    clock = Clock()
    monkeypatch.setattr(toy, "time", SimpleNamespace(sleep=clock.sleep))
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=clock))  # it reports after a second: every second epoch
    monkeypatch.setattr(driver, "opened", partial(driver.opened, clock=clock))
    budget = {"trials": 200, "epochs": 100, "wall_minutes": 0.4}  # a member would take 70 s, the sweep may take 24
    outcome, (row,) = run(home, dataset={"name": "none", "seconds_per_epoch": 0.7}, budget=budget, scheduler="none")
    assert (row.state, row.epochs) == ("stopped", 36) and row.reason.startswith("budget:")
    assert clock.now == pytest.approx(36 * 0.7)
    assert outcome.status == "failed" and "must complete" in outcome.problem
