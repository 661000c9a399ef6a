"""A program as an objective: how its command is filled in, how its numbers are found, and how it ends."""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.base import Member, ObjectiveError, Report, Settings, State
from objectives.families.command import filled
from objectives.programs.log import HEAD_BYTES, TAIL_BYTES, read
from objectives.programs.numbers import Numbers
from objectives.programs.objective import ProgramObjective
from objectives.registry import load

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"), pytest.mark.turns(3)]

BETA = {"low": 0.01, "high": 10.0, "log": True, "off": 1}
LINES = {"lines": r"epoch (?P<epoch>\d+) .*val=(?P<val>\S+)"}
SAY = """
for e in range(epochs):
    print(f"epoch {e + 1} of it val={beta + e}", flush=True)
"""
ARGUMENTS = """
import os, sys, time
beta, epochs, seed, folder, resume = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5] == "true"
"""


def script(text: str = SAY) -> str:
    """A file of Python that has β, the epochs, the seed, the folder and whether it resumes."""
    path = Path(tempfile.mkdtemp()) / "train.py"
    path.write_text(ARGUMENTS + text)
    return str(path)


def given_as(text: str = SAY, **more: Any) -> dict[str, Any]:
    """A declaration of a command that runs this text."""
    command = [sys.executable, script(text), "{beta}", "{epochs}", "{seed}", "{folder}", "{resume}"]
    usual = {"command": command, "knobs": {"beta": BETA}, "read": LINES, "score": {"name": "val"}}
    return {key: value for key, value in {**usual, **more}.items() if value is not None}


@pytest.fixture
def made() -> Iterator[Any]:
    """Objectives of declarations; their servers end with the test."""
    found: list[ProgramObjective] = []

    def make(said: dict[str, Any], epochs: int = 3, **settings: Any) -> ProgramObjective:
        one = load("command", said)(Settings({"name": "none"}, epochs, **settings))
        assert isinstance(one, ProgramObjective)
        found.append(one)
        return one

    yield make
    for one in found:
        one.host.close()


def trained(objective: ProgramObjective, folder: Path | None = None, **config: Any) -> list[Report]:
    usual = {name: knob.default for name, knob in objective.knobs.items()}
    run = objective.start([Member(0, {**usual, **config}, 5, folder=folder)])
    found: list[Report] = []
    while not found or found[-1].state is None:
        found += run.step()
    run.close()
    return found


# The command ------------------------------------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_value_is_one_word_whatever_it_holds(text: str) -> None:
    assert filled("train --name {kind} -x", {"kind": text}, {}, shell=False) == ["train", "--name", text, "-x"]
    (*_, line) = filled("printf %s {kind}", {"kind": text}, {}, shell=True)
    assert shlex.split(line) == ["printf", "%s", text]


def test_all_knobs_at_once_and_braces_themselves() -> None:
    config = {"beta": 0.1, "depth": 3, "kind": "a b", "bias": True}
    assert filled("run {args}", {**config}, config, shell=False) == ["run", "--beta=0.1", "--depth=3", "--kind=a b", "--bias=true"]
    assert filled("awk '{{print {depth}}}'", {**config}, config, shell=False) == ["awk", "{print 3}"]
    assert filled("echo ${HOME} {depth}", {**config}, config, shell=True)[-1] == "echo ${HOME} 3"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_arrives_with_every_digit(value: float) -> None:
    (*_, word) = filled("run {beta}", {"beta": value}, {}, shell=False)
    assert float(word) == value


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"command": None}, ["command must be given"]),
        ({"command": "python t.py {beta} {seed} {gamma}"}, ["got {gamma}", "Declare it under knobs"]),
        ({"command": "python t.py {seed}"}, ["command must use every declared knob; it lacks {beta}"]),
        ({"command": "python t.py {beta}"}, ["command must use {seed}"]),
        ({"command": "no-such-program {beta} {seed}"}, ["'no-such-program' is not found"]),
        ({"command": "python 'x {beta} {seed}"}, ["No closing quotation"]),
        ({"command": "python9 t.py {beta} {seed}"}, ["'python9' is not found", "{python} is the interpreter that runs Lagrange"]),
        ({"command": "run {python} {seed}", "knobs": {"python": BETA}}, ["a knob must not be called 'python'"]),
        ({"knobs": {"beta": {"low": 1, "high": 0.1}}}, ["beta: low must be below high"]),
        ({"knobs": {"beta": {"low": 1, "hgih": 2}}}, ["got 'hgih'", "beta must have low and high"]),
        ({"knobs": {"beta": 3}}, ["knobs.beta must be a mapping"]),
        ({"score": None}, ["score must name the metric"]),
        ({"score": {"name": "val", "better": "up"}}, ["better must be 'lower' or 'higher'; got 'up'"]),
        ({"read": {"lines": "("}}, ["must be a regular expression"]),
        ({"read": {"lines": "loss=(?P<loss>.*)"}}, ["a group with the score's name, (?P<val>…); it has loss"]),
        ({"read": {"xml": "a"}}, ["read must have one of lines, json, csv"]),
        ({"read": {"csv": "metrics.csv"}}, ["a file of the member's own: {folder}/NAME"]),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said(more: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ObjectiveError) as error:
        load("command", {**given_as(), **more})
    for word in words:
        assert word in str(error.value)


