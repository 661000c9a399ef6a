"""A real sweep over γ of R1 on the Dirac-GAN, whose damping is critical at γ = 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.storage import Home
from search.running.where import IN_PROCESS
from search.sweep import run


def test_a_search_over_r1_finds_critical_damping(tmp_path: Path) -> None:
    """γ* ∈ [0.8, 1.1]; the default range spans three decades."""
    spec: dict[str, Any] = {
        "objective": "dirac",
        "budget": {"trials": 24, "epochs": 2},
        "confirm": {"configs": 3, "seeds": 3},
        "scheduler": "none",
    }
    outcome = run(spec, home=Home.open(tmp_path), address=IN_PROCESS, tracking=False)
    assert outcome.answer is not None, outcome.problem
    assert outcome.answer.verdict == "helps"
    assert 0.8 <= outcome.answer.best["r1"] <= 1.1
    [gamma] = outcome.answer.lambdas
    assert gamma.low <= gamma.value <= gamma.high
    assert outcome.answer.best_score < outcome.answer.off_score - 6, "six decades nearer to the equilibrium than without R1"
