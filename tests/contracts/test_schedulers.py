"""What every scheduler promises. A new file in search/schedulers is collected here without an edit."""

from __future__ import annotations

import importlib
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.registry import names
from search.cli import listing
from search.schedulers import SchedulerInfo, SchedulerProtocol, make

SCHEDULERS = names("scheduler", "search.schedulers")
every = pytest.mark.parametrize("name", SCHEDULERS)
seeds = given(seed=st.integers(0, 2**32 - 1))
quick = settings(max_examples=60, deadline=None)
ARMS = ("search", "off")
SCORES = (math.nan, -2.0, 0.0, 0.5, 0.5, 1.0, 3.0, 1e6)  # few, so that there are ties

Report = tuple[int, str, int, float]  # number, arm, epoch, rung score
Decision = tuple[int, int, str]  # number, epoch, and the reason to stop


def scheduler(name: str, epochs: int, told: Sequence[Report] = ()) -> SchedulerProtocol:
    """A new one that has heard this."""
    found = make(name, epochs)
    found.hear(told)
    return found


def driven(name: str, seed: int, restarts: bool = False) -> tuple[int, list[Report], list[Decision]]:
    """A whole sweep: packs of members go from milestone to milestone, until they are stopped or done.

    Returns the epochs, what was reported and what was decided. With `restarts` the driver is killed and resumed between some packs: a new
    scheduler hears all that was reported.
    """
    rng, breaks = random.Random(seed), random.Random(seed + 1)
    epochs = rng.randint(1, 40)
    one = scheduler(name, epochs)
    arms = [rng.choice(ARMS) for _ in range(rng.randint(1, 12))]
    at = dict.fromkeys(range(len(arms)), 0)
    told: list[Report] = []
    decisions: list[Decision] = []
    while at:
        if restarts and breaks.random() < 0.4:
            one = scheduler(name, epochs, told)
        pack = rng.sample(sorted(at), rng.randint(1, len(at)))
        news = []
        for number in pack:
            until = min((epoch for epoch in one.milestones if epoch > at[number]), default=epochs)
            news += [(number, arms[number], epoch, rng.choice(SCORES)) for epoch in range(at[number] + 1, until + 1)]
            at[number] = until
        told += news
        one.hear(news)
        for number, arm, epoch, score in news:
            if number in at and (reason := one.decide(number, arm, epoch, score)):
                decisions.append((number, epoch, reason))
                del at[number]
        at = {number: epoch for number, epoch in at.items() if epoch < epochs}
    return epochs, told, decisions


def rung(name: str, seed: int) -> tuple[int, list[Report]]:
    """The epochs of a sweep, and what all its members reported at one milestone; nothing if there is none."""
    rng = random.Random(seed)
    epochs = rng.randint(1, 100)
    milestones = scheduler(name, epochs).milestones
    if not milestones:
        return epochs, []
    epoch = rng.choice(milestones)
    return epochs, [(number, rng.choice(ARMS), epoch, rng.choice(SCORES)) for number in range(rng.randint(1, 12))]


def stopped(name: str, epochs: int, told: Sequence[Report]) -> set[int]:
    """Who is stopped by what all of them reported."""
    one = scheduler(name, epochs, told)
    return {report[0] for report in told if one.decide(*report)}


@every
def test_it_says_what_it_is(name: str) -> None:
    module = importlib.import_module(f"search.schedulers.{name}")
    info = module.SCHEDULER
    assert isinstance(info, SchedulerInfo) and info.name == name
    assert info.summary and info.formula and info.source and (module.__doc__ or "").strip()
    assert listing.entry("schedulers", name)["summary"] == info.summary


@every
def test_milestones_ascend_and_lie_before_the_end(name: str) -> None:
    for epochs in range(1, 201):
        milestones = scheduler(name, epochs).milestones
        assert all(isinstance(epoch, int) and 1 <= epoch < epochs for epoch in milestones)
        assert all(a < b for a, b in pairwise(milestones))
        assert milestones == scheduler(name, epochs).milestones


