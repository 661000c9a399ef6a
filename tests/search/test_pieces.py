"""The interval of λ does not reach over values that are proven worse: it has pieces, and whoever shows it shows the same pieces."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from search.choosing.answer import Answer, LambdaAnswer
from search.choosing.arms import Arm
from search.choosing.lambda_interval import GAPS, _gaps, _pieces, lambda_answer
from search.choosing.unfinished import Unfinished
from search.choosing.verdict import Side, _off_worse
from search.choosing.words import number
from search.modelling.axis import Axis
from search.modelling.surface import Surface, Training
from search.telling.pictures import lambda_curve
from search.telling.text.answer import print_answer
from tests.search.simulated import BETA
from tests.search.test_selection import ask


def stopped_above(doubt: float) -> LambdaAnswer:
    """Trainings to the end from 0.2 to 1.3 with the best at 0.55; above 3 only stopped members, whose predicted scores have a doubt."""
    at = (0.2, 0.4, 0.55, 0.8, 1, 1.3)
    whole = [Training({"beta": beta}, seed, 24 + 12 * (np.log10(beta / 0.55)) ** 2) for seed in (1, 2) for beta in at]
    stopped = [Training({"beta": beta}, 1, 25.5, doubt) for beta in (4.0, 5.0, 9.0)]
    return lambda_answer(BETA, {"beta": 0.55}, Surface.of([*whole, *stopped], [BETA]))


def test_a_single_value_where_nobody_ended_is_no_range() -> None:
    path, axis = np.array([0.0, 0.5, 1.0]), Axis.of(BETA)
    told = Unfinished(axis, path, np.array([True, False, True]), np.array([1.0]), np.array([])).words()
    assert told.startswith(f"at {number(axis.value(0.0))} and at {number(axis.value(1.0))} every training was stopped early (1 of them)")
    told = Unfinished(axis, path, np.array([True, True, False]), np.array([0.5]), np.array([])).words()
    assert told.startswith(f"from {number(axis.value(0.0))} to {number(axis.value(0.5))} every training")


def unfinished_above(doubt: float, score: float = 25.5) -> LambdaAnswer:
    """The same, where it is known that those above 3 were stopped."""
    at = (0.2, 0.4, 0.55, 0.8, 1, 1.3)
    whole = [Training({"beta": beta}, seed, 24 + 12 * (np.log10(beta / 0.55)) ** 2) for seed in (1, 2) for beta in at]
    stopped = [Training({"beta": beta}, 1, score, doubt, stopped=True) for beta in (4.0, 5.0, 9.0)]
    return lambda_answer(BETA, {"beta": 0.55}, Surface.of([*whole, *stopped], [BETA]))


def test_where_every_training_was_stopped_early_nothing_is_said_but_that() -> None:
    """A piece of the interval there would rest on first epochs alone, and so would the curve."""
    one = unfinished_above(9.0)
    assert one.pieces == () and 0.55 < one.high < 1.3 and not one.open_high
    ((low, high),) = one.unfinished
    assert 1.3 * (10 / 0.1) ** 0.1 < low < 4.0 and high == 10.0
    assert f"beta: from {low:g} to 10 every training was stopped early (3 of them)" in one.warning and "scheduler none" in one.warning
    assert np.isfinite([one.sensitivity["a third"], one.sensitivity["3 times"]]).all() and np.isnan(one.sensitivity["10 times"])


def test_nothing_is_said_of_it_where_the_best_cannot_lie_there() -> None:
    far = unfinished_above(1e-4, 40.0)
    assert far.unfinished and not far.warning


def test_a_range_that_holds_no_other_place_to_tell_of() -> None:
    """A tenth and three times of the value lie outside of it."""
    narrow = replace(BETA, low=0.5, high=0.6)
    rows = [Training({"beta": beta}, seed, 24 + beta) for seed in (1, 2) for beta in (0.5, 0.52, 0.56, 0.6)]
    assert lambda_answer(narrow, {"beta": 0.55}, Surface.of(rows, [narrow])).sensitivity == {}


def test_an_end_beside_stopped_trainings_is_open() -> None:
    """The best at the last value that ran to its end: beyond it all were stopped, and they looked no worse."""
    at = (0.2, 0.4, 0.8, 1.3)
    whole = [Training({"beta": beta}, seed, 24 - np.log10(beta)) for seed in (1, 2) for beta in at]
    stopped = [Training({"beta": beta}, 1, 23.6, 0.3, stopped=True) for beta in (3.0, 5.0, 9.0)]
    one = lambda_answer(BETA, {"beta": 1.3}, Surface.of([*whole, *stopped], [BETA]))
    assert one.reach == (one.low, 10.0), "what is known of λ does not end there"
    assert one.open_high and 1.3 < one.high < 2.2 and one.holds(9.0) and "stopped early" in one.warning and "widen" not in one.warning


def test_a_training_that_completed_speaks_for_its_neighbourhood() -> None:
    near = [Training({"beta": beta}, seed, 24 + beta) for seed in (1, 2) for beta in (0.1, 0.3, 1.0, 3.0, 9.0)]
    stopped = [Training({"beta": beta}, 1, 25.0, 1.0, stopped=True) for beta in (0.2, 0.6, 2.0, 5.0)]
    assert all(high / low < 1.3 for low, high in lambda_answer(BETA, {"beta": 0.3}, Surface.of([*near, *stopped], [BETA])).unfinished)


@pytest.fixture(scope="module")
def torn() -> LambdaAnswer:
    return stopped_above(9.0)


def test_what_is_proven_worse_is_no_part_of_the_interval(torn: LambdaAnswer) -> None:
    first, second = torn.pieces
    assert first[0] < 0.55 < first[1] < 1.0 < second[0] < 5.0 < second[1] <= 10.0
    assert (torn.low, torn.high) == (first[0], second[1])
    assert torn.holds(0.55) and torn.holds(5.0) and not torn.holds(1.0) and not torn.holds(0.1) and not torn.holds(11.0)
    assert replace(torn, open_high=True).holds(11.0) and replace(torn, open_low=True).holds(0.1)


def test_where_nothing_in_between_is_proven_worse_the_interval_is_one_piece() -> None:
    one = stopped_above(1e-4)
    assert one.pieces == () and one.parts == ((one.low, one.high),) and not one.holds(1.0)


def test_an_off_value_that_the_final_seeds_prove_worse_is_no_part_of_it() -> None:
    flat = [Training({"beta": beta}, seed, 24 + 0.2 * np.sin(9 * beta + seed)) for seed in (1, 2) for beta in (0.1, 0.3, 0.8, 1.2, 4, 9)]
    surface = Surface.of(flat, [BETA])
    with_off, cut = (lambda_answer(BETA, {"beta": 0.5}, surface, off_worse=worse) for worse in (False, True))
    assert with_off.holds(1.0) and not cut.holds(1.0) and cut.holds(0.5)
    assert sum(np.log10(high / low) for low, high in cut.parts) > sum(np.log10(high / low) for low, high in with_off.parts) - 0.04
    assert lambda_answer(BETA, {"beta": 1.01}, surface, off_worse=True).holds(1.01), "nobody cuts the chosen value out"


def test_who_proves_that_off_is_worse() -> None:
    one, two = ({"off": [3.0, 3.1, 3.2], "min": [2.0, 2.2, 2.1]}, {"off": [3.0, 3.1, 3.2], "min": [3.0, 2.9, 3.4]})
    for scores, worse in ((one, True), (two, False)):
        arms = {name: Arm(name, {"beta": 0.5}, dict(enumerate(values)), (), {}) for name, values in scores.items()}
        side = Side.of(arms["off"], arms["min"], 0.0, 0.05, 1)
        assert _off_worse(BETA, side, arms, True) is worse and not _off_worse(BETA, side, arms, False)
        without = {**arms, "without:beta": arms["off"]}
        assert _off_worse(BETA, side, without, False) is worse, "with several λ the arm without this one says it"


def test_everybody_shows_the_same_pieces(torn: LambdaAnswer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ask({"off": [3.0, 3.1, 3.2], "min": [2.0, 2.2, 2.1]})
    torn = replace(torn, open_high=True, unfinished=((1.5, 2.5),))
    found = replace(found, lambdas=[torn], curve={"beta": {"grid": [], "mean": [], "low": [], "high": [], "points": []}})
    low, high = (f"{end:.3g}" for end in torn.pieces[0])
    third, last = (f"{end:.3g}" for end in torn.pieces[1])
    assert f"beta = 0.55 [{low}, {high}] or [{third}, ≥ {last}] improves" in found.sentence()
    out = io.StringIO()
    print_answer(Console(file=out, width=200), "s", found)
    assert f"the best lies between {low} and {high} or between {third} and {last} (or above) with 95 %" in out.getvalue()
    assert Answer.from_dict(found.to_dict()).lambdas[0] == replace(torn, without=None, alone=None)
    bars: list[object] = []
    from matplotlib.axes import Axes

    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda self, x, *rest, **style: (bars.append((x, style.get("lw"))), plot(self, x, *rest, **style))[1])
    lambda_curve.draw(found, [], tmp_path / "curve.png", "title")
    assert [x for x, width in bars if width == 5] == list(torn.pieces)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_gaps_lose_at_most_their_share_of_the_minima(data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.integers(0, 50), min_size=2, max_size=40).filter(any)), dtype=float)
    rivals = np.array(data.draw(st.lists(st.floats(0, 1), min_size=len(counts), max_size=len(counts))))
    share = counts / counts.sum()
    gaps = _gaps(share, rivals, 0.025)
    assert share[gaps].sum() <= GAPS + 1e-12 and (rivals[gaps] <= 0.025).all()
    kept = ~gaps
    path = np.linspace(0.0, 1.0, len(counts))
    inside = np.zeros(len(counts), dtype=bool)
    for low, high in _pieces(path, kept, 0.5 / (len(path) - 1)):
        assert 0 <= low <= high <= 1
        inside |= (path >= low) & (path <= high)
    assert (inside == kept).all()


def test_a_lost_training_beside_stopped_ones_says_nothing_of_scores() -> None:
    """Where all were stopped or collapsed, and a loss is not likely enough to bar it, no piece of the interval may lie."""
    at = (0.2, 0.4, 0.55, 0.8, 1, 1.3)
    whole = [Training({"beta": beta}, seed, 24 + 12 * (np.log10(beta / 0.55)) ** 2) for seed in (1, 2) for beta in at]
    stopped = [Training({"beta": beta}, 1, 25.5, 9.0, stopped=True) for beta in (3.0, 6.5, 7.5)]
    lost = [Training({"beta": 10.0}, seed, None) for seed in (1, 2)]
    one = lambda_answer(BETA, {"beta": 0.55}, Surface.of([*whole, *stopped, *lost], [BETA]))
    assert one.pieces == () and one.high < 1.3
    ((low, high),) = one.unfinished
    assert 1.3 < low < 3.0 and high == 10.0
    assert "no training completed (3 stopped early, 2 lost)" in one.warning
    sure = [*lost, *(Training({"beta": beta}, 1, None) for beta in (6.0, 6.6, 7.0, 7.6, 8.0, 9.0))]
    kept = lambda_answer(BETA, {"beta": 0.55}, Surface.of([*whole, stopped[0], *sure], [BETA]))
    assert kept.unfinished[0][1] < 6.0, "where a loss is likely it is known what becomes of a training"


def of_noise(seed: int) -> tuple[LambdaAnswer, LambdaAnswer]:
    """The interval with and without a proven gain, of twelve noisy trainings around a best λ of 1."""
    draws = np.random.default_rng(seed)
    betas = 10 ** draws.uniform(-1, 1, 12)
    noisy = [Training({"beta": float(beta)}, one, 24 + 2 * np.log10(beta) ** 2 + 0.4 * draws.normal()) for one, beta in enumerate(betas)]
    surface = Surface.of(noisy, [BETA])
    return lambda_answer(BETA, {"beta": 1.0}, surface), lambda_answer(BETA, {"beta": 1.0}, surface, proven=False)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_where_no_gain_is_proven_the_interval_has_no_less(seed: int) -> None:
    proven, unproven = of_noise(seed)
    assert all(any(a <= low and high <= b for a, b in unproven.parts) for low, high in proven.parts)
    assert unproven.open_low >= proven.open_low and unproven.open_high >= proven.open_high


def test_where_no_gain_is_proven_the_interval_is_longer_as_a_rule() -> None:
    """What is as good as the chosen value is not left out there, wherever the minima of the curves crowd."""
    lengths = [[sum(np.log(high / low) for low, high in one.parts) for one in of_noise(seed)] for seed in range(10)]
    assert sum(unproven > proven for proven, unproven in lengths) >= 5
