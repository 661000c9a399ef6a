"""An MLflow that takes nothing is said when the first sending fails, and once later. Training never waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import infra.tracking as tracking
from infra.storage import Home
from infra.tracking import MlflowTracker
from search.running.where import IN_PROCESS
from search.sweep import run
from search.telling.listener import Silent

TOY: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}},
    "dataset": {"name": "none", "seconds_per_epoch": 0.3},
    "scheduler": "none",
    "budget": {"trials": 6, "epochs": 3},
    "confirm": {"configs": 0, "seeds": 0},
}
NOBODY = "http://127.0.0.1:9"


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def tracker(folder: Path, rounds: list[str], monkeypatch: pytest.MonkeyPatch) -> MlflowTracker:
    """A tracker whose rounds go as listed: well, or with such an error. The last one is repeated."""
    monkeypatch.setattr(tracking, "BACKOFF_S", (0.0,))
    found = MlflowTracker(NOBODY, folder, folder / "spool", "s", interval_s=0.0, at_once=False)

    def one() -> bool:
        said = rounds.pop(0) if len(rounds) > 1 else rounds[0]
        if said:
            raise OSError(said)
        time.sleep(0.01)
        return True

    monkeypatch.setattr(found._writer, "round", one)
    return found


@pytest.mark.slow
def test_a_wrong_address_is_said_once(tmp_path: Path) -> None:
    class Listening(Silent):
        def __init__(self) -> None:
            self.notes: list[tuple[int, str]] = []
            self.done = 0

        def ended(self, number: int, state: str, score: float | None, reason: str) -> None:
            self.done += 1

        def note(self, text: str) -> None:
            self.notes.append((self.done, text))

    listener = Listening()
    outcome = run(TOY, name="s", home=Home.open(tmp_path, tracking_uri=NOBODY), address=IN_PROCESS, listener=listener)
    said = [(done, text) for done, text in listener.notes if "MLflow" in text]
    assert [text for _, text in said] == [
        f"MLflow at {NOBODY} does not take what is sent now: nobody answers at this address: is the server up, and the address right? "
        "(connection refused). Training goes on; what it misses is kept, and sent when it answers"
    ]
    assert said[0][0] <= 6 == listener.done and outcome.status == "complete"


def test_the_first_failure_is_said_and_not_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tracker(tmp_path, ["a password is missing"], monkeypatch)
    assert one.trouble() == "", "nothing was sent yet"
    one._thread.start()
    assert "a password is missing" in until(one.trouble)
    until(lambda: one._failures > 3 * tracking.AWAY)
    assert one.trouble() == ""
    one.close(0.1)


def test_a_server_that_goes_away_later_is_said_when_it_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = ["", "", *["connection refused"] * (tracking.AWAY - 1), "", "gone"]
    one, heard = tracker(tmp_path, rounds, monkeypatch), list[str]()
    real = one._writer.round

    def heard_each_time() -> bool:
        heard.append(one.trouble())
        return bool(real())

    monkeypatch.setattr(one._writer, "round", heard_each_time)
    one._thread.start()
    until(lambda: one._failures > 3 * tracking.AWAY)
    (said,) = filter(None, heard)
    assert "gone" in said, "a server that is only started again is nothing to be told of"
    one.close(0.1)