@every
@seeds
@quick
def test_it_decides_at_milestones_only_and_says_why(name: str, seed: int) -> None:
    epochs, told, decisions = driven(name, seed)
    milestones = scheduler(name, epochs).milestones
    for _, epoch, reason in decisions:
        assert epoch in milestones
        assert reason.startswith(f"{name}: ") and f"epoch {epoch}" in reason and len(reason.splitlines()) == 1
    one = scheduler(name, epochs, told)
    assert not any(one.decide(*report) for report in told if report[2] not in milestones)
    assert not any(one.decide(number, arm, epochs, math.nan) for number, arm, *_ in told), "the last epoch is trained already"


@every
@seeds
@quick
def test_a_decision_is_a_function_of_what_was_told_not_of_how(name: str, seed: int) -> None:
    """In any order, in groups or one by one, twice, or by asking."""
    epochs, told, _ = driven(name, seed)
    mixed = random.Random(seed).sample(told, len(told))

    def answers(one: SchedulerProtocol) -> list[str]:
        return [one.decide(*report) for report in told]

    expected = answers(scheduler(name, epochs, told))
    in_halves = scheduler(name, epochs, mixed[: len(mixed) // 2])
    in_halves.hear(mixed[len(mixed) // 2 :])
    asked = scheduler(name, epochs)
    for report in mixed:
        asked.decide(*report)
    assert answers(in_halves) == answers(asked) == answers(scheduler(name, epochs, [*mixed, *told])) == expected
    assert answers(in_halves) == expected, "asking changes nothing"


@every
@seeds
@quick
def test_one_that_is_rebuilt_from_reports_decides_the_same(name: str, seed: int) -> None:
    assert driven(name, seed, restarts=True) == driven(name, seed)


@every
@seeds
@quick
def test_every_arm_is_judged_among_its_own(name: str, seed: int) -> None:
    """What the off arm is compared with must not stop it, nor the other way round."""
    epochs, told = rung(name, seed)
    apart = [stopped(name, epochs, [report for report in told if report[1] == arm]) for arm in ARMS]
    assert stopped(name, epochs, told) == set().union(*apart)


@every
@seeds
@quick
def test_lower_is_better_and_nan_is_worst(name: str, seed: int) -> None:
    """Whoever goes on is no worse than anybody of the arm who is stopped; the best of them always goes on."""
    epochs, told = rung(name, seed)
    out = stopped(name, epochs, told)
    for arm in ARMS:
        ranked = {number: math.inf if math.isnan(score) else score for number, one, _, score in told if one == arm}
        on = [score for number, score in ranked.items() if number not in out]
        assert not ranked or min(ranked.values()) in on
        assert all(score <= ranked[other] for score in on for other in out & set(ranked))


@every
def test_it_is_readable_without_what_carries_it_out(name: str) -> None:
    code = (
        "import sys\n"
        "for heavy in ('torch', 'ray', 'optuna', 'mlflow'): sys.modules[heavy] = None\n"
        f"from search.schedulers import make; make({name!r}, 10).decide(0, 'search', 2, 1.0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# One of them ------------------------------------------------------------------------------------------------------------------------------


def test_asha_halves_at_geometric_rungs() -> None:
    """A fifth of the epochs, then three times as many; a third of those that came so far goes on."""
    assert make("asha", 20).milestones == (4, 12) and make("asha", 100).milestones == (20, 60) and make("asha", 1).milestones == ()
    one = make("asha", 20)
    one.hear([(number, "search", 4, float(number)) for number in range(7)])
    assert [bool(one.decide(number, "search", 4, float(number))) for number in range(7)] == [False] * 3 + [True] * 4


def test_none_stops_nothing() -> None:
    one = make("none", 20)
    one.hear([(number, "search", 4, float(number)) for number in range(9)])
    assert one.milestones == () and not any(one.decide(number, "search", 4, math.nan) for number in range(9))
