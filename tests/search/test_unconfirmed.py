"""A sweep of which no training on fresh seeds completed says so: above the verdict, in its exit code, and in what `resume` says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from search.cli import app

FUNCTION = '''"""A training that fails on fresh seeds for as long as a file is there."""
from pathlib import Path

from objectives import knob, objective


@objective(score="val", better="lower", epochs=2, beta=knob(0.1, 10, log=True, off=0.0))
def train(trial):
    for _ in trial.epochs():
        if trial.phase == "confirm" and Path("{broken}").exists():
            raise ValueError("no fresh seed for you")
        trial.report(val=(trial.beta - 1) ** 2 + 0.01 * (trial.seed % 7))
'''
SPEC = {
    "objective": "u.py",
    "budget": {"trials": 6},
    "check": False,
    "scheduler": "none",
    "confirm": {"seeds": 3, "screen": 0, "configs": 2},
}
AGAIN = "lagrange resume s --retry-all-failed"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").touch()
    (tmp_path / "u.py").write_text(FUNCTION.replace("{broken}", str(tmp_path / "broken")), encoding="utf-8")
    (tmp_path / "u.yaml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    return tmp_path


def lagrange(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--home", "kept"], env={"COLUMNS": "300"})


def test_a_sweep_that_confirmed_nothing_has_no_certainty_and_says_how_to_get_it(folder: Path) -> None:
    begun = lagrange("sweep", "u.yaml", "--name", "s", "--address", "in-process", "--plain")
    assert begun.exit_code == 5, begun.output
    said = begun.output.partition("no certainty: ")[2]
    above, _, below = said.partition("s: no evidence – ")
    assert above.startswith("none of the 6 trainings on fresh seeds completed (6 failed: ") and "no fresh seed for you" in above
    assert f"Mend their cause, then: lagrange resume s --home {Path.cwd() / 'kept'} --retry-all-failed" in above
    assert below.startswith("nothing was confirmed: ") and "more seeds or trials may tell" not in begun.output
    assert "−∞" not in below and "hold it to the promise" not in below and "its promise" not in below

    told = lagrange("resume", "s", "--address", "in-process", "--plain")
    assert told.exit_code == 5 and "nothing was left to do" in told.output
    assert f"6 members failed by their own fault; once it is mended, try again with: {AGAIN}" in told.output
    assert lagrange("export", "s", "-o", "best.yaml").exit_code == 0
    trained = lagrange("train", "best.yaml")
    assert trained.exit_code == 0 and "prediction interval" not in trained.output, "there is no promise to keep"

    (folder / "broken").unlink()
    mended = lagrange("resume", "s", "--retry-all-failed", "--address", "in-process", "--plain")
    assert mended.exit_code == 0 and "no certainty" not in mended.output and "nothing was confirmed" not in mended.output
    over = lagrange("resume", "s", "--address", "in-process", "--plain")
    assert over.exit_code == 0 and "nothing was left to do" in over.output and "try again" not in over.output
