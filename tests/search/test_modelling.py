"""Truths about the surface of scores: the process and its equations, losses, encoding, the scale of scores, and where the minimum is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from objectives.base import Knob, Value
from search.modelling import process
from search.modelling.encoder import Encoder
from search.modelling.losses import Losses
from search.modelling.minimum import lowest, rounded
from search.modelling.process import Array, Process, Seen, fit
from search.modelling.squash import Squash
from search.modelling.surface import Surface, Training
from tests.search.simulated import ACT, BETA, DROPOUT, L2, LR

MIDDLE = np.array([[0.5]])


def seen(points: Sequence[float] | Array, scores: Sequence[float] | Array, seeds: Sequence[int] | None = None) -> Seen:
    """Trainings of one knob, or of a row of knobs each; without `seeds` every training has its own."""
    places = np.asarray(points, dtype=np.float64).reshape(len(points), -1)
    own = np.arange(len(places)) if seeds is None else np.array(seeds)
    return Seen(places, np.asarray(scores, dtype=np.float64), own, np.zeros(len(places)))


def usual(given: Seen, growing: tuple[int, ...] = ()) -> Process:
    """The process whose parameters are the likeliest before anything is seen: what is tested is what follows from given parameters."""
    means, _ = process._priors(given.points.shape[1], len(growing))
    return process._solved(given, means, growing)


def apart(one: Process, left: float, right: float) -> float:
    """The posterior standard deviation of the difference between two places."""
    (a, both), (_, b) = one.covariance(np.array([[left], [right]]))
    return math.sqrt(a + b - 2 * both)


# ------------------------------------------------------------------------------------------------ the process


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(1, 3), st.booleans())
def test_the_gradient_of_the_fit_is_that_of_finite_differences(seed: int, columns: int, grows: bool) -> None:
    rng = np.random.default_rng(seed)
    growing = (0,) if grows else ()
    points = rng.integers(0, 6, (9, columns)) / 5  # some configs more than once
    given_ = Seen(points, rng.normal(size=9), rng.integers(0, 3, 9), rng.choice([0.0, 0.1], 9))
    means, sds = process._priors(columns, len(growing))
    at, fixed = means + 0.7 * sds * rng.normal(size=len(means)), process._Fixed.of(given_)

    def value(parameters: Array) -> float:
        return process._objective(parameters, given_, fixed, means, sds, growing)[0]

    _, gradient = process._objective(at, given_, fixed, means, sds, growing)
    steps = 1e-5 * np.eye(len(at))
    assert gradient == pytest.approx([(value(at + step) - value(at - step)) / 2e-5 for step in steps], rel=1e-4, abs=1e-4)


def test_where_scores_have_no_noise_the_fit_passes_through_them() -> None:
    points = np.linspace(0.0, 1.0, 12)
    scores = np.sin(5 * points)
    found = fit(seen(points, scores))
    assert found.mean(points[:, None]) == pytest.approx(scores, abs=0.1)
    assert found.sd(points[:, None]).max() < 0.15 < found.sd(np.array([[3.0]]))[0]
    between = points[:-1, None] + 0.04
    assert found.mean(between) == pytest.approx(np.sin(5 * between[:, 0]), abs=0.1)


def test_two_trainings_of_one_config_and_one_seed_share_the_luck_of_the_seed() -> None:
    """Two trainings of two seeds tell more of a config than two of one."""
    scores = [0.3, 0.5]
    shared, own = (usual(seen([0.5, 0.5], scores, seeds)).sd(MIDDLE)[0] for seeds in ([1, 1], [1, 2]))
    assert own < shared < usual(seen([0.5], scores[:1])).sd(MIDDLE)[0]


def test_two_configs_on_the_same_seeds_are_compared_more_exactly_than_on_different_ones() -> None:
    points, scores = [0.45] * 5 + [0.55] * 5, np.linspace(-1, 1, 10)
    same, different = usual(seen(points, scores, [*range(5)] * 2)), usual(seen(points, scores))
    assert apart(same, 0.45, 0.55) < 0.95 * apart(different, 0.45, 0.55)
    assert same.sd(MIDDLE)[0] > different.sd(MIDDLE)[0]  # the level, though, is known from five seeds, and not from ten


def test_ninety_five_per_cent_of_truths_lie_within_two_standard_deviations() -> None:
    """Truths and scores drawn as the process says that they come about; each draw asks at one place."""
    rng, draws, asked = np.random.default_rng(0), 400, np.linspace(-0.2, 1.2, 7)[:, None]
    points = rng.uniform(size=(14, 1))
    found = usual(seen(points, np.zeros(14), list(rng.integers(0, 4, 14))), (0,))
    scores, _ = process._covariance(found.parameters, found.seen, process._Fixed.of(found.seen), (0,))
    across, prior = found._prior(asked, points), found._prior(asked, asked)
    root = np.linalg.cholesky(np.block([[prior, across], [across.T, scores]]) + 1e-9 * np.eye(21))
    held = 0
    for draw in range(draws):
        together = root @ rng.normal(size=21)
        truth, told = together[:7], together[7:]
        one, at = replace(found, _weights=found._inverse @ told), draw % 7
        held += abs(float(one.mean(asked)[at]) - truth[at]) < 1.96 * float(one.sd(asked)[at])
    assert binom.ppf(1e-3, draws, 0.95) <= held <= binom.ppf(1 - 1e-3, draws, 0.95)


def test_a_standard_deviation_is_the_root_of_the_diagonal_of_the_covariance() -> None:
    grid = np.linspace(0, 1, 9)[:, None]
    found = fit(seen(np.linspace(0, 1, 8), np.cos(np.arange(8))))
    assert found.sd(grid) ** 2 == pytest.approx(np.diag(found.covariance(grid)), abs=1e-8)


def test_a_score_far_from_all_others_weighs_less() -> None:
    rng, points = np.random.default_rng(1), np.linspace(0, 1, 25)
    scores = (points - 0.4) ** 2 + 0.02 * rng.normal(size=25)
    spoiled = scores.copy()
    spoiled[12] += 3.0
    given_ = seen(points, spoiled)
    found = fit(given_)
    as_all = process._solved(given_, found.parameters, ())
    at = points[[12], None]
    assert abs(found.mean(at)[0] - scores[12]) < 0.8 * abs(as_all.mean(at)[0] - scores[12])
    assert found.seen.doubts[12] == found.seen.doubts.max() > 0 == np.median(found.seen.doubts)


@settings(max_examples=20)
@given(st.floats(0, 1), st.floats(-3, 3), st.floats(0.01, 1))
def test_what_is_told_draws_the_mean_toward_it_and_makes_it_surer(place: float, score: float, noise: float) -> None:
    before = usual(seen([0.1, 0.4, 0.9], [0.5, -0.5, 1.0]))
    at = np.array([[place]])
    after = before.told(at, score, noise)
    old, new = float(before.mean(at)[0]), float(after.mean(at)[0])
    assert min(old, score) - 1e-9 <= new <= max(old, score) + 1e-9
    assert after.sd(at)[0] < before.sd(at)[0]
    assert after.parameters is before.parameters and len(before.seen.scores) == 3 and len(after.seen.scores) == 4


def test_noise_that_grows_along_a_column_is_seen_where_it_may_grow() -> None:
    rng, points = np.random.default_rng(2), np.linspace(0, 1, 60)
    scores = np.sin(3 * points) + 0.02 * np.exp(3 * points) * rng.normal(size=60)
    ends = np.array([[0.05], [0.95]])
    low, high = fit(seen(points, scores), growing=[0]).noise(ends)
    assert high > 3 * low
    low, high = fit(seen(points, scores)).noise(ends)
    assert high == low


def test_the_order_of_trainings_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    points, scores, seeds, order = rng.uniform(size=(10, 2)), rng.normal(size=10), rng.integers(0, 3, 10), rng.permutation(10)
    one, other = fit(seen(points, scores, list(seeds))), fit(seen(points[order], scores[order], list(seeds[order])))
    assert other.mean(points) == pytest.approx(one.mean(points), abs=1e-3)


# ------------------------------------------------------------------------------------------------ losses


unit = st.floats(0, 1)


@settings(max_examples=50)
@given(st.lists(st.tuples(unit, unit, st.booleans()), min_size=1, max_size=12), st.lists(st.tuples(unit, unit), min_size=1, max_size=5))
def test_a_loss_has_a_probability(trainings: list[tuple[float, float, bool]], asked: list[tuple[float, float]]) -> None:
    losses = Losses(np.array([one[:2] for one in trainings]), np.array([float(one[2]) for one in trainings]))
    found = losses.probability(np.array(asked))
    assert np.all((found > 0) & (found < 1))


def test_a_loss_is_likelier_near_losses_than_far_and_less_likely_near_what_trained() -> None:
    losses = Losses(np.array([[0.1], [0.12], [0.9]]), np.array([1.0, 1.0, 0.0]))
    near, far, sound = losses.probability(np.array([[0.11], [0.5], [0.9]]))
    assert near > 0.5 > far > sound


# ------------------------------------------------------------------------------------------------ configs as numbers


def test_a_config_is_a_row_of_places_flags_and_levels() -> None:
    off: dict[str, Value] = {"l2": 0.0, "dropout": 0.0, "lr": 1e-4, "act": "elu"}
    on: dict[str, Value] = {"l2": 0.1, "dropout": 0.4, "lr": 1e-1, "act": "relu"}
    encoder = Encoder([L2, DROPOUT, LR, ACT], [off, on])
    below, middle = encoder([off, on])
    # l2: its place (off lies a step below the range) and whether it is off; dropout: off is a place of its range; lr; relu, elu.
    assert below[0] < 0 and list(below[1:]) == [1, 0, 0, 0, 1]
    assert list(middle) == pytest.approx([0.5, 0, 0.5, 1, 1, 0])
    assert encoder.growing == [0, 2]  # the places of the two λ
    assert Encoder([L2, LR], [on]).growing == [0] and Encoder([L2, LR], [on])([on]).shape == (1, 2)  # nobody is off: no flag
    assert Encoder([LR, L2], [on, off]).growing == [1]


def test_a_knob_without_a_range_has_a_column_for_each_value_that_was_seen() -> None:
    knob = Knob("loss", "", "", "", "a")
    configs: list[Mapping[str, Value]] = [{"loss": "b"}, {"loss": "a"}, {"loss": "b"}]
    assert Encoder([knob], configs)(configs).tolist() == [[0, 1], [1, 0], [0, 1]]


# ------------------------------------------------------------------------------------------------ the scale of scores


@given(st.lists(st.integers(-(10**6), 10**6).map(lambda x: x / 1000), min_size=2, max_size=20))
def test_a_score_comes_back_from_its_scale(scores: list[float]) -> None:
    given_ = np.array(scores)
    squash = Squash.of(given_)
    size = float(np.abs(given_).max()) + 1
    assert squash.inverse(squash(given_)) == pytest.approx(given_ if squash.unit else np.full(len(scores), squash.best), abs=1e-9 * size)


def test_squashing_keeps_the_order_of_exploding_scores() -> None:
    scores = np.array([1.0, 1.1, 1.2, 1.5, 40.0, 1e6])
    z = Squash.of(scores)(scores)
    assert np.all(np.diff(z) > 0)
    assert z[-1] < 20
    assert not np.any(Squash.of(np.ones(4))(np.ones(4)))


def test_the_slope_of_the_scale_is_that_of_finite_differences() -> None:
    scores = np.array([1.0, 1.5, 2.0, 4.0, 9.0])
    squash = Squash.of(scores)
    assert squash.slope(scores) == pytest.approx((squash(scores + 1e-6) - squash(scores - 1e-6)) / 2e-6, rel=1e-5)


# ------------------------------------------------------------------------------------------------ the surface


def bowl(value: float) -> float:
    return (math.log10(value) + 1) ** 2 if value else 3.0


def trained(count: int = 16, sd: float = 0.05) -> list[Training]:
    rng = np.random.default_rng(4)
    values = [0.0, 0.0, *(float(10 ** rng.uniform(-3, 1)) for _ in range(count - 2))]
    return [Training({"l2": value}, seed, 10 + bowl(value) + sd * rng.normal()) for seed, value in enumerate(values)]


def test_fewer_than_three_configs_with_a_score_make_no_surface() -> None:
    two = [Training({"l2": value}, seed, 1.0 + value) for value in (0.1, 1.0) for seed in range(5)]
    lost = [Training({"l2": value}, 0, None) for value in (3.0, 5.0, 9.0)]
    assert Surface.of([], [L2]) is None and Surface.of(two, [L2]) is None and Surface.of([*two, *lost], [L2]) is None
    assert Surface.of([*two, Training({"l2": 0.0}, 0, 2.0)], [L2]) is not None


def test_a_surface_knows_the_scores_and_that_off_is_no_small_value() -> None:
    surface = Surface.of(trained(), [L2])
    assert surface is not None
    configs: list[Mapping[str, Value]] = [{"l2": value} for value in (0.01, 0.1, 1.0, 0.0)]
    assert surface.score(surface.level(configs)) == pytest.approx([11, 10, 11, 13], abs=0.35)
    excess, sd = surface.excess(configs, configs[1])
    assert excess[1] == pytest.approx(0, abs=1e-9) and sd[1] == pytest.approx(0, abs=1e-6)
    assert min(excess[0], excess[2], excess[3]) > 0 and excess[3] > excess[0]


def test_losses_raise_the_level_where_they_are_and_nowhere_else() -> None:
    def with_losses(count: int) -> Surface:
        found = Surface.of([*trained(), *(Training({"l2": 5.0 + 0.1 * one}, one, None) for one in range(count))], [L2])
        assert found is not None
        return found

    none, some = with_losses(0), with_losses(6)
    low, high = {"l2": 0.02}, {"l2": 5.0}
    assert some.lost([high])[0] > 0.5 > some.lost([low])[0]
    assert some.level([high])[0] > none.level([high])[0] + none.noise
    assert some.level([low])[0] == pytest.approx(none.level([low])[0], abs=0.1)


def test_a_doubted_score_weighs_less_than_a_seen_one() -> None:
    rows = trained()
    level = {}
    for doubt in (0.0, 25.0):
        surface = Surface.of([*rows, *(Training({"l2": 0.1}, 50 + one, 14.0, doubt) for one in range(2))], [L2])
        assert surface is not None
        level[doubt] = float(surface.score(surface.level([{"l2": 0.1}]))[0])
    assert 10.0 - 0.3 < level[25.0] < level[0.0]


# ------------------------------------------------------------------------------------------------ the minimum


SWITCH = Knob("layers", "", "", "1", 1, low=1, high=40, integer=True)
BEST: dict[str, Value] = {"l2": 0.05, "dropout": 0.0, "lr": 3e-3, "act": "elu", "layers": 7}


def quadratic(configs: Sequence[Mapping[str, Value]]) -> Array:
    """Lowest at BEST: dropout at its off value, act a word, layers a whole number."""

    def one(config: Mapping[str, Value]) -> float:
        l2, lr = math.log10(float(config["l2"]) / 0.05), math.log10(float(config["lr"]) / 3e-3)
        layers = (float(config["layers"]) - 7) / 10
        return l2**2 + lr**2 + 0.5 * l2 * lr + float(config["dropout"]) ** 2 + (config["act"] != "elu") + layers**2

    return np.array([one(config) for config in configs])


@pytest.mark.parametrize("start", [{**BEST, "l2": 9.0, "act": "relu"}, {**BEST, "layers": 40, "lr": 1e-4, "dropout": 0.8}])
def test_the_minimum_of_a_known_quadratic_is_found(start: dict[str, Value]) -> None:
    found = lowest(quadratic, [L2, DROPOUT, LR, ACT, SWITCH], {**start, "fixed": "stays"})
    assert abs(math.log10(float(found["l2"]) / 0.05)) < 0.1 and abs(math.log10(float(found["lr"]) / 3e-3)) < 0.1
    assert (found["dropout"], found["act"], found["layers"], found["fixed"]) == (0.0, "elu", 7, "stays")
    assert isinstance(found["layers"], int)


def test_what_is_not_free_stays_and_nothing_free_changes_nothing() -> None:
    start = {**BEST, "l2": 9.0, "lr": 1e-4}
    found = lowest(quadratic, [L2], start)
    assert {**found, "l2": 9.0} == start and float(found["l2"]) < 9.0
    assert lowest(quadratic, [], start) == start


def test_among_values_of_a_list_the_lowest_is_found() -> None:
    listed = replace(L2, choices=(0.001, 0.1, 1.0, 10.0), low=None, high=None)
    assert lowest(lambda configs: np.array([abs(float(one["l2"]) - 0.8) for one in configs]), [listed], {"l2": 10.0}) == {"l2": 1.0}


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_the_minimum_never_leaves_the_range_nor_lies_above_a_start(seed: int) -> None:
    slope = np.random.default_rng(seed).normal(size=2)

    def plane(configs: Sequence[Mapping[str, Value]]) -> Array:
        return np.array([slope[0] * math.log10(float(one["beta"])) + slope[1] * float(one["dropout"]) for one in configs])

    start: dict[str, Value] = {"beta": 1.0, "dropout": 0.3}
    found = lowest(plane, [BETA, DROPOUT], start, [{"beta": 0.1, "dropout": 0.8}])
    assert float(found["beta"]) == (10.0 if slope[0] < 0 else 0.1) and float(found["dropout"]) == (0.8 if slope[1] < 0 else 0.0)
    assert rounded(found, [BETA, DROPOUT]) == found


def test_a_config_is_written_with_three_digits_and_off_stays_off() -> None:
    config: dict[str, Value] = {"l2": 0.0, "dropout": 0.123456, "lr": 0.00123456, "act": "elu"}
    assert rounded(config, [L2, DROPOUT, LR, ACT]) == {"l2": 0.0, "dropout": 0.123, "lr": 0.00123, "act": "elu"}
