"""What stands beside an answer: importance, interaction, the last third of the search, a simpler config, and how they are said."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.base import Knob, Value
from search.choosing import insight
from search.choosing.answer import Answer, Row
from search.choosing.arms import Arm
from search.choosing.beside import Beside, Expected, Importance, Interaction, Simpler
from search.choosing.trainings import trainings
from search.choosing.words import number as written
from search.modelling.surface import Surface
from search.telling.text.beside import (
    beside_lines,
    cost_lines,
    importance_text,
    interaction_text,
    last_third_text,
    luck_line,
    plan_text,
)
from tests.search.simulated import BETA, L2, LR
from tests.search.test_display import answer

Truth = Callable[[Mapping[str, Value]], float]
WIDE_L2 = replace(L2, low=1e-4, high=1e-1)


def searched(truth: Truth, knobs: list[Knob], count: int = 24, sd: float = 0.05, seed: int = 0) -> list[Row]:
    """A search over the ranges; every sixth member has all λ off."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(count):
        config: dict[str, Value] = {}
        for knob in knobs:
            assert knob.low is not None and knob.high is not None
            off = knob.is_lambda and number % 6 == 0
            config[knob.name] = float(knob.off or 0.0) if off else knob.low * (knob.high / knob.low) ** float(rng.uniform())
        score = truth(config) + sd * float(rng.normal())
        rows.append(Row(number, "search", "search" if number % 6 else "off", config, 7, "complete", score, epochs=10))
    return rows


def surface(rows: list[Row], knobs: list[Knob]) -> Surface:
    found = Surface.of(trainings(rows), knobs)
    assert found is not None
    return found


def decades(config: Mapping[str, Value], name: str, best: float) -> float:
    value = float(config[name])
    return math.log10(value / best) if value > 0 else -3.0


def by_lr(config: Mapping[str, Value]) -> float:
    return 10 + decades(config, "lr", 3e-3) ** 2


def test_a_knob_without_effect_is_near_0_and_all_shares_make_1() -> None:
    knobs = [L2, LR]
    rows = searched(by_lr, knobs)
    (found,) = insight.importance(surface(rows, knobs), rows, knobs)
    assert found.shares["l2"] < 0.05 < 0.7 < found.shares["lr"]
    assert sum(found.shares.values()) + found.together + found.luck == pytest.approx(1)
    assert set(found.ped_anova) <= {"l2", "lr"}


def test_where_nothing_has_an_effect_all_is_luck() -> None:
    knobs = [L2, LR]
    rows = searched(lambda config: 10.0, knobs, sd=1.0)
    (found,) = insight.importance(surface(rows, knobs), rows, knobs)
    assert found.luck > 0.8 and max(found.shares.values()) < 0.1


def test_what_only_two_knobs_together_explain_is_said_as_such() -> None:
    knobs = [BETA, LR]
    rows = searched(lambda config: 10 + decades(config, "beta", 1.0) * (decades(config, "lr", 10**-2.5)), knobs, count=60)
    (found,) = insight.importance(surface(rows, knobs), rows, knobs)
    assert found.together > 0.5 and max(found.shares.values()) < 0.2


def test_importance_is_not_said_of_few_members() -> None:
    knobs = [L2, LR]
    rows = searched(by_lr, knobs)
    few = [replace(row, state="failed", score=None) if row.number >= 7 else row for row in rows]
    assert insight.importance(surface(few, knobs), few, knobs) == []
    assert insight.importance(None, rows, knobs) == []


