"""Trainings whose answer is known in closed form: the linear autoencoder (Kunin et al. 2019).

For ½·mean‖x − W₂W₁x‖² + ½λ(‖W₁‖² + ‖W₂‖²), with σᵢ² the eigenvalues of the second moment of x, the optimum has W₁ = W₂ᵀ and singular
values (1 − λ/σᵢ²)₊ of W₂W₁, for the largest dim z of them.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from objectives.base import Member, Report, Settings
from objectives.families.autoencoder import Autoencoder
from objectives.training.loop import TrainingRun

pytestmark = [pytest.mark.trains, pytest.mark.turns(3)]


class Double(Autoencoder):
    dtype = "float64"


class Unscored(Double):
    """Where the weights are what is looked at: 600 evaluations would take most of the time."""

    def evaluate(self, *_: Any) -> dict[str, torch.Tensor]:
        return {self.score: torch.zeros(())}

    def finish(self, *_: Any) -> dict[str, float]:
        return {self.score: 0.0}


def train(
    lambdas: list[float], epochs: int, latent_dim: int, lr: float = 1e-2, kind: type[Autoencoder] = Double, **dataset: Any
) -> tuple[TrainingRun, list[Report]]:
    """Full-batch training: one step per epoch."""
    options = {"name": "noisy_linear", **dataset}
    family = kind(Settings(dataset=options, model="linear", epochs=epochs, batch_size=10**9))
    run = family.start([Member(n, {"l2": lam, "lr": lr, "latent_dim": latent_dim}, 0) for n, lam in enumerate(lambdas)])
    reports = []
    while found := run.step():
        reports = found
    return run, reports


@pytest.fixture(scope="module")
def lambdas() -> list[float]:
    return [0.0, 0.2, 1.0, 2.5]


def test_l2_shrinks_the_linear_autoencoder_as_in_closed_form(lambdas: list[float]) -> None:
    run, _ = train(lambdas, 600, 3, kind=Unscored, noise_variance=0.1, dim=6, rank=3, n_train=200)
    spectrum = torch.linalg.eigvalsh(run.rows.T @ run.rows / len(run.rows)).flip(0)[:3]
    assert spectrum[0] > 2.5 > spectrum[1]  # the largest λ leaves one direction alive
    for number, lam in enumerate(lambdas):
        layers = run.regularization.layouts["model"].kernels(run.ended[number]["model"])
        encoder, decoder = (layers[f"{part}.layers.0.weight"] for part in ("encoder", "decoder"))
        found = torch.linalg.svdvals(decoder @ encoder)[:3]
        torch.testing.assert_close(found, (1 - lam / spectrum).clamp(min=0), rtol=0, atol=1e-3)
        if lam:
            torch.testing.assert_close(encoder, decoder.T, rtol=0, atol=2e-3)


def test_the_best_lambda_of_denoising_is_the_variance_of_the_noise() -> None:
    """Judged on the clean signal, shrinkage 1 − λ/(e + s²) is Wiener's e/(e + s²) exactly at λ = s²."""
    grid = [0.0, 0.25, 0.5, 1.0, 2.0]
    _, reports = train(grid, 200, 3, 2e-2, noise_variance=0.5, dim=8, rank=3, n_train=2000)
    scores = [report.score or 0.0 for report in reports]
    assert grid[min(range(len(grid)), key=scores.__getitem__)] == 0.5
    assert scores == sorted(scores[:2], reverse=True) + scores[2:3] + sorted(scores[3:])
