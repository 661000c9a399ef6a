"""Truths about the answer: closed forms by hand, verdicts and their words, the interval of λ, and sweeps whose best λ is known."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, t

from objectives.base import Knob, Value
from search.choosing import lambda_interval, race
from search.choosing.answer import Answer, Candidate, Row, Verdict
from search.choosing.arms import Arm, differences, paired, promise, spread
from search.choosing.candidates import candidates
from search.choosing.lambda_interval import GRID, lambda_answer
from search.choosing.race import finalists
from search.choosing.trainings import trainings
from search.choosing.verdict import answer, judge, with_test
from search.modelling.axis import Axis
from search.modelling.surface import Surface
from tests.search.simulated import BETA, DROPOUT, L2, LR, by_arm, parabola, simulated_search

pytestmark = pytest.mark.turns(2)


def confirm(scores: Mapping[str, Sequence[float | str]], configs: Mapping[str, Mapping[str, Value]]) -> tuple[list[Row], list[Candidate]]:
    """Confirm rows from a table of scores by arm; a word in place of a score is the state that the member ended in."""
    rows: list[Row] = []
    for arm, values in scores.items():
        for seed, value in enumerate(values):
            ended = (value, None) if isinstance(value, str) else ("complete", value)
            rows.append(Row(len(rows), "confirm", arm, configs[arm], seed, ended[0], ended[1], epochs=2, seconds=1.5))
    return rows, [Candidate(arm, dict(configs[arm]), "") for arm in scores]


FIVE: dict[str, dict[str, Value]] = {"off": {"l2": 0.0}, "min": {"l2": 0.1}, "edge": {"l2": 0.3}, "low": {"l2": 0.03}, "high": {"l2": 1.0}}


def ask(scores: Mapping[str, Sequence[float | str]], margin: float = 0.01, absolute: bool = False) -> Answer:
    rows, cands = confirm(scores, FIVE)
    return answer(rows, [L2], cands, margin=margin, absolute=absolute)


T = float(t.ppf(1 - race.FIRST / 2, 2))  # of three pairs, with the error that the first look may have


# ------------------------------------------------------------------------------------------------ closed forms


def test_a_paired_interval_is_that_of_students_t() -> None:
    # Mean 2, s = 1, S = 3: 2 ± t(.975, 2) / sqrt(3), t = 4.302653.
    effect = paired([1.0, 2.0, 3.0])
    assert effect.mean == 2.0
    assert effect.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert effect.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)


def test_four_comparisons_take_bonferronis_quantile() -> None:
    # t(1 − .025/4, 2): for two degrees of freedom t = (2p − 1) / sqrt(2p(1 − p)) with p = .99375.
    p = 0.99375
    half = (2 * p - 1) / math.sqrt(2 * p * (1 - p)) / math.sqrt(3)
    assert paired([1.0, 2.0, 3.0], 4).high == pytest.approx(2 + half, rel=1e-9)


def test_scores_that_differ_by_rounding_only_have_a_width_of_zero() -> None:
    a, b = 0.1 + 0.2, 0.3
    assert a != b
    arms = [Arm(name, {}, {1: score, 2: b, 3: score}, (), {}) for name, score in (("off", a), ("min", b))]
    assert differences(*arms) == [0.0, 0.0, 0.0] and arms[0].error == 0.0
    assert paired([a, b, b]).low == paired([a, b, b]).high and promise([a, b, b]).low == promise([a, b, b]).high
    assert spread([1.0, 1.0 + 1e-9]) > 0


def test_a_prediction_interval_is_wider_than_that_of_the_mean() -> None:
    # Mean 2, s = 1, S = 3: half width 4.302653 · sqrt(1 + 1/3).
    promised = promise([1.0, 2.0, 3.0])
    assert promised.high - promised.mean == pytest.approx(4.302653 * math.sqrt(4 / 3), abs=1e-6)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_without_two_seeds_intervals_are_open(values: list[float]) -> None:
    assert (paired(values).low, paired(values).high) == (-math.inf, math.inf)
    assert (promise(values).low, promise(values).high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 3.0, Verdict.HELPS),
        (0.01, 0.02, Verdict.HELPS),  # certain, though within ±δ
        (-3.0, -0.1, Verdict.HURTS),
        (-0.4, 0.4, Verdict.HARMLESS),
        (-0.5, 0.5, Verdict.HARMLESS),
        (-0.4, 0.6, Verdict.NO_EVIDENCE),
        (-0.6, 0.4, Verdict.NO_EVIDENCE),
        (-math.inf, math.inf, Verdict.NO_EVIDENCE),
    ],
)
def test_the_verdict_of_an_interval(low: float, high: float, verdict: Verdict) -> None:
    assert judge(low, high, delta=0.5) is verdict


@given(st.floats(1e-3, 10.0))
def test_a_value_survives_its_axis(value: float) -> None:
    axis = Axis.of(L2)
    assert axis.value(axis.u(value)) == pytest.approx(value, rel=5.1e-3)
    assert axis.value(axis.u(value) + 2) == 10.0  # not 9.999999999999998
    assert axis.value(1.0) == axis.exact(1.0) == 10.0
    assert axis.value(0.0) == axis.exact(0.0) == axis.value(-1e-17) == 1e-3


# ------------------------------------------------------------------------------------------------ the verdict


def test_the_effect_is_paired_by_seed_and_has_the_error_of_the_look() -> None:
    found = ask({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.1]})
    assert found.effect.mean == pytest.approx(2.9 / 3)
    half = T * np.std([1.0, 1.0, 0.9], ddof=1) / math.sqrt(3)
    assert (found.effect.low, found.effect.high) == pytest.approx((2.9 / 3 - half, 2.9 / 3 + half))
    assert found.effect.comparisons == 1 and found.verdict is Verdict.HELPS
    rows, cands = confirm({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.1]}, FIVE)
    wide = answer(rows, [L2], cands, error=0.001)
    assert wide.effect.low < found.effect.low and wide.verdict is Verdict.NO_EVIDENCE


def test_only_the_final_seeds_of_finalists_are_judged() -> None:
    rows, cands = confirm({"off": [9.0, 9.0, 2.0, 3.0, 4.0], "min": [1.0, 1.0, 1.0, 2.0, 3.1], "edge": [0.0, 0.0]}, FIVE)
    kept = [replace(one, seeds=3 if one.arm != "edge" else 0) for one in cands]
    found = answer(rows, [L2], kept, seeds={2, 3, 4})
    assert found.arm == "min" and found.effect == ask({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.1]}).effect
    assert found.promise.seeds == 3 and found.off_score == 3.0
    told = {arm["arm"]: arm for arm in found.arms}
    assert (told["off"]["n"], told["min"]["n"], told["edge"]["n"]) == (5, 5, 2)
    assert [told[arm]["final"] for arm in told] == [True, True, False]


def test_where_lambda_hurts_the_off_arm_is_recommended() -> None:
    found = ask({"off": [1.0, 2.0, 3.0], "min": [2.0, 3.01, 4.0]})
    assert found.verdict is Verdict.HURTS
    assert (found.arm, found.recommended_arm, found.recommended) == ("min", "off", {"l2": 0.0})
    assert found.promise.mean == 2.0
    assert found.sentence().startswith("l2 = 0.1 worsens the score by 1 [") and "against l2 = 0; keep l2 = 0 (hurts" in found.sentence()


def test_a_difference_within_the_margin_is_harmless_and_never_called_worse() -> None:
    off = [100.0, 101.0, 102.0, 99.0, 98.0]
    found = ask({"off": off, "min": [o + d for o, d in zip(off, (0.3, 0.1, 0.2, -0.1, 0.2), strict=True)]})
    assert found.verdict is Verdict.HARMLESS and found.effect.mean < 0
    said = found.sentence()
    assert "less than the margin of 1; keep l2 = 0" in said and "(harmless; 5 paired seeds)" in said
    assert "worsens" not in said and "improves" not in said


def test_an_equal_lambda_is_harmless_and_a_noisy_one_no_evidence() -> None:
    off = [100.0, 101.0, 102.0, 99.0, 98.0]
    tiny = [0.01, -0.01, 0.02, -0.02, 0.0]
    assert ask({"off": off, "min": [o + d for o, d in zip(off, tiny, strict=True)]}).verdict is Verdict.HARMLESS
    assert ask({"off": off, "min": [o + 300 * d for o, d in zip(off, tiny, strict=True)]}).verdict is Verdict.NO_EVIDENCE


def test_a_lambda_with_nothing_to_show_is_not_recommended() -> None:
    off = [100.0, 101.0, 102.0, 99.0, 98.0]
    for worse, verdict in ((0.1, Verdict.HARMLESS), (3.0, Verdict.NO_EVIDENCE)):
        differences = [worse, -0.9 * worse, 2 * worse, -worse, 0.0]
        found = ask({"off": off, "min": [o + d for o, d in zip(off, differences, strict=True)]})
        assert (found.verdict, found.arm, found.recommended_arm) == (verdict, "min", "off")
        assert "keep l2 = 0" in found.sentence()
        assert found.promise.mean == 100.0
        better = ask({"off": off, "min": [o - d for o, d in zip(off, differences, strict=True)]})
        assert (better.verdict, better.recommended_arm) == (verdict, "min")
        assert "keep" not in better.sentence()


def test_a_certain_but_small_improvement_helps_and_says_that_it_is_small() -> None:
    found = ask({"off": [100.0, 101.0, 102.0], "min": [99.9, 100.9, 101.901]})
    assert found.verdict is Verdict.HELPS
    assert any("below the margin" in note for note in found.notes)


@pytest.mark.parametrize("state", ["failed", "preempted", "stopped"])
def test_a_missing_seed_drops_its_pair_and_says_so(state: str) -> None:
    found = ask({"off": [2.0, 3.0, 4.0, 7.0], "min": [1.0, 2.01, 3.0, state]})
    assert found.effect.seeds == 3
    assert found.verdict is Verdict.HELPS
    assert any("1 of 4 seeds are missing" in note for note in found.notes)


GOOD, BAD = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], ["diverged"] * 7


def test_a_side_that_loses_every_seed_loses_by_the_sign_test() -> None:
    helped, hurt = ask({"off": BAD, "min": GOOD}), ask({"off": GOOD, "min": BAD})
    assert (helped.verdict, hurt.verdict) == (Verdict.HELPS, Verdict.HURTS)
    assert (helped.recommended_arm, hurt.recommended_arm) == ("min", "off")
    assert any("λ off was lost on 7 of 7 seeds, min on 0 of 7" in note for note in helped.notes)
    for one in (helped, hurt):
        assert one.effect.seeds == 0 and (one.effect.low, one.effect.high) == (-math.inf, math.inf)
        json.dumps(one.to_dict(), allow_nan=False)


@pytest.mark.parametrize("lost", [1, 2, 6])
def test_fewer_lost_seeds_may_be_chance(lost: int) -> None:
    """The same scores where both train: six of six lost ones have p = 1/32, with one test beside it."""
    found = ask({"off": [*BAD[:lost], *GOOD[lost:]], "min": [x + 0.1 * (-1) ** i for i, x in enumerate(GOOD)]})
    assert found.verdict is Verdict.NO_EVIDENCE
    assert any(f"arm off diverged or collapsed on {lost} of 7 seeds" in note for note in found.notes)


def test_lost_seeds_on_both_sides_cancel() -> None:
    both = ["collapsed"] * 4
    assert ask({"off": [*both, *GOOD[:3]], "min": [*both, *GOOD[:3]]}).verdict is not Verdict.HELPS
    assert ask({"off": [*BAD, *both], "min": [*GOOD, *both]}).verdict is Verdict.HELPS


def test_where_seeds_were_lost_half_of_the_error_is_left_to_the_scores() -> None:
    pairs = {"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.1]}
    found = ask({**pairs, "off": [*pairs["off"], "diverged"], "min": [*pairs["min"], 2.0]})
    half = float(t.ppf(1 - race.FIRST / 4, 2)) * np.std([1.0, 1.0, 0.9], ddof=1) / math.sqrt(3)
    assert found.effect.high - found.effect.mean == pytest.approx(half)


def test_who_is_lost_less_but_scores_worse_gives_no_verdict() -> None:
    found = ask({"off": [*BAD, *GOOD], "min": [*GOOD, *(x + 1 + 0.01 * x for x in GOOD)]})
    assert found.effect.high < 0 and found.verdict is Verdict.NO_EVIDENCE
    assert any("no verdict" in note for note in found.notes)


def searched(on: Sequence[str], off: Sequence[str]) -> list[Row]:
    """A search whose members ended so; complete ones score 3, and so do those that were stopped, at their rung."""
    rows = []
    for arm, value, states in (("search", 0.5, on), ("off", 0.0, off)):
        rows += [
            Row(
                100 * bool(value) + i, "search", arm, {"l2": value}, 0, s, 3.0 if s == "complete" else None, 3.0 if s == "stopped" else None
            )
            for i, s in enumerate(states)
        ]
    return rows


def test_where_no_lambda_completed_the_answer_is_to_keep_off() -> None:
    cands = [Candidate("off", {"l2": 0.0}, "", seeds=5)]
    confirmed = [Row(300 + seed, "confirm", "off", {"l2": 0.0}, seed, "complete", 3.0 + 0.1 * seed) for seed in range(3)]
    found = answer([*searched(["diverged"] * 10, ["complete"] * 3), *confirmed], [L2], cands)
    assert (found.verdict, found.arm, found.recommended_arm, found.recommended) == (Verdict.HURTS, "off", "off", {"l2": 0.0})
    assert found.promise.seeds == 3 and found.sentence().startswith("No training with l2 on completed: keep l2 = 0 (hurts). A new seed")
    assert any("no member with λ on completed (10 diverged)" in note for note in found.notes)
    assert not any("widen" in note for note in found.notes)
    assert Answer.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))).sentence() == found.sentence()


@pytest.mark.parametrize(
    ("on", "off", "verdict"),
    [
        (["diverged"] * 10, ["complete"] * 3, Verdict.HURTS),  # 1 of 286 ways
        (["diverged"] * 2, ["complete"], Verdict.NO_EVIDENCE),  # 1 of 3
        (["diverged"] * 10, ["complete", "diverged", "diverged"], Verdict.NO_EVIDENCE),  # 3 of 13
        (["diverged"] * 20, ["complete", *["stopped"] * 3], Verdict.HURTS),  # who was stopped early was not lost
        (["diverged"] * 10 + ["stopped"] * 5, ["complete"] * 3, Verdict.NO_EVIDENCE),  # with λ on, too: 3,003 of 43,758
        (["failed"] * 10, ["complete"] * 3, Verdict.NO_EVIDENCE),  # missing data say nothing of λ
    ],
)
def test_that_no_lambda_completed_is_held_against_it_only_where_it_is_no_chance(on: list[str], off: list[str], verdict: Verdict) -> None:
    """Fisher's exact test of the search; that the off arm trains seven times more with nuisance knobs chosen for it proves nothing."""
    more = [Row(300 + seed, "confirm", "off", {"l2": 0.0}, seed, "complete", 3.0) for seed in range(7)]
    cands = [Candidate("off", {"l2": 0.0}, "", seeds=5)]
    assert answer([*searched(on, off), *more], [L2], cands).verdict is verdict


