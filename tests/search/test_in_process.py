"""A plan carried out in this process: the same members, decisions and answer as by Ray Tune with one worker, and no Ray."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue, MemberRow
from infra.errors import InfraError
from infra.storage import Home
from search.running.where import IN_PROCESS
from search.sweep import Outcome, resume, run

TOY: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 12, "epochs": 10},
    "confirm": {"configs": 3, "seeds": 2},
}
PACKED: dict[str, Any] = {
    "objective": "autoencoder",
    "dataset": {"name": "digits", "train_size": 96},
    "search": {"l2": {}, "lr": {}},
    "budget": {"trials": 8, "epochs": 5},
    "confirm": {"configs": 2, "seeds": 2},
    "batch_size": 32,
    "check": False,
    "pack": 4,
}


def kept(home: Home, name: str) -> tuple[list[MemberRow], list[tuple[int, int, float | None]], Any]:
    """What a catalogue holds of a sweep, but for what depends on where and how fast it ran."""
    with Catalogue(home.catalogue_url) as catalogue:
        rows = [replace(row, seconds=0.0, facts={}, created=None, ended=None) for row in catalogue.members(name)]  # type: ignore[arg-type]
        reports = [(report.number, report.epoch, report.rung_score) for report in catalogue.reports(name)]
        return rows, sorted(reports), catalogue.sweep(name).candidates


def said(outcome: Outcome) -> dict[str, Any]:
    """An answer without the seconds that were spent."""
    assert outcome.answer is not None, outcome.problem
    found = outcome.answer.to_dict()
    for phase in found["spent"].values():
        for state in phase.values():
            state.pop("seconds")
    return found


@pytest.mark.usefixtures("ray_up")
@pytest.mark.parametrize(("spec", "seed"), [(TOY, 0), (TOY, 1), (PACKED, 0)], ids=["toy-0", "toy-1", "packs"])
def test_it_is_what_tune_does_with_one_worker(spec: dict[str, Any], seed: int, tmp_path: Path) -> None:
    homes = {address: Home.open(tmp_path / str(address)) for address in (None, IN_PROCESS)}
    found = {
        address: run({**spec, "seed": seed}, name="s", home=home, workers=1, address=address, tracking=False)
        for address, home in homes.items()
    }
    tuned, here = (kept(home, "s") for home in homes.values())
    assert here == tuned
    assert {row.state for row in here[0]} >= {"complete", "stopped"}, "rungs decided something"
    assert said(found[IN_PROCESS]) == said(found[None])


def test_what_was_interrupted_goes_on_to_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(TOY, name="s", home=Home.open(tmp_path / "whole"), address=IN_PROCESS, tracking=False)
    home = Home.open(tmp_path / "parts")
    from search.running import in_process

    real, steps = in_process.carry_out, [0]

    def stops(plan: Any, desk: Any, interrupted: Any) -> bool:
        def soon() -> bool:
            steps[0] += 1
            return bool(interrupted()) or steps[0] % 9 == 0

        return real(plan, desk, soon)

    monkeypatch.setattr(in_process, "carry_out", stops)
    outcome = run(TOY, name="s", home=home, address=IN_PROCESS, tracking=False)
    lives = 1
    while outcome.status == "interrupted":
        outcome = resume("s", home=home, address=IN_PROCESS, tracking=False)
        lives += 1
    assert lives > 3
    assert said(outcome) == said(whole)
    assert [row.config for row in kept(home, "s")[0]] == [row.config for row in kept(Home.open(tmp_path / "whole"), "s")[0]]


def test_it_needs_neither_ray_nor_torch_for_what_needs_neither(tmp_path: Path) -> None:
    code = (
        "import sys; from search import run; from infra.storage import Home\n"
        f"outcome = run({TOY | {'sampler': 'random'}!r}, home=Home.open({str(tmp_path)!r}), address='in-process', tracking=False)\n"
        "print(outcome.status, sorted({'ray', 'torch', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.stdout.strip().endswith("complete []"), done.stderr


def test_there_is_one_worker_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="got workers 2"):
        run(TOY, name="s", home=Home.open(tmp_path), workers=2, address=IN_PROCESS, tracking=False)
    assert not list(tmp_path.iterdir()), "nothing is left behind"
