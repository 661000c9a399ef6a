"""Metrics that a family is asked for: measured where it is confirmed, deciding where the spec says so, told with their full name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from objectives import registry
from objectives.base import Member, ObjectiveError, Phase, Report, Settings, State

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

DIGITS = {"name": "digits", "train_size": 128}


def made(name: str, **options: Any) -> Any:
    return registry.load(name)(Settings(**{"dataset": DIGITS, "epochs": 2, "batch_size": 64, **options}))


def trained(objective: Any, phase: Phase, folder: Path | None = None) -> Report:
    run = objective.start([Member(0, {}, seed=0, phase=phase)])
    reports = [report for _ in range(2) for report in run.step()]
    if folder is not None:
        run.save_weights(0, folder / "weights.safetensors")
    assert reports[-1].state is State.COMPLETE, reports[-1].traceback
    return reports[-1]


def test_what_decides_is_measured_always_and_what_is_asked_for_where_it_is_confirmed(tmp_path: Path) -> None:
    autoencoder = made("autoencoder", metric="val_kid", measure=("fid",))
    searched, confirmed = trained(autoencoder, Phase.SEARCH), trained(autoencoder, Phase.CONFIRM, tmp_path)
    assert "val_fid" not in searched.metrics and "val_fid" in confirmed.metrics
    assert searched.score == searched.metrics["val_kid"] == confirmed.metrics["val_kid"]
    on_test = autoencoder.read_test({}, tmp_path / "weights.safetensors")
    assert on_test["score"] == on_test["test_kid"] and "test_fid" in on_test and "test_half_sse" in on_test


@pytest.mark.parametrize(("name", "latents"), [("vae", None), ("vae", "gaussian"), ("autoencoder", None)])
def test_samples_depend_on_the_weights_and_nothing_else(name: str, latents: str | None) -> None:
    objective = made(name, metric="val_kid", latents=latents)
    assert trained(objective, Phase.SEARCH).score == trained(objective, Phase.CONFIRM).score


def test_a_number_is_told_with_what_it_depends_on() -> None:
    labels = made("gan").prepare()["labels"]
    assert labels["val_kid"].startswith("KID[mlp-32@") and labels["val_kid"].endswith(", n=360]")
    assert made("vae").prepare()["labels"]["val_nll_nats"] == "IWAE-100 NLL[n=360]"


def test_what_a_family_cannot_be_asked_for_is_refused() -> None:
    with pytest.raises(ObjectiveError, match=r"measure: a metric that 'gan' can be asked for.*'half_sse'"):
        made("gan", measure=("half_sse",))