def test_without_any_confirmed_seed_the_minimum_of_the_search_is_named_without_a_verdict() -> None:
    rows = simulated_search(parabola(0.3), 18, seed=1)
    found = answer(rows, [L2], [])
    assert (found.arm, found.verdict) == ("min", Verdict.NO_EVIDENCE)
    assert any("not confirmed" in note for note in found.notes)


def test_one_confirmed_seed_has_no_verdict() -> None:
    found = ask({"off": [2.0], "min": [1.0]})
    assert found.verdict is Verdict.NO_EVIDENCE and (found.effect.low, found.effect.high) == (-math.inf, math.inf)
    assert any("1 confirmed seeds: no interval" in note for note in found.notes)


def test_a_seed_trained_twice_counts_once() -> None:
    rows, cands = confirm({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.01, 3.0]}, FIVE)
    again = [Row(90, "confirm", "min", FIVE["min"], 1, "preempted", None), *rows, Row(91, "confirm", "off", FIVE["off"], 0, "failed", None)]
    assert answer(again, [L2], cands).effect == answer(rows, [L2], cands).effect


def test_what_was_spent_is_counted_by_phase_and_state() -> None:
    found = ask({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, "failed"]})
    assert found.spent["confirm"]["complete"] == {"members": 5, "epochs": 10, "seconds": 7.5}
    assert found.spent["total"]["total"]["members"] == 6


