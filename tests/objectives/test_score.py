"""The score is free of every λ. That a λ at its off value is as if it did not exist is in the regularizers' contract."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from objectives import registry
from objectives.base import Member, Settings
from objectives.training.loop import TrainingRun

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

FAMILIES = ("autoencoder", "vae", "gan")
DIGITS = {"name": "digits", "train_size": 128}


def begin(name: str, configs: list[dict[str, Any]], **options: Any) -> TrainingRun:
    family: Any = registry.load(name)
    settings = Settings(**{"dataset": DIGITS, "epochs": 1, "batch_size": 32, **options})
    run: TrainingRun = family(settings).start([Member(number, config, 7) for number, config in enumerate(configs)])
    return run


# A structural λ is part of the model that is scored (the σ of a σ-VAE); any other is a matter of training.
LAMBDAS = [
    (name, knob) for name in FAMILIES for knob, found in registry.load(name).knobs.items() if found.is_lambda and not found.structural
]


@pytest.mark.sampled(12)
@pytest.mark.parametrize(("name", "knob"), LAMBDAS, ids=[f"{name}-{knob}" for name, knob in LAMBDAS])
def test_moving_a_lambda_at_fixed_weights_moves_no_score(name: str, knob: str) -> None:
    found = registry.load(name).knobs[knob]
    runs = [begin(name, [{knob: value}]) for value in (found.off, found.high)]
    weights = runs[0].judge.current(0)
    reports = []
    for run in runs:
        run.judge.current = lambda _: weights  # type: ignore[method-assign]
        run.crew.epoch = 1  # to the last epoch, without training
        (report,) = run.judge.reports({"train_loss": torch.zeros(1)})
        assert report.score is not None, report.traceback
        reports.append(report)
    assert reports[0].rung_score == reports[1].rung_score
    assert reports[0].score == reports[1].score
    assert reports[0].metrics == reports[1].metrics


def test_evaluation_draws_no_dropout() -> None:
    run = begin("autoencoder", [{"dropout": 0.5}])
    net = run.regularization.plain(run.judge.current(0))
    assert run.family.evaluate(net, run.images) == run.family.evaluate(net, run.images)


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
