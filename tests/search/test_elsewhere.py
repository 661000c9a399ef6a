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
    "budget": {"trials": 12, "epochs": 4, "wall_minutes": 60},
    "confirm": {"configs": 5, "seeds": 3},
    "limits": {"memory_gb": 8},
}
SWEEP = """
import json
from infra.storage import Home
from search import run

outcome = run({spec!r}, name="s", home=Home.open({home!r}), workers=1, address={address!r}, tracking=False)
loaded = [name for name in ("fcntl", "resource") if name in sys.modules]
print(json.dumps([outcome.status, outcome.problem, outcome.answer and outcome.answer.best["l2"], loaded]))
"""
# Ray is another's work and finds on this system what it looks for; what is hidden then is hidden from us.
RAY = "import ray.tune"


@pytest.mark.parametrize(("address", "first"), [("in-process", ""), pytest.param(None, RAY, marks=pytest.mark.slow, id="ray")])
def test_a_sweep_runs_without_what_only_linux_has(address: str | None, first: str, tmp_path: Path) -> None:
    code = "\n".join([first, HIDDEN, SWEEP.format(spec=SPEC, home=str(tmp_path), address=address)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, problem, best, loaded = json.loads(done.stdout.splitlines()[-1])
    assert (status, problem, loaded) == ("complete", "", []), "else nothing was hidden"
    assert abs(math.log10(best / best_lambda(1.0, 0.5))) < 0.3