ODD = [[], {}, "x", "", None, True, math.nan, math.inf, 10**400, {"a": 1}, [1, 2], -1, 0]


@pytest.mark.parametrize("key", ["low", "high", "off", "default", "choices", "log", "integer", "more", "unit", "summary"])
@pytest.mark.parametrize("beside", [{}, {"log": True, "low": 0.1}, {"integer": True}, {"choices": ["a", "b"], "low": None, "high": None}])
def test_a_field_of_any_type_is_taken_or_refused_with_a_reason(key: str, beside: dict[str, Any]) -> None:
    """Fuzzing had found a range whose end is a list, which was compared with a number."""
    for value in ODD:
        knob = {"low": 0, "high": 1, "off": 0, **beside, key: value}
        try:
            load("command", {**given_as(), "knobs": {"beta": knob}})
        except ObjectiveError as error:
            assert "beta" in str(error)


def test_python_is_the_interpreter_of_the_worker_whatever_the_path_says(made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no program is found
    said = given_as(command=f"{{python}} {script('print(sys.executable)' + SAY)} {{beta}} {{epochs}} {{seed}} {{folder}} {{resume}}")
    assert [report.rung_score for report in trained(made(said), tmp_path)] == [1.0, 2.0, 3.0]
    assert sys.executable in read(tmp_path / "log.txt")


def test_a_script_that_is_not_executable_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.touch()
    with pytest.raises(ObjectiveError, match=r"is not executable. For a script write `\{python\} .*train.py`"):
        load("command", given_as(command=f"{script} {{beta}} {{seed}}"))


# Numbers ----------------------------------------------------------------------------------------------------------------------------------


def events(read: dict[str, str], chunks: list[bytes], folder: Path = Path(), epochs: int = 9) -> list[tuple[int, dict[str, float]]]:
    reader = Numbers(read, "val", folder, epochs)
    found = [event for chunk in chunks for event in reader.feed(chunk)] + reader.end()
    return [(event["epoch"], event["report"]) for event in found if "report" in event]


@given(st.lists(st.integers(0, 60)))
def test_lines_are_found_however_the_output_is_cut(cuts: list[int]) -> None:
    text = b"start\repoch 1 of 3 val=0.5\r\nnoise\nepoch 2 of 3 val=1e-3 y\nepoch 3 of 3 val=inf"
    ends = sorted({0, len(text), *cuts})
    found = events(LINES, [text[a:b] for a, b in pairwise(ends)])
    assert found == [(1, {"val": 0.5}), (2, {"val": 1e-3}), (3, {"val": float("inf")})]


def test_json_lines_on_standard_output_need_no_key() -> None:
    lines = b'hello\n{"val": 1, "note": "x"}\n{"broken\n{"loss": 3}\n{"val": 0.5, "ok": true}\n'
    assert events({}, [lines]) == [(1, {"val": 1.0}), (2, {"val": 0.5, "ok": 1.0})]


def test_epochs_that_are_counted_from_zero_are_taken_as_such() -> None:
    assert [epoch for epoch, _ in events({}, [b'{"epoch": 0, "val": 1}\n{"epoch": 1, "val": 1}\n'])] == [1, 2]
    assert [epoch for epoch, _ in events({}, [b'{"epoch": 1, "val": 1}\n{"epoch": 2, "val": 1}\n'])] == [1, 2]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("m.jsonl", '{"epoch": 1, "val": 3}\n{"ep', 'och": 2, "val": 2}\n'),
        ("m.csv", "epoch, val\n1, 3\n", "2, 2\n"),
    ],
)
def test_a_file_is_followed(tmp_path: Path, name: str, first: str, second: str) -> None:
    kind = "csv" if name.endswith("csv") else "json"
    reader = Numbers({kind: "{folder}/" + name}, "val", tmp_path, 2)
    assert reader.poll() == []
    file = tmp_path / name
    file.write_text(first)
    seen = reader.poll()
    with file.open("a") as more:
        more.write(second)
    seen += reader.poll() + reader.end()
    assert [(event["epoch"], event["report"]) for event in seen] == [(1, {"val": 3.0}), (2, {"val": 2.0})]


