"""Truths about what to confirm: the few candidates, members that ended early or badly, and nuisance knobs shared by both sides."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from objectives.base import Knob, Value
from search.choosing.answer import Candidate, Row, SelectionError
from search.choosing.candidates import candidates, usual
from search.choosing.trainings import finals
from tests.search.simulated import ACT, BETA, DROPOUT, L2, LR, by_arm, halved_search, parabola, simulated_search, vae

pytestmark = pytest.mark.turns(2)


@cache
def quiet() -> list[Row]:
    """A search with hardly any noise, whose minimum is at λ = 0.1."""
    return simulated_search(parabola(0.3), 40, seed=3, sd=0.02)


def test_the_candidates_of_one_lambda_by_priority() -> None:
    found = by_arm(candidates(simulated_search(parabola(0.3), 40, seed=3, sd=0.1), [L2], fixed={}))
    known = ["off", "min", "lucky", "edge", "low", "high"]
    assert list(found) == [arm for arm in known if arm in found] and {"off", "min"} <= set(found)
    found = by_arm(candidates(quiet(), [L2], fixed={}, configs=9))
    assert found["off"] == 0.0
    assert 0.06 < found["min"] < 0.16
    assert 0.01 < found["low"] < found["min"] < found["high"] < 0.6  # where few seeds tell them from the minimum, not a factor ten away


def test_the_lucky_candidate_is_the_member_with_the_best_score() -> None:
    lucky = Row(99, "search", "search", {"l2": 1.5}, 7, "complete", 0.0)
    assert by_arm(candidates([*quiet(), lucky], [L2], fixed={}))["lucky"] == 1.5
    off = replace(lucky, arm="off", config={"l2": 0.0})
    assert by_arm(candidates([*quiet(), off], [L2], fixed={})).get("lucky") in (
        None,
        min(quiet(), key=lambda row: row.score or 0).config["l2"],
    )


def test_the_edge_lies_farther_toward_more_regularization_where_the_curve_is_flatter() -> None:
    def found(steepness: float, knob: Knob = L2) -> dict[str, float]:
        rows = simulated_search(lambda value: steepness * parabola(0.3)(value), 40, seed=3, sd=0.2)
        return by_arm(candidates(rows, [knob], fixed={}))

    flat, steep = found(0.3), found(3.0)
    assert flat["edge"] / flat["min"] > steep.get("edge", steep["min"]) / steep["min"] >= 1
    less = found(0.3, replace(L2, more="low"))
    assert less["edge"] < less["min"]


def test_candidates_stand_apart_and_as_many_as_are_asked_for() -> None:
    for asked in (1, 2, 3, 4):
        assert len(candidates(quiet(), [L2], fixed={}, configs=asked)) == asked
    places = sorted(math.log10(value) for arm, value in by_arm(candidates(quiet(), [L2], fixed={})).items() if arm != "off")
    assert min(np.diff(places)) > 0.05
    assert usual(1, False) == 5 and usual(3, False) == 8 and usual(3, True) == 10


def test_the_minimum_survives_scores_that_explode() -> None:
    # Three of the four decades lie on a cliff of up to a thousand times the minimum.
    def cliff(value: float) -> float:
        decades = math.log10(value or 1)
        return 0.5 * (decades + 2.5) ** 2 + (10 * (math.exp(2 * (decades + 2)) - 1) if decades > -2 else 0)

    assert 1.5e-3 < by_arm(candidates(simulated_search(cliff, 60, seed=5), [L2], fixed={}))["min"] < 1e-2


@pytest.mark.parametrize("at", [-3.0, 1.0])
def test_at_the_end_of_the_range_all_candidates_stay_inside_and_distinct(at: float) -> None:
    found = by_arm(candidates(simulated_search(parabola(1.0, at), 40, seed=3, sd=0.02), [L2], fixed={}))
    assert len(found) == len(set(found.values())) >= 3
    assert all(1e-3 <= value <= 10 for arm, value in found.items() if arm != "off")
    assert abs(math.log10(found["min"]) - at) < 0.2
    assert ("low" in found, "high" in found) == (at > 0, at < 0)


def test_a_linear_range_that_starts_at_the_off_value_does_not_confirm_it_twice() -> None:
    rows = [
        Row(i, "search", "search" if i % 4 else "off", {"dropout": 0.02 * i if i % 4 else 0.0}, 1, "complete", 1 + 0.02 * i)
        for i in range(40)
    ]
    found = by_arm(candidates(rows, [DROPOUT], fixed={}), "dropout")
    assert found["off"] == 0.0
    assert len(set(found.values())) == len(found) >= 3
    assert all(0 < value <= 0.8 for arm, value in found.items() if arm != "off")


def two_lambda_rows(count: int = 60) -> list[Row]:
    rng = np.random.default_rng(2)
    rows = []
    for i in range(count):
        off = i % 6 == 0
        l2, dropout = (0.0, 0.0) if off else (10 ** rng.uniform(-3, 1), rng.uniform(0, 0.8))
        lr, act = 10 ** rng.uniform(-4, -1), ["relu", "elu"][int(rng.integers(2))]
        config: dict[str, Value] = {"l2": l2, "dropout": dropout, "lr": lr, "act": act, "depth": 2}
        score = 0.3 * (math.log10(lr) + 2.5) ** 2 + 0.2 * (act == "relu") + 4 * (dropout - 0.3) ** 2
        score += 0.3 if off else 0.2 * (math.log10(l2) + 1.5) ** 2
        rows.append(Row(i, "search", "off" if off else "search", config, 1, "complete", float(score + 0.02 * rng.normal())))
    return rows


MIXED = [L2, LR, DROPOUT, ACT]


@cache
def of_two() -> dict[str, Candidate]:
    found = candidates(two_lambda_rows(), MIXED, fixed={"depth": 2}, configs=20, simplify=["dropout", "l2"])
    return {one.arm: one for one in found}


def test_two_lambdas_get_leave_one_out_arms_and_neighbours_with_equal_nuisances() -> None:
    arms = {arm: one.config for arm, one in of_two().items()}
    assert list(arms)[:4] == ["off", "min", "without:dropout", "without:l2"]
    order = ["off:min", "lucky", "edge", "mixed", "low:dropout", "high:dropout", "low:l2", "high:l2"]
    assert list(arms)[4:] == [arm for arm in order if arm in arms] and {"lucky", "low:l2", "high:l2"} <= set(arms)
    assert arms["without:l2"] == {**arms["min"], "l2": 0.0} and arms["without:dropout"] == {**arms["min"], "dropout": 0.0}
    beside = [arm for arm in arms if arm.startswith(("low", "high", "edge"))]
    assert {(arms[arm]["lr"], arms[arm]["act"]) for arm in ["min", *beside]} == {(arms["min"]["lr"], "elu")}
    assert all(config["depth"] == 2 for config in arms.values())
    assert 10**-3.2 < float(arms["min"]["lr"]) < 10**-1.8
    assert float(arms["low:l2"]["l2"]) < float(arms["min"]["l2"]) < float(arms["high:l2"]["l2"])
    short = candidates(two_lambda_rows(), MIXED, fixed={"depth": 2}, configs=4, simplify=["l2"])
    assert [one.arm for one in short] == ["off", "min", "without:l2", "without:dropout"]


def test_the_mixed_candidate_has_the_nuisances_of_the_lucky_one_and_a_lambda_of_its_own() -> None:
    arms = {arm: one.config for arm, one in of_two().items()}
    best = min((row for row in two_lambda_rows() if row.arm != "off"), key=lambda row: row.score or 0)
    assert arms["lucky"] == {**best.config, "depth": 2}
    assert {name: arms["mixed"][name] for name in ("lr", "act")} == {name: best.config[name] for name in ("lr", "act")}
    assert arms["mixed"]["l2"] != best.config["l2"]


def test_the_off_arm_takes_the_nuisances_that_are_best_for_it_and_says_where_it_has_none() -> None:
    rows = two_lambda_rows()
    off = of_two()["off"]
    assert off.config["act"] == "elu" and abs(math.log10(float(off.config["lr"])) + 2.5) < 0.3
    found = candidates([row for row in rows if row.arm != "off"], MIXED, fixed={"depth": 2})
    assert found[0].config["lr"] == found[1].config["lr"]
    assert "no off member completed" in found[0].why


def test_off_with_the_nuisances_of_the_minimum_is_tried_where_they_are_others() -> None:
    rows = unlike()
    arms = {one.arm: one.config for one in candidates(rows, [L2, LR], fixed={}, configs=20)}
    assert arms["off:min"] == {**arms["off"], "lr": arms["min"]["lr"]} and arms["off:min"] != arms["off"]


def test_one_complete_member_is_enough_to_choose_and_none_is_an_error() -> None:
    rows = [Row(0, "search", "search", {"l2": 0.5}, 1, "complete", 3.0), Row(1, "search", "search", {"l2": 2.0}, 1, "failed", None)]
    found = by_arm(candidates(rows, [L2], fixed={}))
    assert found["min"] == 0.5 and found["off"] == 0.0
    assert len(set(found.values())) == len(found) >= 3
    with pytest.raises(SelectionError, match="of 1: 1 failed"):
        candidates(rows[1:], [L2], fixed={})
    with pytest.raises(SelectionError, match="none was trained"):
        candidates([], [L2], fixed={})
    with pytest.raises(SelectionError, match="must be a λ"):
        candidates(rows, [LR], fixed={})


def test_where_no_lambda_completed_the_off_arm_is_the_only_candidate() -> None:
    rows = [Row(i, "search", "off" if i % 3 == 0 else "search", {"l2": 0.1 * (i % 3), "lr": 0.01 * (i + 1)}, 1,
                "diverged" if i % 3 else "complete", None if i % 3 else 2.0 + i) for i in range(12)]  # fmt: skip
    for count in (3, 12):  # one off member, or a surface of four
        (found,) = candidates(rows[:count], [L2, LR], fixed={})
        assert found.arm == "off" and found.config["l2"] == 0.0


def test_no_candidate_stands_where_most_trainings_were_lost() -> None:
    # Members complete only below 0.1, and the score falls toward it: what lies beyond is known from how it ended alone.
    xs = np.linspace(-3, -1, 15)
    rows = [Row(i, "search", "search", {"l2": float(10**x)}, 1, "complete", float(5 - x)) for i, x in enumerate(xs)]
    lost = [Row(50 + i, "search", "search", {"l2": float(10**x)}, 1, "STATE", None) for i, x in enumerate(np.linspace(-0.8, 1, 8))]
    farthest = {}
    for state in ("diverged", "collapsed", "stopped", "failed"):
        ended = [Row(row.number, row.phase, row.arm, row.config, 1, state, None) for row in lost]
        farthest[state] = max(by_arm(candidates(rows + ended, [L2], fixed={})).values())
    assert farthest["diverged"] == farthest["collapsed"] < 0.3
    assert farthest["stopped"] < 1.0
    assert farthest["failed"] == max(by_arm(candidates(rows, [L2], fixed={})).values()) > farthest["diverged"]


# ------------------------------------------------------------------------------------------------ stopped members, shared nuisances


def test_a_stopped_member_is_predicted_from_those_that_went_on() -> None:
    # Final = 2 + half the rung score at epoch 3: five donors regress.
    rows = [Row(i, "search", "search", {}, 1, "complete", 2 + x / 2, x, 9, 1.0, {3: x}) for i, x in enumerate((1.0, 2.0, 4.0, 5.0, 8.0))]
    stopped = Row(9, "search", "off", {}, 1, "stopped", None, 10.0, 3, 1.0, {1: 50.0, 3: 10.0})
    assert finals([*rows, stopped])[9].score == pytest.approx(7.0)
    assert finals([*rows, stopped])[9].variance == pytest.approx(0.0, abs=1e-9)
    # Two donors tell how far scores fall from epoch 3 on, not how the fall depends on the score: by 1 ± √2 here, so 10 becomes about 9.
    two = [replace(rows[0], score=1.0), replace(rows[1], score=0.0), stopped]
    assert finals(two)[9].score == pytest.approx(9.0, abs=2.0)
    assert finals(two)[9].variance > 2.0
    # Nobody was seen at its epoch, or not even itself: nothing is known.
    assert 9 not in finals([*rows, replace(stopped, curve={7: 10.0})])
    assert 9 not in finals([*rows, replace(stopped, curve={}, rung_score=None)])


def test_members_that_were_stopped_later_help_to_predict_those_stopped_earlier() -> None:
    # The survivors of epoch 6 had luck there (−1 beyond what epoch 3 promised); who was stopped at 6 had the opposite. Truth: no change.
    def row(number: int, state: str, at_3: float, at_6: float) -> Row:
        score = at_6 if state == "complete" else None
        return Row(number, "search", "search", {}, 1, state, score, at_6, 6, 1.0, {3: at_3, 6: at_6})

    lucky = [row(i, "complete", x, x - 1) for i, x in enumerate((1.0, 2.0, 3.0, 4.0))]
    unlucky = [row(10 + i, "stopped", x, x + 1) for i, x in enumerate((1.5, 2.5, 3.5, 4.5))]
    early = Row(20, "search", "search", {}, 1, "stopped", None, 2.75, 3, 1.0, {3: 2.75})
    assert finals([*lucky, early])[20].score == pytest.approx(1.75, abs=0.05)
    assert finals([*lucky, *unlucky, early])[20].score == pytest.approx(2.75, abs=0.35)


@cache
def halved_sweeps(gain: float) -> list[tuple[list[Row], dict[str, dict[str, Value]]]]:
    found = []
    for seed in range(24):
        rows = halved_search(seed, gain)
        arms = {one.arm: one.config for one in candidates(rows, [BETA, LR], fixed={})}
        found.append((rows, {"min": arms["off"], **arms}))  # off is β = 1: a minimum that is not told apart from it is not trained twice
    return found


def test_a_search_whose_members_were_mostly_stopped_finds_the_minimum() -> None:
    # From complete members alone: median factor 2.1, within a factor 1.5 in a third of the sweeps.
    complete = [sum(row.ended == "ok" and row.arm != "off" for row in rows) for rows, _ in halved_sweeps(5.0)]
    assert np.mean(complete) < 6
    away = [abs(math.log(float(arms["min"]["beta"]) / 0.8)) for _, arms in halved_sweeps(5.0)]
    assert math.exp(np.median(away)) < 1.3
    assert np.mean(np.array(away) < math.log(1.5)) >= 0.75


@pytest.mark.parametrize("gain", [0.0, 5.0])
def test_unequal_luck_with_nuisances_does_not_turn_into_an_effect(gain: float) -> None:
    # What the off arm's learning rate costs over that of `min`, β being off on both sides: an effect of λ that is none. With each side
    # tuned on its own members its mean was 3 and its root mean square 9.
    costs = [vae(1.0, float(arms["off"]["lr"]), gain) - vae(1.0, float(arms["min"]["lr"]), gain) for _, arms in halved_sweeps(gain)]
    assert abs(np.mean(costs)) < 0.1
    assert np.sqrt(np.mean(np.square(costs))) < 0.2
    # And neither side pays for it: lr = 0.005 is the best of both, and a random one costs 7.
    for arm in ("off", "min"):
        assert np.mean([vae(1.0, float(arms[arm]["lr"]), gain) - vae(1.0, 5e-3, gain) for _, arms in halved_sweeps(gain)]) < 0.5


@cache
def unlike() -> list[Row]:
    """The best lr is 10⁻³ for λ and 10⁻² without it; a hundredfold difference in cost, hardly any noise."""
    rng, rows = np.random.default_rng(1), []
    for number in range(60):
        off = number % 3 == 0
        l2, lr = (0.0 if off else 10 ** rng.uniform(-3, 1)), 10 ** rng.uniform(-4, -1)
        score = 10 + 0.2 * (math.log10(l2 or 10.0) + 1) ** 2 + (math.log10(lr) + (2 if off else 3)) ** 2 + 0.01 * rng.normal()
        rows.append(Row(number, "search", "off" if off else "search", {"l2": l2, "lr": lr}, 1, "complete", score))
    return rows


def test_an_off_arm_that_needs_nuisances_of_its_own_gets_them() -> None:
    arms = {one.arm: one for one in candidates(unlike(), [L2, LR], fixed={})}
    assert abs(math.log10(float(arms["off"].config["lr"])) + 2) < 0.3
    assert abs(math.log10(float(arms["min"].config["lr"])) + 3) < 0.3


def test_an_off_member_of_a_seed_of_its_own_does_not_shift_the_minimum() -> None:
    # Without nuisance knobs off members are replicates over seeds, here all 30 worse by their seeds' luck.
    shifted = [replace(row, seed=100 + row.number, score=(row.score or 0) + 30) if row.arm == "off" else row for row in quiet()]
    minimum = by_arm(candidates(shifted, [L2], fixed={}))["min"]
    assert minimum == pytest.approx(by_arm(candidates([row for row in quiet() if row.arm != "off"], [L2], fixed={}))["min"], rel=0.3)


def listed(knob: Knob, values: list[float], score: dict[float, float]) -> list[Row]:
    """A search over a few values of a λ; members of the off arm have its off value."""
    rows = []
    for index in range(18):
        arm, value = ("off", knob.off) if index % 6 == 0 else ("search", values[index % len(values)])
        assert not isinstance(value, str) and value is not None
        noise = 0.01 * math.sin(7 * index)
        rows.append(Row(index, "search", arm, {knob.name: value}, 7, "complete", score[value] + noise))
    return rows


def test_a_lambda_with_a_list_of_values_is_confirmed_at_these_values_only() -> None:
    knob = replace(L2, choices=(0.001, 0.1, 1.0, 10.0), low=None, high=None)
    found = candidates(listed(knob, [0.001, 0.1, 1.0, 10.0], {0.0: 11, 0.001: 11, 0.1: 10, 1.0: 10.5, 10.0: 14}), [knob], fixed={})
    arms = by_arm(found)
    assert arms["off"] == 0.0 and arms["min"] == 0.1
    assert set(arms.values()) <= {0.0, 0.001, 0.1, 1.0, 10.0} and len(set(arms.values())) == len(arms)


@pytest.mark.parametrize("on", [9.0, 12.0])
def test_a_switch_is_confirmed_on_and_off(on: float) -> None:
    """Even if off looks better, the λ arm is the switch turned on: a verdict needs both."""
    knob = Knob("switch", "", "", "1", 0, low=0, high=1, off=0, more="high", integer=True)
    found = by_arm(candidates(listed(knob, [0, 1], {0: 10.0, 1: on}), [knob], fixed={}), "switch")
    assert found == {"off": 0.0, "min": 1.0}


def test_a_whole_number_or_a_list_that_holds_off_is_confirmed_on() -> None:
    """The scores fall toward off, so that the minimum is off: the λ arm is its neighbour."""
    few = Knob("cycles", "", "", "1", 0, low=0, high=5, off=0, more="high", integer=True)
    found = by_arm(candidates(listed(few, [0, 2, 4], {0: 10.0, 2: 11.0, 4: 12.0}), [few], fixed={}), "cycles")
    assert found["off"] == 0 and 0 < found["min"] <= 2
    some = replace(DROPOUT, choices=(0.0, 0.2, 0.5), low=None, high=None)
    found = by_arm(candidates(listed(some, [0.0, 0.2, 0.5], {0.0: 10.0, 0.2: 11.0, 0.5: 12.0}), [some], fixed={}), "dropout")
    assert found["off"] == 0.0 and found["min"] == 0.2