def test_of_members_that_were_stopped_early_only_that_is_said_which_the_others_say_too() -> None:
    """Stopped members seem to say that l2 matters, because it slows training; the members that completed say that lr does."""
    knobs = [L2, LR]
    rows = searched(by_lr, knobs, count=48)
    slow = [
        replace(row, state="stopped", score=None, rung_score=10 + max(0.0, decades(row.config, "l2", 0.001)), epochs=2)
        if row.number % 3
        else replace(row, curve={2: row.score or 0.0, 10: row.score or 0.0})
        for row in rows
    ]
    kept = [row for row in slow if row.state == "complete"]
    (sound,) = insight.importance(surface(kept, knobs), kept, knobs)
    assert sound.shares["l2"] < 0.1 < sound.shares["lr"]
    everybody = surface(slow, knobs)
    assert all(one.shares["l2"] < 0.1 for one in insight.importance(everybody, slow, knobs))
    # Were everybody believed, it would be said that l2 matters.
    (believed,) = insight.importance(everybody, [replace(row, state="failed") if row.state == "stopped" else row for row in slow], knobs)
    assert believed.shares["l2"] > 0.1


def test_where_each_lambda_was_searched_alone_there_is_one_importance_for_each() -> None:
    knobs = [L2, BETA, LR]
    rows = searched(by_lr, knobs)
    found = insight.importance(surface(rows, knobs), rows, knobs, alone=True)
    assert [one.alone for one in found] == ["l2", "beta"]
    assert [set(one.shares) for one in found] == [{"l2", "lr"}, {"beta", "lr"}]


def arm(name: str, config: dict[str, Value], scores: list[float]) -> Arm:
    return Arm(name, config, dict(enumerate(scores)), (), {})


@settings(max_examples=25)
@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.floats(-3, 3))
def test_the_interaction_is_what_both_gain_beyond_the_sum_paired_by_seed(seeds: list[float], extra: float) -> None:
    # Gains 1 and 2 alone, 3 + extra together; what a seed gives to all four arms cancels.
    on, off = {"l2": 0.1, "beta": 2.0}, {"l2": 0.0, "beta": 1.0}
    best = arm("min", {**on}, [10 - 3 - extra + seed for seed in seeds])
    arms = {
        "without:l2": arm("without:l2", {**on, "l2": 0.0}, [10 - 2 + seed for seed in seeds]),
        "without:beta": arm("without:beta", {**on, "beta": 1.0}, [10 - 1 + seed for seed in seeds]),
    }
    (found,) = insight.interactions(None, [L2, BETA], arms, arm("off", {**off}, [10 + seed for seed in seeds]), best)
    assert (found.first, found.second, found.seeds) == ("l2", "beta", 4)
    assert (found.mean, found.low, found.high) == pytest.approx((extra, extra, extra), abs=1e-9)


def test_a_lambda_that_is_off_in_the_best_config_interacts_with_nothing() -> None:
    best = arm("min", {"l2": 0.0, "beta": 2.0}, [1.0, 2.0])
    assert insight.interactions(None, [L2, BETA], {}, arm("off", {"l2": 0.0, "beta": 1.0}, [2.0, 3.0]), best) == []


def test_without_seeds_the_surface_says_how_two_lambda_interact() -> None:
    def truth(config: Mapping[str, Value]) -> float:
        a, b = decades(config, "l2", 0.1), decades(config, "beta", 3.0)
        return 10 + 0.3 * a * a + b * b + 0.8 * a * b

    rng, knobs = np.random.default_rng(1), [L2, BETA]
    rows = searched(truth, knobs, count=40)
    for number in range(40, 52):  # some members with one λ on, as `without:<λ>` has them
        l2, beta = float(10 ** rng.uniform(-3, 1)), float(10 ** rng.uniform(-1, 1))
        config: dict[str, Value] = {"l2": 0.0, "beta": beta} if number % 2 else {"l2": l2, "beta": 1.0}
        rows.append(Row(number, "search", "search", config, 7, "complete", truth(config) + 0.05 * float(rng.normal())))
    best: dict[str, Value] = {"l2": 0.1, "beta": 3.0}
    found = insight.by_surface(surface(rows, knobs), best, L2, BETA)
    exact = truth({"l2": 0.0, "beta": 3.0}) + truth({"l2": 0.1, "beta": 1.0}) - truth(best) - truth({"l2": 0.0, "beta": 1.0})
    assert found.low <= exact <= found.high and found.high - found.low < 3 and found.seeds == 0


