"""What a plan says of a sweep before it is started."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import Catalogue, MemberRow, SweepRow
from infra.storage import Home
from search import estimate
from search.choosing.arms import paired, t_quantile
from search.choosing.race import FIRST
from search.estimate import Cost, Past, budgets, dry_run
from search.running.where import IN_PROCESS
from search.spec.plain import plain_spec
from search.spec.reading import read
from search.sweep import resume, run
from search.telling.text.beside import plan_text

pytestmark = pytest.mark.turns(2)

TOY = {"objective": "toy", "search": {"l2": {}}, "dataset": {"name": "none", "noise": 0.5}, "budget": {"trials": 8, "epochs": 4}}
SPEC = {**TOY, "confirm": {"seeds": 4}, "scheduler": "none"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home.open(tmp_path_factory.mktemp("home"))
    assert run(SPEC, home=found, address=IN_PROCESS, tracking=False).status == "complete"
    return found


def test_three_budgets_stand_side_by_side_and_the_larger_one_tells_more(tmp_path: Path) -> None:
    found, _ = budgets(read(SPEC), home=Home.open(tmp_path / "nothing"), workers=2)
    assert [(one.trials, one.seeds) for one in found] == [(4, 2), (8, 4), (16, 8)]
    assert found[1].members == sum(dry_run(read(SPEC), home=Home.open(tmp_path / "nothing"), workers=2).members.values())
    assert found[0].width > found[1].width > found[2].width
    # No sweep of this kind was made here, so the unit is the noise itself: 2 t √2 / √S.
    assert all(one.unit == "sd of one training" for one in found)
    assert found[2].width == pytest.approx(2 * t_quantile(1 - FIRST / 2, 7) * math.sqrt(2 / 8))


def test_a_sweep_of_the_same_kind_gives_time_and_noise_and_one_of_other_data_does_not(home: Home) -> None:
    known, basis = budgets(read({**SPEC, "budget": {"trials": 24, "epochs": 9}}), home=home, workers=1)
    cost = Past.at(read(SPEC), home).cost
    assert cost is not None and 0 < cost.chores < cost.overhead + 1, "the preparation and the test split hold a worker, too"
    assert known[0].unit == "val_risk" and "earlier sweep of this kind took here" in basis
    other, basis = budgets(read({**SPEC, "dataset": {"name": "none", "noise": 0.6}}), home=home, workers=1)
    assert other[0].unit == "sd of one training" and "here and now" in basis


def test_an_interval_of_a_lambda_that_no_budget_can_reach_is_said_beforehand(home: Home) -> None:
    """The range of l2 is four decades, and minima are counted on 61 values of it."""
    least = 4 / 60 / 2
    short, long = (
        estimate.goals_said(read({**SPEC, "until": [f"l2 within {size} decades"]}), home)[0] for size in (0.99 * least, 1.01 * least)
    )
    assert short.endswith(
        "cannot be reached; the interval of l2 is read off a grid of 61 values, so it is at least 0.0333 decades. "
        "Ask for more than that, or search a shorter range"
    )
    assert "cannot be reached" not in long and "earlier sweeps of this kind came to" in long
    (every,) = estimate.goals_said(read({**SPEC, "until": ["lambda within 0.00001 decades"]}), home)
    assert "cannot be reached" in every
    listed = estimate.goals_said(read({**SPEC, "search": {"l2": [0.1, 1.0, 3.0]}, "until": ["l2 within 0.00001 decades"]}), home)
    assert "cannot be reached" not in listed[0], "an interval of a list may hold one value"


def test_one_function_is_one_kind_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    head = "from objectives import knob, objective\n"
    one = "@objective(score='v', epochs=2, beta=knob(0.1, 10, off=1.0))\ndef {}(trial): ...\n"
    Path("alone_of_kind.py").write_text(head + one.format("train"), encoding="utf-8")
    Path("two_of_kind.py").write_text(head + one.format("train") + one.format("other"), encoding="utf-8")
    place, names = Home.open(tmp_path / "home"), ["alone_of_kind.py", "./alone_of_kind.py:train"]
    with Catalogue(place.catalogue_url) as catalogue:
        for title, name in (("bare", names[0]), ("other", "two_of_kind.py:train")):
            spec = read({"objective": name, "scheduler": "none"})
            catalogue.create_sweep(SweepRow(name=title, spec=plain_spec(spec), objective=name, model="", dataset="none"))
    for name in names:
        assert [row.name for row in Past.at(read({"objective": name, "scheduler": "none"}), place).rows] == ["bare"], name
    assert [row.name for row in Past.at(read({"objective": "two_of_kind.py:train"}), place).rows] == ["other"]
    assert Past.at(read({"objective": "two_of_kind.py:other"}), place).rows == []
    assert estimate.same_objective("two_of_kind.py:train", "two_of_kind.py") is False, "the file does not say which"
    assert not estimate.same_objective("vae", "vae:other") and estimate.same_objective("vae", "vae")


@settings(max_examples=25)
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=12), st.floats(-5, 5))
def test_the_noise_is_that_of_the_paired_differences_that_earlier_sweeps_saw(luck: list[float], gain: float) -> None:
    """What a seed gives to both arms is no noise of their difference; where there is none, the width is 0, not unknown."""
    stored = {
        "arm": "min",
        "arms": [
            {"arm": "off", "n": len(luck), "se": 3.0, "gain": None},
            {"arm": "min", "n": len(luck), "se": 3.0, "gain": asdict(paired([one - gain for one in luck]))},
        ],
    }
    (found,) = estimate._noises(stored)
    assert found == pytest.approx(statistics.stdev(luck) / math.sqrt(2), rel=1e-6, abs=1e-9)
    half = t_quantile(1 - FIRST / 2, 7) * statistics.stdev(luck) / math.sqrt(8)
    assert estimate._width(8, found) == pytest.approx(2 * half, rel=1e-6, abs=1e-6)


def test_exact_scores_are_known_not_unknown(tmp_path: Path) -> None:
    home, exact = Home.open(tmp_path), {**SPEC, "dataset": {"name": "none", "noise": 0.5}}
    first = run({**exact, "search": {"l2": {}}}, name="exact", home=home, address=IN_PROCESS, tracking=False)
    assert first.answer is not None
    with Catalogue(home.catalogue_url) as catalogue:
        row = catalogue.sweep("exact")
        arms = [{**one, "se": 0.0} for one in (row.answer or {})["arms"]]
        for one in arms:
            one["gain"] = {**one["gain"], "low": 0.5, "high": 0.5} if one["gain"] else None
        catalogue.update_sweep("exact", answer={**(row.answer or {}), "arms": arms})
    found, _ = budgets(read(exact), home=home, workers=1)
    assert {(one.width, one.unit) for one in found} == {(0.0, "val_risk")}
    assert estimate.goals_said(read({**exact, "until": ["effect ± 0.001"]}), home) == ["effect ± 0.001: about 8 final seeds are needed"]


@settings(max_examples=25)
@given(st.floats(0, 100), st.floats(0.01, 100), st.lists(st.integers(1, 40), min_size=2, max_size=12))
def test_a_training_takes_a_fixed_part_and_a_part_for_each_epoch(fixed: float, per_epoch: float, epochs: list[int]) -> None:
    trained = [member(number, count, fixed + per_epoch * count) for number, count in enumerate(epochs)]
    cost = Cost.of(trained, overhead=5.0)
    assert cost is not None
    assert cost.seconds(len(epochs), sum(epochs), 2) == pytest.approx(5 + sum(one.seconds for one in trained) / 2)
    if len(set(epochs)) > 1:
        assert (cost.fixed, cost.per_epoch) == pytest.approx((fixed, per_epoch), rel=1e-6, abs=1e-6)
        assert cost.seconds(1, 1000, 1) == pytest.approx(5 + fixed + 1000 * per_epoch)


def member(number: int, epochs: int, seconds: float, **more: Any) -> MemberRow:
    return MemberRow(number, "search", "search", {}, 0, state="complete", epochs=epochs, seconds=seconds, **more)


def test_without_members_nothing_is_known_of_the_time() -> None:
    assert Cost.of([]) is None and Cost.of([member(0, 0, 0.0)]) is None


def test_what_another_kind_of_machine_took_says_nothing_here(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read(SPEC)
    here = Past.at(spec, home)
    assert here.cost is not None and here.elsewhere == 0
    monkeypatch.setattr(estimate.socket, "gethostname", lambda: "another")
    assert Past.at(spec, home).cost is not None  # another machine with the same processor and as many cores
    monkeypatch.setattr(estimate.machine, "cores", lambda: 1024)
    away = Past.at(spec, home)
    assert away.cost is None and away.elsewhere == sum(map(len, here.members.values()))
    assert away.noise == here.noise  # noise is the same everywhere
    assert "were trained on other machines" in dry_run(spec, home=home, workers=1).basis


def test_a_sweep_keeps_its_plan_from_the_start_and_the_answer_has_what_came(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*given: Any) -> Cost:
        raise AssertionError("nothing is trained for the plan of a sweep that begins")

    monkeypatch.setattr(estimate, "_trained_now", trained)
    new = Home.open(tmp_path)
    first = run(SPEC, name="first", home=new, address=IN_PROCESS, tracking=False)
    with Catalogue(new.catalogue_url) as catalogue:
        row, members = catalogue.sweep("first"), catalogue.members("first")
    planned = row.facts["plan"]
    assert (planned["seconds"], planned["width"], planned["expected_epochs"]) == (None, None, None)
    assert planned["members"] == sum(dry_run(read(SPEC), home=home, workers=1).members.values())
    assert first.answer is not None and first.answer.beside.plan["planned"] == planned
    came = first.answer.beside.plan["came"]
    assert came["members"] == len(members) <= planned["members"] and came["epochs"] == sum(one.epochs for one in members)
    assert came["width"] == first.answer.effect.high - first.answer.effect.low
    assert came["seconds"] >= sum(one.seconds for one in members)
    # The second sweep of this kind knows what the first one took.
    run({**SPEC, "seed": 1}, name="second", home=new, address=IN_PROCESS, tracking=False)
    with Catalogue(new.catalogue_url) as catalogue:
        second = catalogue.sweep("second").facts["plan"]
    assert second["seconds"] > 0 and second["unit"] == "val_risk"
    assert second["width"] == came["width"] == 0, "a seed of the toy gives the same to every config"


POPULATION: dict[str, Any] = {"objective": "autoencoder", "scheduler": "pbt", "budget": {"trials": 24, "epochs": 8}}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (SPEC, ""),
        ({**SPEC, "until": ["effect ± 0.1"]}, "(beside those that a goal asks for)"),
        (POPULATION, "(beside those that take the places of others)"),
    ],
)
def test_a_plan_says_which_members_may_come_beside_those_it_counts(spec: dict[str, Any], said: str, tmp_path: Path) -> None:
    with Catalogue(Home.open(tmp_path).catalogue_url) as catalogue:
        told = plan_text({"planned": estimate.promised(read(spec), catalogue, "s", 1)})
    assert said in told and ("beside" in told) == bool(said)


def test_a_sweep_that_goes_on_has_a_plan_with_all_its_members(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    run(SPEC, name="s", home=home, address=IN_PROCESS, tracking=False)
    with Catalogue(home.catalogue_url) as catalogue:
        raced = [one for one in catalogue.members("s") if one.phase == "confirm"]
    again = resume("s", trials=4, home=home, address=IN_PROCESS, tracking=False)
    assert again.answer is not None
    planned, came = again.answer.beside.plan["planned"], again.answer.beside.plan["came"]
    longer = read({**SPEC, "budget": {"trials": 12, "epochs": 4}})
    assert planned["members"] == len(raced) + sum(dry_run(longer, home=home, workers=1).members.values())
    assert len(raced) < came["members"] <= planned["members"]


def test_a_plan_says_how_much_of_it_the_wall_time_has_room_for_and_what_early_stopping_will_leave(tmp_path: Path) -> None:
    spec = {**SPEC, "scheduler": "asha", "budget": {"trials": 12, "epochs": 9}}
    home = Home.open(tmp_path)
    assert dry_run(read(spec), home=home, workers=1).expected_epochs is None
    run(spec, home=home, address=IN_PROCESS, tracking=False)
    known = dry_run(read(spec), home=home, workers=1)
    assert known.expected_epochs is not None and known.expected_epochs < sum(known.epochs.values())
    assert known.fits is None
    hurried = dry_run(read({**spec, "budget": {**spec["budget"], "wall_minutes": 1e-7}}), home=home, workers=1)  # type: ignore[dict-item]
    assert hurried.fits == 0
    patient = dry_run(read({**spec, "budget": {**spec["budget"], "wall_minutes": 1e4}}), home=home, workers=1)  # type: ignore[dict-item]
    assert patient.fits is None
    # Another scheduler stops others.
    assert dry_run(read({**spec, "scheduler": "median"}), home=home, workers=1).expected_epochs is None
