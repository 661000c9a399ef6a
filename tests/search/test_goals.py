"""Goals of a sweep: how they are read, that they are reached, and that what is said then is as true as without them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from objectives.base import Phase
from search.choosing import from_members, race
from search.choosing.answer import LambdaAnswer
from search.choosing.arms import t_quantile
from search.choosing.findings import Reached
from search.cli import app
from search.errors import SpecError
from search.running.planning import until as until_module
from search.running.planning.until import Until
from search.spec.goals import MOST, goal
from search.spec.reading import read
from tests.study.sweeps import Swept, sweep
from tests.study.worlds import WORLDS

pytestmark = pytest.mark.turns(3)

VAE: dict[str, Any] = {"objective": "vae", "search": {"beta": {}, "dropout": {}, "lr": {}}}


@pytest.mark.parametrize(
    ("text", "about", "within", "unit"),
    [
        ("effect ± 0.2", "effect", 0.2, ""),
        ("effect +- .5 val_nll_nats", "effect", 0.5, "val_nll_nats"),
        ("effect±1e-3", "effect", 1e-3, ""),
        ("lambda within 0.5 decades", "lambda", 0.5, "decades"),
        ("dropout within 0.1", "dropout", 0.1, ""),
    ],
)
def test_a_goal_is_read(text: str, about: str, within: float, unit: str) -> None:
    one = goal(text)
    assert (one.about, one.within, one.unit) == (about, within, unit)


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("until it helps", "a goal must be"),
        ("effect ± 0", "number above 0"),
        ("effect ± nan", "number above 0"),
        ("effect ± 0.2 bits", "in the unit of the metric, val_nll_nats"),
        ("gamma within 0.5 decades", "a searched λ (beta, dropout)"),
        ("lr within 0.5 decades", "a searched λ (beta, dropout)"),
        ("beta within 0.5", "must be in decades"),
        ("dropout within 0.5 decades", "searched from 0"),
        (["effect ± 0.2", "effect ± 0.1"], "one goal about effect"),
    ],
)
def test_a_goal_that_cannot_be_is_refused(until: Any, said: str) -> None:
    with pytest.raises(SpecError, match="until") as caught:
        read({**VAE, "until": until})
    assert said in str(caught.value)


def test_an_effect_needs_final_seeds() -> None:
    with pytest.raises(SpecError, match="final seeds"):
        read({**VAE, "until": "effect ± 0.2", "confirm": {"seeds": 0}})


def test_a_goal_survives_its_yaml() -> None:
    spec = read({**VAE, "until": ["effect ± 0.2", "beta within 1 decade"]})
    assert read(spec.model_dump(exclude_none=True)).goals == spec.goals


@pytest.fixture(scope="module")
def swept() -> Swept:
    return sweep(WORLDS["bowl-4"], 2, budget={"trials": 12, "epochs": 9}, until=["effect ± 0.7", "lambda within 1.6 decades"])


def test_goals_are_reached_and_said(swept: Swept) -> None:
    assert swept.answer is not None
    by_name = {one.goal: one for one in swept.answer.goals}
    assert by_name["effect ± 0.7"].reached and by_name["effect ± 0.7"].known == pytest.approx(
        (swept.answer.effect.high - swept.answer.effect.low) / 2
    )
    assert swept.answer.effect.seeds > 8  # 8 seeds of differences with 1.4 sd know the effect to 1.2
    assert type(swept.answer).from_dict(swept.answer.to_dict()).goals == swept.answer.goals


def test_every_final_seed_is_trained_once_in_both_arms(swept: Swept) -> None:
    finals = [one.arm for one in swept.plan.rounds.candidates if one.final]
    rows = [row for row in swept.plan.table() if row.phase == "confirm" and row.seed in swept.plan.rounds.seeds()]
    trained = [(row.arm, row.seed) for row in rows if row.arm in finals]
    assert len(set(trained)) == len(trained) == 2 * max(one.seeds for one in swept.plan.rounds.candidates)


def test_a_goal_that_cannot_be_reached_ends_at_the_most() -> None:
    found = sweep(WORLDS["bowl-1"], 0, budget={"trials": 6, "epochs": 9}, until=["lambda within 0.01 decades"])
    searched = [row for row in found.plan.table() if row.phase == "search"]
    assert found.answer is not None and not found.answer.goals[0].reached
    assert len(searched) == 6 * MOST
    assert found.answer.goals[0].words().endswith("because 24 searched configs are the most, 4 times the trials")


@pytest.mark.parametrize(
    ("goal", "more", "searched", "finals", "why"),
    [
        ("effect ± 0.1", {}, 12, race.MOST_SEEDS, "64 final seeds are the most that a sweep trains"),
        ("effect ± 0.1", {"budget": {"trials": 12, "wall_minutes": 5}}, 12, 8, "the wall time of 5 min was over"),
        ("effect ± 0.1", {}, 12, 10, "too few of 10 final seeds ended with a score in both arms"),
        ("beta within 1 decade", {"budget": {"trials": 12}}, 47, 8, "it was reached after 47 searched configs"),
        ("beta within 1 decade", {"budget": {"trials": 12}}, 48, 8, "48 searched configs are the most"),
    ],
)
def test_a_goal_that_was_not_reached_says_why(goal: str, more: dict[str, Any], searched: int, finals: int, why: str) -> None:
    spec = read({**VAE, "until": goal, **more})
    assert from_members._why_not(spec, Reached(goal, 0.1, 3.0), searched, finals).startswith(why)
    unknown = from_members._why_not(read({**VAE, "until": "beta within 1 decade"}), Reached("beta within 1 decade", 1.0, math.inf), 12, 0)
    assert unknown == "too few members completed for an interval"


def test_a_new_driver_wants_as_many_members() -> None:
    """A look that was passed is not taken again: more members than it needs exist only where it found the goal not reached."""
    spec = read({**VAE, "until": "beta within 0.1 decades", "budget": {"trials": 12}})

    def unasked() -> Any:
        raise AssertionError("no look is due")

    until = Until(spec, None, unasked)  # type: ignore[arg-type]
    assert [until.wanted(searched, open_=True) for searched in (0, 5, 6, 7, 8, 9)] == [6, 6, 6, 8, 8, 10]
    assert [until.wanted(searched, open_=False) for searched in (0, 5, 7, 9, 47)] == [6, 6, 8, 10, 48]


def test_a_look_sees_the_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that comes after a kill looks again, and there may be confirmations by then."""
    seen: list[Any] = []
    monkeypatch.setattr(until_module, "lambda_goals", lambda spec, space, rows: seen.append([row.phase for row in rows]) or [])
    rows = [SimpleNamespace(phase=phase) for phase in (Phase.SEARCH, Phase.CONFIRM, Phase.SEARCH)]
    spec = read({**VAE, "until": "beta within 0.1 decades", "budget": {"trials": 12}})
    Until(spec, None, lambda: rows).wanted(6, open_=False)  # type: ignore[arg-type]
    assert seen == [[Phase.SEARCH, Phase.SEARCH]]