def test_a_file_that_begins_anew_is_read_from_its_start(tmp_path: Path) -> None:
    reader, file = Numbers({"csv": "{folder}/m.csv"}, "val", tmp_path, 9), tmp_path / "m.csv"
    file.write_text("\ufeffepoch\tval\n1\t3\n2\t2\n")
    seen = reader.poll()
    file.write_text("val,epoch\n1,3\n")
    seen += reader.poll()
    file.write_text("val,epoch\n1,3\n0,4")  # its last line has no end
    seen += reader.poll() + reader.end()
    assert [(event["epoch"], event["report"]["val"]) for event in seen] == [(1, 3.0), (2, 2.0), (3, 1.0), (4, 0.0)]


def test_where_epochs_begin_is_known_after_a_kill(tmp_path: Path) -> None:
    note = tmp_path / "note"
    first = Numbers({}, "val", tmp_path, 9, note=note).feed(b'{"epoch": 0, "val": 1}\n{"epoch": 1, "val": 1}\n')
    then = Numbers({}, "val", tmp_path, 9, note=note).feed(b'{"epoch": 2, "val": 1}\n')
    assert [event["epoch"] for event in first + then] == [1, 2, 3]
    (counted,) = Numbers({}, "val", tmp_path, 9, count=3).feed(b'{"val": 1}\n')
    assert counted["epoch"] == 4


def test_what_cannot_be_a_number_ends_nothing() -> None:
    lines = b'{"val": 1' + b"0" * 400 + b"}\n" + b'{"a":' * 10_000 + b'\n{"val": 2}\n'
    assert [report for _, report in events({}, [lines])] == [{"val": 2.0}]


def test_a_score_may_be_called_test() -> None:
    reader = Numbers({}, "test_acc", Path(), 1)
    (event,) = reader.feed(b'{"test_acc": 0.5}\n')
    assert event["report"] == {"test_acc": 0.5}


def test_a_result_that_is_there_at_the_end_is_of_the_last_epoch(tmp_path: Path) -> None:
    reader = Numbers({"json": "{folder}/result.json"}, "val", tmp_path, 7)
    (tmp_path / "result.json").write_text(json.dumps({"val": 0.25, "test_val": 0.5}))
    assert reader.poll() == []
    report, finish = reader.end()
    assert (report["epoch"], report["report"]) == (7, {"val": 0.25})
    assert finish["finish"] == {"test_val": 0.5}


# How it ends ------------------------------------------------------------------------------------------------------------------------------


def test_a_program_trains(made: Any, tmp_path: Path) -> None:
    reports = trained(made(given_as()), tmp_path / "m", beta=2.0)
    assert [(one.epoch, one.rung_score) for one in reports] == [(1, 2.0), (2, 3.0), (3, 4.0)]
    assert reports[-1].state is State.COMPLETE
    assert "epoch 1 of it val=2.0" in read(tmp_path / "m" / "log.txt")


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        (SAY + "sys.exit(3)", State.FAILED, "exit status 3 after 3 of 3 epochs"),
        ("print('epoch 1 of it val=1'); print('bye')", State.FAILED, "it ended well after 1 of 3 epochs"),
        ("print('hello')", State.FAILED, "found nothing; it last printed: hello"),
        ("pass", State.FAILED, "it printed nothing"),
        ("print('epoch 1 of it val=soon')", State.FAILED, "reported no 'val': it must be a number; read.lines "),
        ("print('epoch 1 of it val=soon')", State.FAILED, " found val = 'soon'; it last printed"),
        ("print('epoch 1 of it val=1')", State.FAILED, "it must report each of them; {epochs} in the command tells it how many"),
        ("print('epoch 1 of it val=nan', flush=True); time.sleep(1000)", State.DIVERGED, "not finite in epoch 1"),
        ("print('epoch 1 of it val=1', flush=True); time.sleep(1000)", State.FAILED, "no report for 1 s"),
        ("print('epoch 1 of it val=1', flush=True); os.kill(os.getpid(), 11)", State.FAILED, "SIGSEGV after 1 of 3"),
        ("1/0", State.FAILED, "ZeroDivisionError"),
        (SAY.replace("epochs", "10"), State.FAILED, "it reported epoch 4 of 3: it must report once an epoch"),
    ],
)
def test_a_program_that_ends_badly_says_how(made: Any, text: str, state: State, words: str) -> None:
    (*_, last) = trained(made(given_as(text), silence_s=1.0))
    assert last.state is state
    assert words in last.reason + last.traceback


def test_a_program_that_cannot_be_started_is_told_so(made: Any, tmp_path: Path) -> None:
    script = tmp_path / "run"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    (last,) = trained(made(given_as(command=[str(script), "{beta}", "{seed}"])))
    assert (last.state, "exit status 127" in last.reason) == (State.FAILED, True)


