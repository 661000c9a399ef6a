"""A user's function, trained in a process of its own: what it reports, how it ends, and what it cannot do to others."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from objectives import knob, objective
from objectives.base import Config, Member, ObjectiveError, Report, Settings, State
from objectives.programs.declared import Declared
from objectives.programs.journal import tell
from objectives.programs.log import read
from objectives.programs.objective import ProgramObjective
from objectives.programs.trial import Trial
from objectives.registry import load
from tests.objectives.programs.users import PLACES

USERS = "tests.objectives.programs.users"
ROOT = Path(__file__).parents[3]
Objectives = Callable[..., ProgramObjective]

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"), pytest.mark.turns(3)]


@pytest.fixture(scope="module")
def objectives() -> Iterator[Objectives]:
    """Objectives by the names of their functions. One server each."""
    made: dict[tuple[str, Any], ProgramObjective] = {}

    def get(name: str, **settings: Any) -> ProgramObjective:
        key = name, tuple(settings.items())
        if key not in made:
            cls = load(f"{USERS}:{name}")
            made[key] = cls(Settings({"name": "none"}, settings.pop("epochs", cls.default_epochs), **settings))  # type: ignore[assignment]
        return made[key]

    yield get
    for one in made.values():
        one.host.close()


def trained(objective: ProgramObjective, config: Config, folder: Path | None = None, seed: int = 1) -> list[Report]:
    usual = {name: knob.default for name, knob in objective.knobs.items()}
    run = objective.start([Member(0, {**usual, **config}, seed, folder=folder)])
    try:
        found: list[Report] = []
        while not found or found[-1].state is None:
            found += run.step()
        return found
    finally:
        run.close()


def test_a_function_trains_and_its_last_report_is_its_score(objectives: Objectives, tmp_path: Path) -> None:
    reports = trained(objectives("train"), {"beta": 3.0}, tmp_path / "m")
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert reports[-1].state is State.COMPLETE
    assert reports[-1].score == reports[-1].metrics["val_loss"] == reports[-1].rung_score
    assert read(tmp_path / "m" / "log.txt").splitlines() == [f"did epoch {epoch}" for epoch in range(4)]


def test_the_same_seed_gives_the_same_and_another_another(objectives: Objectives) -> None:
    one, same, other = (trained(objectives("train"), {}, seed=seed)[-1].score for seed in (1, 1, 2))
    assert one == same != other


def test_where_more_is_better_search_is_told_less(objectives: Objectives) -> None:
    (*_, last) = trained(objectives("accurate"), {"drop": 0.4})
    assert last.score == -last.metrics["accuracy"]


def test_the_best_epoch_is_the_score_where_it_is_asked_for(objectives: Objectives) -> None:
    (*_, last) = trained(objectives("faulty", score="best_epoch"), {})
    assert last.score == pytest.approx(last.metrics["val"] - 2), "the first of three epochs is the best"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("raise", "ValueError: planted"),
        ("exit", "SystemExit: 3, after 1 of 3 epochs"),
        (
            "exit_well",
            "SystemExit: 0: it ended well after 1 of 3 epochs; it must report each of them, or say that it is done with trial.finish()",
        ),
        ("die", "exit status 7 after 1 of 3 epochs"),
        ("kill", "SIGKILL"),
    ],
)
def test_a_function_that_ends_badly_has_failed(objectives: Objectives, kind: str, words: str) -> None:
    (*_, last) = trained(objectives("faulty"), {"kind": kind})
    assert (last.state, last.epoch) == (State.FAILED, 1)
    assert words in last.reason
    (*_, fine) = trained(objectives("faulty"), {})
    assert fine.state is State.COMPLETE, "the next member is not hurt"


def test_a_traceback_is_kept(objectives: Objectives, tmp_path: Path) -> None:
    (*_, last) = trained(objectives("faulty"), {"kind": "raise"}, tmp_path)
    assert 'raise ValueError("planted")' in last.traceback
    assert 'raise ValueError("planted")' in read(tmp_path / "log.txt")


@pytest.mark.parametrize(
    ("kind", "words", "line"),
    [
        ("rename", "report must have the same names every time", "trial.report(val=1.0, other=2.0)"),
        ("text", "val must be a number; got 'abc'", 'trial.report(val="abc", clean=1.0)'),
        ("unsafe", "", 'trial.save({"what": object()})'),
        ("typo", "Did you mean 'kind'?", "print(trial.kynd)"),
    ],
)
def test_what_is_not_as_we_ask_for_is_told_with_the_users_line_alone(
    objectives: Objectives, tmp_path: Path, kind: str, words: str, line: str
) -> None:
    (*_, last) = trained(objectives("faulty"), {"kind": kind}, tmp_path)
    assert words in last.reason and line in last.traceback
    assert last.traceback.count('File "') == 1 and "users.py" in last.traceback
    assert words in read(tmp_path / "log.txt") and line in read(tmp_path / "log.txt")


@pytest.mark.parametrize(("kind", "begins"), [("raise", 1), ("cause", 2)])
def test_a_traceback_begins_at_the_users_own_line(objectives: Objectives, tmp_path: Path, kind: str, begins: int) -> None:
    (*_, last) = trained(objectives("faulty"), {"kind": kind}, tmp_path)
    for text in (last.traceback, read(tmp_path / "log.txt")):
        firsts = [after for before, after in itertools.pairwise(text.splitlines()) if before.startswith("Traceback")]
        assert len(firsts) == begins and all("users.py" in line for line in firsts)
        assert str(ROOT / "objectives") not in text


def test_a_child_that_raises_is_not_its_member(objectives: Objectives, tmp_path: Path) -> None:
    (*_, last) = trained(objectives("faulty"), {"kind": "child"}, tmp_path)
    assert last.state is State.COMPLETE and "ValueError: in a child" in read(tmp_path / "log.txt")


def test_a_function_that_leaves_at_once_is_told_how(objectives: Objectives) -> None:
    (*_, last) = trained(objectives("leaves"), {})
    assert last.reason.startswith("SystemExit: 0: it ended well and reported no 'val'")


def test_folder_and_environment_are_the_members_own(objectives: Objectives) -> None:
    here = Path.cwd()
    reports = trained(objectives("faulty"), {"kind": "mess"})
    assert [report.metrics["clean"] for report in reports] == [1.0, 0.0, 0.0]
    assert (Path.cwd(), "MESS" in os.environ) == (here, False)
    assert trained(objectives("faulty"), {})[-1].metrics["clean"] == 1.0


def test_children_are_killed_with_their_member(objectives: Objectives, tmp_path: Path) -> None:
    import psutil

    server = psutil.Process(objectives("faulty").host._process.pid)
    (*_, last) = trained(objectives("faulty"), {"kind": "children"}, tmp_path)
    assert last.state is State.COMPLETE
    assert gone(lambda: not server.children(recursive=True))


def gone(done: Callable[[], bool]) -> bool:
    """Whether it comes true; a killed process may take a moment to be gone."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.05)
    return False


