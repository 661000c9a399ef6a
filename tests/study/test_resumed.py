"""A simulated sweep that goes on until λ helps is judged anew at every look, with what is left of the error."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.study.resumed import looks
from tests.study.worlds import WORLDS


@pytest.mark.parametrize("name", ["bowl-0"])
def test_each_look_has_seeds_and_an_error_of_its_own(name: str, tmp_path: Path) -> None:
    """An error is spent once: no final seed judges twice, and however often it goes on the errors sum to at most 5 %."""
    seen: list[tuple[set[int], float, int]] = []
    for plan, answer in islice(looks(WORLDS[name], 0, tmp_path, trials=8, epochs=4, more=4), 3):
        final = max(one.seeds for one in plan.rounds.candidates)
        seeds = set(plan.rounds.seeds()[:final])
        trained = {row.seed for row in plan.ledger.ordered() if row.phase == "confirm"}
        assert 2 <= answer.effect.seeds <= len(seeds) and seeds <= trained
        seen.append((seeds, plan.rounds.look.error, plan.searched()))
    assert [trials for _, _, trials in seen] == [8, 12, 16]
    assert sum(len(seeds) for seeds, _, _ in seen) == len(set().union(*(seeds for seeds, _, _ in seen)))
    assert seen[0][1] > seen[1][1] > seen[2][1] and sum(error for _, error, _ in seen) < 0.05