def test_a_gigabyte_of_output_stays_small(made: Any, tmp_path: Path) -> None:
    text = "for _ in range(64):\n    sys.stdout.write('x' * 2**20)\nprint()\n" + SAY
    (*_, last) = trained(made(given_as(text)), tmp_path / "m")
    assert last.state is State.COMPLETE, last.reason
    assert sum(file.stat().st_size for file in (tmp_path / "m").glob("log.txt*")) <= HEAD_BYTES + TAIL_BYTES
    assert "epoch 3 of it" in read(tmp_path / "m" / "log.txt")


def test_a_killed_program_is_started_again_and_resumes_what_it_kept(made: Any, tmp_path: Path) -> None:
    text = """
file = os.path.join(folder, "at")
at = int(open(file).read()) if resume else 0
for e in range(at, 3):
    print(f"epoch {e + 1} of it val={e}", flush=True)
    open(file, "w").write(str(e + 1))
    if e == 1 and at == 0:
        time.sleep(0.3)
        os.kill(os.getpid(), 9)
"""
    reports = trained(made(given_as(text)), tmp_path / "m")
    assert [(one.epoch, one.state) for one in reports] == [(1, None), (2, None), (3, State.COMPLETE)]
    assert read(tmp_path / "m" / "log.txt").count("epoch 1 of it") == 1


def test_the_environment_of_a_member_is_handed_on(made: Any) -> None:
    text = SAY.replace("print(", "print(os.environ['MLFLOW_RUN_ID'], ")
    objective = made(given_as(text, read={"lines": r"(?P<run>\d+) epoch.*val=(?P<val>\S+)"}))
    run = objective.start([Member(0, {"beta": 1.0}, 1, environment={"MLFLOW_RUN_ID": "42"})])
    (report,) = run.step()
    run.close()
    assert report.metrics == {"run": 42.0, "val": 1.0}


def test_nothing_of_our_interpreter_is_in_the_surroundings_of_a_program(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    text = SAY.replace("print(f", "print('PYTHONPATH' in os.environ, os.environ['OMP_NUM_THREADS'], f")
    reading = {"lines": r"False (?P<threads>\d) epoch.*val=(?P<val>\S+)"}
    (first, *_) = trained(made(given_as(text, read=reading), threads=3))
    assert first.metrics == {"threads": 3.0, "val": 1.0}


def test_a_program_has_the_python_path_of_the_worker_and_not_ours(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a program of another Python, which our packages would break."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere/at/all")
    text = SAY.replace("print(", "print(os.environ['PYTHONPATH'] == '/nowhere/at/all' or 1 / 0, ")
    assert trained(made(given_as(text)))[-1].state is State.COMPLETE


def test_numbers_of_the_test_split_are_not_a_curve(made: Any, tmp_path: Path) -> None:
    objective = made(given_as('print(\'{"val": 1, "test_val": 3}\')', read=None), epochs=1)
    run = objective.start([Member(0, {"beta": 1.0}, 1)])
    (report,) = run.step()
    run.save_weights(0, tmp_path / "w")
    run.close()
    assert report.metrics == {"val": 1.0}
    assert objective.read_test({}, tmp_path / "w") == {"score": 3.0, "test_val": 3.0}


# Is it alive ------------------------------------------------------------------------------------------------------------------------------

SEEDED = SAY.replace("beta + e", "beta + e + seed % 1000")


def test_a_program_is_tried_before_a_sweep(made: Any) -> None:
    (found,) = made(given_as(SEEDED)).tried(["beta"])
    assert found.passed
    assert found.proven
    assert "not proven: that the score contains no λ (a program cannot show it; see to it that" in found.message
    assert "trial." not in found.message, "a command has no trial"


def test_a_program_that_ignores_its_seed_is_refused(made: Any) -> None:
    with pytest.raises(ObjectiveError, match="must use its seed"):
        made(given_as()).tried(["beta"])


def test_a_knob_that_a_program_ignores_is_dead(made: Any) -> None:
    (found,) = made(given_as(SEEDED.replace("beta + ", ""))).tried(["beta"])
    assert (found.passed, found.fault) == (False, "no effect")


def test_a_program_with_a_number_of_epochs_of_its_own_is_tried_for_two_of_them(made: Any) -> None:
    text = SEEDED.replace("epochs", "1000").replace("flush=True)", "flush=True); time.sleep(0.05 * e)")
    command = [sys.executable, script(text), "{beta}", "1000", "{seed}", ".", "false"]
    (found,) = made(given_as(command=command), epochs=1000).tried(["beta"])
    assert found.passed
