"""The noisy linear autoencoder through our own family, as a user's function, and as a user's script: the same scores, λ* and verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from objectives.base import Member, Settings, State
from objectives.registry import load

pytestmark = [pytest.mark.trains, pytest.mark.turns(2)]

USERS = Path(__file__).parents[1] / "users"
FUNCTION = str(USERS / "linear_function.py")
VARIANCE = 1.0  # of the noise: the best λ
PROGRAM = {
    "command": f"{sys.executable} {USERS / 'linear.py'} --l2 {{l2}} --lr {{lr}} --seed {{seed}} --epochs {{epochs}}",
    "knobs": {"l2": {"low": 0.02, "high": 20, "log": True, "off": 0}, "lr": {"low": 1e-3, "high": 1e-1, "log": True}},
    "score": {"name": "val_half_sse", "better": "lower"},
}
DATA = {"name": "noisy_linear", "noise_variance": VARIANCE, "rank": 5, "n_train": 4000}
# Both sum the same products in float32, in another order. A step is then wrong by a few units of the last of 24 bits, and Adam divides by
# the root of a mean square, so a small gradient is as wrong as a large one. Over 400 steps 400 · 2⁻²⁴ = 2.4e-5 of a weight.
TOLERANCE = 1e-4


def ours(epochs: int) -> Any:
    settings = Settings(dataset=DATA, epochs=epochs, threads=1, batch_size=400, model="linear")
    return load("autoencoder")(settings)


def scored(objective: Any, config: dict[str, Any], seed: int) -> list[float]:
    """The score after each epoch."""
    run, found = objective.start([Member(0, config, seed)]), []
    try:
        while True:
            (report,) = run.step()
            found.append(report.score if report.state is State.COMPLETE else report.rung_score)
            if report.state is not None:
                assert report.state is State.COMPLETE, report.reason
                return found
    finally:
        getattr(run, "close", lambda: None)()


@pytest.mark.parametrize(("l2", "seed"), [(1.0, 1), (0.0, 2), (5.0, 3)])
def test_a_function_scores_as_our_family_does(l2: float, seed: int) -> None:
    config = {"l2": l2, "lr": 1e-2}
    function = load(FUNCTION)(Settings(dataset={"name": "none"}, epochs=40, threads=1))
    mine = scored(ours(40), {**config, "latent_dim": 5}, seed)
    assert scored(function, config, seed) == pytest.approx(mine, rel=TOLERANCE)
    assert scored(ours(40), {**config, "latent_dim": 5}, seed + 10) != pytest.approx(mine, rel=10 * TOLERANCE)


def test_a_script_scores_as_our_family_does() -> None:
    config = {"l2": 1.0, "lr": 1e-2}
    script = load("command", PROGRAM)(Settings(dataset={"name": "none"}, epochs=40, threads=1))
    assert scored(script, config, 1) == pytest.approx(scored(ours(40), {**config, "latent_dim": 5}, 1), rel=TOLERANCE)
