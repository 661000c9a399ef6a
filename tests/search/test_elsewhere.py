"""A system that lacks what only Linux, Unix or glibc has: a sweep runs to its answer."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from objectives.families.toy import best_lambda
from tests.hidden import HIDDEN

SPEC: dict[str, Any] = {
    "objective": "toy",
    "dataset": {"name": "none", "noise": 0.5},
    "search": {"l2": {}},
    "sampler": "random",
    "budget": {"trials": 12, "epochs": 4, "wall_minutes": 60},
    "confirm": {"configs": 5, "seeds": 3},
    "limits": {"memory_gb": 8},
}
SWEEP = """
import json
from infra.storage import Home
from search import run

outcome = run({spec!r}, name="s", home=Home.open({home!r}), workers=1, address={address!r}, tracking=False)
loaded = [name for name in ("fcntl", "resource", "ray", "torch", "mlflow") if name in sys.modules]
print(json.dumps([outcome.status, outcome.problem, outcome.answer and outcome.answer.best["l2"], loaded]))
"""
# Ray is another's work and finds on this system what it looks for; what is hidden then is hidden from us.
RAY = "import ray.tune"


def best(address: str | None, folder: Path, before: str = "") -> tuple[float, list[str]]:
    """The λ that a sweep finds in a fresh process, and what is loaded in the end of what is hidden or heavy."""
    code = "\n".join([before, HIDDEN, SWEEP.format(spec=SPEC, home=str(folder), address=address)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, problem, found, loaded = json.loads(done.stdout.splitlines()[-1])
    assert (status, problem) == ("complete", "")
    return found, loaded


def test_a_sweep_in_this_process_needs_neither_that_nor_ray_nor_torch(tmp_path: Path) -> None:
    found, loaded = best("in-process", tmp_path)
    assert abs(math.log10(found / best_lambda(1.0, 0.5))) < 0.3
    assert loaded == []


@pytest.mark.slow
def test_a_sweep_on_a_local_ray_does_without_it(tmp_path: Path) -> None:
    found, loaded = best(None, tmp_path, RAY)
    assert abs(math.log10(found / best_lambda(1.0, 0.5))) < 0.3
    assert not {"fcntl", "resource"} & set(loaded), "else nothing was hidden"