def test_an_answer_survives_json() -> None:
    found = ask({"off": [1.0, "diverged", 3.0], "min": [1.0, 2.0, 2.0], "edge": ["failed"] * 3, "high": [3.0, "collapsed", 1.0]})
    for one in (found, with_test(found, [], "no test split")):
        stored = json.dumps(one.to_dict(), allow_nan=False)
        back = Answer.from_dict(json.loads(stored))
        assert json.dumps(back.to_dict()) == stored
        assert isinstance(back.verdict, Verdict)


def test_the_test_split_is_paired_by_seed_and_changes_nothing_else() -> None:
    found = ask({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.01]})
    items = [(arm, seed, base + seed) for arm, base in (("off", 5.0), ("chosen", 4.0)) for seed in (2, 0, 1)]
    read = with_test(found, items)
    assert read.test is not None
    assert read.test["effect"]["mean"] == 1.0
    assert read.test["chosen"] == {"mean": 5.0, "se": pytest.approx(1 / math.sqrt(3)), "n": 3, "scores": [4.0, 5.0, 6.0]}
    assert read.effect == found.effect
    assert found.recommended_arm == "min" and read.test["recommended"] == read.test["chosen"]
    kept = with_test(replace(found, recommended_arm="off"), items)
    assert kept.test is not None and kept.test["recommended"] == kept.test["off"]


