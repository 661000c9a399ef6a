"""A traceback begins at the code of whoever is to mend it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from objectives.base import Member, Settings, State
from objectives.families.autoencoder import OBJECTIVE as Autoencoder
from objectives.traces import last_line, shown

ROOT = Path(__file__).parents[2]

MODULE = """
from torch import nn

class Encoder(nn.Module):
    def __init__(self, latent):
        super().__init__()
        self.inside, self.calls = nn.Linear(64, latent), 0

    def forward(self, x):
        if self.training and x.shape[0] != 2:
            self.missing(x)
        return self.inside(x.flatten(1))

def model(shape, latent):
    return {"encoder": Encoder(latent), "decoder": nn.Sequential(nn.Linear(latent, 64), nn.Unflatten(1, shape))}
"""


def raised(code: str, file: str) -> Exception:
    """The error of code that is told to be of a file."""
    try:
        exec(compile(code, file, "exec"), {})
    except Exception as error:
        return error
    raise AssertionError


def test_without_a_line_of_the_users_a_traceback_is_whole() -> None:
    ours_only = raised("def f():\n    1 / 0\nf()", str(ROOT / "objectives" / "made_up.py"))
    ours_only.__traceback__ = ours_only.__traceback__.tb_next if ours_only.__traceback__ else None  # without this test's own frame
    assert shown(ours_only).count("made_up.py") == 2 and last_line(ours_only) == ""


def test_below_the_users_line_nothing_is_left_out() -> None:
    error = raised("import torch\ntorch.ones(2, 3) @ torch.nn.Linear(2, 2).forward(torch.ones(1, 3))", "/home/someone/theirs.py")
    assert "theirs.py" in shown(error) and "torch" in shown(error).split("theirs.py")[1]
    assert last_line(error).strip().startswith('File "/home/someone/theirs.py", line 2')


@pytest.mark.trains
def test_a_users_module_that_raises_in_training_is_shown_from_its_own_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_broken_model.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Autoencoder(Settings({"name": "digits"}, 1, "a_broken_model:model"))
    run = made.start([Member(0, {name: one.default for name, one in made.knobs.items()}, 1)])
    (last,) = run.step()
    assert last.state is State.FAILED and "'missing'" in last.reason
    first = last.traceback.splitlines()[1]
    assert "a_broken_model.py" in first and "in forward" in first


def test_a_file_that_is_run_by_itself_shows_its_own_lines(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from objectives import knob, objective\n\n"
        "@objective(score='val', beta=knob(0.1, 10, off=1.0))\n"
        "def train(trial):\n    for epoch in trial.epochs():\n        trial.report(val=trial.beta)\n    nothing_of_this_name\n"
    )
    found = subprocess.run([sys.executable, str(mine)], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert found.returncode == 1
    assert found.stderr.splitlines()[1] == f'  File "{mine}", line 7, in train' and "function.py" not in found.stderr
    mine.write_text(mine.read_text().replace("nothing_of_this_name", "trial.betta"))
    found = subprocess.run([sys.executable, str(mine)], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert found.returncode == 1 and "trial.betta\n" in found.stderr and "Did you mean 'beta'?" in found.stderr
