"""The same trainings on an accelerator: `make test-gpu`. LAGRANGE_TEST_DEVICE=cpu tries the tests themselves where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.storage import Home
from objectives import base, registry
from objectives.base import Member, Settings, State
from objectives.training import traced
from objectives.training.loop import TrainingRun
from search.sweep import run

DEVICE = os.environ.get("LAGRANGE_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.startswith("cuda") and not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]

FAMILIES = ("autoencoder", "vae", "gan")
LAMBDAS = [(name, knob) for name in FAMILIES for knob in registry.load(name).knobs.values() if knob.is_lambda or knob.choices]


def begin(name: str, configs: list[dict[str, Any]], device: str = DEVICE, precision: Any = "float32", epochs: int = 2) -> TrainingRun:
    options: dict[str, Any] = {"features": {"name": "randconv"}} if name == "gan" else {}
    if any("optimal_sigma" in config for config in configs):
        options["likelihood"] = "gaussian"
    settings = Settings({"name": "digits", "train_size": 160}, epochs, batch_size=32, device=device, precision=precision, **options)
    made: TrainingRun = registry.load(name)(settings).start([Member(k, config, 100 + k) for k, config in enumerate(configs)])
    return made


def apart(one: TrainingRun, other: TrainingRun, k: int = 0, at: int = 0) -> float:
    """How far member k's weights are from those of member `at` of the other run, relative."""
    pairs = [(theta[k].cpu(), other.crew.thetas[player][at].cpu()) for player, theta in one.crew.thetas.items()]
    return max(float((a - b).norm() / b.norm()) for a, b in pairs)


def test_an_autoencoder_is_the_one_that_the_processor_trains() -> None:
    """First weights and the order of images are drawn on the processor, and this loss draws nothing."""
    here, there = begin("autoencoder", [{"l2": 1e-3}]), begin("autoencoder", [{"l2": 1e-3}], device="cpu")
    assert all(theta.device.type == DEVICE for theta in here.crew.thetas.values())
    assert apart(here, there) == 0
    mine, theirs = here.step()[0], there.step()[0]
    assert apart(here, there) < 1e-3
    assert mine.rung_score == pytest.approx(theirs.rung_score, rel=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pack_is_its_members(name: str) -> None:
    configs: list[dict[str, Any]] = [{"lr": 1e-3}, {"lr": 3e-4, "dropout": 0.2}, {"lr": 1e-3, "clip_norm": 0.5}]
    together = begin(name, configs)
    together.train_steps(5)
    for k, config in enumerate(configs):
        alone = begin(name, [*[{}] * k, config])  # the same seed at the same place
        alone._keep([k])
        alone.train_steps(5)
        assert apart(together, alone, k) < 1e-4


@pytest.mark.parametrize(("name", "knob"), LAMBDAS, ids=[f"{name}-{knob.name}" for name, knob in LAMBDAS])
def test_every_lambda_trains_and_is_evaluated_there(name: str, knob: base.Knob) -> None:
    value = knob.choices[-1] if knob.choices else knob.high
    reports = begin(name, [{knob.name: value}] * 2, epochs=1).step()
    assert [report.state for report in reports if report.state is State.FAILED] == [], reports[0].traceback


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_coarser_products_train_nearly_the_same(name: str, precision: str) -> None:
    full, coarse = begin(name, [{}] * 2), begin(name, [{}] * 2, precision=precision)
    full.train_steps(5), coarse.train_steps(5)
    assert apart(coarse, full) < 0.1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_is_captured_as_one_graph(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[dict[str, Any]] = [{"lr": 1e-3}, {"lr": 3e-4, "dropout": 0.2}]
    mapped = begin(name, configs)
    mapped.train_steps(5)
    monkeypatch.setattr(traced, "AFTER", 1)
    launched = begin(name, configs)
    launched.train_steps(5)
    assert apart(launched, mapped) < 1e-4 and apart(launched, mapped, 1, 1) < 1e-4
    assert not [trace.refused for trace in launched.family.traces.values() if trace.refused]
    if DEVICE.startswith("cuda"):
        assert all(launched._scratch.replays.captured())


@pytest.mark.parametrize("after", [1, 64])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_never_waits_for_the_device(name: str, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its operations are mapped or captured; the steps in which a replay is compared do wait."""
    monkeypatch.setattr(traced, "AFTER", after)
    made = begin(name, [{}, {"clip_norm": 1.0}])
    made.train_steps(4)  # the draws are listed, the libraries choose their kernels, and operations are captured
    batch = made.rows[torch.arange(64, device=DEVICE).view(2, 32)]
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for player in made.family.players:
            made._update(player, batch)
        made._average()
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_a_pack_that_was_interrupted_ends_as_the_uninterrupted(tmp_path: Path) -> None:
    first, whole = begin("vae", [{}, {"beta": 2.0}]), begin("vae", [{}, {"beta": 2.0}])
    first.step()
    first.save(tmp_path / "checkpoint.pt")
    again = begin("vae", [{}, {"beta": 2.0}])
    again.restore(tmp_path / "checkpoint.pt")
    whole.step()
    ended, expected = again.step(), whole.step()
    assert [report.state for report in ended] == [State.COMPLETE] * 2
    assert [report.score for report in ended] == pytest.approx([report.score for report in expected], rel=1e-5)


def test_a_sweep_runs_there(tmp_path: Path) -> None:
    spec = {
        "objective": "vae",
        "dataset": "digits",
        "search": {"beta": {"low": 0.1}},
        "budget": {"trials": 8, "epochs": 4},
        "confirm": {"configs": 2, "seeds": 2},
        "resources": {"gpu": 0 if DEVICE == "cpu" else 1},
    }
    outcome = run(spec, home=Home.open(tmp_path), tracking=False)
    assert outcome.answer is not None, outcome.problem


ASKS = """
import torch
total = torch.cuda.get_device_properties(0).total_memory
torch.empty(int(0.1 * total), dtype=torch.uint8, device="cuda")
try:
    torch.empty(int(0.3 * total), dtype=torch.uint8, device="cuda")
except torch.OutOfMemoryError:
    print("refused")
"""
OCCUPIES = "from objectives.checks.device import occupied\nassert occupied('accelerator', 0.25)['gpu_part'] == '0.25'\n"
STARTS = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {ASKS!r}], check=True)"


@pytest.mark.skipif(not DEVICE.startswith("cuda"), reason="only CUDA limits the memory of a process")
@pytest.mark.parametrize("then", [ASKS, STARTS], ids=["here", "in a process that it starts"])
def test_a_part_of_a_gpu_is_a_part_of_its_memory(then: str) -> None:
    done = subprocess.run([sys.executable, "-c", OCCUPIES + then], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"]