def test_the_sentence_says_what_how_much_and_against_what() -> None:
    rows, cands = confirm({"off": [12.0, 13.0, 14.0], "min": [11.0, 12.0, 13.1]}, FIVE)
    said = answer(rows, [L2], cands, score_name="val_neg_elbo_nats").sentence()
    assert said.startswith("l2 = 0.1 [")
    half = T * 0.1 / 3
    size = f"0.967 [{0.96667 - half:.3g}, {0.96667 + half:.3g}]"
    assert f"improves val_neg_elbo_nats by {size} nats over l2 = 0 (helps; 3 paired seeds)" in said


TWO: dict[str, dict[str, Value]] = {
    "off": {"l2": 0.0, "dropout": 0.0},
    "min": {"l2": 0.1, "dropout": 0.2},
    "without:l2": {"l2": 0.0, "dropout": 0.2},
    "without:dropout": {"l2": 0.1, "dropout": 0.0},
}


def test_leaving_one_lambda_out_is_measured_against_the_chosen_arm() -> None:
    table: dict[str, list[float | str]] = {
        "off": [4.0, 5.0, 6.0],
        "min": [1.0, 2.0, 3.0],
        "without:l2": [2.9, 4.0, 5.1],
        "without:dropout": [1.1, 2.0, 3.1],
    }
    rows, cands = confirm(table, TWO)
    found = answer(rows, [L2, DROPOUT], cands, simplify=["dropout"])
    by_name = {one.name: one for one in found.lambdas}
    l2, dropout = by_name["l2"].without, by_name["dropout"].without
    assert l2 is not None and dropout is not None and l2.comparisons == dropout.comparisons == 2
    assert l2.mean == pytest.approx(2.0)
    assert l2.high == pytest.approx(2 + float(t.ppf(1 - 0.05 / 4, 2)) * 0.1 / math.sqrt(3))  # both intervals hold at once
    assert dropout.mean == pytest.approx(0.2 / 3)
    assert found.arm == "min" and found.effect.comparisons == 1


