"""What every scheduler promises. A new file in search/schedulers is collected here without an edit."""

from __future__ import annotations

import importlib
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.base import Knob
from objectives.registry import names
from search.cli import listing
from search.options import Chosen, name_of, said
from search.schedulers import WRAPS, Change, SchedulerInfo, SchedulerProtocol, accepted, evolving, faults, make
from search.schedulers.hyperband import Scheduler as Hyperband

pytestmark = pytest.mark.turns(3)

SCHEDULERS = names("scheduler", "search.schedulers")


def examples(name: str) -> tuple[dict[str, Any], ...]:
    """The options with which a file wants to be tested."""
    return tuple(getattr(importlib.import_module(f"search.schedulers.{name}"), "EXAMPLES", ()))


def variants(name: str) -> list[Chosen]:
    """A scheduler as it is, with options, and around another one."""
    inner = {"name": "asha", "reduction": 2} if name != "asha" else {"name": "median"}
    return [name, *({"name": name, **given} for given in examples(name)), {"name": name, WRAPS: inner}]


def wrapped(name: Chosen) -> list[str]:
    """The names of those that it wraps."""
    return [name_of(name[WRAPS])] if isinstance(name, dict) and WRAPS in name else []


def unwrapped(name: Chosen) -> Chosen:
    """The outer one alone."""
    return {key: value for key, value in name.items() if key != WRAPS} if isinstance(name, dict) else name


every = pytest.mark.parametrize("name", SCHEDULERS)
all_of_them = pytest.mark.parametrize("name", [one for name in SCHEDULERS for one in variants(name)], ids=said)
seeds = given(seed=st.integers(0, 2**32 - 1))
quick = settings(max_examples=15, deadline=None)
ARMS = ("search", "off")
SCORES = (math.nan, -2.0, 0.0, 0.5, 0.5, 1.0, 3.0, 1e6)  # few, so that there are ties

Report = tuple[int, str, int, float]  # number, arm, epoch, rung score
Decision = tuple[int, int, str]  # number, epoch, and the reason to stop


def scheduler(name: Chosen, epochs: int, told: Sequence[Report] = ()) -> SchedulerProtocol:
    """A new one that has heard this."""
    found = make(name, epochs)
    found.hear(told)
    return found


def driven(name: Chosen, seed: int, restarts: bool = False) -> tuple[int, list[Report], list[Decision]]:
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


def rung(name: Chosen, seed: int) -> tuple[int, int, list[Report]]:
    """The epochs of a sweep, a milestone, and what all its members reported up to there; nothing if there is no milestone."""
    rng = random.Random(seed)
    epochs = rng.randint(1, 40)
    milestones = scheduler(name, epochs).milestones
    if not milestones:
        return epochs, 0, []
    last = rng.choice(milestones)
    arms = [rng.choice(ARMS) for _ in range(rng.randint(1, 12))]
    return epochs, last, [(number, arm, epoch, rng.choice(SCORES)) for number, arm in enumerate(arms) for epoch in range(1, last + 1)]


def stopped(name: Chosen, epochs: int, told: Sequence[Report], last: int) -> set[int]:
    """Who is stopped at an epoch by what all of them reported."""
    one = scheduler(name, epochs, told)
    return {report[0] for report in told if report[2] == last and one.decide(*report)}


@every
def test_it_says_what_it_is(name: str) -> None:
    module = importlib.import_module(f"search.schedulers.{name}")
    info = module.SCHEDULER
    assert isinstance(info, SchedulerInfo) and info.name == name
    assert info.summary and info.formula and info.source and (module.__doc__ or "").strip()
    assert listing.entry("schedulers", name)["summary"] == info.summary


@all_of_them
def test_milestones_ascend_and_lie_before_the_end(name: Chosen) -> None:
    for epochs in range(1, 201):
        milestones = scheduler(name, epochs).milestones
        assert all(isinstance(epoch, int) and 1 <= epoch < epochs for epoch in milestones)
        assert all(a < b for a, b in pairwise(milestones))
        assert milestones == scheduler(name, epochs).milestones


