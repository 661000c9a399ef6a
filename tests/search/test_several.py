"""Several metrics: how they are asked for, searched, stopped early, confirmed, exported and trained again."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import MemberRow
from objectives.base import Report, State
from objectives.registry import load
from search.asking.space import Space
from search.asking.study import Study
from search.choosing.watched import Watched
from search.errors import SpecError
from search.running.writing.told import ends, rivals, told
from search.schedulers.pareto import Scheduler, Way, milestones
from search.spec.constraints import constraint
from search.spec.reading import read
from search.spec.several import HIGHER, LOWER, Asked

pytestmark = pytest.mark.turns(2)

quick = settings(max_examples=15, deadline=None)
TWO: dict[str, Any] = {"objective": "toy", "metric": ["val_risk", "val_size"]}
SWEEP: dict[str, Any] = {
    **TWO,
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5, "own_spread": 0.01},
    "budget": {"trials": 14, "epochs": 9},
    "confirm": {"configs": 4, "screen": 2, "seeds": 3},
    "scheduler": {"name": "pareto", "min_members": 2},
}
THREE: dict[str, Any] = {**SWEEP, "metric": {"val_risk": LOWER, "val_size": LOWER, "train_loss": HIGHER}, "scheduler": "pareto"}

# Asking for them --------------------------------------------------------------------------------------------------------------------------


@given(st.floats(allow_nan=False), st.sampled_from([LOWER, HIGHER]))
def test_turned_twice_a_value_is_itself(value: float, better: str) -> None:
    one = Asked("m", better)
    assert one.lower(one.lower(value)) == value and one.values({}) is None
    assert (one.lower(1.0) < one.lower(2.0)) == (better == LOWER)


@pytest.mark.parametrize(
    ("objective", "metric", "found"),
    [
        ("toy", None, {"val_risk": LOWER}),
        ("toy", ["val_risk"], {"val_risk": LOWER}),
        ("toy", ["val_risk", "val_size"], {"val_risk": LOWER, "val_size": LOWER}),
        ("toy", {"val_risk": LOWER, "train_loss": HIGHER}, {"val_risk": LOWER, "train_loss": HIGHER}),
        ("vae", ["val_nll_nats", "bytes"], {"val_nll_nats": LOWER, "bytes": LOWER}),
        ("vae", ["val_nll_nats", "val_recall"], {"val_nll_nats": LOWER, "val_recall": HIGHER}),
    ],
)
def test_metrics_are_resolved_with_their_directions_and_survive_their_yaml(objective: str, metric: Any, found: dict[str, str]) -> None:
    spec = read({"objective": objective, "metric": metric})
    assert {one.name: one.better for one in spec.asked} == found and spec.score_name == next(iter(found))
    assert read(yaml.safe_load(spec.to_yaml())).asked == spec.asked
    assert spec.scheduler == ("pareto" if len(found) > 1 else "asha")
    assert isinstance(spec.metric, str) == (len(found) == 1), "one metric is stored as it always was"


def test_metrics_can_be_given_on_the_command_line() -> None:
    spec = read({"objective": "toy"}, ["metric=[val_risk, val_size]"])
    assert [one.name for one in spec.asked] == ["val_risk", "val_size"] and spec.scheduler == "pareto"
    spec = read(TWO, ["scheduler.risk=0.3"])
    assert spec.scheduler == {"name": "pareto", "risk": 0.3}, "options are those of the default"
    spec = read({"objective": "toy"}, ["metric.val_risk=lower", "metric.train_loss=higher", "scheduler=none"])
    assert [one.better for one in spec.asked] == [LOWER, HIGHER] and spec.scheduler == "none"


FAULTS = [
    ({"metric": ["val_risk", "val_siez"]}, ["a metric of 'toy'", "'val_siez'", "Did you mean 'val_size'?"]),
    ({"metric": ["val_risk", "val_size", "val_size"]}, ["each metric once", "'val_size' 2 times", "Leave the others out."]),
    ({"metric": {"val_risk": LOWER, "val_size": HIGHER}}, ["metric.val_size must be lower, as the metric says", "got 'higher'"]),
    ({"metric": {"val_risk": HIGHER, "val_size": LOWER}}, ["metric.val_risk must be lower", "got 'higher'"]),
    ({"metric": {"val_risk": LOWER, "val_size": "up"}}, ["metric.val_size must be lower or higher; got 'up'"]),
    ({"metric": ["val_risk", "train_loss"]}, ["'train_loss' has no direction of its own", "`train_loss: lower` or `train_loss: higher`"]),
    ({"metric": ["val_size", "val_risk"]}, ["one that can decide", "'val_size' as the first", "Choose one of val_risk."]),
    ({"metric": []}, ["metric must be a name, a list of names, or a mapping"]),
    ({"metric": 3}, ["metric must be a name, a list of names, or a mapping"]),
    ({"metric": [["val_risk"], "val_size"]}, ["metric must be a name, a list of names, or a mapping"]),
    ({**TWO, "scheduler": "asha"}, ["scheduler must judge all metrics", "'asha' sees the score alone", "none, pareto"]),
    ({**TWO, "scheduler": {"name": "pareto", "wraps": "median"}}, ["scheduler.wraps must judge all metrics", "'median'"]),
    ({"scheduler": "pareto"}, ["scheduler must judge the one metric", "'pareto' weighs several", "Choose asha, or ask for several"]),
    ({"scheduler": {"name": "median", "wraps": "pareto"}}, ["scheduler.wraps must judge the one metric"]),
    ({"objective": "vae", "metric": ["val_nll_nats", "bytes"], "scheduler": "pbt"}, ["scheduler must judge all metrics", "'pbt'"]),
    ({**TWO, "scheduler": {"name": "pareto", "min_members": 1}}, ["scheduler.min_members must be a whole number of at least 2"]),
    (
        {"objective": "vae", "metric": ["val_nll_nats", "bytes"], "search": {"beta": {}, "l2": {}}, "alone": True},
        ["alone must be false where several metrics are asked for (val_nll_nats, bytes)"],
    ),
    ({**TWO, "sampler": "cmaes"}, ["sampler cmaes learns from one metric; 2 are asked for", "tpe"]),
    (
        {"objective": "vae", "metric": ["val_nll_nats", "bytes"], "search": {"beta": {}}, "sampler": "path"},
        ["sampler path learns from one metric"],
    ),
]


@pytest.mark.parametrize(("given", "words"), FAULTS)
def test_what_cannot_be_asked_for_is_said(given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        read({"objective": "toy", **given})
    assert len(caught.value.faults) == 1 and all(word in caught.value.faults[0] for word in words), caught.value.faults


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        read({"objective": "toy", "metric": {"val_risk": HIGHER, "val_siez": LOWER, "val_size": "up"}, "scheduler": "asha"})
    assert len(caught.value.faults) == 4


# Early stopping ---------------------------------------------------------------------------------------------------------------------------

Told = tuple[int, str, int, tuple[float, ...]]


def curves(seed: int, count: int, metrics: int = 2, epochs: int = 20) -> np.ndarray[Any, Any]:
    """Members that fall to final values of their own, (members, epochs, metrics)."""
    rng = np.random.default_rng(seed)
    last, first = rng.normal(0, 1, (count, 1, metrics)), rng.uniform(1, 6, (count, 1, metrics))
    fall = np.exp(-rng.uniform(0.1, 0.6, (count, 1, 1)) * np.arange(1, epochs + 1)[None, :, None])
    return np.asarray(last + first * fall + 0.02 * rng.normal(size=(count, epochs, metrics)))


def donors(scheduler: Scheduler, values: Any, complete: int, epochs: int = 20, arm: str = "search") -> None:
    """The first of these members are complete, the others just come to the first milestones."""
    scheduler.hear([(k, arm, e, tuple(values[k, e - 1])) for k in range(complete) for e in (*scheduler.milestones, epochs)])


def decisions(scheduler: Scheduler, values: Any, who: range, epoch: int, arm: str = "search") -> list[str]:
    for early in (one for one in scheduler.milestones if one < epoch):
        scheduler.hear([(k, arm, early, tuple(values[k, early - 1])) for k in who])
    return [scheduler.decide(k, arm, epoch, tuple(values[k, epoch - 1])) for k in who]


@quick
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_nobody_stops_who_is_not_dominated_at_the_epoch(seed: int, metrics: int) -> None:
    values = curves(seed, 12, metrics)
    for epoch in Scheduler(20).milestones:
        one = Scheduler(20, risk=0.9)
        donors(one, values, 8)
        for number, said in zip(range(8, 12), decisions(one, values, range(8, 12), epoch), strict=True):
            heard = [*range(8), *range(8, number + 1)]
            better = [k for k in heard if (values[k, epoch - 1] < values[number, epoch - 1]).all()]
            assert better or not said


@quick
@given(st.integers(0, 10_000), st.integers(2, 3))
def test_one_metric_that_was_not_measured_stops_nobody(seed: int, metrics: int) -> None:
    values = curves(seed, 20, metrics)
    values[16:] = values[:16].max(axis=0) + 1
    one = Scheduler(20)
    donors(one, values, 16)
    assert all(decisions(one, values, range(16, 20), 11)), "they are worse than all others in all"
    values[:, :-1, metrics - 1] = math.nan  # known of complete members only
    two = Scheduler(20)
    donors(two, values, 16)
    assert not any(decisions(two, values, range(16, 20), 11))


def test_members_that_diverge_later_do_not_blind_the_others_predictions() -> None:
    values = curves(3, 20)
    values[16:] = values[:16].max(axis=0) + 1
    values[:6, 8:] = 500.0  # six of sixteen donors
    one = Scheduler(20)
    donors(one, values, 16)
    assert all(decisions(one, values, range(16, 20), 7))
    x = np.linspace(0, 1, 12)[:, None]
    y = x[:, 0] + 0.01 * np.cos(9 * x[:, 0])
    spoiled = np.where(np.arange(12) % 3 == 1, y + 40, y)
    assert Way.of(x, spoiled).residual < 2 * Way.of(x, y).residual
    assert Way.of(x, np.where(np.arange(12) % 3 == 1, y - 40, y)).residual > 100, "a member that came out far better counts"


def test_the_risk_is_the_share_of_members_that_would_have_been_on_the_front() -> None:
    """One metric: early values lead to final ones with an error of 1. Of the stopped ones at most the risk beats all that are complete."""
    rng, stopped, better = np.random.default_rng(0), 0, 0
    for _ in range(300):
        early = rng.normal(0, 2, (24, 1, 1)).repeat(20, axis=1)
        values = early + rng.normal(0, 1, (24, 1, 1)) * (np.arange(20) == 19)[None, :, None]
        one = Scheduler(20, risk=0.2)
        donors(one, values, 20)
        said = decisions(one, values, range(20, 24), 2)
        stopped += sum(map(bool, said))
        better += sum(bool(reason) and values[k, 19, 0] < values[:20, 19, 0].min() for k, reason in zip(range(20, 24), said, strict=True))
    assert stopped > 600 and better / stopped < 0.1


@quick
@given(st.integers(0, 10_000))
def test_a_rebuilt_scheduler_decides_as_the_one_that_lived(seed: int) -> None:
    rng, values = np.random.default_rng(seed), curves(seed, 14)
    lived, past = Scheduler(20, min_members=3, risk=0.3), list[Told]()
    for k in rng.permutation(14).tolist():
        for epoch in range(1, 21):
            report: Told = (k, "search", epoch, tuple(values[k, epoch - 1]))
            rebuilt = Scheduler(20, min_members=3, risk=0.3)
            rebuilt.hear(past[place] for place in rng.permutation(len(past)))
            said = lived.decide(*report)
            assert said == rebuilt.decide(*report)
            past.append(report)
            if said:
                break


def test_each_arm_is_judged_by_itself_and_no_one_before_enough_are_complete() -> None:
    values = curves(0, 20)
    values[16:] = values[:16].max(axis=0) + 1
    for complete, arm, fewest, stops in ((16, "search", 16, True), (15, "search", 16, False), (16, "off", 4, False)):
        one = Scheduler(20, min_members=fewest)
        donors(one, values, complete, arm=arm)
        said = decisions(one, values, range(16, 20), 5)
        assert any(said) == stops
        assert not stops or (said[0].startswith("pareto: at epoch 5 it is likely (") and "arm 'search' in all 2 metrics" in said[0])


def test_milestones_grow_by_half_and_lie_before_the_end() -> None:
    assert milestones(20, 0.1) == (2, 3, 5, 7, 11, 16) and milestones(1, 0.1) == ()
    assert all(a < b for a, b in zip(milestones(300, 0.01), milestones(300, 0.01)[1:], strict=False)) and milestones(300, 0.01)[-1] < 300


def test_a_way_to_the_end_is_least_squares_where_donors_are_many_and_one_to_one_where_they_are_few() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (400, 2))
    y = 3 + 0.7 * x[:, 0] + 0.4 * x[:, 1] + 0.1 * rng.normal(size=400)
    way = Way.of(x, y)
    mean, variance = way.end([1.0, -1.0])
    assert way.slopes == pytest.approx([0.7, 0.4], abs=0.02) and mean == pytest.approx(3.3, abs=0.03)
    assert variance == pytest.approx(0.01, rel=0.2)
    few = Way.of(np.array([[1.0], [1.2]]), np.array([0.5, 0.7]))
    assert few.end([2.2])[0] == pytest.approx(1.7)


def row(number: int, score: float | None, state: State = State.COMPLETE, arm: str = "search", **metrics: float) -> MemberRow:
    return MemberRow(number, {"l2": 0.1}, 0, "search", arm, state=state, score=score, metrics=metrics)


def test_a_scheduler_is_told_all_metrics_with_lower_better_and_what_complete_members_came_to() -> None:
    watched = Watched(beside=(Asked("a"), Asked("b", HIGHER)))
    number, arm, epoch, values = told(Report(3, 4, 1.5, {"b": 2.0}), row(3, None), watched)
    assert (number, arm, epoch, values[0], values[2]) == (3, "search", 4, 1.5, -2.0) and math.isnan(values[1])  # type: ignore[index]
    assert told(Report(3, 4, 1.5, {"b": 2.0}), row(3, None), Watched()) == (3, "search", 4, 1.5)
    rows = [row(0, 1.0, a=2.0, b=3.0), row(1, None, State.STOPPED, a=2.0), row(2, None, State.DIVERGED)]
    assert ends(rows, watched, 9) == [(0, "search", 9, (1.0, 2.0, -3.0))] and ends(rows, Watched(), 9) == []


def test_members_that_break_a_constraint_are_rivals_of_each_other_alone() -> None:
    watched = Watched((constraint("size", "<= 1"), constraint("nan_rate", "<= 0.1")), (Asked("size"),))
    assert rivals(row(0, None), {"size": 2.0}, watched) == "search, constraint broken"
    assert rivals(row(0, None), {"size": 1.0}, watched) == rivals(row(0, None), {}, watched) == "search"
    values = curves(0, 20)
    values[16:] = values[:16].max(axis=0) + 1
    one = Scheduler(20)
    donors(one, values, 16, arm="search, constraint broken")
    assert not any(decisions(one, values, range(16, 20), 5)), "they are worse, but they keep to it"


# Asking Optuna ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "nsgaiii", "gp", "random", "qmc"])
def test_a_study_of_several_metrics_asks_the_same_when_it_is_rebuilt(sampler: str) -> None:
    space = Space(read(SWEEP), load("toy"))

    def study() -> Study:
        return Study(space, sampler, 1, 40, beside=(Asked("val_size", HIGHER),))

    one, rows = study(), list[MemberRow]()
    for number in range(14):
        config = one.ask(number, "search", number)
        one.seeded(number, 7)
        score = math.log10(float(config["l2"])) ** 2
        end = [(State.COMPLETE, score), (State.COMPLETE, score), (State.STOPPED, None), (State.DIVERGED, None)][number % 4]
        found = MemberRow(number, config, 7, "search", "search", state=end[0], score=end[1], rung_score=score, epochs=4)
        rows.append(found if number % 5 == 4 else replace(found, metrics={"val_size": 1.0 - score}))
        one.tell(rows[-1])
    two = study()
    two.rebuild(rows)
    assert one.ask(14, "search", 14) == two.ask(14, "search", 14)


# Bytes ------------------------------------------------------------------------------------------------------------------------------------


def test_bytes_are_those_of_the_numbers_and_a_zero_is_almost_free() -> None:
    import torch

    from objectives.metrics.bytes import estimate

    tensors = [torch.randn(60, 40), torch.randn(40), torch.randn(4, 3, 3, 3)]
    plain = sum(one.numel() * one.element_size() for one in tensors)
    whole = estimate(*tensors).value
    assert 0.85 * plain < whole < plain + 100, "random mantissas cannot be made short"
    tensors[0][:30] = 0
    assert 0 < whole - estimate(*tensors).value < 30 * 40 * 4
    assert whole - estimate(*tensors).value > 0.8 * 30 * 40 * 4
    assert estimate(torch.zeros(60, 40)).value < 100
