"""The noisy linear autoencoder through our own family, as a user's function, and as a user's script: the same scores, λ* and verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue
from infra.storage import Home
from objectives.base import Member, Settings, State
from objectives.registry import load
from search.choosing.answer import Answer
from search.running.where import IN_PROCESS
from search.sweep import run

pytestmark = [pytest.mark.trains, pytest.mark.turns(4)]

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
# the root of a mean square, so a small gradient is as wrong as a large one. Over 160 steps 160 · 2⁻²⁴ = 1e-5 of a weight.
TOLERANCE = 1e-4
EPOCHS = 16  # of ten steps


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
    function = load(FUNCTION)(Settings(dataset={"name": "none"}, epochs=EPOCHS, threads=1))
    mine = scored(ours(EPOCHS), {**config, "latent_dim": 5}, seed)
    assert scored(function, config, seed) == pytest.approx(mine, rel=TOLERANCE)
    assert scored(ours(EPOCHS), {**config, "latent_dim": 5}, seed + 10) != pytest.approx(mine, rel=10 * TOLERANCE)


def test_a_script_scores_as_our_family_does() -> None:
    config = {"l2": 1.0, "lr": 1e-2}
    script = load("command", PROGRAM)(Settings(dataset={"name": "none"}, epochs=EPOCHS, threads=1))
    assert scored(script, config, 1) == pytest.approx(scored(ours(EPOCHS), {**config, "latent_dim": 5}, 1), rel=TOLERANCE)


def swept(home: Path, spec: dict[str, Any]) -> tuple[Answer, list[tuple[Any, ...]]]:
    """The answer of a sweep; and role, config of λ, seed and score of each member."""
    shared = {"budget": {"trials": 14, "epochs": 40}, "confirm": {"configs": 3, "screen": 2, "seeds": 4}, "scheduler": "none", "pack": 1}
    outcome = run({**spec, **shared, "seed": 1, "check": False}, home=Home.open(home), address=IN_PROCESS, tracking=False)
    assert outcome.answer is not None, outcome.problem
    with Catalogue(Home.open(home).catalogue_url, create=False) as catalogue:
        rows = catalogue.members(outcome.name)
    return outcome.answer, [(str(row.phase), row.config["l2"], row.seed, row.score) for row in rows]


RANGE = {"low": 0.02, "high": 4}  # beyond the largest variance, 6, the output is constant: our family ends such members as collapsed
USERS_WAYS: dict[str, dict[str, Any]] = {
    "function": {"objective": FUNCTION, "search": {"l2": RANGE}, "fixed": {"lr": 1e-2}},
    "script": {"objective": "command", **PROGRAM, "search": {"l2": RANGE}, "fixed": {"lr": 1e-2}},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.whole) if way == "script" else way for way in USERS_WAYS])
def test_a_sweep_says_the_same_member_by_member(tmp_path: Path, way: str) -> None:
    """The best λ is the variance of the noise."""
    family = {"objective": "autoencoder", "model": "linear", "dataset": DATA, "batch_size": 400}
    fixed = {"lr": 1e-2, "latent_dim": 5}
    answer, members = swept(tmp_path / "ours", {**family, "search": {"l2": RANGE}, "fixed": fixed})
    theirs, users = swept(tmp_path / "theirs", USERS_WAYS[way])
    searched = [[one for one in rows if one[0] == "search"] for rows in (members, users)]
    assert [one[:3] for one in searched[0]] == [(phase, pytest.approx(l2, rel=1e-6), seed) for phase, l2, seed, _ in searched[1]]
    assert [one[3] for one in searched[1]] == pytest.approx([one[3] for one in searched[0]], rel=TOLERANCE)
    assert theirs.verdict == answer.verdict == "helps"
    assert theirs.best["l2"] == pytest.approx(answer.best["l2"], rel=0.02)
    [found] = theirs.lambdas
    assert found.low <= VARIANCE <= found.high
    assert theirs.effect.mean == pytest.approx(answer.effect.mean, rel=0.02)