def test_points_of_the_user_are_tried_before_any_look() -> None:
    spec = read({**VAE, "until": "beta within 0.1 decades", "budget": {"trials": 12}, "points": [{"beta": 2.0}]})
    assert Until(spec, None, list).wanted(0, open_=False) == 12  # type: ignore[arg-type]


def test_nothing_is_left_to_know_of_a_lambda_that_is_switched_off() -> None:
    spec = read({**VAE, "until": "lambda within 0.5 decades", "search": {"beta": {}, "lr": {}}})
    known = LambdaAnswer("beta", 1.0, 1.0, math.nan, math.nan, False, False, switched_off="loss = wasserstein")
    assert from_members._reached(spec, [known])[0].reached
    assert not from_members._reached(spec, [replace(known, switched_off="")])[0].reached


def test_watching_the_length_costs_no_truth() -> None:
    """The interval of a mean holds it in at least 95 % of cases, though seeds were added until it was short enough."""
    rng, error, true = np.random.default_rng(0), race.WATCHED * race.FIRST, 0
    repeats = 4000
    for half in (0.45, 0.6, 0.8, 1.0):
        for draws in rng.standard_normal((repeats // 4, race.MOST_SEEDS)):
            seeds = race.WATCHED_FROM
            while (length := _half(draws[:seeds], error)) > half and seeds < race.MOST_SEEDS:
                seeds = race.next_seeds(seeds)
            true += abs(float(draws[:seeds].mean())) <= length
    assert binomtest(true, repeats, 0.945, alternative="less").pvalue > 0.01


def _half(draws: Any, error: float) -> float:
    return t_quantile(1 - error / 2, len(draws) - 1) * float(np.std(draws, ddof=1)) / math.sqrt(len(draws))


def test_the_command_line_takes_goals(tmp_path: Path) -> None:
    given = ["sweep", "toy", "--until", "effect ± 0.2", "--until", "lambda within 1 decade", "--dry-run", "--home", str(tmp_path)]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 0 and "effect ± 0.2" in found.output
    plan = CliRunner().invoke(app, ["plan", "toy", "--set", "until=effect ± 0.2", "--home", str(tmp_path)])
    assert plan.exit_code == 0 and "effect ± 0.2: how noisy trainings are is not known" in plan.output
