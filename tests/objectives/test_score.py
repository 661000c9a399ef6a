"""The score is free of every λ, and a λ at its off value is as if the regularizer did not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from objectives import base
from objectives.base import Member, Settings
from objectives.regularizers import Regularizer
from objectives.training import TrainingRun

FAMILIES = ("autoencoder", "vae", "gan")
DIGITS = {"name": "digits", "train_size": 128}


def begin(name: str, configs: list[dict[str, Any]], **options: Any) -> TrainingRun:
    family: Any = base.load(name)
    settings = Settings(**{"dataset": DIGITS, "epochs": 1, "batch_size": 32, **options})
    run: TrainingRun = family(settings).start([Member(number, config, 7) for number, config in enumerate(configs)])
    return run


LAMBDAS = [(name, knob) for name in FAMILIES for knob, found in base.load(name).knobs.items() if found.is_lambda]


@pytest.mark.parametrize(("name", "knob"), LAMBDAS, ids=[f"{name}-{knob}" for name, knob in LAMBDAS])
def test_moving_a_lambda_at_fixed_weights_moves_no_score(name: str, knob: str, tmp_path: Path) -> None:
    found = base.load(name).knobs[knob]
    runs = [begin(name, [{knob: value}]) for value in (found.off, found.high)]
    assert all(torch.equal(runs[0].thetas[player], theta) for player, theta in runs[1].thetas.items())
    reports = []
    for run in runs:
        run.epoch = 1  # to the last epoch, without training
        (report,) = run._judge({"train_loss": torch.zeros(1)})
        assert report.score is not None
        reports.append(report)
    assert reports[0].rung_score == reports[1].rung_score
    assert reports[0].score == reports[1].score
    assert reports[0].metrics == reports[1].metrics


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("count", [1, 2])
def test_the_off_value_equals_absence_to_the_bit(name: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    off = {knob: found.off for knob, found in base.load(name).knobs.items() if found.is_lambda}
    without = begin(name, [{}] * count)
    assert set(without._on["penalty", without.regularizers["l2" if name != "gan" else "l2_g"].player]) <= {"beta"}
    without.step()
    monkeypatch.setattr(Regularizer, "idle", lambda *_: False)
    computed = begin(name, [off] * count)
    computed.step()
    for number in range(count):
        for player, weights in without.ended[number].items():
            assert torch.equal(computed.ended[number][player], weights)


@pytest.mark.parametrize(("name", "knob"), LAMBDAS, ids=[f"{name}-{knob}" for name, knob in LAMBDAS])
def test_every_lambda_is_alive(name: str, knob: str) -> None:
    """Training with a λ at the regularized end differs from training without it."""
    found = base.load(name).knobs[knob]
    end = found.high if found.more == "high" else found.low
    run = begin(name, [{}, {knob: end}])
    run.step()
    assert any(not torch.equal(run.ended[0][player], run.ended[1][player]) for player in run.ended[0])


def test_evaluation_draws_no_dropout() -> None:
    run = begin("autoencoder", [{"dropout": 0.5}])
    assert run.family.evaluate(run._net(run._current(0)), run.images) == run.family.evaluate(run._net(run._current(0)), run.images)


def test_beta_is_not_in_the_score_but_in_the_loss() -> None:
    reports = begin("vae", [{"beta": 1.0}, {"beta": 5.0}]).step()
    for report, beta in zip(reports, (1.0, 5.0), strict=True):
        metrics = report.metrics
        assert metrics["train_loss"] == pytest.approx(metrics["train_data"] + beta * metrics["penalty_beta"], rel=1e-5)
        assert report.rung_score == pytest.approx(metrics["val_reconstruction_nats"] + metrics["val_kl_nats"], rel=1e-6)
        assert report.score == metrics["val_nll_nats"]


def test_iwae_is_tighter_than_the_elbo() -> None:
    run = begin("vae", [{"lr": 3e-3}], epochs=3)
    reports = [run.step()[0] for _ in range(3)]
    assert reports[-1].score == reports[-1].metrics["val_nll_nats"] < reports[-1].metrics["val_neg_elbo_nats"]


@pytest.mark.parametrize(("name", "metric"), [("autoencoder", "val_half_sse"), ("vae", "val_neg_elbo_nats")])
def test_the_cheap_score_is_the_score_where_all_validation_images_are_few(name: str, metric: str) -> None:
    (report,) = begin(name, [{}], metric=metric).step()
    assert report.rung_score == pytest.approx(report.score, rel=1e-5)