def test_silence_has_a_limit(objectives: Objectives) -> None:
    (*_, last) = trained(objectives("faulty", silence_s=0.5), {"kind": "hang"})
    assert last.state is State.FAILED
    assert "no report for 0.5 s (limits.silence_seconds)" in last.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("misnamed", "report must hold the score 'val'; got loss"),
        ("worded", "val must be a number; got '1.0'"),
        ("renaming", "the same names every time, extra, val; got other, val"),
        ("short", "it ended well after 2 of 5 epochs"),
        ("pickled", "state['model']['layers'][0] is a object"),
    ],
)
def test_a_wrong_report_says_what_must_hold(objectives: Objectives, name: str, words: str) -> None:
    (*_, last) = trained(objectives(name), {"a": 1.0})
    assert last.state is State.FAILED
    assert words in last.reason


def test_a_function_may_say_that_it_is_done_before_its_last_epoch(objectives: Objectives) -> None:
    (*_, last) = trained(objectives("early"), {"a": 1.0})
    assert (last.state, last.epoch, last.score) == (State.COMPLETE, 2, 2.0)


def test_the_budget_ends_a_function_that_reports_for_ever(objectives: Objectives) -> None:
    reports = trained(objectives("endless"), {"a": 1.0})
    assert [(report.epoch, report.state) for report in reports] == [(1, None), (2, State.COMPLETE)]


