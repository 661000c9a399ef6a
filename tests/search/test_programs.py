"""Sweeps of a user's own training: functions and commands, scores of which more is better, baselines, and what a kill leaves."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home
from objectives.base import ObjectiveError
from objectives.registry import load
from search.choosing.answer import Answer, Verdict
from search.choosing.from_members import planned
from search.choosing.turned import turned
from search.cli import app
from search.errors import SpecError
from search.running.where import IN_PROCESS
from search.spec.keys import Spec
from search.spec.reading import read
from search.spec.text import parse_yaml
from search.sweep import Outcome, resume, run
from search.telling.listener import Silent
from tests.search.kept import in_parts, kept, said
from tests.search.killed_driver import POINTS

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"), pytest.mark.turns(5)]

USERS = "tests.objectives.programs.users"
SMALL: dict[str, Any] = {"budget": {"trials": 9, "epochs": 3}, "confirm": {"configs": 4, "seeds": 4}}
SCRIPT = """
import math, random, sys
beta, lr, seed, epochs = float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
shift = random.Random(seed).gauss(0, 0.1)
for epoch in range(epochs):
    loss = 0.5 * (math.log(beta) - 1) ** 2 + 0.02 * math.log(lr / 0.01) ** 2 + shift + 2 * 0.5 ** (epoch + 1)
    print(f"epoch {epoch + 1} val={loss!r}", flush=True)
"""


def command(folder: Path, *, off: bool = True, **more: Any) -> dict[str, Any]:
    """The function `users.train` as a script, without the noise of a config itself."""
    (folder / "train.py").write_text(SCRIPT)
    beta = {"low": 0.01, "high": 100, "log": True, **({"off": 1} if off else {})}
    return {
        "command": [sys.executable, str(folder / "train.py"), "{beta}", "{lr}", "{seed}", "{epochs}"],
        "knobs": {"beta": beta, "lr": {"low": 1e-4, "high": 1e-1, "log": True}},
        "read": {"lines": r"epoch (?P<epoch>\d+) val=(?P<val>\S+)"},
        "score": {"name": "val"},
        **SMALL,
        **more,
    }


def swept(spec: dict[str, Any], home: Home) -> Outcome:
    outcome = run(spec, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert outcome.status == "complete", outcome.problem
    return outcome


def answered(outcome: Outcome) -> Answer:
    assert outcome.answer is not None
    return outcome.answer


# Functions --------------------------------------------------------------------------------------------------------------------------------


def test_a_function_is_searched_to_an_answer_whatever_interrupts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"objective": f"{USERS}:train", **SMALL}
    whole = swept(spec, Home.open(tmp_path / "whole"))
    (one,) = answered(whole).lambdas
    assert answered(whole).verdict is Verdict.HELPS
    assert one.low <= math.e <= one.high
    assert "recommended" in (answered(whole).test or {}), "what `finish` said of the test split"
    parts, lives = in_parts(spec, Home.open(tmp_path / "parts"), 7, monkeypatch)
    assert lives > 3
    assert said(parts) == said(whole)
    assert kept(Home.open(tmp_path / "parts"), "s") == kept(Home.open(tmp_path / "whole"), "s")


def test_what_is_kept_of_members(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    swept({"objective": f"{USERS}:train", **SMALL}, home)
    with Catalogue(home.catalogue_url) as catalogue:
        rows = catalogue.members("s")
    assert all((home.own("s", row.number) / "log.txt").exists() for row in rows if row.state == "complete")
    assert not any((home.own("s", row.number) / "files").exists() for row in rows if row.phase == "search")
    assert all((home.own("s", row.number) / "files").exists() for row in rows if row.phase == "confirm")
    shown = CliRunner().invoke(app, ["show", "s", "--member", "0", "--log", "--home", str(tmp_path)])
    assert shown.output.startswith("did epoch 0\n")
    missing = CliRunner().invoke(app, ["show", "s", "--log", "--home", str(tmp_path)])
    assert "--log must come with --member" in missing.output + missing.stderr


@pytest.mark.parametrize(
    ("name", "doubted"), [("accurate", "contains no drop is not proven (trial.finish(score_at=…) proves it)"), ("train", "")]
)
def test_that_the_score_may_contain_lambda_is_said_once_with_the_answer(tmp_path: Path, name: str, doubted: str) -> None:
    short = ["budget.trials=4", "budget.epochs=2", "confirm.configs=2", "confirm.seeds=2"]
    words = ["sweep", f"{USERS}:{name}", "--name", "s", "--home", str(tmp_path), "--address", IN_PROCESS]
    found = CliRunner().invoke(app, [*words, *(part for one in short for part in ("--set", one))])
    assert found.exit_code == 0, found.output
    shown = CliRunner().invoke(app, ["show", "s", "--home", str(tmp_path)])
    for output in (found.output, shown.output):
        assert output.count("is not proven") == bool(doubted) and doubted in output


def test_a_function_that_cannot_be_searched_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    outcome = run({"objective": f"{USERS}:deaf", **SMALL}, name="s", home=Home.open(tmp_path), address=IN_PROCESS, tracking=False)
    assert outcome.status == "refused"
    assert "never read trial.b" in outcome.problem
    with Catalogue(Home.open(tmp_path).catalogue_url) as catalogue:
        assert catalogue.sweeps() == []


USER_FILE = """
from objectives import knob, objective
import helper