@all_of_them
@seeds
@quick
def test_it_decides_at_milestones_only_and_says_why(name: Chosen, seed: int) -> None:
    epochs, told, decisions = driven(name, seed)
    milestones = scheduler(name, epochs).milestones
    for _, epoch, reason in decisions:
        assert epoch in milestones
        assert reason.startswith(tuple(f"{one}: " for one in (name_of(name), *wrapped(name))))
        assert f"epoch {epoch}" in reason and len(reason.splitlines()) == 1
    one = scheduler(name, epochs, told)
    assert not any(one.decide(*report) for report in told if report[2] not in milestones)
    assert not any(one.decide(number, arm, epochs, math.nan) for number, arm, *_ in told), "the last epoch is trained already"


@all_of_them
@seeds
@quick
def test_a_decision_is_a_function_of_what_was_told_not_of_how(name: Chosen, seed: int) -> None:
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


@all_of_them
@seeds
@quick
def test_one_that_is_rebuilt_from_reports_decides_the_same(name: Chosen, seed: int) -> None:
    assert driven(name, seed, restarts=True) == driven(name, seed)


@all_of_them
@seeds
@quick
def test_every_arm_is_judged_among_its_own(name: Chosen, seed: int) -> None:
    """What the off arm is compared with must not stop it, nor the other way round."""
    epochs, last, told = rung(name, seed)
    apart = [stopped(name, epochs, [report for report in told if report[1] == arm], last) for arm in ARMS]
    assert stopped(name, epochs, told, last) == set().union(*apart)


@all_of_them
@seeds
@quick
def test_the_best_of_an_arm_goes_on_and_nan_is_worst(name: Chosen, seed: int) -> None:
    """Of an arm, one whose score is the lowest so far is not stopped."""
    epochs, last, told = rung(name, seed)
    out = stopped(name, epochs, told, last)
    for arm in ARMS:
        scores = {(number, epoch): math.inf if math.isnan(score) else score for number, one, epoch, score in told if one == arm}
        best = {number for (number, epoch), score in scores.items() if epoch == last and score == min(scores.values())}
        assert not best or best - out


@all_of_them
@seeds
@quick
def test_of_two_that_are_compared_the_better_goes_on(name: Chosen, seed: int) -> None:
    """After reports of one epoch alone, whoever goes on is no worse than anybody of its arm and bracket who is stopped."""
    epochs, last, told = rung(name, seed)
    told = [report for report in told if report[2] == last]
    out, bracket = stopped(name, epochs, told, last), getattr(scheduler(unwrapped(name), epochs), "bracket", lambda number: 0)
    ranked = {report[0]: (report[1], bracket(report[0]), math.inf if math.isnan(report[3]) else report[3]) for report in told}
    for number in ranked.keys() - out:
        assert all(ranked[number][2] <= ranked[other][2] for other in out if ranked[other][:2] == ranked[number][:2])


@every
def test_every_option_is_in_an_example_and_is_checked(name: str) -> None:
    options = {key: one for key, one in accepted(name).items() if key != WRAPS}
    assert {key for example in examples(name) for key in example} == set(options)
    for example in examples(name):
        assert not faults({"name": name, **example})
    for key, option in options.items():
        assert option.about and option.takes(option.default) and key in listing.entry("schedulers", name)["options"]
        for wrong in ("x", [], math.nan, math.inf, -1, None):
            assert f"scheduler.{key} must be" in faults({"name": name, key: wrong})[0]


