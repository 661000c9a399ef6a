"""What every objective promises to a search; collected from the folder."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from objectives import registry
from objectives.base import Member, Objective, Run, Settings, State

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

NAMES = list(registry.objectives())
each = pytest.mark.parametrize("name", NAMES)


def make(name: str, **options: Any) -> Any:
    family = registry.load(name)
    dataset = {"name": family.datasets[0]} | ({"train_size": 96} if family.datasets[0] != "none" else {})
    return family(Settings(**{"dataset": dataset, "epochs": 3, "batch_size": 32, **options}))


def members(count: int = 2) -> list[Member]:
    return [Member(10 + n, {}, seed=n) for n in range(count)]


@each
def test_it_fulfils_the_protocols(name: str) -> None:
    objective = make(name)
    assert isinstance(objective, Objective) and isinstance(objective.start(members()), Run)


@each
def test_its_attributes_agree_with_one_another(name: str) -> None:
    family = registry.load(name)
    assert all(key == knob.name for key, knob in family.knobs.items())
    assert all(key == metric.name for key, metric in family.metrics.items())
    assert family.metrics[family.score].decides
    assert set(family.default_search) <= {key for key, knob in family.knobs.items() if knob.is_lambda} and family.default_search
    assert family.models and family.datasets and family.default_epochs > 0
    assert set(family.models) <= {*registry.names("model"), "none"} and set(family.datasets) <= {*registry.names("dataset"), "none"}
    for knob in family.knobs.values():
        assert knob.choices or (knob.low is not None and knob.high is not None and knob.low < knob.high)
        assert knob.is_lambda or knob.more is None, "a nuisance knob has no regularized end"


@pytest.mark.sampled(4)
@each
def test_members_train_to_the_end_and_report_declared_metrics_only(name: str) -> None:
    objective = make(name)
    facts = objective.prepare()
    assert facts["dataset"]["name"] == objective.settings.dataset["name"]
    run = objective.start(members())
    for epoch in (1, 2, 3):
        reports = run.step()
        assert [(report.number, report.epoch) for report in reports] == [(10, epoch), (11, epoch)]
        for report in reports:
            assert math.isfinite(report.rung_score) and set(report.metrics) <= set(objective.metrics), report.traceback
            assert report.state is (State.COMPLETE if epoch == 3 else None)
            assert (report.score is not None) == (epoch == 3)
    assert run.step() == []


@pytest.mark.sampled(4)
@each
def test_a_seed_is_a_training(name: str) -> None:
    first, again = (make(name).start(members(1)).step() for _ in range(2))
    assert first == again
    assert make(name).start([Member(10, {}, seed=99)]).step()[0].rung_score != first[0].rung_score


@pytest.mark.sampled(4)
@each
def test_a_checkpoint_goes_on_to_the_same_reports(name: str, tmp_path: Path) -> None:
    run, resumed = make(name).start(members()), make(name).start(members())
    run.step()
    run.save(tmp_path / "checkpoint")
    resumed.restore(tmp_path / "checkpoint")
    assert [resumed.step(), resumed.step()] == [run.step(), run.step()]


@pytest.mark.sampled(4)
@each
def test_a_stopped_member_reports_no_more(name: str) -> None:
    run = make(name).start(members())
    run.step()
    run.stop(10)
    run.stop(10)
    assert [report.number for report in run.step()] == [11]
    run.stop(11)
    assert run.step() == []


@pytest.mark.sampled(4)
@each
def test_the_test_split_is_scored_from_saved_weights(name: str, tmp_path: Path) -> None:
    objective = make(name, epochs=1)
    run = objective.start(members(1))
    run.step()
    run.save_weights(10, tmp_path / "weights.safetensors")
    assert math.isfinite(objective.read_test({}, tmp_path / "weights.safetensors")["score"])
    assert run.save_picture(10, tmp_path / "picture.png") == (tmp_path / "picture.png").exists()


def test_reading_every_objective_imports_neither_torch_nor_the_search() -> None:
    code = f"""
import sys
for name in ("torch", "ray", "optuna", "mlflow", "sqlalchemy"):
    sys.modules[name] = None
from objectives import registry
for name in {NAMES!r}:
    family = registry.load(name)
    assert family.knobs and family.metrics and family.models
from objectives import regularizers
assert regularizers.modules()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_training_imports_nothing_of_the_search() -> None:
    code = f"""
import sys, importlib
for name in ("ray", "optuna", "mlflow", "sqlalchemy", "search", "infra"):
    sys.modules[name] = None
import objectives.training.loop
for name in {NAMES!r}:
    importlib.import_module("objectives.families." + name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