@objective(score="val", epochs=2, beta=knob(0.1, 10, log=True, off=1.0), depth=knob(1, 8, integer=True))
def train(trial):
    for epoch in trial.epochs():
        trial.report(val=below(trial.beta) + trial.depth + trial.seed + helper.ZERO)

def below(beta):
    return beta
"""


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("ZERO = 0")
    (tmp_path / "mine.py").write_text(USER_FILE)
    return tmp_path / "mine.py"


def test_a_file_is_an_objective(users_file: Path) -> None:
    for name in (str(users_file), f"{users_file}:train"):
        cls = load(name)
        assert set(cls.knobs) == {"beta", "depth"}
        assert (cls.score, cls.default_epochs) == ("val", 2)
        assert cls.knobs["beta"].is_lambda and not cls.knobs["depth"].is_lambda


def test_a_file_that_is_none_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "empty.py").touch()
    two = USER_FILE.replace("import helper", "").replace(" + helper.ZERO", "")
    (tmp_path / "two.py").write_text(two + two.replace("def train", "def other"))
    for name, words in (
        ("absent.py", "must exist; it does not"),
        ("empty.py", "it declares none. Put @objective"),
        ("two.py", "it declares train, other; name one, as in"),
        ("two.py:third", "must be one of"),
    ):
        with pytest.raises(ObjectiveError) as error:
            load(str(tmp_path / name))
        assert words in str(error.value)


def test_a_file_runs_once_without_a_search(users_file: Path) -> None:
    """Also where the function calls what stands below it. The file has no line for that."""
    words = [sys.executable, str(users_file), "--beta", "2.5", "--depth", "3", "--seed", "4"]
    found = subprocess.run(words, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert found.stdout.splitlines()[:2] == ["epoch 1  val 9.5", "epoch 2  val 9.5"]


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("score='', x=knob(0, 1)", "score must name the metric"),
        ("score='v', better='up', x=knob(0, 1)", "better must be 'lower' or 'higher'; got 'up'"),
        ("score='v', epochs=0, x=knob(0, 1)", "epochs must be a whole number of at least 1"),
        ("score='v'", "at least one knob must be declared"),
        ("score='v', x=3", "x must be a knob"),
        ("score='v', x=knob(1, 0)", "low must be below high"),
        ("score='v', x=knob(0, 1, log=True)", "a log range must have low > 0"),
        ("score='v', seed=knob(0, 1)", "got 'seed'. Rename it"),
        ("score='v', x=knob(choices=[1, 2], off=3)", "off must be one of the choices"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said(declared: str, words: str) -> None:
    code = f"from objectives import knob, objective\n@objective({declared})\ndef train(trial): ..."
    with pytest.raises(ObjectiveError) as error:
        exec(code, {"__name__": "mine"})
    assert words in str(error.value)


def test_a_function_with_the_wrong_signature_is_told_so() -> None:
    with pytest.raises(ObjectiveError, match=r"train must take one argument, the trial; it is train\(a, b\)"):
        exec("from objectives import knob, objective\n@objective(score='v', x=knob(0, 1))\ndef train(a, b): ...", {"__name__": "mine"})


def test_a_file_that_was_changed_is_remarked_upon_when_a_sweep_goes_on(users_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(users_file.parent)
    home, said_of = Home.open(users_file.parent / "home"), list[str]()
    spec = {"objective": "mine.py", "budget": {"trials": 4}, "confirm": {"configs": 0}}
    assert run(spec, name="s", home=home, address=IN_PROCESS, tracking=False).status == "complete"

    class Hears(Silent):
        def note(self, text: str) -> None:
            said_of.append(text)

    resume("s", home=home, trials=1, address=IN_PROCESS, tracking=False, listener=Hears())
    assert not any("changed" in text for text in said_of)
    users_file.write_text(users_file.read_text() + "# changed")
    resume("s", home=home, trials=1, address=IN_PROCESS, tracking=False, listener=Hears())
    assert any(text.startswith("mine.py changed since the sweep began") for text in said_of)
    monkeypatch.chdir("/")
    with pytest.raises(InfraError, match="must go on in the folder where it began"):
        resume("s", home=home, trials=1, address=IN_PROCESS, tracking=False)


# Commands ---------------------------------------------------------------------------------------------------------------------------------


def test_a_command_is_searched_to_an_answer_whatever_interrupts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = command(tmp_path)
    whole = swept(spec, Home.open(tmp_path / "whole"))
    assert answered(whole).verdict is Verdict.HELPS
    parts, lives = in_parts(spec, Home.open(tmp_path / "parts"), 7, monkeypatch)
    assert lives > 3
    assert said(parts) == said(whole)


def test_a_command_is_exported_and_trained_again(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    swept(command(tmp_path), home)
    exported = home.reports("s") / "best.yaml"
    again = read(yaml.safe_load(exported.read_text()) | {"search": {}}, purpose="train")
    assert again.program is not None
    assert again.program["command"] == list(command(tmp_path)["command"])
    told = CliRunner().invoke(app, ["train", str(exported), "--home", str(tmp_path / "home"), "--seed", "5"])
    assert told.exit_code == 0, told.output
    (result,) = (tmp_path / "home" / "trained").glob("*/result.json")
    assert json.loads(result.read_text())["state"] == "complete"


def test_yaml_may_say_off() -> None:
    """YAML 1.1 takes the word for a truth value."""
    assert parse_yaml("{off: 1, on: off, yes: no}") == {"off": 1, "on": False, "yes": False}


@pytest.mark.parametrize("rest", ["train.py --x {x}", "train.py 'a b' --note it's"])
def test_a_command_may_begin_with_a_brace(rest: str) -> None:
    """YAML takes a brace for the beginning of a mapping. It is text here, and what follows is read as ever."""
    for comment in ("", "  # as it is"):
        found = parse_yaml(f"objective: command\ncommand: {{python}} {rest}{comment}\nknobs: {{x: {{low: 0}}}}\n")
        assert found == {"objective": "command", "command": f"{{python}} {rest}", "knobs": {"x": {"low": 0}}}
    assert parse_yaml('command: "{python} a"\nother: {python}') == {"command": "{python} a", "other": {"python": None}}


def test_a_commands_keys_beside_another_objective_are_refused() -> None:
    with pytest.raises(SpecError) as error:
        read({"objective": "toy", "knobs": {"a": {"low": 0}}, "score": {"name": "val"}})
    assert "knobs, score.name must be left out where the objective is no command" in str(error.value)


def test_all_faults_of_a_command_are_told_at_once() -> None:
    with pytest.raises(SpecError) as error:
        read({"command": "no-such-program {x}", "knobs": {"a": {"low": 2, "high": 1}}, "score": {"name": "v"}, "budget": {"trials": 1}})
    for words in ("got {x}", "it lacks {a}", "use {seed}", "low must be below high", "budget.trials must be at least"):
        assert words in str(error.value)


# More is better ---------------------------------------------------------------------------------------------------------------------------


def test_where_more_is_better_every_number_has_its_own_sign(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    answer = answered(swept({"objective": f"{USERS}:accurate", **SMALL}, home))
    assert (answer.verdict, answer.better) == (Verdict.HELPS, "higher")
    truth = 0.875 - 0.3 * (answer.lambdas[0].value - 0.4) ** 2
    assert answer.best_score == pytest.approx(truth, abs=0.01)
    assert answer.promise.low < answer.promise.mean < answer.promise.high < 1
    assert answer.off_score < answer.best_score
    assert answer.effect.mean == pytest.approx(answer.best_score - answer.off_score)
    assert answer.test is not None
    assert answer.test["effect"]["mean"] == pytest.approx(answer.test["chosen"]["mean"] - answer.test["off"]["mean"])
    exported = yaml.safe_load((home.reports("s") / "best.yaml").read_text())
    assert all(one["score"] > 0.8 for one in exported["promise"]["confirmed"])
    assert exported["promise"]["mean"] == answer.promise.mean
    shown = CliRunner().invoke(app, ["show", "s", "--home", str(tmp_path)]).output
    assert "−0.8" not in shown
    told = CliRunner().invoke(app, ["train", str(home.reports("s") / "best.yaml"), "--home", str(tmp_path)])
    assert "inside the 95 % prediction interval" in told.output
    assert "promise means something" not in told.output
    assert not any("margin is a share" in note for note in answer.notes), "accuracies lie above 0"


def test_turning_an_answer_twice_gives_it_back(tmp_path: Path) -> None:
    answer = answered(swept({"objective": f"{USERS}:accurate", **SMALL}, Home.open(tmp_path)))
    assert turned(turned(answer, "higher"), "higher").to_dict() == Answer.from_dict(answer.to_dict()).to_dict()


# Baselines --------------------------------------------------------------------------------------------------------------------------------


def test_the_config_of_today_is_confirmed_beside_lambda_off(tmp_path: Path) -> None:
    answer = answered(swept(command(tmp_path, baseline={"beta": 30, "lr": 0.001}), Home.open(tmp_path / "home")))
    assert (answer.verdict, answer.against) == (Verdict.HELPS, "off")
    assert answer.over_baseline is not None
    arms = {arm["arm"]: arm for arm in answer.arms}
    assert arms["baseline"]["config"] == {"beta": 30, "lr": 0.001}
    truth = 0.5 * (math.log(30) - 1) ** 2 + 0.02 * math.log(10) ** 2
    assert answer.over_baseline.mean == pytest.approx(truth, abs=0.1)
    assert "Over the baseline the recommended config gains" in answer.sentence()


def test_a_baseline_that_is_the_off_arm_is_trained_once(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    spec = command(tmp_path, baseline={"beta": 1, "lr": 0.01}, fixed={"lr": 0.01}, search={"beta": {}})
    answer = answered(swept(spec, home))
    assert [arm["arm"] for arm in answer.arms if arm["final"]].count("baseline") == 0
    assert answer.over_baseline is not None
    assert answer.over_baseline.mean == pytest.approx(answer.effect.mean)


def test_without_an_off_value_the_baseline_takes_its_place(tmp_path: Path) -> None:
    answer = answered(swept(command(tmp_path, off=False, baseline={"beta": 30, "lr": 0.001}), Home.open(tmp_path / "home")))
    assert (answer.verdict_word, answer.against) == ("better", "baseline")
    assert "over the baseline beta = 30, lr = 0.001 (better;" in answer.sentence()
    assert {one.against for one in answer.lambdas} == {"baseline"}


def test_a_baseline_that_cannot_be_beaten_is_not_made_worse(tmp_path: Path) -> None:
    answer = answered(swept(command(tmp_path, off=False, baseline={"beta": math.e, "lr": 0.01}), Home.open(tmp_path / "home")))
    assert answer.verdict_word != "better"


def test_without_off_value_and_baseline_nothing_is_compared(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    answer = answered(swept(command(tmp_path, off=False), home))
    assert answer.verdict_word == "nothing to compare"
    with Catalogue(home.catalogue_url, create=False) as catalogue:
        searched = [one.arm for one in catalogue.members("s", "search")]
    assert searched == ["search"] * SMALL["budget"]["trials"]  # no trial goes to the defaults, which nobody asked about
    assert "Nothing was there to compare it with" in answer.sentence()
    beta = next(one for one in answer.lambdas if one.name == "beta")
    assert beta.low <= math.e <= beta.high
    assert math.isfinite(answer.promise.low)


def test_a_front_of_which_nothing_is_compared_trains_no_defaults(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    outcome = swept({"objective": f"{USERS}:weighed", **SMALL, "metric": ["val", "size"]}, home)
    found = answered(outcome)
    with Catalogue(home.catalogue_url) as catalogue:
        arms = {row.arm for row in catalogue.members("s")}
        members = len(catalogue.members("s"))
    assert "off" not in arms and "min" in arms
    assert members <= sum(planned(read({"objective": f"{USERS}:weighed", **SMALL, "metric": ["val", "size"]})).values())
    assert found.front is not None and len(found.front.points) > 1 and not any(one.effects for one in found.front.points)
    assert math.isnan(found.effect.mean) and found.arm != "off"
    for words in (["show", "s"], ["report", "s", "-o", str(tmp_path / "s.html")], ["export", "s", "-o", str(tmp_path / "best.yaml")]):
        shown = CliRunner().invoke(app, [*words, "--home", str(tmp_path)])
        assert shown.exit_code == 0, shown.output


def test_a_goal_about_an_effect_that_nothing_can_have_is_refused_before_the_sweep(tmp_path: Path) -> None:
    spec = {**command(tmp_path, off=False), "until": ["effect ± 0.2"]}
    with pytest.raises(SpecError, match="must have something to compare with; no searched knob has an off value"):
        read(spec)
    assert read({**spec, "baseline": {"beta": 1}}).until == read({**spec, **command(tmp_path)}).until


def test_a_baseline_is_checked_like_any_config(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        read(command(tmp_path, baseline={"gamma": 1, "lr": "fast"}))
    assert "baseline: a knob of 'command' must be one of" in str(error.value)
    assert "baseline.lr must be a number" in str(error.value)


def test_the_score_of_a_command_may_be_its_name_alone(tmp_path: Path) -> None:
    assert read(command(tmp_path, score="val")) == read(command(tmp_path))


def test_a_fault_of_form_hides_no_fault_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        read(command(tmp_path, knobs={"beta": {"low": 1, "high": 0.1}}, budget={"trials": "many"}))
    for words in ("budget.trials must be a whole number", "low must be below high", "got {lr}"):
        assert words in str(error.value)


def test_a_spec_of_a_command_survives_yaml(tmp_path: Path) -> None:
    spec = read(command(tmp_path, baseline={"beta": 2.0}))
    assert read(parse_yaml(spec.to_yaml())) == spec
    assert "command" not in Spec(objective="toy").to_yaml()


# Kills ------------------------------------------------------------------------------------------------------------------------------------

KILLED: dict[str, Any] = {"budget": {"trials": 8, "epochs": 3}, "confirm": {"configs": 3, "seeds": 2}, "seed": 7}
# The count says which call of the point is the last, so that deaths fall early, in the middle and late.
COUNTS = dict(zip(POINTS, (5, 4, 6, 3, 1, 2, 2, 1, 1), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["function", "command"])
def test_a_driver_killed_at_any_point_leaves_what_a_resume_ends_as_if_undisturbed(tmp_path: Path, kind: str) -> None:
    spec = {"objective": f"{USERS}:train", **KILLED} if kind == "function" else command(tmp_path, **KILLED)
    whole = Home.open(tmp_path / "whole")
    swept(spec, whole)
    for point, count in COUNTS.items():
        home = Home.open(tmp_path / point)
        words = [sys.executable, "-m", "tests.search.killed_driver", str(home.root), point, str(count), IN_PROCESS, json.dumps(spec)]
        died = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
        assert resume("s", home=home, address=IN_PROCESS, tracking=False).status == "complete"
        assert kept(home, "s") == kept(whole, "s"), point


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """The worker that trains is killed by a member of its own, in the middle of the search."""
    spec = {"objective": f"{USERS}:parricide", **KILLED}
    home, whole = Home.open(tmp_path / "killed"), Home.open(tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    os.environ["PARRICIDE"] = str(tmp_path / "whole" / "mark")
    (tmp_path / "whole" / "mark").touch()  # as if it had happened
    swept(spec, whole)
    os.environ["PARRICIDE"] = str(tmp_path / "mark")
    try:
        outcome = run(spec, name="s", home=home, workers=1, tracking=False)
    finally:
        del os.environ["PARRICIDE"]
    assert (tmp_path / "mark").exists()
    assert outcome.status == "complete"
    assert kept(home, "s") == kept(whole, "s")