@pytest.mark.parametrize(("epochs", "words"), [(3, "reported once more after its last epoch (3)"), (5, ""), (7, "")])
def test_a_loop_that_is_not_one_over_epochs_is_told_what_became_of_its_test_score(
    objectives: Objectives, tmp_path: Path, epochs: int, words: str
) -> None:
    objective, weights = objectives("loops", epochs=epochs), tmp_path / "weights.safetensors"
    run = objective.start([Member(0, {"a": 1.0}, 1, folder=tmp_path / "m")])
    try:
        while (last := run.step()[0]).state is None:
            pass
        assert last.state is State.COMPLETE
        run.save_weights(0, weights)
    finally:
        run.close()
    if not words:
        assert objective.read_test({}, weights)["score"] == 1.0
        return
    with pytest.raises(ObjectiveError, match="reports no test_val") as error:
        objective.read_test({}, weights)
    assert words in str(error.value) and "Loop over trial.epochs()" in str(error.value)


def test_a_loop_that_is_not_one_over_epochs_is_remarked_upon_before_the_sweep(objectives: Objectives) -> None:
    notes = [one.message for one in objectives("loops").tried(["a"]) if one.knob == "(training)"]
    assert len(notes) == 1 and "was asked for 2 epochs and reported once more" in notes[0]
    assert not [one for one in objectives("train").tried(["beta"]) if one.knob == "(training)"]


def test_a_score_that_is_not_finite_ends_the_member(objectives: Objectives) -> None:
    (last,) = trained(objectives("lost"), {"a": 1.0})
    assert (last.state, last.epoch) == (State.DIVERGED, 1)


def test_a_score_beyond_its_ends_is_refused_with_its_value(objectives: Objectives) -> None:
    last = trained(objectives("in_percent"), {"a": 1.0})[-1]
    assert (last.state, last.epoch, last.score) == (State.FAILED, 2, None)
    said = "accuracy must be between 0 and 1 (`between` of its declaration); got 90 in epoch 2"
    assert last.reason == said


@pytest.mark.parametrize("given", [(1, 0), (0, 0), (None, None), "01", 5, (0,), (0, "1"), (0, math.nan), (True, 2), (0, 1, 2)])
def test_ends_that_are_none_are_refused(given: Any) -> None:
    with pytest.raises(ObjectiveError, match=r"between must be the least and the greatest value that the score can have: \(0, 1\)"):
        objective(score="val", between=given, a=knob(0, 1, off=0.0))(lambda trial: None)


@pytest.mark.parametrize(
    ("given", "inside", "beyond", "said"),
    [
        ((0, 1), [0, 1, 1 + 1e-7, -1e-7], [1.01, -0.01, math.inf], "between 0 and 1"),
        ((0, None), [0, 1e9], [-1], "at least 0"),
        ([None, 1], [-1e9, 1], [2], "at most 1"),
    ],
)
def test_what_lies_beyond(given: Any, inside: list[float], beyond: list[float], said: str) -> None:
    declared = Declared("val", between=given)
    assert not any(map(declared.beyond, [*inside, math.nan]))
    assert all(f"val must be {said}" in declared.beyond(value) for value in beyond)


def test_stopping_ends_the_process(objectives: Objectives) -> None:
    run = objectives("endless", epochs=1000).start([Member(0, {"a": 1.0}, 1)])
    run.step()
    process = run._ones[0].process
    assert process is not None
    run.stop(0)
    assert process._ended.is_set()
    run.close()


def test_members_of_one_run_do_not_mix(objectives: Objectives) -> None:
    run = objectives("train").start([Member(number, {"beta": 1.0 + number, "lr": 0.01}, number) for number in range(3)])
    found = [run.step() for _ in range(4)]
    run.close()
    for number in range(3):
        alone = trained(objectives("train"), {"beta": 1.0 + number}, seed=number)
        assert [reports[number].metrics for reports in found] == [report.metrics for report in alone]


# Kills ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.trains
def test_a_killed_function_goes_on_with_its_random_numbers(objectives: Objectives, tmp_path: Path) -> None:
    undisturbed = trained(objectives("drawing"), {"a": 0.5}, tmp_path / "a")
    killed = trained(objectives("drawing"), {"a": 2.0}, tmp_path / "b")
    assert (tmp_path / "b" / "files" / "died").exists()
    assert [one.metrics for one in killed] == [one.metrics for one in undisturbed]
    assert killed[-1].state is State.COMPLETE