def test_the_last_third_bought_what_its_members_found() -> None:
    knobs = [L2, LR]
    rows = searched(by_lr, knobs)
    # The first two thirds only saw learning rates that are far too large.
    far = [replace(row, config={**row.config, "lr": 0.1}) for row in rows[:16]]
    early = [replace(row, score=by_lr(row.config) + 0.01 * row.number) for row in far]
    whole = [*early, *rows[16:]]
    bought = insight.last_third(surface(whole, knobs), whole, knobs, [L2])
    assert bought is not None and bought.mean > 0.5 and 0 < bought.sd < bought.mean
    few = rows[:2]
    assert insight.last_third(surface(whole, knobs), few, knobs, [L2]) is None


def test_where_the_first_two_thirds_choose_the_same_the_last_third_bought_nothing() -> None:
    rows = searched(lambda config: 10 + decades(config, "l2", 0.1) ** 2, [L2], sd=0.0)
    bought = insight.last_third(surface(rows, [L2]), rows, [L2], [L2])
    assert bought is not None and abs(bought.mean) < 0.05


def test_a_flat_curve_offers_more_regularization_and_says_what_it_costs() -> None:
    def truth(config: Mapping[str, Value]) -> float:
        return 10 + 0.2 * max(0.0, decades(config, "l2", 1.0)) ** 2 + 0.3 * max(0.0, -decades(config, "l2", 0.01)) ** 2

    fitted = surface(searched(truth, [L2], sd=0.1), [L2])
    offered = insight.simpler(fitted, {"l2": 0.02}, [L2], [L2])
    assert offered is not None and float(offered.lambdas["l2"]) > 0.05
    excess, sd = fitted.excess([dict(offered.lambdas)], {"l2": 0.02})
    assert excess[0] <= 1.1 * sd[0]
    loss, luck = offered.loss, insight._luck(fitted, {"l2": 0.02})
    assert loss.mean + loss.sd <= luck < 0.15 and truth(offered.lambdas) - 10 < 0.1, "the end of the range, which loses 0.2, is no offer"
    farther = insight.simpler(fitted, {"l2": 0.02}, [L2], [L2], margin=1.0)
    assert farther is not None and float(farther.lambdas["l2"]) == 10.0, "who does not mind to lose as much is offered more"
    assert insight.simpler(fitted, {"l2": 0.02}, [L2], [L2], margin=math.nan) == offered, "a margin that is not known counts for nothing"
    assert insight.simpler(fitted, {"l2": 10.0}, [L2], [L2]) is None  # there is nothing beyond the end of the range
    assert insight.simpler(None, {"l2": 0.02}, [L2], [L2]) is None


@pytest.mark.parametrize(
    ("value", "known_to", "said"),
    [
        (2.2502892e28, math.inf, "2.25e+28"),
        (-2.2502892e28, 1e27, "−2.25e+28"),
        (27e6, math.inf, "2.70e+07"),
        (1234567.8, 1000.0, "1.2346e+06"),
        (999_999.0, math.inf, "999,999"),
        (12_345.6, 1.0, "12,345.6"),
    ],
)
def test_a_huge_number_is_written_with_an_exponent(value: float, known_to: float, said: str) -> None:
    assert written(value, known_to) == said


FULL = Beside(
    [Importance({"lr": 0.66, "beta": 0.15}, 0.04, 0.15, "", {"lr": 0.9, "beta": 0.1})],
    [Interaction("l2", "dropout", -0.3, -0.5, -0.1, 8, 0.02), Interaction("l2", "beta", 0.1, -0.2, 0.4, 0, math.nan)],
    Expected(0.02, 0.03),
    Simpler({"beta": 1.2}, Expected(0.01, 0.02)),
    {
        "planned": {"members": 48, "epochs": 960, "workers": 2, "expected_epochs": 700.0, "seconds": 60.0, "width": 0.1, "unit": "val_x"},
        "came": {"members": 46, "epochs": 703, "seconds": 47.0, "width": 0.097},
    },
)


