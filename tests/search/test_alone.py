"""Truths about λ that are searched each alone: one is on at a time, all get their turn, and each has its own verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.base import Phase, Settings, Value
from objectives.families import _prepared
from objectives.registry import load
from search.asking.space import Space
from search.choosing import from_members
from search.choosing.answer import Answer, Verdict
from search.choosing.race import Look
from search.errors import SpecError
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.sweep import run
from search.telling.pictures import lambda_curve
from search.telling.text.answer import print_answer
from tests.search.simulated import Simulated

pytestmark = pytest.mark.turns(3)

LAMBDAS = ("l2_g", "l1_g", "group_lasso")
SPEC: dict[str, Any] = {
    "objective": "gan",
    "search": {"l2_g": {}, "l1_g": {}, "group_lasso": {}},
    "alone": True,
    "budget": {"trials": 30, "epochs": 1},
    "confirm": {"seeds": 6},
    "scheduler": "none",
    "check": False,
}
RATED: dict[str, Any] = {**SPEC, "search": {**SPEC["search"], "lr": {}}, "budget": {"trials": 48, "epochs": 1}}
LITTLE: dict[str, Any] = {"budget": {"trials": 12, "epochs": 1}, "confirm": {"configs": 4, "seeds": 2}}
BEST = 1e-3  # of l2_g, which then gains 1


def truth(config: Mapping[str, Value]) -> float:
    """L2 helps, most at 1e-3; L1 changes nothing; group lasso costs 1 and more."""
    l2, group = float(config["l2_g"]), float(config["group_lasso"])
    score = 100.0
    score += 0.2 * (math.log10(l2 / BEST)) ** 2 - 1 if l2 else 0.0
    return score + (1 + 0.1 * math.log10(group / 1e-6) if group else 0.0)


def on(config: Mapping[str, Value]) -> list[str]:
    return [name for name in LAMBDAS if config[name] != 0.0]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    with Simulated(tmp_path_factory.mktemp("swept"), SPEC, truth) as sweep:
        sweep.run()
        yield sweep


@pytest.fixture(scope="module")
def answer(swept: Simulated) -> Answer:
    assert swept.plan.answer is not None
    return swept.plan.answer


def test_members_have_one_lambda_on_and_take_turns(swept: Simulated) -> None:
    searched = [row for row in swept.ledger.ordered() if row.phase == Phase.SEARCH]
    assert Counter(row.arm for row in searched) == {"off": 5, "alone:l2_g": 9, "alone:l1_g": 8, "alone:group_lasso": 8}
    for row in searched:
        assert on(row.config) == ([] if row.arm == "off" else [row.arm.removeprefix("alone:")])
    turns = [row.arm for row in searched if row.arm != "off"]
    assert all(len(set(turns[start : start + 3])) == 3 for start in range(0, len(turns) - 2, 3))


def test_a_lambda_that_is_on_by_default_is_off_where_another_is_asked_about() -> None:
    space = Space(read({**SPEC, "search": {"l2_g": {}, "ema": {}}}), load("gan"))
    assert load("gan").knobs["ema"].default != 0.0 == space.arm_config({"l2_g": 1e-3})["ema"]
    assert [knob.name for knob in space.asked("alone:ema")] == ["ema"] and space.asked("off") == []


def test_off_and_arms_of_each_lambda_are_confirmed_with_one_lambda_on(swept: Simulated) -> None:
    arms = {one.arm: one.config for one in swept.plan.rounds.candidates}
    assert list(arms)[:4] == ["off", *(f"min:{name}" for name in LAMBDAS)] and 4 < len(arms) <= 1 + 3 * 3
    assert on(arms.pop("off")) == []
    for arm, config in arms.items():
        assert on(config) == [arm.partition(":")[2]]
        assert {**config, arm.partition(":")[2]: 0.0} == {**arms["min:l2_g"], "l2_g": 0.0}
    finals = [one.arm for one in swept.plan.rounds.candidates if one.final]
    assert finals[0] == "off" and sorted(arm.partition(":")[2] for arm in finals[1:]) == sorted(LAMBDAS)


def test_every_lambda_has_the_verdict_that_is_true(answer: Answer) -> None:
    found = {one.name: one for one in answer.lambdas}
    assert {name: one.verdict for name, one in found.items()} == {
        "l2_g": Verdict.HELPS,
        "l1_g": Verdict.HARMLESS,  # within 1 % of 100, the margin
        "group_lasso": Verdict.HURTS,
    }
    assert found["l2_g"].value == pytest.approx(BEST, rel=2.0)
    gains = {name: 100 - truth({**dict.fromkeys(LAMBDAS, 0.0), name: one.value}) for name, one in found.items()}
    for name, one in found.items():
        assert one.alone is not None and one.alone.seeds == 6
        assert one.alone.low <= gains[name] <= one.alone.high
        assert one.alone.comparisons == 3  # each λ has one finalist, any of which could have been the best
        assert one.low <= one.value <= one.high


def test_the_answer_is_that_of_the_lambda_that_gains_most(answer: Answer) -> None:
    best = answer.lambdas[0]
    assert best.name == "l2_g" and answer.arm == best.arm and best.arm.endswith(":l2_g")
    assert (answer.verdict, answer.effect) == (Verdict.HELPS, best.alone)
    assert on(answer.recommended) == ["l2_g"] and answer.recommended["l2_g"] == best.value


def test_the_test_split_is_read_for_every_lambda(answer: Answer) -> None:
    assert answer.test is not None and set(answer.test["alone"]) == set(LAMBDAS)
    assert {one["seeds"] for one in answer.test["alone"].values()} == {answer.effect.seeds}  # the final seeds, and not those of the choice
    assert answer.test["alone"]["l2_g"] == answer.test["effect"]
    assert answer.test["alone"]["group_lasso"]["high"] < 0 < answer.test["alone"]["l2_g"]["low"]


@pytest.mark.renders
def test_it_survives_being_stored_and_is_said_in_one_line_for_each(answer: Answer, swept: Simulated, tmp_path: Path) -> None:
    assert Answer.from_dict(answer.to_dict()) == answer
    said = answer.sentence()
    for one in answer.lambdas:
        assert one.alone is not None and f"{one.name} {one.verdict}, {one.alone.words()} at" in said
    assert "Kept: best of them l2_g." in said
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    print_answer(console, "s", answer)
    lines = console.export_text().splitlines()
    for one in answer.lambdas:
        [line] = [line for line in lines if line.startswith(f"{one.name} alone")]
        assert f"{one.verdict}: " in line and "gained over λ off, on test" in line
    assert lambda_curve.draw(answer, swept.plan.table(), tmp_path / "curve.png").stat().st_size > 10_000


@pytest.mark.parametrize("killed_after", [17, 60])
def test_a_sweep_that_is_killed_goes_on_to_the_same_answer(killed_after: int, answer: Answer, tmp_path: Path) -> None:
    with Simulated(tmp_path, SPEC, truth) as first:
        first.run(killed_after)
    with Simulated(tmp_path, SPEC, truth) as second:
        resumed = second.run()
    assert resumed is not None
    assert (resumed.arms, resumed.lambdas, resumed.best) == (answer.arms, answer.lambdas, answer.best)


def test_the_sampler_learns_for_each_lambda_by_itself(tmp_path: Path) -> None:
    with Simulated(tmp_path, {**SPEC, "budget": {"trials": 90, "epochs": 1}}, truth, sd=0.01, shift=0.0) as sweep:
        sweep.run(1 + 90)
        rows = sweep.ledger.ordered()
    away = [abs(math.log10(row.config["l2_g"] / BEST)) for row in rows if row.arm == "alone:l2_g"]
    assert np.mean(away[13:]) < 1.3  # uniform draws: 1.7 decades
    low = [row.config["group_lasso"] for row in rows if row.arm == "alone:group_lasso"]
    assert np.median(low[13:]) < 1e-5  # the range begins at 1e-6, where it costs least; uniform draws: 1e-4


def test_nuisance_knobs_are_alike_in_all_best_arms_where_they_suit_all(tmp_path: Path) -> None:
    def with_rate(config: Mapping[str, Value]) -> float:
        return truth(config) + 2 * math.log10(float(config["lr"]) / 2e-3) ** 2

    with Simulated(tmp_path, RATED, with_rate, sd=0.3) as sweep:
        sweep.run(1 + 48 + 1)
        rates = [float(one.config["lr"]) for one in sweep.plan.rounds.candidates if one.arm == "off" or one.arm.startswith("min")]
        off = [row for row in sweep.ledger.ordered() if row.arm == "off" and row.phase == Phase.SEARCH]
    assert len({row.config["lr"] for row in off}) == len(off) == 8
    assert len(rates) == 4 and max(abs(math.log10(rate / 2e-3)) for rate in rates) < 0.4


def test_a_lambda_that_needs_nuisance_knobs_of_its_own_gets_them(tmp_path: Path) -> None:
    def with_rate(config: Mapping[str, Value]) -> float:
        return truth(config) + 5 * math.log10(float(config["lr"]) / (5e-4 if config["l2_g"] else 5e-3)) ** 2

    with Simulated(tmp_path, RATED, with_rate) as sweep:
        sweep.run(1 + 48 + 1)
        rates = {one.arm: float(one.config["lr"]) for one in sweep.plan.rounds.candidates}
    assert abs(math.log10(rates["off"] / 5e-3)) < 0.4 and abs(math.log10(rates["min:l1_g"] / 5e-3)) < 0.4
    assert abs(math.log10(rates["min:l2_g"] / 5e-4)) < 0.4


def test_a_lambda_that_always_diverges_is_not_chosen_and_one_that_always_fails_says_nothing(tmp_path: Path) -> None:
    def broken(config: Mapping[str, Value]) -> float:
        return math.nan if config["group_lasso"] else math.inf if config["l1_g"] else truth(config)

    with Simulated(tmp_path, SPEC, broken) as sweep:
        found = sweep.run()
        arms = [one.arm for one in sweep.plan.rounds.candidates]
    assert found is not None and arms[:2] == ["off", "min:l2_g"] and all(arm.endswith(":l2_g") for arm in arms[1:])
    l2, l1, group = found.lambdas
    assert l2.verdict is Verdict.HELPS and found.arm == l2.arm
    for one in (l1, group):
        assert one.verdict is Verdict.NO_EVIDENCE and math.isnan(one.value)
    assert "l1_g no evidence" in found.sentence() and "at unknown" in found.sentence()
    assert Answer.from_dict(found.to_dict()).sentence() == found.sentence()


def test_without_a_confirmation_the_lambda_that_is_expected_to_be_best_is_named(tmp_path: Path) -> None:
    with Simulated(tmp_path, {**SPEC, "confirm": {"seeds": 0}}, truth) as sweep:
        found = sweep.run()
    assert found is not None and found.arm.endswith(":l2_g") and found.verdict is Verdict.NO_EVIDENCE


def test_a_users_points_count_as_turns_of_their_lambda(tmp_path: Path) -> None:
    points = [{"l1_g": 1e-5}, {"l1_g": 1e-6}, {"l2_g": 1e-2}]
    with Simulated(tmp_path, {**SPEC, "points": points}, truth) as sweep:
        sweep.run(40)
        searched = [row for row in sweep.ledger.ordered() if row.phase == Phase.SEARCH and row.arm != "off"]
    assert [{name: row.config[name] for name in on(row.config)} for row in searched[:3]] == points
    assert max(Counter(row.arm for row in searched).values()) - min(Counter(row.arm for row in searched).values()) <= 1


@pytest.mark.slow
@pytest.mark.renders
@pytest.mark.trains
def test_a_real_sweep_of_compression_answers_for_each_lambda_and_leaves_a_front(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    spec = {
        "objective": "compression",
        "dataset": {"name": "digits", "train_size": 300},
        "budget": {"trials": 10, "epochs": 4},
        "confirm": {"configs": 5, "seeds": 2},
    }
    outcome = run(spec, name="s", home=home, address=IN_PROCESS, tracking=False)
    assert outcome.status == "complete" and outcome.answer is not None, outcome.problem
    assert [one.name for one in outcome.answer.lambdas] == ["l2_g", "l1_prox_g", "group_lasso", "l0"]
    assert all(one.alone is not None and one.verdict for one in outcome.answer.lambdas)
    with Catalogue(home.catalogue_url) as catalogue:
        rows = catalogue.members("s")
    confirmed = [row for row in rows if row.phase == Phase.CONFIRM]
    assert len(confirmed) == 10 and all(row.metrics["packed_bytes"] <= row.metrics["budget_bytes"] for row in confirmed)
    assert len({row.metrics["budget_bytes"] for row in rows if "budget_bytes" in row.metrics}) == 1
    listed = (home.reports("s") / "pareto.csv").read_text().splitlines()
    assert len(listed) == 1 + 5 * 14 and any(line.endswith(",1") for line in listed)
    assert (home.reports("s") / "pareto.png").stat().st_size > 10_000


# ------------------------------------------------------------------------------------------------ the spec


def faults(**changes: Any) -> list[str]:
    try:
        read({**SPEC, **changes})
    except SpecError as error:
        return error.faults
    return []


def test_what_alone_needs_is_said() -> None:
    assert not faults()
    assert "budget.trials must be at least 8 to search 3 λ each alone; got 7" in faults(budget={"trials": 7})[0]
    assert "confirm.configs must be at least 4" in faults(confirm={"configs": 3})[0]
    assert "points[0] must set one λ where each is searched alone; got l2_g, l1_g" in faults(points=[{"l2_g": 1e-3, "l1_g": 1e-5}])[0]
    assert "points[0] must set one λ" in faults(points=[{}])[0]


def test_lambdas_that_exclude_each_other_can_be_compared_alone() -> None:
    search = {"l1_g": {}, "l1_prox_g": {}}
    assert any("Keep one" in fault for fault in faults(search=search, alone=False))
    assert not faults(search=search)
    # What is fixed is on beside each of them.
    assert any("Keep one" in fault for fault in faults(search={"l1_g": {}, "l2_g": {}}, fixed={"l1_prox_g": 1e-5}))


def test_one_lambda_is_alone_in_any_case_and_an_objective_may_have_it_by_default() -> None:
    assert read({**SPEC, "search": {"l2_g": {}}}).alone is False
    assert read({"objective": "gan"}).alone is False
    assert read({"objective": "compression"}).alone is True
    assert read({"objective": "compression", "alone": False}).alone is False
    resolved = read({"objective": "compression"})
    assert read(resolved.model_dump(exclude_none=True)) == resolved


def test_what_is_measured_beside_the_score_is_in_the_answer(tmp_path: Path) -> None:
    with Simulated(tmp_path, {**SPEC, **LITTLE, "measure": ["fid"]}, truth) as sweep:
        found = sweep.run()
        assert found is not None
        (told,) = found.measured.values()
        seeds = from_members.final_seeds(sweep.spec, Look())
        scores = [row.score for row in sweep.ledger.ordered() if row.phase == "confirm" and row.config == found.best and row.seed in seeds]
        assert told["chosen"]["mean"] == pytest.approx(2 * sum(score or 0 for score in scores) / len(scores))
        assert told["chosen"]["n"] == told["off"]["n"] == len(scores) and told["off"]["se"] > 0
        assert Answer.from_dict(found.to_dict()).measured == found.measured


def test_what_is_remarkable_about_the_data_is_said_with_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load("autoencoder")(Settings({"name": "digits"}, 1))
    assert "notes" not in made.prepare()
    monkeypatch.setattr(_prepared, "FEW_IMAGES", 1000)
    (note,) = made.prepare()["notes"]
    assert "validation images" in note
    with Simulated(tmp_path, {**SPEC, **LITTLE}, truth) as sweep:
        sweep.facts = {"notes": [note]}
        found = sweep.run()
        assert found is not None and found.notes[0] == note
