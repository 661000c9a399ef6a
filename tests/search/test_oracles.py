"""Real sweeps whose best λ is known from theory: the linear autoencoder on noisy and on clean data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from infra.storage import Home
from search.choosing.answer import Answer
from search.running.where import IN_PROCESS
from search.sweep import run

pytestmark = [pytest.mark.trains, pytest.mark.turns(2)]


def answer(tmp_path: Path, noise_variance: float, latent_dim: int, seed: int = 0) -> Answer:
    spec: dict[str, Any] = {
        "objective": "autoencoder",
        "model": "linear",
        "dataset": {"name": "noisy_linear", "noise_variance": noise_variance, "rank": 5},
        "search": {"l2": {"low": 0.02, "high": 20}},
        "fixed": {"lr": 1e-2, "latent_dim": latent_dim},
        "budget": {"trials": 14, "epochs": 30},
        "confirm": {"configs": 5, "seeds": 4},
        "scheduler": "none",
        "pack": 7,  # a step of so small a model is mostly overhead
        "seed": seed,
    }
    outcome = run(spec, home=Home.open(tmp_path), address=IN_PROCESS, tracking=False)
    assert outcome.answer is not None, outcome.problem
    return outcome.answer


@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize("noise_variance", [0.5, 1.5])
def test_on_noisy_data_the_best_lambda_is_the_noise_variance(tmp_path: Path, noise_variance: float) -> None:
    """Shrinkage 1 − λ/(e + s²) is Wiener's e/(e + s²) for every direction iff λ = s² (n → ∞, latent size = rank)."""
    found = answer(tmp_path, noise_variance, latent_dim=5)
    assert found.verdict == "helps"
    assert abs(math.log10(found.best["l2"] / noise_variance)) < 0.25
    [one] = found.lambdas
    assert one.low <= one.value <= one.high


@pytest.mark.slow
def test_on_clean_data_lambda_never_helps_an_undercomplete_linear_autoencoder(tmp_path: Path) -> None:
    """Held-out error rises monotonically with λ, at every n."""
    found = answer(tmp_path, 0.0, latent_dim=3)
    assert found.verdict != "helps"