@pytest.mark.parametrize("place", PLACES[1:])
def test_a_function_that_is_killed_anywhere_ends_as_if_undisturbed(objectives: Objectives, tmp_path: Path, place: str) -> None:
    whole = trained(objectives("dying"), {"place": "nowhere"}, tmp_path / "whole")
    killed = trained(objectives("dying"), {"place": place}, tmp_path / "killed")
    assert (tmp_path / "killed" / "files" / "died").exists()
    assert [(one.epoch, one.metrics, one.state) for one in killed] == [(one.epoch, one.metrics, one.state) for one in whole]


@pytest.mark.parametrize("told", [0, 1, 3])
def test_another_worker_goes_on_and_tells_nothing_twice(objectives: Objectives, tmp_path: Path, told: int) -> None:
    whole = trained(objectives("train"), {}, tmp_path / "whole")
    member = Member(0, {"beta": 1.0, "lr": 0.01}, 1, folder=tmp_path / "m")
    run = objectives("train").start([member])
    heard = [run.step()[0] for _ in range(told)]
    run.save(tmp_path / "checkpoint")
    run.close()  # as when a worker dies: the process is killed
    again = objectives("train").start([member])
    again.restore(tmp_path / "checkpoint")
    while heard[-1:] == [] or heard[-1].state is None:
        heard += again.step()
    again.close()
    assert [(one.epoch, one.metrics, one.state) for one in heard] == [(one.epoch, one.metrics, one.state) for one in whole]
    assert read(tmp_path / "m" / "log.txt").count("did epoch 0") <= 1, "it goes on from its checkpoint"


def test_what_another_training_has_left_in_a_folder_is_removed(objectives: Objectives, tmp_path: Path) -> None:
    trained(objectives("train"), {}, tmp_path, seed=1)
    again = trained(objectives("train"), {}, tmp_path, seed=2)
    assert [one.metrics for one in again] == [one.metrics for one in trained(objectives("train"), {}, seed=2)]


def test_nothing_outlives_a_worker(tmp_path: Path) -> None:
    """The process that trains is killed with SIGKILL. The server hears it, and ends its members."""
    import psutil

    (tmp_path / "work.py").write_text(
        "from objectives.base import Member, Settings\n"
        "from objectives.registry import load\n"
        f"o = load('{USERS}:endless')(Settings({{'name': 'none'}}, 100000))\n"
        "run = o.start([Member(0, {'a': 1.0}, 1)])\n"
        "run.step()\n"
        "print('ready', flush=True)\n"
        "while True: run.step()\n"
    )
    worker = subprocess.Popen(
        [sys.executable, str(tmp_path / "work.py")], stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    family = psutil.Process(worker.pid).children(recursive=True)
    assert len(family) == 2, "the server and the member"
    worker.kill()
    worker.wait()
    assert gone(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family))


# What is kept ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.trains
def test_weights_and_picture_are_handed_over(objectives: Objectives, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run = objectives("drawing").start([Member(0, {"a": 0.5}, 1, folder=tmp_path / "m")])
    for _ in range(3):
        (report,) = run.step()
    run.save_weights(0, tmp_path / "weights.safetensors")
    assert load_file(tmp_path / "weights.safetensors")["total"].item() == pytest.approx(report.score)
    assert run.save_picture(0, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    run.close()


def test_the_test_split_is_what_the_function_says(objectives: Objectives, tmp_path: Path) -> None:
    objective = objectives("train")
    run = objective.start([Member(0, {"beta": 1.0, "lr": 0.01}, 1, folder=tmp_path / "m")])
    reports = [run.step()[0] for _ in range(4)]
    run.save_weights(0, tmp_path / "w")
    run.close()
    assert objective.read_test({}, tmp_path / "w")["score"] == pytest.approx(reports[-1].metrics["val_loss"] + 0.01)
    silent = objectives("faulty")
    run = silent.start([Member(0, {"a": 0.5, "kind": "none"}, 1)])
    for _ in range(3):
        run.step()
    run.save_weights(0, tmp_path / "v")
    run.close()
    with pytest.raises(ObjectiveError, match=r"reports no test_val; call trial\.finish\(test_val=…\)"):
        silent.read_test({}, tmp_path / "v")


# The file -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\n\nopen('/no/such/table.csv')\n", "cannot be imported; line 3: FileNotFoundError: "),
        ("import os\n\ndef train(trial)\n    pass\n", "cannot be imported; line 3: SyntaxError: expected ':'."),
        ("import no_such_module\n", "cannot be imported; No module named 'no_such_module'."),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "torn_training.py"
    file.write_text(text)
    with pytest.raises(ObjectiveError, match=r"torn_training\.py") as caught:
        load(str(file))
    assert words in str(caught.value)


# Is it alive -----------------------------------------------------------------------------------------------------------------------------


def test_a_sound_function_passes(objectives: Objectives) -> None:
    objective = objectives("train")
    found = {one.knob: one for one in objective.tried(["beta"])}
    assert set(found) == {"beta", "lr"}, "nuisance knobs are tried too"
    assert all(one.passed and one.proven for one in found.values())
    assert objective.prepare()["notes"] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("deaf", "never read trial.b"),
        ("unseeded", "must use its seed"),
        ("misnamed", "must hold the score"),
    ],
)
def test_a_function_that_cannot_be_searched_is_refused(objectives: Objectives, name: str, words: str) -> None:
    objective = objectives(name)
    with pytest.raises(ObjectiveError, match=words):
        objective.tried([knob for knob, one in objective.knobs.items() if one.is_lambda])


