"""Whole sweeps of several metrics: interrupted, lost, constrained, exported, and trained again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from infra.catalogue import Catalogue
from infra.errors import InfraError
from infra.storage import Home
from objectives.base import State
from search.choosing.answer import Answer
from search.retrain import train
from search.running.where import IN_PROCESS
from search.spec.reading import read
from search.spec.several import HIGHER, LOWER
from search.sweep import run
from search.telling.files.exports import export
from tests.search.kept import in_parts, kept, said

pytestmark = pytest.mark.turns(6)
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


def swept(spec: dict[str, Any], home: Home) -> Any:
    return run(spec, name="s", home=home, address=IN_PROCESS, tracking=False)


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
        scores = np.array(
            [row.metrics[name] for row in kept(home, "s")[0] if row.arm == answer.recommended_arm and row.seed in _final(home)]
        )
        spread = scores.std(ddof=1)
        assert promised["mean"] == pytest.approx(scores.mean()) == pytest.approx(value.mean)
        assert promised["high"] - promised["mean"] == pytest.approx(4.302653 * spread * math.sqrt(1 + 1 / 3), rel=1e-5)
    other = next(one for one in front.points if one.arm != answer.recommended_arm)
    exported_too = yaml.safe_load(export("s", home=home, arm=other.arm))
    told = exported_too["provenance"]
    assert told["answer"].startswith(f"Arm {other.arm} of the front") and told["verdict"].endswith(f"(of arm {answer.arm})")
    assert exported_too["fixed"].items() <= other.config.items() and set(exported_too["fixed"]) >= set(spec["search"])
    assert exported_too["promise"]["mean"] == pytest.approx(other.values["val_risk"].mean)
    assert read(exported_too, purpose="train") and len(exported_too["promise"]["confirmed"]) >= 3
    again_best = yaml.safe_load(export("s", home=home, arm=answer.recommended_arm))["promise"]
    for end in ("mean", "low", "high"):
        assert again_best[end] == pytest.approx(exported["promise"][end])
    with pytest.raises(InfraError, match="--arm must be one of off, "):
        export("s", home=home, arm="nobody")
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
        again = Answer.from_dict(catalogue.sweep("s").answer or {})
    assert again.to_dict() == found.answer.to_dict(), "as JSON: where all were stopped early, the sensitivity is NaN, which equals nothing"


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


@pytest.mark.trains
def test_bytes_of_a_trained_model_are_those_of_its_numbers_and_its_zeros_are_almost_free(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    spec = {"objective": "autoencoder", "metric": ["val_half_sse", "bytes"], "budget": {"epochs": 2}, "seed": 1}
    (tmp_path / "dense.yaml").write_text(yaml.safe_dump(spec))
    (tmp_path / "sparse.yaml").write_text(yaml.safe_dump({**spec, "fixed": {"prune": 0.9}}))
    found = {}
    for name in ("dense", "sparse"):
        again = train(tmp_path / f"{name}.yaml", home=Home.open(tmp_path), seed=1, out=tmp_path / name, tracking=False)
        weights = load_file(tmp_path / name / "weights.safetensors").values()
        found[name] = (
            again.beside["bytes"][0],
            sum(one.size * one.itemsize for one in weights),
            sum(4 * np.count_nonzero(one) for one in weights),
        )
    assert 0.85 * found["dense"][1] < found["dense"][0] < 1.01 * found["dense"][1], "random mantissas cannot be made short"
    size, numbers, others = found["sparse"]
    assert others < 0.2 * numbers and 0.85 * others < size < others + numbers / 32 + 1000, "what is not 0, and a bit for each number"
