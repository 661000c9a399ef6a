"""What stands beside the answer is true in worlds where the truth is known. The whole study: `python -m tests.study.insights`."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from tests.study.insights import KNOWN, NEAR_0, importance, interaction, third
from tests.study.worlds import WORLDS

in_turn = pytest.mark.turns(3)  # each is twenty sweeps and more; `make study` has more of them
SPEC = {"budget": {"trials": 24, "epochs": 20}, "scheduler": "none"}


@pytest.mark.parametrize("name", ["only-lr", "only-beta"])
def test_in_these_worlds_the_dead_knobs_do_nothing(name: str) -> None:
    known = KNOWN[name]
    low, high = ({**known.world.best, knob: value} for knob, value in ((known.dead[0], 1e-5), (known.dead[0], 1e-2)))
    assert known.world.mean(low) == known.world.mean(high)


@pytest.mark.slow
@in_turn
@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["only-lr", "only-beta"])
def test_a_dead_knob_is_near_0_and_the_ruling_one_first(name: str) -> None:
    repeats, known = 20, KNOWN[name]
    said = [found for seed in range(repeats) if (found := importance(name, SPEC, seed)) is not None]
    assert len(said) > repeats / 2
    least = binom.ppf(0.001, len(said), 0.95)
    assert sum(max(shares, key=shares.__getitem__) == known.first for shares, _, _ in said) >= least
    assert sum(all(shares[knob] < NEAR_0 for knob in known.dead) for shares, _, _ in said) >= least


@pytest.mark.slow
@in_turn
def test_the_interval_of_an_interaction_holds_the_truth() -> None:
    said = [interaction(SPEC, seed) for seed in range(20)]
    for who in ("seeds", "surface"):
        held = [one[who][0] for one in said if who in one]
        assert len(held) > 10 and sum(held) >= binom.ppf(0.001, len(held), 0.95)


@pytest.mark.slow
@in_turn
@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["valley", "two"])
def test_what_the_last_third_bought_is_as_much_as_is_said(name: str) -> None:
    assert name in WORLDS
    said = [found for seed in range(20) if (found := third(name, SPEC, seed)) is not None]
    held = sum(abs(mean - truth) <= 1.96 * sd + 1e-9 for mean, sd, truth in said)
    assert len(said) > 10 and held >= binom.ppf(0.001, len(said), 0.9)