def test_a_coarse_score_is_tried_with_more_seeds_and_values(objectives: Objectives) -> None:
    (found,) = objectives("coarse").tried(["c"])
    assert found.passed
    assert found.proven


def test_a_report_that_was_written_down_and_not_told_is_told(objectives: Objectives, tmp_path: Path) -> None:
    """The process is killed between its journal and its word to the worker."""
    run = objectives("train").start([Member(0, {"beta": 1.0, "lr": 0.01}, 1, folder=tmp_path)])
    heard = run.step()
    process = run._ones[0].process
    assert process is not None
    tell(tmp_path, 2, {"val_loss": 0.5, "size": 1.0})  # as if it had been written just before the kill
    process.kill()
    while heard[-1].state is None:
        heard += run.step()
    run.close()
    assert [report.epoch for report in heard] == [1, 2, 3, 4]
    assert heard[-1].state is State.COMPLETE


def test_a_server_that_was_ended_is_started_again(tmp_path: Path) -> None:
    cls = load(f"{USERS}:train")
    objective = cls(Settings({"name": "none"}, 4))
    assert isinstance(objective, ProgramObjective)
    run = objective.start([Member(0, {"beta": 1.0, "lr": 0.01}, 1, folder=tmp_path)])
    heard = run.step()
    server = objective.host._process  # once it is dead, `host` is another one
    server.kill()
    server.wait()
    while heard[-1].state is None:
        heard += run.step()
    run.close()
    assert heard[-1].state is State.COMPLETE
    objective.host.close()


def test_a_knob_that_does_nothing_is_dead(objectives: Objectives) -> None:
    found = {one.knob: one for one in objectives("idle").tried(["a", "b"])}
    assert (found["a"].passed, found["b"].passed, found["b"].fault) == (True, False, "no effect")


def test_a_knob_with_which_the_training_raises_is_a_fault_and_one_with_which_it_diverges_is_none(objectives: Objectives) -> None:
    """An error is nothing that a search could learn from; that a training diverges is."""
    found = {one.knob: one for one in objectives("fragile").tried(["a", "b", "c"])}
    assert (found["a"].passed, found["a"].fault, found["b"].passed, found["c"].passed) == (False, "fails", True, True)
    assert "with a = 1 a short training ended as failed: ValueError: a must be a whole number" in found["a"].message


def test_a_score_that_contains_lambda_is_found(objectives: Objectives) -> None:
    (found,) = objectives("cheating").tried(["a"])
    assert (found.passed, found.fault) == (False, "λ in the score")


def test_noise_that_no_seed_explains_is_said(objectives: Objectives) -> None:
    objective = objectives("noisy")
    objective.tried(["a"])
    assert "no seed explains" in objective.prepare()["notes"][0]


def test_a_lambda_with_which_a_short_training_is_lost_has_an_effect(objectives: Objectives) -> None:
    (found,) = objectives("lost").tried(["a"])
    assert found.passed
    assert "diverged" in found.message


@pytest.mark.parametrize(("written", "meant"), [("finsh", "finish"), ("ridgee", "ridge")])
def test_a_misspelt_name_of_a_trial_is_told_what_is_there(written: str, meant: str) -> None:
    trial = Trial.__new__(Trial)
    trial.__dict__["_request"] = SimpleNamespace(config={"ridge": 1.0, "lr": 0.1})
    with pytest.raises(AttributeError, match=f"ridge, lr and .*finish.*Did you mean '{meant}'"):
        getattr(trial, written)