def test_what_stands_beside_is_stored_and_an_older_answer_has_nothing() -> None:
    whole = answer(beside=FULL)
    stored = json.loads(json.dumps(whole.to_dict(), allow_nan=False))
    again = Answer.from_dict(stored)
    assert again.to_dict() == whole.to_dict()
    assert again.beside.last_third == FULL.last_third and again.beside.simpler == FULL.simpler
    del stored["beside"]
    assert Answer.from_dict(stored).beside == Beside()


def test_the_sign_of_an_interaction_is_a_word() -> None:
    less, more = FULL.interactions
    assert interaction_text(less) == "l2 and dropout: together 0.3 less than the sum of both [0.1, 0.5] (8 paired seeds)"
    assert interaction_text(more) == "l2 and beta: together 0.1 more than the sum of both [−0.2, 0.4]; that may be chance (by the fit)"
    assert "2 % of the variance" in interaction_text(less, details=True)


def test_the_printed_answer_has_one_line_for_each_and_show_has_all() -> None:
    whole = answer(beside=FULL)
    brief, details = [dict(beside_lines(whole, each) + cost_lines(whole, each)) for each in (False, True)]
    assert list(brief) == ["or simpler", "together", "importance", "cost", "last third", "plan"]
    assert brief["or simpler"].startswith("beta = 1.2: more regularized") and "lose 0.01 ± 0.02" in brief["or simpler"]
    assert brief["importance"].startswith("lr 66 %, beta 15 %; only together 4 %, luck of seeds or doubt 15 %")
    assert "spent: search" in details and "first-order Sobol shares" in details["importance"]
    assert len([title for title, _ in beside_lines(whole, True) if title == "together"]) == 2
    assert beside_lines(answer()) == []  # an older answer


def test_one_knob_needs_no_line_of_importance_and_many_are_cut() -> None:
    one = answer(beside=Beside([Importance({"l2": 0.8}, 0.0, 0.2)]))
    assert beside_lines(one) == [] and len(beside_lines(one, details=True)) == 1
    many = Importance({f"k{place}": 0.1 for place in range(7)}, 0.1, 0.2)
    assert ", 3 more; " in importance_text(many, 4) and "k6" in importance_text(many, None)


@pytest.mark.parametrize(
    ("bought", "words"),
    [
        (Expected(0.0274, 0.0288), "bought 0.027 ± 0.029: by the fit the first two thirds would have chosen a config that much worse"),
        (Expected(-0.02, 0.03), "bought nothing: by the fit the config of the first two thirds is better by 0.02 ± 0.03"),
        (Expected(0.0, 0.0), "bought nothing: the first two thirds choose the same config"),
        (Expected(math.inf, math.nan), "likely lost"),
        (Expected(0.0088, 11000.0), "nothing that the fit can tell (0.0088 ± 11,000)"),
    ],
)
def test_the_last_third_is_told_as_it_is(bought: Expected, words: str) -> None:
    assert words in last_third_text(bought)


def test_the_plan_stands_beside_what_came() -> None:
    assert plan_text(FULL.plan) == (
        "planned: at most 48 members and 960 epochs (700 expected), about 60 s, width 0.1 val_x; "
        "came: 46 members, 703 epochs, 47 s, width 0.097"
    )
    unknown = {"planned": {"members": 48, "epochs": 960, "workers": 2, "seconds": None, "width": None}}
    assert plan_text(unknown) == "planned (no earlier sweep of this kind says how long): at most 48 members and 960 epochs"


def test_the_luck_of_the_search_is_a_statement_with_two_numbers() -> None:
    (told,) = luck_line(answer(luckiest=100.0))
    assert told == ("luck", "a tuner would have promised 100.0, its luckiest training; of the exported config expect 101.5")
    assert luck_line(answer(luckiest=102.0)) == []  # nobody was lucky
