"""Several metrics: how they are asked for, searched, stopped early, confirmed, exported and trained again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalogue import Catalogue, MemberRow
from infra.storage import Home
from objectives.base import Report, State
from objectives.registry import load
from search.asking.space import Space
from search.asking.study import Study
from search.choosing.answer import Answer
from search.choosing.watched import Watched
from search.errors import SpecError
from search.retrain import train
from search.running.told import ends, rivals, told
from search.running.where import IN_PROCESS
from search.schedulers.pareto import Scheduler, Way, milestones

from search.spec.constraints import constraint
from search.spec.reading import read
from search.spec.several import HIGHER, LOWER, Asked
from search.sweep import resume, run
from search.telling.exports import export
from tests.search.kept import kept, said

quick = settings(max_examples=30, deadline=None)
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
    ({**TWO, "scheduler": "pbt"}, ["scheduler must judge all metrics", "'pbt'"]),
    ({**TWO, "scheduler": {"name": "pareto", "min_members": 1}}, ["scheduler.min_members must be a whole number of at least 2"]),
    ({**TWO, "alone": True}, ["alone must be false where several metrics are asked for (val_risk, val_size)"]),
    ({**TWO, "sampler": "cmaes"}, ["sampler cmaes learns from one metric; 2 are asked for", "tpe"]),
    ({"objective": "vae", "metric": ["val_nll_nats", "bytes"], "sampler": "path"}, ["sampler path learns from one metric"]),
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
def test_nobody_stops_who_is_better_than_all_others_in_one_metric(seed: int, metrics: int) -> None:
    values = curves(seed, 12, metrics)
    values[8, :, 0] = values[:, :, 0].min() - 1
    for epoch in Scheduler(20).milestones:
        one = Scheduler(20, sds=0.0)
        donors(one, values, 8)
        assert not decisions(one, values, range(8, 12), epoch)[0]


@quick
@given(st.integers(0, 10_000), st.integers(2, 3))
def test_one_metric_that_was_not_measured_stops_nobody(seed: int, metrics: int) -> None:
    values = curves(seed, 12, metrics)
    values[8:, :, :] += 50
    one = Scheduler(20)
    donors(one, values, 8)
    assert all(decisions(one, values, range(8, 12), one.milestones[2])), "they are far worse in all"
    unmeasured = values.copy()
    unmeasured[:, :-1, metrics - 1] = math.nan  # known of complete members only
    two = Scheduler(20)
    donors(two, unmeasured, 8)
    assert not any(decisions(two, unmeasured, range(8, 12), two.milestones[2]))


@quick
@given(st.integers(0, 10_000))
def test_a_rebuilt_scheduler_decides_as_the_one_that_lived(seed: int) -> None:
    rng, values = np.random.default_rng(seed), curves(seed, 14)
    lived, past = Scheduler(20, min_members=3, sds=1.0), list[Told]()
    for k in rng.permutation(14).tolist():
        for epoch in range(1, 21):
            report: Told = (k, "search", epoch, tuple(values[k, epoch - 1]))
            rebuilt = Scheduler(20, min_members=3, sds=1.0)
            rebuilt.hear(past[place] for place in rng.permutation(len(past)))
            said = lived.decide(*report)
            assert said == rebuilt.decide(*report)
            past.append(report)
            if said:
                break


def test_each_arm_is_judged_by_itself_and_no_one_before_enough_are_complete() -> None:
    values = curves(0, 12)
    values[8:] += 50
    for complete, arm, stops in ((4, "search", True), (3, "search", False), (8, "off", False)):
        one = Scheduler(20)
        donors(one, values, complete, arm=arm)
        assert any(decisions(one, values, range(8, 12), 5)) == stops
    assert "is better in all 2 metrics beyond the noise at epoch 5" in decisions(_with(values, 8), values, range(8, 9), 5)[0]


def _with(values: Any, complete: int) -> Scheduler:
    one = Scheduler(20)
    donors(one, values, complete)
    return one


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
    return MemberRow(number, "search", arm, {"l2": 0.1}, 0, state=state, score=score, metrics=metrics)


def test_a_scheduler_is_told_all_metrics_with_lower_better_and_what_complete_members_came_to() -> None:
    watched = Watched(beside=(Asked("a"), Asked("b", HIGHER)))
    number, arm, epoch, values = told(Report(3, 4, 1.5, {"b": 2.0}), "search", watched)
    assert (number, arm, epoch, values[0], values[2]) == (3, "search", 4, 1.5, -2.0) and math.isnan(values[1])  # type: ignore[index]
    assert told(Report(3, 4, 1.5, {"b": 2.0}), "search", Watched()) == (3, "search", 4, 1.5)
    rows = [row(0, 1.0, a=2.0, b=3.0), row(1, None, State.STOPPED, a=2.0), row(2, None, State.DIVERGED)]
    assert ends(rows, watched, 9) == [(0, "search", 9, (1.0, 2.0, -3.0))] and ends(rows, Watched(), 9) == []


def test_members_that_break_a_constraint_are_rivals_of_each_other_alone() -> None:
    watched = Watched((constraint("size", "<= 1"), constraint("nan_rate", "<= 0.1")), (Asked("size"),))
    assert rivals("search", {"size": 2.0}, watched) == "search, constraint broken"
    assert rivals("search", {"size": 1.0}, watched) == rivals("search", {}, watched) == "search"
    values = curves(0, 12)
    values[8:] += 50
    one = Scheduler(20)
    donors(one, values, 8, arm="search, constraint broken")
    assert not any(decisions(one, values, range(8, 12), 5)), "they are far worse, but they keep to it"


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
        found = MemberRow(number, "search", "search", config, 7, state=end[0], score=end[1], rung_score=score, epochs=4)
        rows.append(found if number % 5 == 4 else MemberRow(**{**vars(found), "metrics": {"val_size": 1.0 - score}}))
        one.tell(rows[-1])
    two = study()
    two.rebuild(rows)
    assert one.ask(14, "search", 14) == two.ask(14, "search", 14)


# Whole sweeps -----------------------------------------------------------------------------------------------------------------------------


def swept(spec: dict[str, Any], home: Home) -> Any:
    return run(spec, name="s", home=home, address=IN_PROCESS, tracking=False)


def in_parts(spec: dict[str, Any], home: Home, every: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """A sweep that is interrupted again and again; and how many lives it had."""
    from search.running import in_process

    real, steps = in_process.carry_out, [0]

    def stops(plan: Any, dispatch: Any, interrupted: Any) -> bool:
        def soon() -> bool:
            steps[0] += 1
            return bool(interrupted()) or steps[0] % every == 0

        return real(plan, dispatch, soon)

    monkeypatch.setattr(in_process, "carry_out", stops)
    outcome, lives = swept(spec, home), 1
    while outcome.status == "interrupted":
        outcome, lives = resume("s", home=home, address=IN_PROCESS, tracking=False), lives + 1
    return outcome, lives


@pytest.mark.parametrize("spec", [SWEEP, THREE], ids=["two", "three"])
def test_a_whole_sweep_is_the_same_in_parts_and_its_export_keeps_what_it_promises(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.open(tmp_path / "whole")
    whole, answer = swept(spec, home), None
    answer, front = whole.answer, whole.answer.front
    assert list(front.metrics.values()) == list(dict(read(spec).metric).values())  # type: ignore[arg-type]
    assert {one.arm for one in front.points} >= {"off", "min"} and any(one.front for one in front.points)
    assert (home.reports("s") / "front.png").exists() == (len(front.metrics) == 2), "of three metrics there is no one picture"
    parts, lives = in_parts(spec, Home.open(tmp_path / "parts"), 23, monkeypatch)
    assert lives > 2 and said(parts) == said(whole)
    assert [one.config for one in kept(Home.open(tmp_path / "parts"), "s")[0]] == [one.config for one in kept(home, "s")[0]]
    exported = yaml.safe_load(export("s", tmp_path / "best.yaml", home=home))
    point = front.point(answer.recommended_arm)
    assert set(exported["promise"]["beside"]) == set(list(front.metrics)[1:]) and exported["provenance"]["front"]["beside"] == front.beside
    for name, promised in exported["promise"]["beside"].items():
        value = point.values[name]
        scores = np.array([row.metrics[name] for row in kept(home, "s")[0] if row.arm == answer.recommended_arm and row.seed in _final(home)])
        spread = scores.std(ddof=1)
        assert promised["mean"] == pytest.approx(scores.mean()) == pytest.approx(value.mean)
        assert promised["high"] - promised["mean"] == pytest.approx(4.302653 * spread * math.sqrt(1 + 1 / 3), rel=1e-5)
    again = train(tmp_path / "best.yaml", home=home, seed=5, out=tmp_path / "out", tracking=False)
    low, high = (exported["promise"]["beside"]["val_size"][end] for end in ("low", "high"))
    value, kept_to = again.beside["val_size"]
    assert set(again.beside) == set(list(front.metrics)[1:]) and kept_to == (low <= value <= high)


def _final(home: Home) -> set[int]:
    """The seeds of the final round: those on which the off arm was trained last."""
    off = [row.seed for row in kept(home, "s")[0] if row.phase == "confirm" and row.arm == "off"]
    return set(off[-3:])


def test_a_sweep_of_one_metric_answers_as_before_and_one_of_several_survives_losses(tmp_path: Path) -> None:
    one = swept({**SWEEP, "metric": "val_risk", "scheduler": "asha"}, Home.open(tmp_path / "one"))
    assert one.answer.front is None and "front" not in one.answer.to_dict()
    lossy = {**SWEEP, "dataset": {"name": "none", "noise": 0.5, "fault": "nan", "fault_above": 1.0}}
    home = Home.open(tmp_path / "lossy")
    found = swept(lossy, home)
    assert any(row.state == State.DIVERGED for row in kept(home, "s")[0]) and found.answer.front is not None
    with Catalogue(home.catalogue_url) as catalogue:
        assert Answer.from_dict(catalogue.sweep("s").answer or {}) == found.answer


def test_a_constraint_on_one_of_the_metrics_bounds_the_front(tmp_path: Path) -> None:
    found = swept({**SWEEP, "constraints": {"val_size": "<= 0.8"}}, Home.open(tmp_path)).answer
    assert found.front.point("off").broken == ["val_size <= 0.8"], "without λ it is 1.5"
    kept_to = [one for one in found.front.points if one.front]
    assert kept_to and all(one.values["val_size"].mean <= 0.8 and not one.broken for one in kept_to)
    assert found.recommended_arm != "off"


def test_where_nothing_keeps_to_a_constraint_no_front_is_claimed(tmp_path: Path) -> None:
    found = swept({**SWEEP, "constraints": {"val_size": "<= 0.001"}, "search": {"l2": {"high": 1.0}}}, Home.open(tmp_path)).answer
    assert found.front is None or not any(one.front for one in found.front.points)
    assert found.nearest


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