@every
def test_it_is_readable_without_what_carries_it_out(name: str) -> None:
    code = (
        "import sys\n"
        "for heavy in ('torch', 'ray', 'optuna', 'mlflow'): sys.modules[heavy] = None\n"
        f"from search.schedulers import make; make({name!r}, 10).decide(0, 'search', 2, 1.0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Those that replace members --------------------------------------------------------------------------------------------------------------

evolving_ones = pytest.mark.parametrize(
    "name", [one for name in SCHEDULERS if evolving(name) for one in (name, *variants(name)[1:-1])], ids=said
)
KNOBS = (
    Knob("beta", "", "", "1", 1.0, low=0.1, high=10.0, log=True, off=1.0, more="high"),
    Knob("dropout", "", "", "1", 0.0, low=0.0, high=0.8, off=0.0, more="high"),
)


@evolving_ones
@seeds
@quick
def test_the_worst_are_replaced_by_the_best_whatever_the_order(name: Chosen, seed: int) -> None:
    rng, one = random.Random(seed), make(name, 20)
    scores = {number: rng.choice(SCORES) for number in rng.sample(range(40), rng.randint(1, 20))}
    mixed = dict(rng.sample(list(scores.items()), len(scores)))
    found: dict[int, int] = one.replaced(scores, random.Random(seed))  # type: ignore[attr-defined]
    assert found == one.replaced(mixed, random.Random(seed))  # type: ignore[attr-defined]
    worst = {number: math.inf if math.isnan(score) else score for number, score in scores.items()}
    assert not set(found) & set(found.values()) and len(found) <= len(scores) / 2
    assert all(worst[number] >= worst[other] for number in found for other in worst.keys() - found.keys())
    ranked = sorted(worst.values())
    assert all(worst[parent] <= ranked[len(found) - 1] for parent in found.values())
    assert one.milestones and not any(one.decide(number, "search", epoch, math.nan) for number in scores for epoch in one.milestones)


@evolving_ones
@seeds
@quick
def test_what_is_explored_lies_in_the_ranges_and_is_a_function_of_what_was_told(name: Chosen, seed: int) -> None:
    rng, one = random.Random(seed), make(name, 20)

    def config() -> dict[str, float]:
        return {"beta": 10 ** rng.uniform(-1, 1), "dropout": rng.choice((0.0, 0.8, rng.uniform(0, 0.8)))}

    told = [Change(rng.choice((4, 8)), config(), rng.choice((None, 0.0, rng.uniform(-1, 1)))) for _ in range(rng.randint(0, 12))]
    parent = config()
    found = one.explored(KNOBS, parent, random.Random(seed), told)  # type: ignore[attr-defined]
    assert found == one.explored(KNOBS, parent, random.Random(seed), told)  # type: ignore[attr-defined]
    assert set(found) == {"beta", "dropout"} and 0.1 <= found["beta"] <= 10 and 0 <= found["dropout"] <= 0.8


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


def test_auto_stops_nobody_in_short_trainings_and_listens_to_what_rungs_predict() -> None:
    """Ten members of falling rank at the rung. Where final scores follow the rung the late ones stop; where they do not, nobody does."""
    assert make("auto", 9).milestones == () and make("auto", 20).milestones == make("asha", 20).milestones
    assert make({"name": "auto", "short": 30}, 20).milestones == ()

    def stopped(finals: Sequence[float], doubt: float = 1.0) -> set[int]:
        one = make({"name": "auto", "doubt": doubt}, 20)
        one.hear([(number, "search", epoch, float(number) if epoch == 4 else finals[number]) for number in range(8) for epoch in (4, 20)])
        one.hear([(number, "search", 4, float(number)) for number in (8, 9)])
        return {number for number in (8, 9) if one.decide(number, "search", 4, float(number))}

    assert stopped(range(8)) == {8, 9}
    unrelated = [5, 1, 7, 3, 6, 0, 4, 2]
    assert stopped(unrelated) == set() and stopped(unrelated, doubt=0) == {8, 9}
    few = make("auto", 20)
    few.hear([(number, "search", 4, float(number)) for number in range(7)])
    assert [bool(few.decide(number, "search", 4, float(number))) for number in range(7)] == [False] * 3 + [True] * 4, "as asha"


def test_hyperband_has_a_bracket_without_a_rung_and_each_number_has_one_bracket() -> None:
    one = Hyperband(20)
    assert one.brackets == [(), (7,), (3, 7)] and one.milestones == (3, 7)
    assert Hyperband(81, grace_share=0.01).brackets == [(), (27,), (9, 27), (3, 9, 27), (1, 3, 9, 27)], "as in the paper's table 1"
    counts = Counter(one.bracket(number) for number in range(1700))
    assert [round(counts[s] / 100) for s in range(3)] == [3, 5, 9], "in proportion to 3, ⌈3·3/2⌉ and 9"
    sixth = Counter(one.bracket(number) for number in range(0, 6 * 170, 6))
    assert all(abs(sixth[s] - counts[s] / 10) <= 3 for s in range(3)), "the off arm, every sixth member, is divided alike"


def test_hyperband_judges_within_a_bracket() -> None:
    one = Hyperband(20)
    mine = [number for number in range(60) if one.bracket(number) == 2][:3]
    others = [number for number in range(60) if one.bracket(number) == 1][:9]
    one.hear([(number, "search", 7, 0.0) for number in others])
    assert not one.decide(mine[0], "search", 7, 5.0), "nobody else of its bracket is there"
    assert one.decide(mine[1], "search", 7, 6.0) and not one.decide(others[0], "search", 3, 9.0)


def test_median_stops_whoever_never_was_better_than_half_of_the_others_on_average() -> None:
    one = make("median", 20)
    assert one.milestones == tuple(range(4, 20))
    one.hear([(number, "search", epoch, mean) for number, mean in enumerate((1.0, 2.0, 3.0)) for epoch in range(1, 5)])
    one.hear([(3, "search", 1, 2.0), (3, "search", 2, 9.0), (3, "search", 3, 9.0)])
    assert not one.decide(3, "search", 4, 9.0), "its best was as good as the median"
    assert make("median", 20).decide(3, "search", 4, 9.0) == ""
    one.hear([(3, "search", 1, 2.1)])
    assert one.decide(3, "search", 4, 9.0) == "median: best score 2.1 at epoch 4, median of the mean scores of 3 others of arm 'search' 2"
    few = make({"name": "median", "min_members": 4}, 20)
    few.hear([(number, "search", 4, 1.0) for number in range(3)])
    assert not few.decide(3, "search", 4, 9.0)


def test_patience_stops_whoever_stands_still_but_not_the_best() -> None:
    one = make({"name": "patience", "patience": 3, "min_delta": 0.5}, 20)
    assert one.milestones == tuple(range(4, 20))
    one.hear([(0, "search", epoch, 1.0) for epoch in range(1, 6)])
    one.hear([(1, "search", epoch, score) for epoch, score in enumerate((4.0, 3.0, 2.6, 2.6), 1)])
    assert not one.decide(1, "search", 4, 2.6), "two epochs without an improvement"
    assert one.decide(1, "search", 5, 2.51) == "patience: no improvement from epoch 2 to epoch 5, and another of arm 'search' was better"
    assert not one.decide(1, "search", 5, 2.49), "an improvement by more than 0.5 since epoch 2"
    assert not one.decide(0, "search", 5, 1.0), "the best of its arm"
    assert not one.decide(2, "off", 5, 7.0)


def test_one_that_wraps_another_stops_for_either_reason() -> None:
    one = make({"name": "patience", "patience": 3, "wraps": "asha"}, 20)
    assert one.milestones == tuple(range(4, 20)), "4 and 12 of asha are among them"
    one.hear([(number, "search", 4, float(number)) for number in range(7)])
    assert one.decide(6, "search", 4, 6.0).startswith("asha: rank 7 of 7")
    one.hear([(number, "search", epoch, float(number)) for number in range(2) for epoch in range(1, 6)])
    assert one.decide(1, "search", 5, 1.0).startswith("patience: ")
    inside = make({"name": "none", "wraps": {"name": "patience", "wraps": {"name": "asha", "reduction": 2}}}, 20)
    assert inside.milestones == tuple(sorted({4, 8, 16, *range(5, 20)}))


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"name": "ahsa", "reduction": 2}, ["scheduler must be one of", "'ahsa'", "Did you mean 'asha'?"]),
        ({"name": "asha", "reductoin": 2}, ["an option of scheduler 'asha'", "grace_share, reduction, wraps", "Did you mean 'reduction'?"]),
        ({"name": "asha", "reduction": 1}, ["scheduler.reduction must be a whole number of at least 2; got 1"]),
        ({"name": "none", "patience": 1}, ["an option of scheduler 'none'", "'patience'"]),
        ({"name": "patience", "wraps": "ahsa"}, ["scheduler.wraps must be one of", "Did you mean 'asha'?"]),
        ({"name": "patience", "wraps": {"name": "asha", "reduction": True}}, ["scheduler.wraps.reduction must be a whole number"]),
        ({"name": "patience", "wraps": {"reduction": 2}}, ["scheduler.wraps must be a scheduler", "wraps: asha"]),
        ({"name": "patience", "wraps": 3}, ["scheduler.wraps must be a scheduler", "got 3"]),
        ({"name": "auto", "wraps": "auto"}, ["scheduler.wraps must be another scheduler than those around it", "auto is one of them"]),
        ({"name": "asha", "wraps": {"name": "none", "wraps": "asha"}}, ["scheduler.wraps.wraps must be another", "asha is one of them"]),
    ],
)
def test_what_is_wrong_with_a_scheduler_is_said(chosen: Chosen, words: list[str]) -> None:
    (fault,) = faults(chosen)
    assert all(word in fault for word in words), fault


def test_all_faults_of_a_scheduler_are_said_at_once() -> None:
    assert len(faults({"name": "asha", "reduction": 1, "grace": 2, "wraps": {"name": "asah"}})) == 3
