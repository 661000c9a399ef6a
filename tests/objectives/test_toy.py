"""The toy's closed form, and that it does what a search test plants."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from objectives.base import Member, ObjectiveError, Report, Settings, State
from objectives.families.toy import Toy, best_lambda, risk


def begin(members: list[Member], epochs: int = 6, **options: Any) -> Any:
    return Toy(Settings(dataset={"name": "none", **options}, epochs=epochs)).start(members)


def train(run: Any) -> list[Report]:
    found = []
    while reports := run.step():
        found += reports
    return found


@pytest.mark.parametrize(("signal", "noise"), [(1.0, 0.1), (4.0, 2.0), (0.5, 3.0)])
def test_best_lambda_minimizes_the_risk(signal: float, noise: float) -> None:
    best = best_lambda(signal, noise)
    assert risk(best, signal, noise) == pytest.approx(signal * best / (1 + best))
    assert risk(0.0, signal, noise) == pytest.approx(risk(best, signal, noise) * (1 + best))
    assert all(risk(best, signal, noise) < risk(best * factor, signal, noise) for factor in (0.9, 0.99, 1.01, 1.1))


def test_the_risk_is_that_of_the_simulated_estimator() -> None:
    draw, lam, n = random.Random(0), 0.4, 100_000
    errors = []
    for _ in range(n):
        signal = draw.gauss(0, 1)
        errors.append(((signal + draw.gauss(0, 0.1**0.5)) / (1 + lam) - signal) ** 2)
    assert sum(errors) / n == pytest.approx(risk(lam), rel=0.02)  # the standard error is 0.5 %


def test_a_seed_shifts_all_configs_alike() -> None:
    configs = [{"l2": 0.0}, {"l2": 0.1}, {"l2": 1.0}]
    scores = [[train(begin([Member(0, config, seed)]))[-1].score for config in configs] for seed in (1, 2)]
    first, second = ([score - row[0] for score in row] for row in scores)
    assert first == pytest.approx(second)
    assert scores[0][0] != scores[1][0]
    own = [train(begin([Member(0, config, 1)], own_spread=0.1))[-1].score for config in configs]
    assert own[1] - own[0] != pytest.approx(first[1])


def test_scores_fall_every_epoch_and_the_last_is_final() -> None:
    reports = train(begin([Member(0, {"l2": 0.1}, 0)], seed_spread=0.0))
    scores = [report.rung_score for report in reports]
    assert scores == sorted(scores, reverse=True)
    assert reports[-1].state is State.COMPLETE and reports[-1].score == pytest.approx(risk(0.1))


def test_the_learning_rate_has_its_own_optimum() -> None:
    best, low, high = (train(begin([Member(0, {"lr": lr}, 0)]))[-1].score for lr in (1e-2, 1e-3, 1e-1))
    assert best < low and best < high


def test_resumed_numbers_are_the_same(tmp_path: Path) -> None:
    members = [Member(number, {"l2": 0.1 * number}, number) for number in range(3)]
    whole = begin(members)
    whole.step()
    whole.stop(1)
    whole.save(tmp_path / "toy.json")
    resumed = begin(members)
    resumed.restore(tmp_path / "toy.json")
    assert train(resumed) == train(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.json"]


@pytest.mark.parametrize(("fault", "state"), [("raise", State.FAILED), ("oom", State.FAILED), ("nan", State.DIVERGED)])
def test_planted_faults_end_the_named_member_only(fault: str, state: State) -> None:
    reports = train(begin([Member(n, {}, n) for n in range(3)], fault=fault, fault_at=2, fault_members=[1]))
    last = {report.number: report for report in reports}
    assert (last[1].state, last[1].epoch) == (state, 2) and math.isnan(last[1].rung_score) and last[1].reason
    assert last[1].reason.startswith("out of memory") == (fault == "oom")
    assert last[0].state is last[2].state is State.COMPLETE


def test_a_fault_may_depend_on_lambda() -> None:
    reports = train(begin([Member(0, {"l2": 0.1}, 0), Member(1, {"l2": 5.0}, 0)], fault="nan", fault_above=1.0))
    assert {report.number: report.state for report in reports} == {0: State.COMPLETE, 1: State.DIVERGED}


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ObjectiveError, match="fault_at"):
        begin([], fault_att=1)


def test_the_test_split_is_read_from_the_saved_weights(tmp_path: Path) -> None:
    run = begin([Member(0, {"l2": 0.1}, 3)], seed_spread=0.0)
    run.save_weights(0, tmp_path / "weights.safetensors")
    toy = Toy(Settings({"name": "none", "seed_spread": 0.0}, 8))
    assert toy.read_test({"l2": 0.1}, tmp_path / "weights.safetensors")["score"] == pytest.approx(risk(0.1))
