"""What `precision` changes, and what it must not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from objectives import registry
from objectives.base import Member, Settings
from objectives.training.loop import TrainingRun
from objectives.training.precision import products
from search.errors import SpecError
from search.spec.reading import read

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]

DIGITS = {"name": "digits", "train_size": 160}
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "autoencoder": [{"l2": 1e-3, "dropout": 0.2}, {"rae_gp": 1e-3}],
    "vae": [{"beta": 2.0}, {"l1": 1e-3}],
    "gan": [{"r1": 1.0}, {"l2_g": 1e-3, "spectral_norm_d": 1.0}],
}


def trained(name: str, precision: str, configs: list[dict[str, Any]], first: int = 0) -> TrainingRun:
    options: dict[str, Any] = {"features": {"name": "randconv"}} if name == "gan" else {}
    settings = Settings(DIGITS, 3, batch_size=32, precision=precision, **options)  # type: ignore[arg-type]
    run: TrainingRun = registry.load(name)(settings).start([Member(first + k, config, 100 + first + k) for k, config in enumerate(configs)])
    run.step()
    return run


@pytest.mark.parametrize("name", CONFIGS)
def test_bfloat16_trains_nearly_the_same_and_keeps_single_precision(name: str) -> None:
    full, half = (trained(name, precision, CONFIGS[name]) for precision in ("float32", "bfloat16"))
    for player, theta in full.crew.thetas.items():
        coarse = half.crew.thetas[player]
        assert coarse.dtype == torch.float32
        assert 1e-6 < float((coarse - theta).norm() / theta.norm()) < 0.1
    assert all(torch.as_tensor(value).dtype in (torch.float32, torch.float64, torch.int64) for value in half.judge.evaluated(0).values())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_pack_in_bfloat16_is_its_members(name: str) -> None:
    together = trained(name, "bfloat16", CONFIGS[name])
    for k, config in enumerate(CONFIGS[name]):
        alone = trained(name, "bfloat16", [config], first=k)
        for player, theta in alone.crew.thetas.items():
            # Sums of products are rounded in another order, to three digits each.
            assert float((together.crew.thetas[player][k] - theta[0]).norm() / theta.norm()) < 0.05


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_reported_is_what_was_evaluated(name: str) -> None:
    """In full, though the training that is reported beside it was not."""
    for run in (trained(name, "bfloat16", [{}]), trained(name, "bfloat16", [{}, {}])):
        (report, *_) = run.step()
        for key, value in run.judge.evaluated(0).items():
            assert report.metrics[key] == pytest.approx(float(value), rel=1e-5, abs=1e-6), key


def test_the_choice_ends_where_training_does() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with products("tf32", "cpu"):
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("high", True)
    with products("float32", "cpu"):
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == ("highest", False)
        assert not torch.is_autocast_enabled("cpu")
    with pytest.raises(ValueError), products("bfloat16", "cpu"):
        assert torch.is_autocast_enabled("cpu")
        raise ValueError
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"objective": "vae", "dataset": "digits", "precision": "tf32"}, "must have a GPU"),
        ({"objective": "toy", "precision": "bfloat16"}, "a precision of 'toy'"),
        ({"objective": "vae", "dataset": "digits", "precision": "half"}, "precision"),
    ],
)
def test_a_precision_that_is_not_to_be_had_is_refused(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        read(spec)


def test_the_choice_is_kept_with_the_sweep() -> None:
    spec = read({"objective": "vae", "dataset": "digits", "precision": "bfloat16"})
    assert "precision: bfloat16" in spec.to_yaml()
    assert spec.settings().precision == "bfloat16"