def test_a_lambda_that_is_off_in_the_chosen_arm_has_no_cost_of_leaving_it_out() -> None:
    rows, cands = confirm({"off": [4.0, 5.0, 6.0], "min": [2.0, 3.0, 4.1], "without:l2": [1.0, 2.0, 3.0]}, TWO)
    found = answer(rows, [L2, DROPOUT], [replace(one, seeds=3 * (one.arm != "min")) for one in cands])
    assert found.arm == "without:l2" and {one.name: one.without for one in found.lambdas} == {"l2": None, "dropout": None}
    assert "off the range" in {one.name: one.warning for one in found.lambdas}["l2"]  # 0 has no place on a log axis


# ------------------------------------------------------------------------------------------------ the interval of λ and the curve


def surface_of(sd: float, seed: int = 0, count: int = 36, at: float = -1.0, knob: Knob = L2) -> Surface:
    """The surface of a search whose minimum is at log₁₀ λ = `at`."""
    found = Surface.of(trainings(simulated_search(parabola(0.3, at), count, seed, sd)), [knob])
    assert found is not None
    return found


def test_the_interval_of_lambda_holds_the_chosen_value_and_narrows_as_noise_falls() -> None:
    width = {}
    for sd in (0.02, 0.3):
        for value in (0.1, 0.004):
            one = lambda_answer(L2, {"l2": value}, surface_of(sd))
            assert 1e-3 <= one.low <= one.value == value <= one.high <= 10
            width[sd, value] = math.log(one.high / one.low)
    assert width[0.02, 0.1] < 0.7 * width[0.3, 0.1] and width[0.02, 0.1] < width[0.02, 0.004]


def test_the_interval_of_lambda_holds_the_best_lambda() -> None:
    for sd in (0.05, 0.3):
        ones = [lambda_answer(L2, {"l2": 0.1 * 10 ** (0.1 * seed - 0.8)}, surface_of(sd, seed)) for seed in range(16)]
        held = [(one.low <= 0.1 or one.open_low) and (one.high >= 0.1 or one.open_high) for one in ones]
        assert sum(held) >= binom.ppf(1e-3, 16, 0.92)


