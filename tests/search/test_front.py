"""The front of several metrics: closed forms of what is said of it, and which arms come to it."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import t as student

from objectives.base import Value
from search.choosing import front
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.findings import Front
from search.choosing.verdict import answer as verdict
from search.spec.constraints import constraint
from search.spec.several import HIGHER, LOWER, Asked
from search.telling.pictures.front import draw
from tests.search.simulated import L2

pytestmark = pytest.mark.turns(2)

ASKED = (Asked("risk"), Asked("gain", HIGHER))
FINAL, SCREEN = (11, 12, 13, 14), (1, 2)
quick = settings(max_examples=25, deadline=None)
whole = st.integers(-3, 3).map(float)


def points(low: int, high: int, metrics: int | None = None) -> Any:
    """Arrays (points, metrics) of small whole numbers, so that ties are common."""
    width = st.just(metrics) if metrics else st.integers(1, 4)
    return st.tuples(st.integers(low, high), width).flatmap(lambda shape: arrays.arrays(np.float64, shape, elements=whole))


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


# Closed forms -----------------------------------------------------------------------------------------------------------------------------


@quick
@given(points(0, 7))
def test_undominated_is_what_its_definition_says(values: Any) -> None:
    found = front.undominated(values).tolist()
    assert found == [not any(dominates(other, one) for other in values) for one in values]
    assert not len(values) or any(found)


@quick
@given(points(1, 6), st.integers(0, 10_000))
def test_the_front_does_not_depend_on_the_order_or_on_the_units(values: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order, scale = rng.permutation(len(values)), rng.uniform(0.1, 9, values.shape[1])
    assert (front.undominated(values[order] * scale + 1) == front.undominated(values)[order]).all()


def test_a_hypervolume_is_an_area_and_a_volume() -> None:
    assert front.hypervolume(np.array([[1.0, 2.0]]), np.array([4.0, 4.0])) == 6
    assert front.hypervolume(np.array([[1.0, 3.0], [2.0, 1.0]]), np.array([4.0, 4.0])) == 3 + 6 - 2  # two rectangles and what they share
    assert front.hypervolume(np.array([[0.0, 0.0, 0.0]]), np.array([1.0, 2.0, 3.0])) == 6
    assert front.hypervolume(np.array([[5.0, 0.0]]), np.array([4.0, 4.0])) == 0, "it lies beyond the reference"
    assert front.hypervolume(np.zeros((0, 2)), np.ones(2)) == 0


@quick
@given(points(0, 6, 2) | points(0, 5, 3))
def test_a_hypervolume_is_the_number_of_unit_cubes_that_are_dominated(values: Any) -> None:
    reference = np.full(values.shape[1], 2.0)
    corners = itertools.product(range(-3, 2), repeat=values.shape[1])  # a cube from each corner to the next whole number
    count = sum(any(all(p <= c for p, c in zip(point, corner, strict=True)) for point in values) for corner in corners)
    assert front.hypervolume(values, reference) == pytest.approx(count)


@quick
@given(points(1, 5, 2), st.tuples(whole, whole))
def test_one_more_point_never_takes_volume_away_and_a_dominated_one_adds_none(values: Any, more: tuple[float, float]) -> None:
    reference = np.array([2.5, 2.5])
    before, after = (front.hypervolume(one, reference) for one in (values, np.vstack([values, more])))
    assert after >= before - 1e-9
    if any(dominates(one, more) for one in values):
        assert after == pytest.approx(before)


def test_of_one_arm_the_jackknife_is_the_interval_of_a_product_by_hand() -> None:
    """With one metric and one arm the volume is r − x̄. The jackknife of a mean is the mean and its t interval."""
    values = np.array([1.0, 2.0, 3.0, 6.0])[:, None, None]
    mean, low, high = front.hypervolume_interval(values, np.array([10.0]))
    half = student.ppf(0.975, 3) * np.std(values, ddof=1) / 2
    assert (mean, low, high) == pytest.approx((7, 7 - half, 7 + half))


@pytest.mark.parametrize("seed", range(3))
def test_the_jackknife_takes_off_the_bias_of_a_square(seed: int) -> None:
    """One arm with both metrics equal: the volume (r − x̄)² is too large by σ²/S on average, of which s²/S is the estimate."""
    values = np.random.default_rng(seed).normal(0, 1, (5, 1, 1)).repeat(2, axis=2)
    corner = np.array([8.0, 8.0])
    plain, mended = front.hypervolume(values.mean(axis=0), corner), front.hypervolume_interval(values, corner)[0]
    assert plain - mended == pytest.approx(values[:, 0, 0].var(ddof=1) / 5)


@quick
@given(st.integers(0, 10_000), st.integers(0, 4))
def test_a_hypervolume_lies_in_its_interval_and_is_not_negative(seed: int, arms: int) -> None:
    values = np.random.default_rng(seed).normal(1, 2, (3, arms, 2))
    mean, low, high = front.hypervolume_interval(values, np.array([0.5, 0.5]))
    assert 0 <= low <= mean <= high


def test_the_probability_of_a_point_is_that_of_its_difference() -> None:
    """Two arms, alike in one metric: an arm is undominated where its mean is the lower one. By the bootstrap about Φ(d/s_d)."""
    rng = np.random.default_rng(1)
    apart = rng.normal(0.5, 1, 12)
    values = np.stack([np.stack([apart, np.zeros(12)], 1), np.zeros((12, 2))], 1)
    worse, better = front.probabilities(values)
    share = student.cdf(-apart.mean() / (apart.std(ddof=1) / math.sqrt(12)), 11)
    assert worse == pytest.approx(share, abs=0.03) and worse + better == pytest.approx(1)
    assert front.probabilities(np.zeros((3, 0, 2))).shape == (0,)


def test_the_smallest_is_the_best_second_metric_within_one_paired_standard_error() -> None:
    seeds, luck = np.arange(4.0), np.array([0.1, -0.1, 0.1, -0.1])
    apart = luck.std(ddof=1) / 2
    for excess, kept in ((0.9 * apart, 1), (1.1 * apart, 0)):
        rows = np.array([[[s, 9.0], [s + excess + e, 5.0], [s + 50, 0.0]] for s, e in zip(seeds, luck, strict=True)])
        assert front.smallest(rows) == kept, "what all arms of a seed share is no doubt"
    alike = np.array([[[s, 1.0], [s, 1.0]] for s in seeds])
    assert front.smallest(alike) == 0


@quick
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 5))
def test_the_smallest_is_never_worse_in_the_second_metric_than_the_best(seed: int, seeds: int, arms: int) -> None:
    values = np.random.default_rng(seed).normal(size=(seeds, arms, 2))
    means, found = values.mean(axis=0), front.smallest(values)
    assert means[found, 1] <= means[np.argmin(means[:, 0]), 1]


@pytest.mark.parametrize("metrics", [2, 3, 4])
def test_weights_lie_on_the_simplex_and_begin_with_the_other_metrics(metrics: int) -> None:
    found = np.array(front.weights(metrics, 9))
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found))) and (found >= 0).all()
    assert (found[: metrics - 1] == np.eye(metrics)[1:]).all() and len(found) == metrics - 1 + 9
    assert metrics > 2 or (len(np.unique(found, axis=0)) == len(found) and found[1] == pytest.approx([0.5, 0.5], abs=0.06))


# From members to the front ----------------------------------------------------------------------------------------------------------------

Means = Mapping[str, tuple[float, float]]


def confirmed(means: Means, seeds: Sequence[int] = FINAL, sd: float = 0.01, **metrics: Mapping[str, float]) -> list[Row]:
    """Members of these arms, whose two values are means with what a seed gives to all arms. The second one is better when it is larger."""
    rows: list[Row] = []
    for arm, (risk, gain) in means.items():
        for place, seed in enumerate(seeds):
            luck = sd * (-1) ** place
            own = {name: by_arm[arm] for name, by_arm in metrics.items()}
            numbers = {"gain": gain + luck, **own}
            config: dict[str, Value] = {"l2": LEVEL[arm]}
            rows.append(
                Row(
                    len(rows),
                    "confirm",
                    arm,
                    config,
                    seed,
                    "complete",
                    risk + luck,
                    metrics=numbers,
                    others=(-gain - luck,),
                    other_curves=({},),
                )
            )
    return rows


LEVEL = {"off": 0.0, "min": 0.1, "front-1": 1.0, "front-2": 5.0, "front-3": 9.0}
FOUR: Means = {"off": (3.0, 1.0), "min": (1.0, 2.0), "front-1": (2.0, 4.0), "front-2": (2.5, 3.0)}


def arms(means: Means) -> list[Candidate]:
    return [Candidate(arm, {"l2": LEVEL[arm]}, "", seeds=len(FINAL)) for arm in means]


@cache
def plain() -> Answer:
    return verdict(confirmed(FOUR), [L2], arms(FOUR), seeds=set(FINAL))


def with_front(rows: list[Row], means: Means, constraints: Any = ()) -> Answer:
    return front.with_front(plain(), rows, arms(means), ASKED, set(FINAL), constraints)


def the_front(rows: list[Row], means: Means = FOUR, constraints: Any = ()) -> Front:
    found = with_front(rows, means, constraints).front
    assert found is not None
    return found


def test_values_effects_and_corner_are_in_each_metrics_own_direction() -> None:
    found = the_front(confirmed(FOUR))
    assert [one.arm for one in found.points if one.front] == ["min", "front-1"] and found.seeds == 4
    assert found.metrics == {"risk": LOWER, "gain": HIGHER}
    off, best = found.point("off"), found.point("min")
    assert off is not None and best is not None and off.effects == {}
    assert best.values["gain"].low < 2.0 < best.values["gain"].high and best.values["gain"].mean == pytest.approx(2.0)
    assert (best.effects["risk"].mean, best.effects["gain"].mean) == pytest.approx((2, 1)), "a gain is positive in both"
    assert {one.comparisons for one in best.effects.values()} == {2 * 3}
    assert found.reference == pytest.approx({"risk": 3.2, "gain": 0.7}), "a tenth of the range beyond the worst"
    assert found.hypervolume.mean == pytest.approx((3.2 - 1) * (2 - 0.7) + (3.2 - 2) * (4 - 2), abs=1e-3)
    assert found.beside == "min"


def test_what_lambda_buys_is_what_a_point_of_the_front_surely_gains() -> None:
    assert the_front(confirmed(FOUR)).bought == ["gain"]
    weaker: Means = {arm: (risk, -gain) for arm, (risk, gain) in FOUR.items()}
    assert the_front(confirmed(weaker), weaker).bought == []
    dominated: Means = {"off": (1.0, 1.0), "min": (1.5, 3.0), "front-1": (2.0, 2.0)}
    assert [one.arm for one in the_front(confirmed(dominated), dominated).points if one.front] == ["off", "min"]


def test_the_corner_is_fixed_by_the_first_round_where_there_is_one() -> None:
    early = confirmed({arm: (2 * risk, gain - 1) for arm, (risk, gain) in FOUR.items()}, SCREEN)
    assert the_front(early + confirmed(FOUR)).reference == pytest.approx({"risk": 6.4, "gain": -0.3})


def test_arms_that_break_a_constraint_are_no_points_of_the_front_and_dominate_nobody() -> None:
    sizes = {"off": 1.0, "min": 1.0, "front-1": 9.0, "front-2": 1.0}
    found = the_front(confirmed(FOUR, size=sizes), constraints=(constraint("size", "<= 5"),))
    assert [one.arm for one in found.points if one.front] == ["min", "front-2"], "front-1 had dominated front-2"
    broken = found.point("front-1")
    assert broken is not None and broken.broken == ["size <= 5"] and broken.undominated == 0
    assert "front-1" not in found.words() and found.beside == "min"
    whole = the_front(confirmed(FOUR, size=sizes))
    assert found.hypervolume.mean < whole.hypervolume.mean and found.reference == whole.reference


def test_where_all_break_a_constraint_the_front_is_empty_and_says_so() -> None:
    rows = confirmed(FOUR, size=dict.fromkeys(FOUR, 9.0))
    said = with_front(rows, FOUR, (constraint("size", "<= 5"),))
    assert said.front is not None and not any(one.front or one.undominated for one in said.front.points)
    assert (said.front.hypervolume.mean, said.front.hypervolume.high, said.front.beside) == (0, 0, "")
    assert said.front.words() == "The front of risk and gain is empty: no confirmed arm keeps to the constraints."
    assert any("the front is empty" in note for note in said.notes)


def test_an_arm_that_lost_most_of_its_seeds_is_not_compared_and_a_lost_seed_is_counted() -> None:
    def lost(arm: str, count: int) -> list[Row]:
        rows = confirmed(FOUR)
        mine = [row.number for row in rows if row.arm == arm][:count]
        return [replace(row, state="diverged", score=None, others=(None,)) if row.number in mine else row for row in rows]

    assert the_front(lost("front-1", 3)).point("front-1") is None
    one = the_front(lost("front-1", 2))
    assert one.seeds == 2 and (point := one.point("front-1")) is not None and point.lost == 2
    rows = [row for row in lost("min", 0) if row.seed == FINAL[0] or row.arm == "off"]
    assert with_front(rows, FOUR).front is None and "no front" in with_front(rows, FOUR).notes[-1]


def test_a_front_survives_its_json_and_an_answer_without_one_is_as_it_always_was() -> None:
    said = with_front(confirmed(FOUR), FOUR)
    assert Answer.from_dict(json.loads(json.dumps(said.to_dict()))) == said
    stored = plain().to_dict()
    assert "front" not in stored and Answer.from_dict(stored).front is None
    old = said.to_dict()
    for point in old["front"]["points"]:
        del point["broken"]  # as it was before a front knew of constraints
    assert Answer.from_dict(old) == said


@pytest.mark.renders
def test_the_picture_says_what_each_colour_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    said: list[list[str]] = []
    legend = Figure.legend

    def seen(self: Figure, handles: Any, labels: Any, **style: Any) -> Any:
        said.append(list(labels))
        return legend(self, handles, labels, **style)

    monkeypatch.setattr(Figure, "legend", seen)
    means = {**FOUR, "front-3": (9.0, 0.0)}
    found = with_front(confirmed(means), means)
    assert found.front is not None
    for arm, kinds in (("off", ["λ off, recommended", "on the front"]), (found.front.beside, ["λ off", "recommended"])):
        draw(replace(found, recommended_arm=arm), found.front, confirmed(means), tmp_path / "front.png")
        assert set(kinds) | {"front", "search", "not on the front"} <= set(said[-1]) and len(set(said[-1])) == len(said[-1])


@quick
@given(st.integers(0, 10_000))
def test_every_point_is_on_the_front_or_dominated_by_one_that_keeps_to_the_constraints(seed: int) -> None:
    rng = np.random.default_rng(seed)
    means = {arm: (float(rng.integers(1, 5)), float(rng.integers(1, 5))) for arm in LEVEL}
    sizes = {arm: float(rng.integers(0, 2)) for arm in LEVEL}
    found = the_front(confirmed(means, size=sizes), means, (constraint("size", "<= 0.5"),))
    own = {one.arm: (one.values["risk"].mean, -one.values["gain"].mean) for one in found.points}
    good = [one for one in found.points if not one.broken]
    assert [one.arm for one in good] == [arm for arm in LEVEL if not sizes[arm]]
    for one in found.points:
        beaten = any(dominates(own[other.arm], own[one.arm]) for other in good)
        assert one.front == (one in good and not beaten)
    assert bool(found.beside) == bool(good) and 0 <= found.hypervolume.low <= found.hypervolume.mean <= found.hypervolume.high
