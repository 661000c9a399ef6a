"""What is exported is what the command line, the picture and every file say: one sweep of each verdict, all held against one another."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import search
from infra.catalogue import MemberRow
from infra.storage import Home
from search.choosing.answer import Answer
from search.choosing.from_members import planned
from search.choosing.words import number
from search.cli import app, look
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.sweep import run
from search.telling.files.exports import best, export, export_all
from search.telling.mlflow import description, mirror
from search.telling.pictures import lambda_curve

pytestmark = pytest.mark.turns(3)

UNJUDGED = "tests.objectives.programs.users:unjudged"

QUICK = {"objective": "toy", "budget": {"trials": 8, "epochs": 3}, "check": False}
SWEEPS: dict[str, dict[str, Any]] = {
    "helps": {"dataset": {"name": "none", "noise": 0.5}, "search": {"l2": {}}},
    "hurts": {"dataset": {"name": "none", "noise": 0.05}, "search": {"l2": {"low": 1, "high": 10}}},
    "harmless": {
        "dataset": {"name": "none", "noise": 0.1, "own_spread": 0.02},
        "search": {"l2": {"low": 1e-3, "high": 1e-2}},
        "margin": 0.9,
    },
    "no evidence": {"dataset": {"name": "none", "noise": 0.1, "own_spread": 0.5}, "search": {"l2": {"low": 1e-3, "high": 1e-2}}},
    # Every training with λ on is lost. Of the four with λ off the scheduler stops three: they are sound all the same.
    "hurts: 20 of 20 diverged; λ off: 4 of 4 sound": {
        "dataset": {"name": "none", "noise": 0.1, "fault": "nan", "fault_above": 1e-4},
        "search": {"l2": {}},
        "budget": {"trials": 24, "epochs": 9},
    },
    "no evidence: 3 of 3 diverged; λ off: 1 of 1 sound": {
        "dataset": {"name": "none", "noise": 0.1, "fault": "nan", "fault_above": 1e-4},
        "search": {"l2": {}},
        "budget": {"trials": 4, "epochs": 3},
        "scheduler": "none",
    },
}
LOST = [name for name in SWEEPS if ":" in name]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Home, Answer]]:
    found = {}
    for verdict, spec in SWEEPS.items():
        home = Home.open(tmp_path_factory.mktemp("home"))
        outcome = run({**QUICK, **spec}, name="one", home=home, address=IN_PROCESS, tracking=False)
        assert outcome.answer is not None
        found[verdict] = home, outcome.answer
    return found


def told(home: Home, *words: str) -> str:
    ran = CliRunner().invoke(app, [*words, "--home", str(home.root)], env={"COLUMNS": "300"})
    assert ran.exit_code == 0, ran.output
    return ran.output


@pytest.mark.parametrize("verdict", SWEEPS)
def test_all_say_what_is_exported(verdict: str, homes: dict[str, tuple[Home, Answer]]) -> None:
    home, answer = homes[verdict]
    exported = yaml.safe_load(export("one", home=home))
    value = exported["fixed"]["l2"]
    words = f"l2 = {number(value)}" + (" (off)" if value == 0 else "")

    verdict = verdict.partition(":")[0]
    assert str(answer.verdict) == verdict
    assert answer.exported == {"l2": value} and answer.exported_words() == words
    assert answer.recommended_score == exported["promise"]["mean"]
    assert (value == 0) is answer.keeps_off
    assert yaml.safe_load((home.reports("one") / "best.yaml").read_text())["fixed"] == exported["fixed"]
    stored = json.loads((home.reports("one") / "answer.json").read_text())
    assert stored["recommended"] == answer.recommended and stored["verdict_word"] == verdict
    for command in (["best"], ["ls"]):
        line = next(line for line in told(home, *command).splitlines() if " one" in line or line.startswith("one"))
        assert words in line and verdict in line, command
    assert number(answer.recommended_score, answer.promise.high - answer.promise.low) in told(home, "best")
    shown = told(home, "show", "one")
    assert (f"l2={value:.3g}" if value else "(arm off)") in shown
    assert str(home.reports("one")) in shown, "the last lines name where the pictures are"
    page = (home.reports("one") / "report.html").read_text(encoding="utf-8")
    assert f'<div class="value">{number(value)}</div>' in page and f">{verdict}</span>" in page
    (star,) = [trace for trace in search.plot.curve("one", home=home).data if trace.name == "exported"]
    assert (star.x[0] == value or value == 0) and star.y[0] == answer.recommended_score


@pytest.mark.parametrize("verdict", SWEEPS)
def test_the_picture_marks_the_exported_value(verdict: str, homes: dict[str, tuple[Home, Answer]]) -> None:
    answer = homes[verdict][1]
    figure = lambda_curve.figure(answer, [])
    panel = figure.axes[0]
    (filled,) = [line for line in panel.lines if line.get_label() == "exported"]
    hollow = [line for line in panel.lines if line.get_label() == "best with λ on, not exported"]
    value = answer.exported["l2"]
    rim = panel.get_xlim()[0]
    assert filled.get_xdata()[0] == (value if value > 0 else rim)
    assert [line.get_xdata()[0] for line in hollow] == ([answer.best["l2"]] if answer.best["l2"] != value else [])
    title = panel.get_title(loc="left")
    assert f"l2 = {number(value)}" in title and ("exported" in title or value == answer.best["l2"])


@pytest.mark.parametrize("verdict", SWEEPS)
def test_mlflow_says_what_is_exported(verdict: str, homes: dict[str, tuple[Home, Answer]]) -> None:
    home, answer = homes[verdict]
    exported = yaml.safe_load(export("one", home=home))
    value, promise = exported["fixed"]["l2"], exported["promise"]
    words = f"l2 = {number(value)}"
    note, line, numbers = description.answered("one", answer), description.line("one", answer), mirror.summary(answer)

    said = verdict.partition(":")[0]
    assert note.startswith(f"**{said}**") and line.startswith(f"{said}: {words}") and "\n" not in line
    first = note.partition("\n\n")[0].replace("\\", "")
    assert words in first and answer.effect.words() in first and answer.promise.words() in first, "MLflow shows five lines"
    assert "lagrange export one" in note and "curve.png" in note and len(note) <= description.MOST
    assert numbers["best.l2"] == value and numbers["recommended_score"] == promise["mean"]
    assert (numbers["promise_low"], numbers["promise_high"]) == (promise["low"], promise["high"])
    assert (numbers["effect"], numbers["effect_low"], numbers["effect_high"]) == (answer.effect.mean, answer.effect.low, answer.effect.high)
    assert numbers.get("test_effect") == (answer.test or {}).get("effect", {}).get("mean")
    assert ("test_effect" in numbers) is (verdict not in LOST)
    assert ("lambda_arm_score" in numbers) is (answer.keeps_off and verdict not in LOST) and "best_score" not in numbers


@pytest.mark.parametrize("verdict", LOST)
def test_all_say_to_keep_off_where_no_training_with_lambda_on_completed(verdict: str, homes: dict[str, tuple[Home, Answer]]) -> None:
    home, answer = homes[verdict]
    word, _, counts = verdict.partition(": ")
    lost = f"no training with λ on completed ({counts})"
    headline = f"keep λ off: {lost}" + (
        "" if word == "hurts" else "; more trials tell whether that is chance, and smaller values may train"
    )
    shown = told(home, "show", "one")
    page = (home.reports("one") / "report.html").read_text(encoding="utf-8")
    note, line = (text.replace("\\", "") for text in (description.answered("one", answer), description.line("one", answer)))

    assert f"one: {word} – {headline}\n" in shown and f"**{word}** – {headline}" in note, "the headline says what to do"
    for text in (shown, page, note, line, told(home, "best")):
        assert "∞ [" not in text and "[−∞, ∞] of" not in text and "cannot be told from 0" not in text
    for text in (shown, page, note, line):
        assert f"not measured: {lost}" in text
    assert "not measured" in told(home, "best") and "0, which is off; no training with another value completed" in shown
    assert yaml.safe_load(export("one", home=home))["fixed"]["l2"] == 0.0
    assert f"No training with l2 on completed: keep l2 = 0 ({word})." in page


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_where_nothing_was_there_to_compare_nothing_speaks_of_an_effect(tmp_path: Path) -> None:
    """A searched knob without off value, and no baseline. The defaults, which nobody asked about, are no yardstick, and are not trained."""
    home = Home.open(tmp_path / "home")
    spec = {"objective": UNJUDGED, "budget": {"trials": 9, "epochs": 3}, "check": False, "confirm": {"configs": 4, "seeds": 3}}
    outcome = run(spec, name="one", home=home, address=IN_PROCESS, tracking=False)
    answer = outcome.answer
    assert answer is not None and answer.verdict_word == "nothing to compare" and not answer.keeps_off
    assert not any(arm["arm"].startswith("off") for arm in answer.arms)
    exported = yaml.safe_load(export("one", home=home))
    assert {name: exported["fixed"][name] for name in answer.exported} == answer.exported and exported["promise"][
        "mean"
    ] == answer.recommended_score

    words = answer.exported_words()
    for command in (["best"], ["ls"]):
        line = next(line for line in told(home, *command).splitlines() if " one" in line or line.startswith("one"))
        assert words in line and "nothing to compare" in line and "[" not in line, command
    shown, note = told(home, "show", "one"), description.answered("one", answer)
    page = (home.reports("one") / "report.html").read_text(encoding="utf-8")
    for text in (shown, note, description.line("one", answer), answer.sentence()):
        assert not any(word in text for word in ("margin", "effect", "gained over", " nan")), text
    assert "gain over" not in page and "width unknown" not in shown
    assert "width of the effect" not in told(home, "plan", UNJUDGED, "--set", "budget.trials=9")
    assert not {"effect", "effect_low", "effect_high", "off_score", "test_effect"} & set(mirror.summary(answer))
    labels = [line.get_label() for line in lambda_curve.figure(answer, []).axes[0].lines]
    assert not any("nothing" in label or "off" in label for label in labels), labels


@pytest.mark.parametrize("seeds", [2, 4])
def test_without_anything_to_compare_the_plan_counts_no_off_arm(seeds: int) -> None:
    spec = {"objective": UNJUDGED, "budget": {"trials": 9}, "confirm": {"configs": 2, "seeds": seeds, "screen": 1}}
    alone, against = (planned(read({**spec, **more})) for more in ({}, {"baseline": {"width": 1, "lr": 0.01}}))
    assert (alone["confirm"], against["confirm"]) == (seeds, 2 * seeds)


def test_scores_that_cannot_be_compared_are_rows_of_their_own(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    for epochs in (3, 4):
        spec = {**QUICK, **SWEEPS["helps"], "budget": {"trials": 6, "epochs": epochs}, "confirm": {"seeds": 2, "screen": 0}}
        run(spec, name=f"of-{epochs}", home=home, address=IN_PROCESS, tracking=False)
    assert {row.sweep for row in best(home=home)} == {"of-3", "of-4"}
    assert "epochs 3" in told(home, "best") and "epochs 4" in told(home, "best")
    assert len({path.name for path in export_all(tmp_path / "all", home=home)}) == 2, "neither file is written over"


def test_a_large_sweep_lists_what_is_worth_a_look(tmp_path: Path) -> None:
    rows = [
        MemberRow(number=number, phase="search", arm="search", config={"l2": 0.1}, seed=1, state="complete", score=float(number % 700))
        for number in range(1000)
    ]
    rows += [
        MemberRow(number=1000 + seed, phase="confirm", arm="min", config={"l2": 0.1}, seed=seed, state="complete") for seed in range(9)
    ]
    rows += [MemberRow(number=1009, phase="search", arm="search", config={"l2": 0.1}, seed=1)]
    listed = [one.number for one in look._worth_a_look(rows, "lower")]
    assert set(range(1000, 1010)) <= set(listed) and {0, 700, 1, 701} <= set(listed) and len(listed) <= look.LISTED
    assert {699, 698} <= {one.number for one in look._worth_a_look(rows, "higher")}
    assert look._worth_a_look(rows[:50], "lower") == rows[:50], "a small sweep is listed whole"