def test_a_minimum_may_lie_between_the_points_at_which_minima_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lambda_interval, "_minima", lambda *given: (np.full(100, (GRID - 1) // 2), np.ones(GRID)))  # all at 0.1
    one = lambda_answer(L2, {"l2": 0.1}, surface_of(0.1))
    assert math.log10(one.high / one.low) == pytest.approx(4 / (GRID - 1), rel=0.05)  # ends have three digits


def test_the_interval_is_the_same_however_often_it_is_asked_for() -> None:
    first, again = (lambda_answer(L2, {"l2": 0.1}, surface_of(0.1)) for _ in range(2))
    assert repr(first) == repr(again)  # an unknown number is not equal to itself


@pytest.mark.parametrize(("at", "end"), [(2.0, "high"), (-4.0, "low")])
def test_an_interval_that_runs_past_the_range_names_the_bound_to_widen(at: float, end: str) -> None:
    bound = {"high": 10.0, "low": 1e-3}[end]
    one = lambda_answer(L2, {"l2": bound}, surface_of(0.05, at=at))
    assert (one.open_low, one.open_high) == (end == "low", end == "high")
    assert f"widen {end} beyond {bound:g}" in one.warning
    assert f"{'≥' if end == 'high' else '≤'} {bound:g}" in one.interval()


def test_where_no_gain_is_proven_a_wider_range_towards_off_is_not_advised() -> None:
    """Beyond that end λ is nearly off, and off is as good for all that is known."""
    low, high = (lambda_answer(L2, {"l2": bound}, surface_of(0.05, at=at), proven=False) for at, bound in ((-4.0, 1e-3), (2.0, 10.0)))
    assert "towards 0, which is off and is not shown to be worse" in low.warning and "widen" not in low.warning
    assert "widen high beyond 10" in high.warning


def test_a_range_that_ends_at_the_off_value_ends_there_by_nature() -> None:
    rows = [Row(i, "search", "search", {"dropout": 0.03 * i}, i, "complete", 1 + 0.03 * i) for i in range(24)]
    one = lambda_answer(DROPOUT, {"dropout": 0.03}, Surface.of(trainings(rows), [DROPOUT]))
    assert one.open_low and not one.open_high and "widen" not in one.warning


def test_the_interval_of_a_list_of_values_ends_at_values_of_the_list() -> None:
    knob = replace(L2, choices=(0.001, 0.1, 1.0, 10.0), low=None, high=None)
    score = {0.001: 12.0, 0.1: 10.0, 1.0: 10.05, 10.0: 14.0}
    values = [float(knob.choices[i % 4]) for i in range(24)]
    rows = [Row(i, "search", "search", {"l2": x}, i, "complete", score[x] + 0.1 * math.sin(9 * i)) for i, x in enumerate(values)]
    one = lambda_answer(knob, {"l2": 0.1}, Surface.of(trainings(rows), [knob]))
    assert (one.low, one.high) in {(0.1, 0.1), (0.1, 1.0)} and not one.warning


def test_too_few_configs_have_no_interval_and_none_is_told() -> None:
    found = ask({"off": [3.0, 3.1, 3.2], "min": [2.0, 2.2, 2.1]})
    assert found.lambdas[0].interval() == "[interval unknown]" and "l2 = 0.1 [interval unknown] improves" in found.sentence()
    assert Answer.from_dict(found.to_dict()).lambdas[0].interval() == "[interval unknown]"
    assert found.curve["l2"]["grid"] == [] and {point["arm"] for point in found.curve["l2"]["points"]} == {"min"}


@pytest.fixture(scope="module")
def whole() -> tuple[list[Row], list[Candidate], Answer]:
    """A search, a first round on two seeds and a final on five; seeds share a large common part. λ = 0.1 gains 1."""
    curve, rng = parabola(1.0), np.random.default_rng(0)
    rows = simulated_search(curve, 24, 0, 0.1)
    cands = candidates(rows, [L2], fixed={})

    def trained(found: Sequence[Candidate], seeds: Sequence[int]) -> None:
        for seed in seeds:
            common = 10 + 0.5 * rng.normal()
            for one in found:
                score = common + curve(float(one.config["l2"])) + 0.1 * rng.normal()
                rows.append(Row(len(rows), "confirm", one.arm, one.config, seed, "complete", score))

    trained(cands, [100, 101])
    cands = finalists(cands, rows, [L2], [L2])
    trained([one for one in cands if one.final], range(200, 205))
    return rows, cands, answer(rows, [L2], cands, seeds=set(range(200, 205)))


def test_the_curve_passes_near_the_arms_within_its_band(whole: tuple[list[Row], list[Candidate], Answer]) -> None:
    _, cands, found = whole
    curve = found.curve["l2"]
    assert np.all(np.diff(curve["grid"]) > 0) and (curve["grid"][0], curve["grid"][-1]) == (1e-3, 10.0)
    assert all(low <= mean <= high for low, mean, high in zip(curve["low"], curve["mean"], curve["high"], strict=True))
    assert {point["arm"] for point in curve["points"]} == {one.arm for one in cands} - {"off"}  # λ off has no place on a log axis
    assert abs(math.log10(curve["grid"][int(np.argmin(curve["mean"]))]) + 1) < 0.5
    (point,) = [point for point in curve["points"] if point["arm"] == found.arm]
    assert np.interp(math.log(point["value"]), np.log(curve["grid"]), curve["mean"]) == pytest.approx(point["mean"], abs=0.6)


def test_a_whole_race_is_answered_as_its_truth_is(whole: tuple[list[Row], list[Candidate], Answer]) -> None:
    _, _, found = whole
    assert found.verdict is Verdict.HELPS and found.recommended_arm == found.arm != "off"
    assert found.effect.low <= -parabola(1.0)(float(found.best["l2"])) <= found.effect.high
    assert found.effect.seeds == found.promise.seeds == 5
    one = found.lambdas[0]
    assert one.low <= one.value == found.best["l2"] <= one.high and abs(math.log10(one.value) + 1) < 0.5


def test_an_arm_with_other_nuisance_knobs_is_no_point_of_the_curve_and_one_with_lost_seeds_says_so() -> None:
    configs: dict[str, dict[str, Value]] = {
        "off": {"l2": 0.0, "lr": 1e-3},
        "min": {"l2": 0.1, "lr": 1e-3},
        "high": {"l2": 1.0, "lr": 1e-3},
        "lucky": {"l2": 0.3, "lr": 1e-2},
        "low": {"l2": 0.01, "lr": 1e-3},
    }
    scores: dict[str, list[float | str]] = {arm: [2.0, 2.1, 2.0] for arm in configs}
    rows, cands = confirm({**scores, "min": [1.0, 1.1, 1.2], "low": [2.0, "diverged", 2.0]}, configs)
    found = answer(rows, [L2, LR], [replace(one, seeds=3 * (one.arm in ("off", "min"))) for one in cands])
    points = {point["arm"]: point for point in found.curve["l2"]["points"]}
    assert set(points) == {"min", "high", "low"} and (points["low"]["lost"], points["low"]["seeds"]) == (1, 3)
    assert not any("lost" in points[arm] for arm in ("min", "high"))


def test_an_off_arm_within_the_range_is_a_point_of_the_curve() -> None:
    rows, cands = confirm({"off": [10.6, 11.6, 12.7], "min": [10.0, 11.1, 12.0]}, {"off": {"beta": 1.0}, "min": {"beta": 0.5}})
    assert {point["arm"] for point in answer(rows, [BETA], cands).curve["beta"]["points"]} == {"off", "min"}


# ------------------------------------------------------------------------------------------------ known truths, many sweeps


@cache
def races(gain: float, sd: float) -> list[Answer]:
    """Many races about a known curve: the arms come from a search, the finalists from two seeds, the verdict from seven others."""
    curve, found = parabola(gain), []
    for block in range(6):  # one search for twelve races: what is tested is the race
        rows = simulated_search(curve, 24, block, sd)
        cands = candidates(rows, [L2], fixed={})
        for repeat in range(12):
            rng = np.random.default_rng([block, repeat])

            def trained(ones: Sequence[Candidate], seeds: Sequence[int], rng: np.random.Generator = rng) -> list[Row]:
                return [
                    Row(
                        1000 + 10 * seed + at,
                        "confirm",
                        one.arm,
                        one.config,
                        seed,
                        "complete",
                        common + float(curve(float(one.config["l2"])) + sd * rng.normal()),
                    )
                    for seed in seeds
                    for common in [10 + 0.5 * rng.normal()]
                    for at, one in enumerate(ones)
                ]

            kept = [one for one in finalists(cands, [*rows, *trained(cands, range(2))], [L2], [L2]) if one.final]
            found.append(answer(trained(kept, range(2, 9)), [L2], kept))
    return found


def test_the_effects_interval_holds_the_truth_of_the_arm_that_was_chosen() -> None:
    for sd in (0.1, 0.4):
        ones = races(0.3, sd)
        held = [one.effect.low <= -parabola(0.3)(float(one.best["l2"])) <= one.effect.high for one in ones]
        assert sum(held) >= binom.ppf(1e-3, len(ones), 1 - race.FIRST)


def test_the_effect_is_not_too_good_though_the_best_arm_was_chosen() -> None:
    ones = races(0.3, 0.4)
    bias = [one.effect.mean + parabola(0.3)(float(one.best["l2"])) for one in ones]
    assert abs(np.mean(bias)) < 4 * np.std(bias) / math.sqrt(len(bias))


def test_a_lambda_that_helps_much_is_found() -> None:
    assert np.mean([one.verdict is Verdict.HELPS for one in races(0.3, 0.1)]) > 0.8


def test_the_promise_holds_for_a_new_seed() -> None:
    rng, ones = np.random.default_rng(0), races(0.3, 0.1)
    held = 0
    for one in ones:
        new = 10 + 0.5 * rng.normal() + parabola(0.3)(float(one.recommended["l2"])) + 0.1 * rng.normal()
        held += one.promise.low <= new <= one.promise.high
    assert held >= binom.ppf(1e-3, len(ones), 0.95)


# ------------------------------------------------------------------------------------------------ invariances


def test_the_order_of_rows_changes_nothing(whole: tuple[list[Row], list[Candidate], Answer]) -> None:
    rows, cands, found = whole
    searched = [row for row in rows if row.phase == "search"]
    mixed = list(rows)
    random.Random(1).shuffle(mixed)
    assert candidates([row for row in mixed if row.phase == "search"], [L2], fixed={}) == candidates(searched, [L2], fixed={})
    assert answer(mixed, [L2], cands, seeds=set(range(200, 205))).to_dict() == found.to_dict()


tables = st.lists(st.lists(st.integers(-50, 50), min_size=4, max_size=4), min_size=2, max_size=2)


def scaled(table: list[list[int]], shift: float, scale: float, margin: float, absolute: bool = False) -> Answer:
    scores = {arm: [100 + shift + scale * x for x in values] for arm, values in zip(("off", "min"), table, strict=True)}
    return ask(scores, margin, absolute)


@settings(max_examples=20)
@given(tables, st.sampled_from([-64.0, 32.0, 1024.0]))
def test_a_constant_added_to_all_scores_changes_no_effect(table: list[list[int]], shift: float) -> None:
    # Without a margin: as a share of the off arm's score it is the one thing that may depend on the origin.
    one, other = scaled(table, 0.0, 1.0, 0.0), scaled(table, shift, 1.0, 0.0)
    assert (one.arm, one.verdict) == (other.arm, other.verdict)
    assert (one.effect.low, one.effect.high) == pytest.approx((other.effect.low, other.effect.high), abs=1e-8)


@settings(max_examples=20)
@given(tables, st.sampled_from([-64.0, 32.0, 1024.0]), st.sampled_from([0.5, 4.0, 32.0]))
def test_a_margin_in_units_of_the_score_gives_one_verdict_wherever_the_score_has_its_zero(
    table: list[list[int]], shift: float, margin: float
) -> None:
    one, other = scaled(table, 0.0, 1.0, margin, absolute=True), scaled(table, shift, 1.0, margin, absolute=True)
    assert (one.arm, one.verdict, one.margin) == (other.arm, other.verdict, other.margin)
    assert one.margin == margin


def test_a_share_of_a_score_that_is_not_above_0_is_remarked() -> None:
    near = ask({"off": [-0.1, 0.0, 0.1], "min": [-0.1, 0.01, 0.1]})
    assert any("margin: 0.1 SCORE" in note for note in near.notes)
    assert not any("share of the off arm" in note for note in ask({"off": [1.0, 2.0, 3.0], "min": [1.0, 2.0, 3.1]}).notes)
    assert not any("share of the off arm" in note for note in scaled([[0] * 4, [1] * 4], -100.0, 1.0, 0.5, absolute=True).notes)


@settings(max_examples=20)
@given(tables)
def test_the_unit_of_the_score_changes_neither_choice_nor_verdict(table: list[list[int]]) -> None:
    # A power of two scales floating point numbers exactly. 100·3 keeps the ratio to the origin.
    one, other = scaled(table, 0.0, 1.0, 0.01), scaled(table, 300.0, 4.0, 0.01)
    assert (one.arm, one.verdict) == (other.arm, other.verdict)
    assert other.effect.mean == pytest.approx(4 * one.effect.mean)


@pytest.mark.parametrize(("shift", "scale"), [(1024.0, 1.0), (0.0, 4.0), (-300.0, 0.25)])
def test_neither_origin_nor_unit_of_the_score_changes_candidates_and_finalists(shift: float, scale: float) -> None:
    def chosen(shift: float, scale: float) -> tuple[dict[str, float], list[str]]:
        rows = [replace(row, score=shift + scale * (row.score or 0)) for row in simulated_search(parabola(0.3), 24, 5, 0.1)]
        found = candidates(rows, [L2], fixed={})
        more, _ = confirm(
            {one.arm: [shift + scale * (10 + x + place) for x in (0.0, 0.1)] for place, one in enumerate(found)},
            {one.arm: one.config for one in found},
        )
        return by_arm(found), [one.arm for one in finalists(found, [*rows, *more], [L2], [L2]) if one.final]

    (one, first), (other, second) = chosen(0.0, 1.0), chosen(shift, scale)
    assert first == second and list(one) == list(other)
    assert list(other.values()) == pytest.approx(list(one.values()), rel=0.1)


def test_importing_selection_loads_no_heavy_library() -> None:
    heavy = "torch ray optuna mlflow sklearn scipy matplotlib sqlalchemy"
    read = "import sys, search.choosing.verdict, search.telling.pictures.lambda_curve"
    code = f"{read}; print([name for name in {heavy.split()!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_luck_of_the_best_searched_member_is_the_gap_to_the_promise() -> None:
    searched = [Row(i, "search", "search", {"l2": 0.1 * (i + 1)}, 9, "complete", score) for i, score in enumerate((3.0, 1.0, 2.0))]
    rows, cands = confirm({"off": [4.0, 4.2], "min": [2.0, 2.2]}, FIVE)
    found = answer([*searched, *(replace(row, number=row.number + 10) for row in rows)], [L2], cands)
    assert found.luckiest == 1.0 and found.optimism == pytest.approx(found.promise.mean - 1.0)
    assert Answer.from_dict(found.to_dict()).luckiest == 1.0


def test_an_interval_without_ends_asks_for_no_wider_range() -> None:
    axis = Axis.of(BETA)
    both = lambda_interval._warning(BETA, axis, 0.5, (True, True))
    assert "too little is known" in both and "widen" not in both
    assert "widen high" in lambda_interval._warning(BETA, axis, 0.5, (False, True))
