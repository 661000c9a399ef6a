"""Truths about choosing λ: closed forms by hand, declared ranks, and simulated sweeps whose best λ is known."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.base import Knob, Value
from search.choosing.answer import Answer, Candidate, Row, Verdict
from search.choosing.arms import paired
from search.choosing.candidates import candidates
from search.choosing.confirm_fit import lambda_curve, weights
from search.choosing.verdict import answer, judge, promise, with_test
from search.modelling.axis import Axis
from tests.search.simulated import BETA, DROPOUT, L2, Curve, by_arm, parabola, simulated_search


def confirm(scores: Mapping[str, Sequence[float | str]], configs: Mapping[str, Mapping[str, Value]]) -> tuple[list[Row], list[Candidate]]:
    """Confirm rows from a table of scores by arm; a word in place of a score is the state that the member ended in."""
    rows: list[Row] = []
    for arm, values in scores.items():
        for seed, value in enumerate(values):
            ended = (value, None) if isinstance(value, str) else ("complete", value)
            rows.append(Row(len(rows), "confirm", arm, configs[arm], seed, ended[0], ended[1], epochs=2, seconds=1.5))
    return rows, [Candidate(arm, dict(configs[arm]), "") for arm in scores]


FIVE: dict[str, dict[str, Value]] = {"off": {"l2": 0.0}, "min": {"l2": 0.1}, "edge": {"l2": 0.3}, "low": {"l2": 0.03}, "high": {"l2": 1.0}}


def ask(scores: Mapping[str, Sequence[float | str]], margin: float = 0.01) -> Answer:
    rows, cands = confirm(scores, FIVE)
    return answer(rows, [L2], cands, margin=margin)


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


def test_the_smoother_leaves_parabolas_exact() -> None:
    nodes, grid = np.array([0.1, 0.3, 0.4, 0.8]), np.linspace(0.1, 0.8, 15)
    assert weights(nodes, grid) @ (3 * nodes**2 - nodes + 2) == pytest.approx(3 * grid**2 - grid + 2, abs=1e-8)


def test_the_interval_of_lambda_by_hand() -> None:
    # Scores of seed s: (u − .5)² + a_s·u with a = −.1, 0, .1. Mean curve (u − .5)², û = .5; the difference to û has per seed
    # (u − .5)² + a_s(u − .5), sd .1·|u − .5|, so u is inside while |u − .5| ≤ t · .1 / sqrt(3) = .2484.
    nodes = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    scores = np.array([(nodes - 0.5) ** 2 + a * nodes for a in (-0.1, 0.0, 0.1)])
    curve = lambda_curve(nodes, scores, size=2001)
    half = 4.302653 * 0.1 / math.sqrt(3)
    # û and both ends are close to arms, where no curve has room. Bending (what keeps explosions from ringing) moves them by a few per cent.
    assert 0.5 - curve.grid[curve.first] == pytest.approx(half, rel=0.06)
    assert curve.grid[curve.last] - 0.5 == pytest.approx(half, rel=0.06)


SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "parabola": lambda x: x**2,
    "ridge": lambda x: ((0.5 * 10**x) ** 2 + 0.5) / (1 + 0.5 * 10**x) ** 2,  # the toy's risk
    "skew": lambda x: np.exp(2 * x) - 2 * x - 1,
    "kink": lambda x: np.sqrt(x**2 + 0.04),
    "cliff": lambda x: x**2 + np.expm1(2 * np.maximum(x, 0)) ** 2,  # begins at the very minimum: no smooth curve follows it
}


@pytest.mark.parametrize("shape", SHAPES)
def test_without_noise_the_interval_still_knows_that_four_arms_are_not_a_curve(shape: str) -> None:
    # x = log₁₀(λ/λ*) on four decades; arms placed as `candidates` places them about a minimum that is off by a factor 1.6 (1 sd).
    rng, held, width = np.random.default_rng(0), [], []
    for _ in range(150):
        least = 0.2 * rng.normal()
        edge = least + max(0.3 * abs(rng.normal()), 0.16)
        arms = np.array([least - 0.477, least, edge, edge + 0.477])
        curve = lambda_curve(0.5 + arms / 4, SHAPES[shape](arms) + rng.normal(size=(3, 1)))
        low, high = curve.grid[curve.first], curve.grid[curve.last]
        held.append((low <= 0.5 or curve.first == 0) and (high >= 0.5 or curve.last == len(curve.grid) - 1))
        width.append(4 * (high - low))
    assert np.mean(held) >= (0.8 if shape == "cliff" else 0.9)
    assert np.median(width) < 0.6  # and still an answer: less than a factor 2 to either side


def test_an_arm_that_explodes_neither_bends_the_curve_nor_shrinks_the_interval() -> None:
    # min and edge are alike within their pairs, high costs 450: both alike arms belong to the interval, and the curve dips below neither
    # by more than a third of the lower side's excess.
    nodes = np.array([0.37, 0.5, 0.575, 0.69])
    scores = np.array([[1.5, 1.0, 1.1, 400.0], [2.4, 2.0, 2.0, 500.0], [2.0, 1.6, 1.6, 450.0]])
    curve = lambda_curve(nodes, scores)
    assert curve.grid[curve.first] <= 0.5 and curve.grid[curve.last] >= 0.575
    assert curve.grid[curve.first] > 0.37 and curve.grid[curve.last] < 0.69
    assert curve.mean.min() > -0.43 / 3


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.1, 1.0]))
def test_the_chosen_value_lies_in_its_interval(seed: int, sd: float) -> None:
    rng = np.random.default_rng(seed)
    level = {"off": 1.0, "min": 0.0, "edge": 0.1 * rng.random(), "low": rng.random(), "high": float(rng.exponential(10))}
    found = ask({arm: [10 + s + mean + sd * rng.normal() for s in range(4)] for arm, mean in level.items()})
    one = found.lambdas[0]
    assert one.low <= one.value <= one.high


@given(st.floats(1e-3, 10.0))
def test_a_value_survives_its_axis(value: float) -> None:
    axis = Axis.of(L2)
    assert axis.value(axis.u(value)) == pytest.approx(value, rel=5.1e-3)
    assert axis.value(axis.u(value) + 2) == 10.0  # not 9.999999999999998
    assert axis.value(1.0) == axis.exact(1.0) == 10.0
    assert axis.value(0.0) == axis.exact(0.0) == axis.value(-1e-17) == 1e-3


# ------------------------------------------------------------------------------------------------ the answer


def test_one_se_prefers_more_regularization_within_the_paired_error() -> None:
    # edge − min: mean .02, sd of the pairs .1, SE .045: within. high − min: mean 1. Seeds differ by far more than either.
    base = [10.0, 12.0, 9.0, 11.0, 13.0]
    wiggle = [0.02 + d for d in (-0.14, 0.07, 0.07, 0.07, -0.07)]
    found = ask({
        "off": [b + 1 for b in base],
        "min": base,
        "edge": [b + w for b, w in zip(base, wiggle, strict=True)],
        "low": [b + 0.5 + w for b, w in zip(base, wiggle, strict=True)],
        "high": [b + 1 + w for b, w in zip(base, wiggle, strict=True)],
    })  # fmt: skip
    assert found.arm == "edge"
    assert found.verdict is Verdict.HELPS
    assert found.effect.comparisons == 4
    assert found.effect.mean == pytest.approx(0.98 + 0.02, abs=0.03)


def test_beyond_the_paired_error_the_best_is_kept() -> None:
    found = ask({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.0], "edge": [1.0, 2.02, 3.02]})
    assert found.arm == "min"  # edge costs .0133 with SE .0067: two errors


def test_more_regularization_may_be_the_low_end() -> None:
    knob = Knob("l2", "", "", "1", 0.0, low=1e-3, high=10.0, log=True, off=0.0, more="low")
    rows, cands = confirm({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.0], "low": [0.9, 2.1, 3.05], "high": [1.1, 1.9, 3.05]}, FIVE)
    assert answer(rows, [knob], cands).arm == "low"


def test_where_lambda_hurts_the_off_arm_is_recommended() -> None:
    found = ask({"off": [1.0, 2.0, 3.0], "min": [2.0, 3.01, 4.0], "edge": [5.0, 6.0, 7.1]})
    assert found.verdict is Verdict.HURTS
    assert (found.arm, found.recommended_arm, found.recommended) == ("min", "off", {"l2": 0.0})
    assert found.promise.mean == 2.0
    assert "worsens" in found.sentence()


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


@pytest.mark.parametrize("state", ["diverged", "collapsed"])
def test_an_arm_that_lost_a_seed_to_lambda_is_never_chosen(state: str) -> None:
    # Its survivors are by far the best: their mean must not count.
    found = ask({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.0, 3.0], "high": [-9.0, -9.0, state]})
    assert found.arm == "min"
    table = {arm["arm"]: arm for arm in found.arms}
    assert table["high"]["mean"] == math.inf
    assert not table["high"]["choosable"]
    assert any("high" in note and "1 of 3" in note for note in found.notes)


@pytest.mark.parametrize("state", ["failed", "preempted", "stopped"])
def test_a_missing_seed_drops_its_pair_and_says_so(state: str) -> None:
    found = ask({"off": [2.0, 3.0, 4.0, 7.0], "min": [1.0, 2.01, 3.0, state]})
    assert found.effect.seeds == 3
    assert found.verdict is Verdict.HELPS
    assert any("1 of 4 seeds are missing" in note for note in found.notes)


def test_an_off_arm_that_diverges_twice_loses_by_rank_with_an_open_interval() -> None:
    found = ask({"off": [1.0, "diverged", 3.0, "diverged", 1.0], "min": [1.0, 2.0, 3.1, 2.0, 1.0]})
    assert found.verdict is Verdict.HELPS
    assert found.effect.high == math.inf
    assert any("off arm diverged on 2 of 5 seeds" in note for note in found.notes)


def test_one_diverged_off_seed_may_be_chance() -> None:
    assert ask({"off": [1.0, "diverged", 3.0, 2.0], "min": [1.1, 2.0, 2.9, 2.0]}).verdict is Verdict.NO_EVIDENCE
    assert ask({"off": [2.0, "diverged", 4.0, 3.0], "min": [1.0, 2.0, 3.01, 2.0]}).verdict is Verdict.HELPS


def test_an_off_arm_that_is_better_where_it_trains_gives_no_verdict() -> None:
    found = ask({"off": [1.0, "diverged", 3.0, "diverged", 1.0], "min": [2.0, 2.0, 4.01, 2.0, 2.0]})
    assert found.verdict is Verdict.NO_EVIDENCE


def test_where_no_lambda_trains_lambda_hurts() -> None:
    found = ask({"off": [1.0, 2.0, 3.0], "min": ["diverged", "diverged", 1.0], "high": ["diverged"] * 3})
    assert found.verdict is Verdict.HURTS
    assert found.recommended_arm == "off"
    json.dumps(found.to_dict(), allow_nan=False)


def test_without_any_confirmed_seed_the_minimum_of_the_search_is_named_without_a_verdict() -> None:
    rows = simulated_search(parabola(0.3), 18, seed=1)
    cands = candidates(rows, [L2], fixed={})
    for given_cands in (cands, []):
        found = answer(rows, [L2], given_cands)
        assert (found.arm, found.verdict) == ("min", Verdict.NO_EVIDENCE)
        assert any("unconfirmed" in note for note in found.notes)


def test_one_confirmed_seed_has_no_verdict() -> None:
    found = ask({"off": [2.0], "min": [1.0], "edge": [1.5], "low": [1.4], "high": [3.0]})
    assert found.verdict is Verdict.NO_EVIDENCE
    assert found.lambdas[0].open_low and found.lambdas[0].open_high


def test_a_seed_trained_twice_counts_once() -> None:
    rows, cands = confirm({"off": [2.0, 3.0, 4.0], "min": [1.0, 2.01, 3.0]}, FIVE)
    again = [Row(90, "confirm", "min", FIVE["min"], 1, "preempted", None), *rows, Row(91, "confirm", "off", FIVE["off"], 0, "failed", None)]
    assert answer(again, [L2], cands).effect == answer(rows, [L2], cands).effect


def test_an_interval_that_runs_past_the_range_names_the_bound_to_widen() -> None:
    configs: dict[str, dict[str, Value]] = {**FIVE, "low": {"l2": 1.0}, "min": {"l2": 5.0}, "high": {"l2": 10.0}}
    rows, cands = confirm({"off": [9.0, 9.1, 9.0], "low": [5.0, 5.1, 5.2], "min": [3.0, 3.1, 3.1], "high": [2.0, 2.2, 2.1]}, configs)
    one = answer(rows, [L2], cands).lambdas[0]
    assert one.open_high and not one.open_low
    assert "widen high beyond 10" in one.warning


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
    assert "improves val_neg_elbo_nats by 0.967 [0.823, 1.11] nats over l2 = 0 (helps; 3 paired seeds)" in said


def test_leaving_one_lambda_out_is_measured_against_the_minimum() -> None:
    configs: dict[str, dict[str, Value]] = {
        "off": {"l2": 0.0, "dropout": 0.0},
        "min": {"l2": 0.1, "dropout": 0.2},
        "without:l2": {"l2": 0.0, "dropout": 0.2},
        "without:dropout": {"l2": 0.1, "dropout": 0.0},
    }
    table: dict[str, list[float | str]] = {
        "off": [4.0, 5.0, 6.0],
        "min": [1.0, 2.0, 3.0],
        "without:l2": [2.9, 4.0, 5.1],
        "without:dropout": [1.1, 2.0, 3.1],
    }
    rows, cands = confirm(table, configs)
    by_name = {one.name: one for one in answer(rows, [L2, DROPOUT], cands, simplify=["dropout"]).lambdas}
    assert by_name["l2"].without is not None and by_name["dropout"].without is not None
    assert by_name["l2"].without.mean == pytest.approx(2.0)
    assert by_name["l2"].without.high == pytest.approx(2 + 4.302653 * 0.1 / math.sqrt(3))
    assert by_name["dropout"].without.mean == pytest.approx(0.2 / 3)


def test_an_arm_without_a_lambda_is_chosen_only_where_it_is_the_best() -> None:
    configs: dict[str, dict[str, Value]] = {
        "off": {"l2": 0.0, "dropout": 0.0},
        "min": {"l2": 0.1, "dropout": 0.2},
        "without:l2": {"l2": 0.0, "dropout": 0.2},
        "low:l2": {"l2": 0.03, "dropout": 0.2},
        "high:l2": {"l2": 0.3, "dropout": 0.2},
    }
    alike: dict[str, list[float | str]] = {"off": [4.0, 5.0, 6.0], "min": [1.0, 2.0, 3.0], "without:l2": [0.9, 2.0, 3.05]}
    sides: dict[str, list[float | str]] = {"low:l2": [1.5, 2.5, 3.6], "high:l2": [1.5, 2.6, 3.5]}
    rows, cands = confirm({**alike, **sides}, configs)
    assert answer(rows, [L2, DROPOUT], cands).arm == "min"  # within one SE: more regularized wins
    rows, cands = confirm({**alike, **sides, "without:l2": [0.5, 1.5, 2.4]}, configs)
    found = answer(rows, [L2, DROPOUT], cands)
    assert found.arm == "without:l2"
    assert "off the range" in found.lambdas[0].warning  # 0 has no place on a log axis


def test_an_off_arm_next_to_the_minimum_does_not_bend_the_curve() -> None:
    # Off β = 1 beside min 1.05: one noise apart, which as a slope would plunge far below every arm on one side.
    configs: dict[str, dict[str, Value]] = {
        arm: {"beta": x} for arm, x in (("off", 1.0), ("min", 1.05), ("edge", 1.6), ("low", 0.3), ("high", 5.0))
    }
    scores = {
        "off": [10.6, 11.6, 12.7],
        "min": [10.0, 11.1, 12.0],
        "edge": [10.4, 11.4, 12.3],
        "low": [11.2, 12.3, 13.2],
        "high": [12.0, 13.0, 14.1],
    }
    rows, cands = confirm(scores, configs)
    found = answer(rows, [BETA], cands)
    assert min(found.curve["beta"]["mean"]) > 10.9  # the lowest arm has 11.03
    assert "off" not in {point["arm"] for point in found.curve["beta"]["points"]}
    apart = {**configs, "off": {"beta": 0.6}}
    rows, cands = confirm(scores, apart)
    assert "off" in {point["arm"] for point in answer(rows, [BETA], cands).curve["beta"]["points"]}


# ------------------------------------------------------------------------------------------------ known truths, many sweeps

SWEEPS = 160


def simulated_sweep(curve: Curve, seed: int, sd: float = 0.1, seeds: int = 5, cands: list[Candidate] | None = None) -> Answer:
    """A search, then a confirmation whose seeds share a large common part (paired noise)."""
    rows = simulated_search(curve, 24, seed, sd)
    rng = np.random.default_rng([seed, 1])
    cands = cands or candidates(rows, [L2], fixed={})
    for draw in range(seeds):
        common = 10 + 0.5 * rng.normal()
        for one in cands:
            score = common + curve(float(one.config["l2"])) + sd * rng.normal()
            rows.append(Row(len(rows), "confirm", one.arm, one.config, 100 + draw, "complete", score))
    return answer(rows, [L2], cands)


@cache
def sweeps(gain: float | None, sd: float) -> list[Answer]:
    """Many sweeps of a known curve: a parabola that gains `gain` at λ = 0.1, or (None) a λ that does nothing."""
    curve = parabola(gain) if gain is not None else (lambda value: 0.0)
    found = []
    for block in range(SWEEPS // 20):  # one search for twenty confirmations: what is tested is the confirmation
        cands = candidates(simulated_search(curve, 24, block, sd), [L2], fixed={})
        found += [simulated_sweep(curve, 20 * block + i, sd, cands=cands) for i in range(20)]
    return found


def test_the_effects_interval_holds_the_truth_though_the_arm_was_chosen_with_the_same_seeds() -> None:
    for gain, sd in ((0.3, 0.1), (0.3, 0.4)):
        truth = [-parabola(gain)(float(one.best["l2"])) for one in sweeps(gain, sd)]
        held = np.mean([one.effect.low <= d <= one.effect.high for one, d in zip(sweeps(gain, sd), truth, strict=True)])
        assert held >= 0.95


def test_a_lambda_that_does_nothing_rarely_helps_or_hurts() -> None:
    said = Counter(one.verdict for one in sweeps(None, 0.1))
    assert said[Verdict.HELPS] <= 0.05 * SWEEPS
    assert said[Verdict.HURTS] <= 0.05 * SWEEPS


def test_a_lambda_that_helps_much_is_found() -> None:
    assert np.mean([one.verdict is Verdict.HELPS for one in sweeps(0.3, 0.02)]) > 0.95


@pytest.mark.parametrize("sd", [0.02, 0.1, 0.4])
def test_the_interval_of_lambda_holds_the_best_lambda(sd: float) -> None:
    ones = [one.lambdas[0] for one in sweeps(0.3, sd)]
    held = [(one.low <= 0.1 or one.open_low) and (one.high >= 0.1 or one.open_high) for one in ones]
    assert np.mean(held) >= 0.9


def test_the_interval_of_lambda_narrows_as_noise_falls() -> None:
    width = {sd: np.median([math.log10(one.lambdas[0].high / one.lambdas[0].low) for one in sweeps(0.3, sd)]) for sd in (0.02, 0.1)}
    assert width[0.02] < 0.7 * width[0.1]


def test_the_promise_holds_for_a_new_seed() -> None:
    rng = np.random.default_rng(0)
    held = []
    for one in sweeps(0.3, 0.1):
        new = 10 + 0.5 * rng.normal() + parabola(0.3)(float(one.recommended["l2"])) + 0.1 * rng.normal()
        held.append(one.promise.low <= new <= one.promise.high)
    assert 0.91 <= np.mean(held) <= 0.99


# ------------------------------------------------------------------------------------------------ invariances


@settings(max_examples=6)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(seed: int, shuffle: random.Random) -> None:
    rows = simulated_search(parabola(0.3), 20, seed)
    cands = candidates(rows, [L2], fixed={})
    more, _ = confirm(
        {arm: [float(x) for x in np.random.default_rng(seed).normal(size=3)] for arm in by_arm(cands)}, {c.arm: c.config for c in cands}
    )
    rows += [Row(100 + row.number, row.phase, row.arm, row.config, row.seed, row.state, row.score) for row in more]
    mixed = list(rows)
    shuffle.shuffle(mixed)
    assert candidates(mixed, [L2], fixed={}) == cands
    assert answer(mixed, [L2], cands).to_dict() == answer(rows, [L2], cands).to_dict()


tables = st.lists(st.lists(st.integers(-50, 50), min_size=4, max_size=4), min_size=5, max_size=5)


def scaled(table: list[list[int]], shift: float, scale: float, margin: float) -> Answer:
    return ask({arm: [100 + shift + scale * x for x in values] for arm, values in zip(FIVE, table, strict=True)}, margin=margin)


@settings(max_examples=20)
@given(tables, st.sampled_from([-64.0, 32.0, 1024.0]))
def test_a_constant_added_to_all_scores_changes_no_effect(table: list[list[int]], shift: float) -> None:
    # Without a margin: δ is a fraction of the off arm's score, the one thing that may depend on the origin.
    one, other = scaled(table, 0.0, 1.0, 0.0), scaled(table, shift, 1.0, 0.0)
    assert (one.arm, one.verdict) == (other.arm, other.verdict)
    assert (one.effect.low, one.effect.high) == pytest.approx((other.effect.low, other.effect.high), abs=1e-8)


@settings(max_examples=20)
@given(tables)
def test_the_unit_of_the_score_changes_neither_choice_nor_verdict(table: list[list[int]]) -> None:
    # A power of two scales floating point numbers exactly. 100·3 keeps the ratio to the origin.
    one, other = scaled(table, 0.0, 1.0, 0.01), scaled(table, 300.0, 4.0, 0.01)
    assert (one.arm, one.verdict) == (other.arm, other.verdict)
    assert other.effect.mean == pytest.approx(4 * one.effect.mean)
    assert [(x.low, x.high) for x in other.lambdas] == [(x.low, x.high) for x in one.lambdas]


def test_importing_selection_loads_no_heavy_library() -> None:
    heavy = "torch ray optuna mlflow sklearn scipy matplotlib sqlalchemy"
    read = "import sys, search.choosing.verdict, search.telling.lambda_curve"
    code = f"{read}; print([name for name in {heavy.split()!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_one_confirmed_value_has_no_interval_and_none_is_told() -> None:
    found = ask({"off": [3.0, 3.1, 3.2], "min": [2.0, 2.2, 2.1]})
    assert found.lambdas[0].interval() == "[interval unknown]" and "l2 = 0.1 [interval unknown] improves" in found.sentence()
    assert Answer.from_dict(found.to_dict()).lambdas[0].interval() == "[interval unknown]"


def test_a_harmful_lambda_is_told_without_the_values_as_good_as_it() -> None:
    found = ask({"off": [2.0, 2.1, 2.2], "min": [3.0, 3.2, 3.1]})
    assert found.verdict is Verdict.HURTS and found.sentence().startswith("l2 = 0.1 worsens")
