"""Early stopping for two metrics on recorded curves: what the replay measures, and that a few replays of it save what they should."""

from __future__ import annotations

import numpy as np
import pytest

from search.choosing.front import hypervolume
from search.schedulers import make
from tests.study.replay_pareto import CURVES, RECORDED, Foresight, Pool, Replayed, area, replayed, replays


def lost(found: list[Replayed]) -> float:
    return sum(one.lost for one in found) / sum(one.front for one in found)


def saved(found: list[Replayed]) -> float:
    return 1 - sum(one.epochs for one in found) / sum(one.whole for one in found)


def test_an_area_is_the_hypervolume() -> None:
    points = np.random.default_rng(0).normal(size=(9, 2))
    assert area(points, np.array([0.5, 0.4])) == pytest.approx(hypervolume(points, np.array([0.5, 0.4])))


@pytest.mark.parametrize("name", RECORDED)
def test_nothing_is_saved_and_nothing_lost_where_nobody_is_stopped_and_foresight_loses_nobody(name: str) -> None:
    assert CURVES.stat().st_size < 200_000
    pool, never = Pool.of(name), np.full(120, np.inf)
    whole = replayed(pool, never, make("none", 20), 2)
    assert (whole.epochs, whole.lost, whole.regret) == (whole.whole, 0, 0)
    known = replayed(pool, never, Foresight(pool.ends, 20, 4), 2)
    assert known.lost == 0 and known.regret == pytest.approx(0) and known.saved > 0.4


def test_a_few_replays_save_most_of_what_foresight_would_and_divergences_change_little() -> None:
    found, known = replays("bytes", {}, 60, 3, 2), replays("bytes", {"foresight": True}, 60, 3, 2)
    assert 0.75 * saved(known) < saved(found) < saved(known) + 0.02 and lost(found) < 0.1
    stuck = replays("bytes", {}, 60, 3, 2, 0.3, "stuck")
    assert sum(one.after for one in stuck) < 0.5 * sum(one.after_whole for one in stuck)


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize(("name", "least"), [("bytes", 0.5), ("kl", 0.32)])
def test_under_two_in_a_hundred_members_of_the_front_are_lost(name: str, least: float) -> None:
    found = replays(name, {}, 60, 100, 2)
    assert lost(found) < 0.02 and saved(found) > least
