"""The examples of docs/examples end with the answer that a long run knows beforehand (docs/examples/README.md has its figures)."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.storage import Home
from objectives.registry import attribute
from search.running.where import IN_PROCESS
from search.spec.text import read_yaml
from search.sweep import run

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@dataclass(frozen=True)
class Known:
    """What a long run says: the knob, between which values the best lies, and the best score with λ off and with λ on."""

    spec: dict[str, Any]
    knob: str
    low: float
    high: float
    off: float
    on: float
    verdicts: tuple[str, ...] = ("helps",)


ALL = {
    "vae": Known({}, "beta", 0.5, 1.0, 23.62, 23.43),
    # Its gain is as large as the margin, a hundredth of the score: not every sweep proves it.
    "conv_vae": Known({}, "beta", 0.4, 1.0, 24.43, 24.18, ("helps", "harmless")),
    "gan": Known({"objective": "gan.py"}, "r1", 0.1, 50, 1.0, 0.24),
    "denoise": Known({"objective": "denoise.py"}, "noise", 0.05, 1.0, 1.48, 1.24),
}


@pytest.mark.slow
@pytest.mark.sampled(4)
@pytest.mark.trains
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.whole) if name == "vae" else name for name in ALL])
def test_an_example_ends_with_the_verdict_of_its_long_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "denoise" and importlib.util.find_spec("lightning") is None:
        pytest.skip("lightning is not installed: pip install .[lightning]")
    known = ALL[name]
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )  # as in an environment that is active
    spec = known.spec or read_yaml(f"{name}.yaml")
    if name == "conv_vae":
        attribute("model", "conv_vae.py:write")(tmp_path / "digits")
        spec = {**spec, "dataset": {**spec["dataset"], "root": str(tmp_path / "digits")}}
    outcome = run({**spec, "seed": 1}, home=Home.open(tmp_path), address=IN_PROCESS, tracking=False)
    assert outcome.answer is not None, outcome.problem
    assert outcome.answer.verdict in known.verdicts
    assert known.low <= outcome.answer.best[known.knob] <= known.high
    if outcome.answer.verdict == "helps":
        assert outcome.answer.best_score < (known.off + known.on) / 2 < outcome.answer.off_score
    assert outcome.answer.test is not None


@pytest.mark.parametrize(("name", "most"), [("gan.py", 15), ("denoise.py", 15), ("train_vae.py", 0)])
def test_an_example_marks_every_line_that_lagrange_asks_for(name: str, most: int) -> None:
    """And it has no more of them than are promised: none in a script."""
    lines = (EXAMPLES / name).read_text().splitlines()
    ours = [line for line in lines if "objectives" in line or "@objective" in line or ("report" in line.lower() and "trial" in line)]
    marked = [line for line in lines if line.rstrip().endswith("#")]
    assert not [line for line in ours if line not in marked]
    assert len(marked) <= most
