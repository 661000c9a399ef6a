"""The benchmark of regret drives the plan as a sweep does: what it says of K is what K does to a search."""

from __future__ import annotations

import math

import pytest

from search.asking import samplers
from tests.benchmarks.regret import CENTRE, PROBLEMS, UNCAPPED, Searched, measure, regret, search
from tests.search.simulated import Simulated


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_one_at_a_time_is_the_order_of_a_simulated_sweep(sampler: str, tmp_path) -> None:
    """A sweep on a real catalogue, its searched members in their order: the same configs. TPE is random in its first asks."""
    problem = PROBLEMS["valley"]
    found = search(problem, sampler, 6, 1, seed=3)
    assert found.widths == [1] * 6
    spec = {
        "objective": problem.objective,
        "search": problem.search,
        "sampler": sampler,
        "scheduler": "none",
        "budget": {"trials": 6, "epochs": 1},
        "confirm": {"configs": 0},
        "seed": 3,
    }
    with Simulated(tmp_path, spec, problem.truth) as sweep:
        sweep.run(jobs=7)
        assert [dict(row.config) for row in sweep.ledger.ordered()] == found.configs


def test_a_sampler_that_learns_nothing_asks_the_same_whatever_the_width() -> None:
    runs = [search(PROBLEMS["bowl"], "random", 24, width, seed=1) for width in (1, 5, 16)]
    assert runs[0].configs == runs[1].configs == runs[2].configs
    assert [max(run.widths) for run in runs] == [1, 5, 12]  # 12 and 12, not 16 and 8


def test_an_adaptive_sampler_is_asked_for_a_quarter_at_once_and_no_more() -> None:
    assert samplers.adaptive("tpe")
    assert search(PROBLEMS["ridge"], "tpe", 24, 16, seed=0).widths == [6, 6, 6, 6]
    assert search(PROBLEMS["ridge"], "tpe" + UNCAPPED, 24, 16, seed=0).widths == [12, 12]


@pytest.mark.parametrize("name", PROBLEMS)
def test_no_config_is_better_than_the_minimum_that_a_problem_claims(name: str) -> None:
    problem = PROBLEMS[name]
    found = search(problem, "random", 64, 16, seed=0)
    assert regret(problem, found) > 0
    best = {
        "ridge": {"l2": 0.1, "lr": 1e-2},
        "valley": {"beta": 0.8, "lr": 5e-3},
        "bowl": {key: value if key == "dropout" else 10**value for key, value in CENTRE.items()},
    }[name]
    assert regret(problem, Searched([{**found.configs[0], **best}], [1])) == pytest.approx(0, abs=1e-12)


def test_the_table_compares_each_width_with_one_at_a_time() -> None:
    cells = measure(["ridge"], ["tpe", "tpe" + UNCAPPED], [8], [1, 2], seeds=2)
    assert [(cell.sampler, cell.width, cell.asked) for cell in cells] == [("tpe", 1, 1), ("tpe", 2, 2)]
    assert cells[0].more == 0 and math.isfinite(cells[1].more_se)
