"""A plan carried out in this process, without Ray. That Ray Tune does the same with one worker is in test_on_ray.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.storage import Home
from objectives.families import toy
from search.running.where import IN_PROCESS
from search.sweep import run
from tests.search.kept import in_parts, kept, said

TOY: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}, "lr": {}},
    "dataset": {"name": "none", "noise": 0.5},
    "budget": {"trials": 9, "epochs": 9},
    "confirm": {"configs": 2, "seeds": 2},
}


def test_what_was_interrupted_goes_on_to_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(TOY, name="s", home=Home.open(tmp_path / "whole"), address=IN_PROCESS, tracking=False)
    home = Home.open(tmp_path / "parts")
    outcome, lives = in_parts(TOY, home, 9, monkeypatch)
    assert lives > 3
    assert said(outcome) == said(whole)
    assert [row.config for row in kept(home, "s")[0]] == [row.config for row in kept(Home.open(tmp_path / "whole"), "s")[0]]


def test_there_is_one_worker_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="got workers 2"):
        run(TOY, name="s", home=Home.open(tmp_path), workers=2, address=IN_PROCESS, tracking=False)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize("address", ["in-proces", "here", "10.0.0.1"])
def test_an_address_that_is_none_says_what_there_is(address: str, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=f"HOST:PORT or {IN_PROCESS}; got '{address}'"):
        run(TOY, name="s", home=Home.open(tmp_path), address=address, tracking=False)


def test_an_error_that_names_a_file_which_is_no_utf8_fails_its_member_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has such a name as text that no store takes, and the driver fell by it, again at each resume."""

    def named(self: Any, config: Any, seed: int, epoch: int) -> float:
        if config["l2"] > 1.0:
            raise FileNotFoundError("no file /data/\udcff, nor \ud800")
        return at_epoch(self, config, seed, epoch)

    at_epoch = toy.OBJECTIVE.at_epoch
    monkeypatch.setattr(toy.OBJECTIVE, "at_epoch", named)
    home = Home.open(tmp_path)
    outcome = run(TOY, name="s", home=home, address=IN_PROCESS)
    assert outcome.status == "complete"
    failed = [row for row in kept(home, "s")[0] if row.state == "failed"]
    assert failed and {row.reason for row in failed} == {"FileNotFoundError: no file /data/\ufffd, nor \ufffd"}
    assert all("\ufffd" in row.traceback for row in failed)
    assert (home.reports("s") / "report.html").read_text(encoding="utf-8")
