"""MLflow: every point once, whatever dies; and nobody waits."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.storage import Home
from infra.tracking import MAX_METRICS, MlflowTracker, NullTracker, Place, Unsent, find, quiet_environment, ui_command, ui_environment
from infra.tracking.client import alone as _alone
from infra.tracking.client import open_client
from infra.tracking.first_page import FirstPage
from infra.tracking.mlflow import batches
from infra.tracking.notes import NOTE
from infra.tracking.query import find as query
from infra.tracking.registry import Registry
from infra.tracking.said import first_line
from infra.tracking.spool import Spool, left_of
from infra.tracking.ui import BAD_PORTS, usable_port, view_tag, why

pytestmark = pytest.mark.turns(3)

quiet_environment()
SECRET = "s3cr3t-pass"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables cost 1.5 s: make them once."""
    home = Home.open(tmp_path_factory.mktemp("template"))
    tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, "x")
    tracker.start_sweep("x", {"objective": "template", "dataset": "x"}, {})
    assert not tracker.close(60)
    return home.root / "mlflow.db"


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Home:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return Home.open(tmp_path)


def _tracker(home: Home, sweep: str = "s", **more: Any) -> MlflowTracker:
    return MlflowTracker(home.tracking_uri, home.artifacts, home.spool, sweep, **{"interval_s": 0.05, **more})


def _tell(tracker: MlflowTracker, numbers: range, epochs: int = 3, state: str = "complete") -> None:
    """What a sweep says of its members, at once; a resumed sweep says it all again."""
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    for number in numbers:
        tracker.start_member(number, {"l2": 0.1, "log10_l2": -1.0}, {"phase": "search"})
        for epoch in range(1, epochs + 1):
            tracker.log(number, epoch, {"val": 10.0 / epoch, "kl": float(number)})
        tracker.end_member(number, state, {"val": 10.0 / epochs, "score": 1.5}, {"state": state})


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def _runs(uri: str, sweep: str = "s") -> dict[str, Any]:
    """Every run of a sweep by member number; the sweep's own under ''. Fails on a second run for one member."""
    client = _client(uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`lagrange.sweep` = '{sweep}'", max_results=1000)
    numbers = [run.data.tags.get("lagrange.member", "") for run in runs]
    assert max(Counter(numbers).values(), default=0) <= 1, numbers
    return dict(zip(numbers, runs, strict=True))


def _points(uri: str, run: Any, key: str) -> list[tuple[int, float]]:
    return sorted((point.step, point.value) for point in _client(uri).get_metric_history(run.info.run_id, key))


def _assert_whole(uri: str, members: int, epochs: int) -> None:
    runs = _runs(uri)
    assert sorted(runs) == sorted(["", *map(str, range(members))])
    for number in range(members):
        run = runs[str(number)]
        assert _points(uri, run, "val") == [(epoch, 10.0 / epoch) for epoch in range(1, epochs + 1)]
        assert _points(uri, run, "kl") == [(epoch, float(number)) for epoch in range(1, epochs + 1)]
        assert _points(uri, run, "score") == [(epochs, 1.5)]
        assert run.data.params == {"l2": "0.1", "log10_l2": "-1.0"}
        assert run.info.status == "FINISHED"


def test_a_sweep_is_a_run_with_its_members_below(home: Home) -> None:
    tracker = _tracker(home)
    _tell(tracker, range(2))
    tracker.end_sweep("complete", {"effect": 0.5}, {"verdict": "helps"})
    assert not tracker.close(30)
    _assert_whole(home.tracking_uri, 2, 3)
    runs = _runs(home.tracking_uri)
    parent = runs.pop("")
    assert (parent.info.run_name, parent.info.status, parent.data.tags["verdict"]) == ("s", "FINISHED", "helps")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert _client(home.tracking_uri).get_experiment(parent.info.experiment_id).name == "lagrange/vae-digits"
    assert not home.spool.exists()  # all was sent: nothing is left behind


@pytest.mark.parametrize(
    ("state", "status"),
    [("complete", "FINISHED"), ("stopped", "FINISHED"), ("diverged", "FINISHED"), ("failed", "FAILED"), ("preempted", "KILLED")],
)
def test_the_state_is_the_run_status(home: Home, state: str, status: str) -> None:
    tracker = _tracker(home)
    _tell(tracker, range(1), state=state)
    assert not tracker.close(30)
    run = _runs(home.tracking_uri)["0"]
    assert (run.info.status, run.data.tags["state"]) == (status, state)


def test_saying_it_all_again_changes_nothing(home: Home) -> None:
    for _ in range(2):
        tracker = _tracker(home)
        _tell(tracker, range(3))
        _tell(tracker, range(3))
        assert not tracker.close(30)
    _assert_whole(home.tracking_uri, 3, 3)


def _introduce(tracker: MlflowTracker, number: int) -> None:
    """What a sweep says of a member since members have names, numbers and data."""
    tracker.data("digits", "abc123", {"name": "digits"}, {"sizes": {"train": 7}})
    tracker.start_member(number, {"l2": 0.1, "log10_l2": -1.0}, {"phase": "search"}, f"{number:04d} l2=0.1", {"l2": 0.1, "log10_l2": -1.0})


@pytest.mark.parametrize("older", [True, False], ids=["run of an older version", "new run"])
def test_names_numbers_and_data_of_a_member_are_told_once(home: Home, older: bool) -> None:
    for _ in range(3):
        tracker = _tracker(home)
        if older:
            _tell(tracker, range(1))
            older = False
        else:
            tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
            _introduce(tracker, 0)
            for epoch in range(1, 4):
                tracker.log(0, epoch, {"val": 10.0 / epoch, "kl": 0.0})
            tracker.end_member(0, "complete", {"val": 10.0 / 3, "score": 1.5}, {"state": "complete"})
        assert not tracker.close(30)
    _assert_whole(home.tracking_uri, 1, 3)
    runs = _runs(home.tracking_uri)
    assert runs["0"].info.run_name == "0000 l2=0.1" and _points(home.tracking_uri, runs["0"], "l2") == [(0, 0.1)]
    for run in runs.values():
        (data,) = run.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("digits", "abc123")


def test_a_description_that_a_person_wrote_stays(home: Home) -> None:
    def describe(text: str) -> tuple[str, str]:
        tracker = _tracker(home)
        tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {NOTE: text})
        tracker.experiment({NOTE: text, "view": text})
        assert not tracker.close(30)
        run = _runs(home.tracking_uri)[""]
        experiment = client.get_experiment(run.info.experiment_id)
        assert experiment.tags["view"] == text
        return run.data.tags[NOTE], experiment.tags[NOTE]

    client = _client(home.tracking_uri)
    assert describe("first") == ("first", "first")
    assert describe("second") == ("second", "second")
    run = _runs(home.tracking_uri)[""]
    client.set_tag(run.info.run_id, NOTE, "mine")
    client.set_experiment_tag(run.info.experiment_id, NOTE, "ours")
    assert describe("third") == ("mine", "ours")


def test_a_line_of_an_experiment_that_is_to_be_kept_stays_where_one_is_there(home: Home) -> None:
    said = []
    for text, keep in (("failed", True), ("failed again", True), ("answer", False), ("failed", True)):
        tracker = _tracker(home)
        tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
        tracker.experiment({NOTE: text}, keep=keep)
        assert not tracker.close(30)
        said.append(_client(home.tracking_uri).get_experiment(_runs(home.tracking_uri)[""].info.experiment_id).tags[NOTE])
    assert said == ["failed", "failed", "answer", "answer"]


def test_a_server_that_knows_no_data_sets_takes_the_rest(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

    def unknown(*_: Any) -> None:
        raise MlflowException("no such endpoint", error_code=ENDPOINT_NOT_FOUND)

    monkeypatch.setattr("infra.tracking.mlflow.log_data", unknown)
    tracker = _tracker(home)
    _introduce(tracker, 0)
    _tell(tracker, range(2))
    left = tracker.close(30)
    assert len(left.refused) == 1 and "data set" in left.refused[0]
    _assert_whole(home.tracking_uri, 2, 3)


def test_a_test_result_is_added_after_the_end(home: Home) -> None:
    tracker = _tracker(home)
    _tell(tracker, range(1))
    tracker.add({"test_score": 2.5}, {"read": "yes"}, 0)
    assert not tracker.close(30)
    run = _runs(home.tracking_uri)["0"]
    assert (run.info.status, run.data.metrics["test_score"], run.data.tags["read"]) == ("FINISHED", 2.5, "yes")
    assert tracker.place().experiment == run.info.experiment_id and tracker.place().run == run.data.tags["mlflow.parentRunId"]
    assert find(home, "s") == replace(tracker.place(), view=""), "it has no view"
    tracker = _tracker(home)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    tracker.experiment(view_tag("s", "s", {}, 1))
    assert not tracker.close(30)
    assert find(home, "s") == find(home) == tracker.place() and find(home, "other") == Place()


@pytest.mark.parametrize("name", ["../../out.py", "λ" * 300, 'it\'s "quoted" 😀/x.py', "/abs/mine.py:Mine"])
def test_any_name_of_an_objective_makes_an_experiment_in_the_home(home: Home, tmp_path: Path, name: str) -> None:
    file = tmp_path / "curve.png"
    file.write_text("picture")
    tracker = _tracker(home)
    tracker.start_sweep("s", {"objective": name, "dataset": name}, {})
    tracker.artifact(file)
    assert not tracker.close(30)
    (written,) = home.artifacts.rglob("curve.png")
    assert written.resolve().is_relative_to(home.artifacts.resolve())


class _Answers(BaseHTTPRequestHandler):
    """A server that is no MLflow: it answers everything with one status."""

    status = 500

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Location", self.path)  # followed where the status is one of a redirect
        self.end_headers()
        self.wfile.write(b"<html>no</html>")

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "words", "short"),
    [
        (401, "password", ""),
        (403, "password", ""),
        (404, "too old", ""),
        (200, "another program", None),
        (308, "redirects in a circle", "more than 30 redirects"),
        (500, "full disk", ""),
        (0, "nobody answers", "connection refused"),
    ],
)
def test_a_wrong_address_is_said_in_a_sentence(tmp_path: Path, status: int, words: str, short: str | None) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"status": status}))
    uri = f"http://ann:{SECRET}@127.0.0.1:{server.server_port}"
    if status:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    else:
        server.server_close()
    with pytest.raises(InfraError, match=words) as caught:
        find(Home.open(tmp_path, tracking_uri=uri))
    assert SECRET not in str(caught.value)
    for ask in (lambda: query(uri), lambda: Registry(Home.open(tmp_path, tracking_uri=uri))):
        with pytest.raises(InfraError, match=words) as caught:
            ask()
        assert SECRET not in str(caught.value)
    tracker = MlflowTracker(uri, tmp_path, tmp_path / "spool", "s", interval_s=0.0)
    tracker.log(0, 1, {"val": 1.0})
    until = time.monotonic() + 60
    while not tracker._error and time.monotonic() < until:  # an answer may take a while
        time.sleep(0.02)
    unsent = str(tracker.close(0.1))
    assert words in unsent and "Pool(" not in unsent
    assert short is None or f"({short or f'HTTP status {status}'})" in unsent
    if status:
        server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (
            "NameResolutionError(\"Failed to resolve 'a.invalid' ([Errno -2] Name or service not known)\")",
            "the name of the host is unknown",
        ),
        ('ReadTimeoutError("HTTPConnectionPool(host=a, port=1): Read timed out. (read timeout=10)")', "timed out"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate')", "SSL: CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_of_an_error_under_many_layers_the_bottom_is_said(cause: str, words: str) -> None:
    url = "/api/2.0/mlflow/experiments/" + "search" * 60
    told = why(
        OSError(f"API request failed with exception HTTPConnectionPool(host='a', port=1): Max retries exceeded: {url} (Caused by {cause})")
    )
    assert told.endswith(f"({words})") and "Pool(" not in told and len(told) < 160


def test_a_long_error_is_not_cut_in_a_word() -> None:
    told = first_line(ValueError("word " * 200))
    assert told.endswith("word …") and len(told) < 330


@pytest.mark.parametrize("uri", ["databricks://profile", "mssql+pyodbc://db/x", "mysql://db/x", "https://host/path", "sqlite:///x.db"])
def test_addresses_that_mlflow_knows_are_taken(tmp_path: Path, uri: str) -> None:
    assert Home.open(tmp_path, tracking_uri=uri).tracking_uri.partition(":")[0] == uri.partition(":")[0]


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("htp://127.0.0.1:1", "must be a server"),
        ("ftp://x", "must be a server"),
        ("http://", "must be a server"),
        ("folder", "must be a server"),
        (f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/x", "nobody answers"),
    ],
)
def test_an_address_of_another_kind_is_said_at_once(tmp_path: Path, uri: str, words: str) -> None:
    """MLflow itself tries a database for minutes."""
    if uri.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(InfraError, match=words) as caught:
        find(Home.open(tmp_path, tracking_uri=uri))
    assert SECRET not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_deleted_experiment_is_there_again(home: Home) -> None:
    tracker = _tracker(home)
    _tell(tracker, range(1))
    assert tracker.flush(30)
    client = _client(home.tracking_uri)
    client.delete_experiment(tracker.place().experiment)
    _tell(tracker, range(1, 2))  # while the driver runs
    assert not tracker.close(30)
    client.delete_experiment(tracker.place().experiment)
    tracker = _tracker(home)
    _tell(tracker, range(3))  # and before the next one
    assert not tracker.close(30)
    _assert_whole(home.tracking_uri, 3, 3)


def test_a_resumed_sweep_goes_on_in_the_same_runs(home: Home) -> None:
    tracker = _tracker(home)
    _tell(tracker, range(2), epochs=2, state="preempted")
    tracker.end_sweep("interrupted", {"best": 3.0}, {"verdict": "none"})
    assert not tracker.close(30)
    before = {number: run.info.run_id for number, run in _runs(home.tracking_uri).items()}
    assert _runs(home.tracking_uri)[""].info.status == "KILLED"

    tracker = _tracker(home)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    assert tracker.flush(30)
    assert _runs(home.tracking_uri)[""].info.status == "RUNNING"
    for number in range(2):
        tracker.start_member(number, {"l2": 0.1, "log10_l2": -1.0}, {})
        for epoch in (2, 3):  # the checkpoint was of epoch 1
            tracker.log(number, epoch, {"val": 10.0 / epoch, "kl": float(number)})
        tracker.end_member(number, "complete", {"score": 1.5}, {"state": "complete"})
    tracker.end_sweep("complete", {"best": 2.0}, {"verdict": "helps"})
    assert not tracker.close(30)
    after = _runs(home.tracking_uri)
    assert {number: run.info.run_id for number, run in after.items()} == before
    assert (after[""].info.status, after[""].data.tags["verdict"], after[""].data.metrics["best"]) == ("FINISHED", "helps", 2.0)
    for number in range(2):
        assert [step for step, _ in _points(home.tracking_uri, after[str(number)], "val")] == [1, 2, 3]
        assert after[str(number)].info.status == "FINISHED"


def test_a_round_that_ends_between_a_beginning_and_its_end_changes_no_tag(home: Home) -> None:
    """A driver that resumes tells all again. `running` must not stay beside a run that has ended, whatever the rounds hold."""
    tracker = _tracker(home)
    _tell_whole(tracker, "complete")
    assert not tracker.close(30)
    before = dict(_runs(home.tracking_uri)["0"].data.tags)
    tracker = _tracker(home)
    _tell_whole(tracker, "complete", pause=lambda: tracker.flush(30))
    assert not tracker.close(30)
    after = _runs(home.tracking_uri)["0"]
    assert (after.info.status, dict(after.data.tags)) == ("FINISHED", before) and before["state"] == "complete"


def test_a_member_that_is_tried_again_runs_again_with_its_first_new_epoch(home: Home) -> None:
    tracker = _tracker(home)
    _tell_whole(tracker, "failed")
    assert not tracker.close(30)
    tracker, seen = _tracker(home), []

    def looked() -> None:
        assert tracker.flush(30)
        run = _runs(home.tracking_uri)["0"]
        seen.append((run.info.status, run.data.tags["state"], run.data.tags["reason"]))

    _tell_whole(tracker, "complete", epochs=3, pause=looked)
    assert not tracker.close(30)
    run = _runs(home.tracking_uri)["0"]
    assert seen == [("FAILED", "failed", "why")] * 2 + [("RUNNING", "running", "")]
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "complete")


def test_a_tag_that_mlflow_has_lost_is_written_by_the_next_driver(home: Home) -> None:
    """A server that was slow may carry out an older call last."""
    tracker = _tracker(home)
    _tell_whole(tracker, "complete")
    assert not tracker.close(30)
    _client(home.tracking_uri).set_tag(_runs(home.tracking_uri)["0"].info.run_id, "state", "running")
    tracker = _tracker(home)
    _tell_whole(tracker, "complete")
    assert not tracker.close(30)
    assert _runs(home.tracking_uri)["0"].data.tags["state"] == "complete"


def _tell_whole(tracker: MlflowTracker, state: str, epochs: int = 2, pause: Callable[[], object] = lambda: None) -> None:
    """A member as a sweep tells of it, with a pause after its beginning, after two epochs, and before its end."""
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    tracker.start_member(0, {"l2": 0.1}, {"state": "running", "reason": "", "phase": "search"}, "0000 l2=0.1")
    pause()
    for epoch in range(1, epochs + 1):
        tracker.log(0, epoch, {"val": 1.0 / epoch})
        if epoch == 2:
            pause()
    pause()
    tracker.end_member(0, state, {"score": 1.5}, {"state": state, "reason": "why" if state == "failed" else ""})


def test_a_description_that_a_person_gave_a_member_stays_when_its_end_is_told_again(home: Home) -> None:
    def told() -> str:
        tracker = _tracker(home)
        tracker.start_sweep("s", {}, {})
        tracker.start_member(0, {"l2": 0.1}, {"state": "running"}, "0000")
        tracker.end_member(0, "complete", {"score": 1.5}, {"state": "complete", NOTE: "l2 0.1: complete"})
        assert not tracker.close(30)
        return str(_runs(home.tracking_uri)["0"].data.tags[NOTE])

    assert told() == "l2 0.1: complete" == told()
    _client(home.tracking_uri).set_tag(_runs(home.tracking_uri)["0"].info.run_id, NOTE, "look at this one")
    assert told() == "look at this one"


def test_what_mlflow_lost_is_written_again(home: Home, empty_store: Path) -> None:
    tracker = _tracker(home)
    _tell(tracker, range(2))
    assert not tracker.close(30)
    fresh = Home.open(home.root, tracking_uri=f"sqlite:///{home.root}/second.db")
    shutil.copy(empty_store, home.root / "second.db")
    tracker = _tracker(fresh)
    _tell(tracker, range(2))
    assert not tracker.close(30)
    _assert_whole(fresh.tracking_uri, 2, 3)


def test_what_a_program_logs_by_itself_hides_nothing_of_ours(home: Home) -> None:
    """It may count in steps, which are more than our epochs."""
    tracker = _tracker(home)
    _tell(tracker, range(1), epochs=1, state="")
    run = tracker.run_id(0, 30)
    _client(home.tracking_uri).log_metric(run, "mine", 1.0, step=5000)
    tracker.close(30)
    again = _tracker(home)
    _tell(again, range(1), epochs=3)
    assert not again.close(30)
    found = _runs(home.tracking_uri)["0"]
    assert found.info.run_id == run
    assert [step for step, _ in _points(home.tracking_uri, found, "val")] == [1, 2, 3]


def test_files_of_a_member_are_shown_with_it(home: Home, tmp_path: Path) -> None:
    tracker, log = _tracker(home), tmp_path / "log.txt"
    log.write_text("hello")
    _tell(tracker, range(2), state="failed")
    tracker.artifact(log, number=1)
    assert not tracker.close(30)
    shown = {
        number: [one.path for one in _client(home.tracking_uri).list_artifacts(run.info.run_id)]
        for number, run in _runs(home.tracking_uri).items()
    }
    assert shown == {"": [], "0": [], "1": ["log.txt"]}


def test_two_sweeps_of_one_name_are_apart(home: Home) -> None:
    for created in ("2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"):
        tracker = _tracker(home, created=created)
        tracker.start_member(0, {}, {})
        tracker.log(0, 1, {"val": 1.0})
        assert not tracker.close(30)
    client = _client(home.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("lagrange").experiment_id], "tags.`lagrange.member` = '0'")
    assert len(runs) == 2


def test_numbers_that_are_none_and_many_names(home: Home) -> None:
    tracker = _tracker(home)
    tracker.start_member(0, {f"p{number}": number for number in range(250)}, {f"t{number}": "x" for number in range(130)})
    tracker.log(0, 1, {f"m{number}": float(number) for number in range(MAX_METRICS + 50)})
    tracker.log(0, 2, {"m0": math.nan, "m1": math.inf})
    time.sleep(0.01)  # the same point in the same millisecond is one to MLflow anyway
    tracker.end_member(0, "diverged", {"m0": math.nan, "β²/σ!": 1.0}, {})
    assert not tracker.close(30)
    run = _runs(home.tracking_uri)["0"]
    assert len(run.data.params) == 250 and len([key for key in run.data.tags if key.startswith("t")]) == 130
    assert len(run.data.metrics) == MAX_METRICS + 51
    assert math.isnan(run.data.metrics["m0"]) and run.data.metrics["m1"] > 1e300
    assert len(_points(home.tracking_uri, run, "m0")) == 2  # the final nan is the last epoch's


def test_a_refusal_does_not_hold_up_the_rest(home: Home) -> None:
    tracker = _tracker(home)
    tracker.start_member(0, {"l2": 0.1}, {})
    assert tracker.flush(30)
    tracker._writer._runs[0].started = False  # type: ignore[index]
    tracker.start_member(0, {"l2": 0.2, "lr": 1.0}, {})  # parameters are immutable in MLflow
    tracker.log(0, 1, {"val": 1.0})
    left = tracker.close(30)
    assert left and left.records == 0 and len(left.refused) == 1 and "refused 1" in str(left)
    run = _runs(home.tracking_uri)["0"]
    assert run.data.params == {"l2": "0.1", "lr": "1.0"} and run.data.metrics == {"val": 1.0}


def test_a_run_deleted_in_the_ui_does_not_hold_up_the_rest(home: Home) -> None:
    tracker = _tracker(home)
    tracker.log(0, 1, {"val": 1.0})
    assert tracker.flush(30)
    _client(home.tracking_uri).delete_run(_runs(home.tracking_uri)["0"].info.run_id)
    tracker.log(0, 2, {"val": 2.0})
    tracker.log(1, 1, {"val": 1.0})
    left = tracker.close(30)
    assert left.records == 0 and "deleted" in left.refused[0]
    assert list(_runs(home.tracking_uri)) == ["1", ""] or set(_runs(home.tracking_uri)) == {"1", ""}


def test_files_are_shown_with_the_sweep(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "curve.png"
    file.write_text("picture")
    tracker = _tracker(home)
    tracker.artifact(file)
    tracker.artifact(file, "curves")
    tracker.artifact(tmp_path / "gone.png")
    left = tracker.close(30)
    assert left.refused == ("the file gone.png is gone",)
    assert sorted(path.relative_to(home.artifacts).name for path in home.artifacts.rglob("*.png")) == ["curve.png", "curve.png"]
    run = _runs(home.tracking_uri)[""]
    assert {item.path for item in _client(home.tracking_uri).list_artifacts(run.info.run_id)} == {"curve.png", "curves"}


def test_no_password_is_stored(home: Home) -> None:
    dirty = f"postgresql://ann:{SECRET}@db/x"
    tracker = _tracker(home)
    tracker.start_sweep("s", {"url": dirty}, {"url": dirty})
    tracker.start_member(0, {"url": dirty}, {"note": f"--password {SECRET}"})
    tracker.end_member(0, "failed", {}, {"reason": dirty})
    spooled = b"".join(file.read_bytes() for file in home.spool.iterdir())
    assert not tracker.close(30)
    stored = b"".join(file.read_bytes() for file in home.root.glob("mlflow.db*"))
    assert b"ann" in stored and SECRET.encode() not in stored + spooled


# --- outages


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_dead_server_blocks_nobody_and_loses_nothing(home: Home) -> None:
    dead = Home.open(home.root, tracking_uri=f"http://ann:{SECRET}@127.0.0.1:{_free_port()}")
    tracker = _tracker(dead)
    slowest = 0.0
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    for number in range(4):
        tracker.start_member(number, {"l2": 0.1, "log10_l2": -1.0}, {})
        for epoch in range(1, 51):
            began = time.perf_counter()
            tracker.log(number, epoch, {"val": 10.0 / epoch, "kl": float(number)})
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.002)
        tracker.end_member(number, "complete", {"score": 1.5}, {})
    assert slowest < 0.5  # the thread imports mlflow meanwhile, holding the interpreter at times; a call to the server would take seconds
    began = time.monotonic()
    left = tracker.close(2)
    assert time.monotonic() - began < 4
    assert left.records == 1 + 4 * 52 and "kept" in str(left) and SECRET not in str(left)

    assert not _tracker(home).close(60)  # the next start sends the rest by itself, here to a store that lives
    _assert_whole(home.tracking_uri, 4, 50)


@pytest.mark.slow
def test_a_killed_driver_loses_nothing(home: Home) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from infra.tracking import MlflowTracker
uri, artifacts, spool = sys.argv[1:]
tracker = MlflowTracker(uri, Path(artifacts), Path(spool), "s", interval_s=0.0)
tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
for number in range(6):
    tracker.start_member(number, {"l2": 0.1, "log10_l2": -1.0}, {})
    for epoch in range(1, 41):
        tracker.log(number, epoch, {"val": 10.0 / epoch, "kl": float(number)})
    tracker.end_member(number, "complete", {"score": 1.5}, {"state": "complete"})
    if number == 3:
        tracker.flush(60)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", code, home.tracking_uri, str(home.artifacts), str(home.spool)]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == -signal.SIGKILL
    spool = home.spool / "s.jsonl"
    assert spool.exists()
    with spool.open("ab") as file:
        file.write(b'{"kind":"log","run":5,"epo')  # it died in the middle of a record
    tracker = _tracker(home)
    tracker.log(6, 1, {"more": 1.0})
    assert not tracker.close(60)
    runs = _runs(home.tracking_uri)
    assert _points(home.tracking_uri, runs["6"], "more") == [(1, 1.0)]
    for number in range(6):
        assert [step for step, _ in _points(home.tracking_uri, runs[str(number)], "val")] == list(range(1, 41))
        assert _points(home.tracking_uri, runs[str(number)], "score") == [(40, 1.5)]


def test_a_batch_sent_twice_is_stored_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to a call is lost after the call was carried out: the thread must ask, not repeat."""
    tracker = _tracker(home)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    assert tracker.flush(30)
    client, failing = tracker._writer._client, {"create_run": 2, "log_batch": 3, "set_terminated": 1}

    def lossy(name: str) -> Any:
        real = getattr(client, name)

        def call(*arguments: Any, **more: Any) -> Any:
            answer = real(*arguments, **more)
            if failing[name]:
                failing[name] -= 1
                raise ConnectionError("reset by peer")
            return answer

        return call

    for name in failing:
        monkeypatch.setattr(client, name, lossy(name))
    monkeypatch.setattr("infra.tracking.BACKOFF_S", (0.01,))
    _tell(tracker, range(3), epochs=5)
    assert not tracker.close(30)
    assert failing == {"create_run": 0, "log_batch": 0, "set_terminated": 0}
    monkeypatch.undo()
    _assert_whole(home.tracking_uri, 3, 5)


def _refusing(status: int) -> Exception:
    """What the client makes of such an answer of a server."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.rest_utils import get_error_code

    return MlflowException(f"API request failed with error code {status} != 200", error_code=get_error_code(status))


@pytest.mark.parametrize(("status", "words"), [(500, "fault of its own"), (403, "password"), (429, "no more calls")])
def test_a_server_that_answers_with_errors_gets_all_later_and_once(
    home: Home, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    monkeypatch.setattr("infra.tracking.BACKOFF_S", (0.01,))
    monkeypatch.setattr("infra.tracking.GIVE_UP_S", 0.0)
    tracker = _tracker(home)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    assert tracker.flush(30)
    client, real, calls = tracker._writer._client, tracker._writer._client.log_batch, Counter[str]()

    def refuse(*arguments: Any, **more: Any) -> Any:
        calls["all"] += 1
        if calls["all"] > 2:  # in the midst of the members
            raise _refusing(status)
        return real(*arguments, **more)

    monkeypatch.setattr(client, "log_batch", refuse)
    _tell(tracker, range(3), epochs=5)
    unsent = tracker.close(30)
    assert unsent.records and words in str(unsent) and not unsent.refused, str(unsent)
    assert home.spool.exists()
    monkeypatch.undo()
    assert not _tracker(home).close(30)
    assert not home.spool.exists()
    _assert_whole(home.tracking_uri, 3, 5)


def test_a_server_that_is_slower_than_our_patience_makes_no_run_twice(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run is made after the call was given up, and after the look whether it is there."""
    monkeypatch.setattr("infra.tracking.BACKOFF_S", (0.01,))
    tracker = _tracker(home)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    assert tracker.flush(30)
    client, late = tracker._writer._client, list[Any]()
    create, search, slow = client.create_run, client.search_runs, [1, 2, 0, 1]

    def create_later(*arguments: Any, **more: Any) -> Any:
        if slow and (after := slow.pop(0)):
            late.append([after, lambda: create(*arguments, **more)])
            raise TimeoutError("Read timed out")
        return create(*arguments, **more)

    def search_before(*arguments: Any, **more: Any) -> Any:
        found = search(*arguments, **more)
        for one in late:
            one[0] -= 1
            if one[0] == 0:
                one[1]()
        return found

    monkeypatch.setattr(client, "create_run", create_later)
    monkeypatch.setattr(client, "search_runs", search_before)
    _tell(tracker, range(3), epochs=5)
    assert not tracker.close(30)
    monkeypatch.undo()
    _assert_whole(home.tracking_uri, 3, 5)


def test_nothing_is_sent_while_another_driver_may_have_the_sweep(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.tracking.BACKOFF_S", (0.01,))
    ours = threading.Event()
    tracker = _tracker(home, allowed=ours.is_set)
    _tell(tracker, range(1))
    assert not tracker.flush(1.0) and _runs(home.tracking_uri) == {}
    ours.set()
    assert not tracker.close(30)
    _assert_whole(home.tracking_uri, 1, 3)


def test_a_spool_that_cannot_be_written_ends_no_training(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = _tracker(home)

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracker._spool, "append", full)
    tracker.log(0, 1, {"val": 1.0})
    assert "no space is left" in str(tracker.close(10))


def test_threads_may_log_together(home: Home) -> None:
    tracker = _tracker(home)

    def train(number: int) -> None:
        for epoch in range(1, 101):
            tracker.log(number, epoch, {"val": float(epoch)})

    threads = [threading.Thread(target=train, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not tracker.close(60)
    runs = _runs(home.tracking_uri)
    for number in range(4):
        assert [step for step, _ in _points(home.tracking_uri, runs[str(number)], "val")] == list(range(1, 101))


# --- a real server


@pytest.fixture
def server(tmp_path: Path, empty_store: Path) -> Iterator[Any]:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    home, port = Home.open(tmp_path), _free_port()
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        command, environment = ui_command(home, port), ui_environment(home)
        processes.append(
            subprocess.Popen(
                command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.1)
        raise AssertionError("the server did not start")

    def kill() -> None:
        os.killpg(processes.pop().pid, signal.SIGKILL)

    start.kill = kill  # type: ignore[attr-defined]
    yield start
    while processes:
        kill()


@pytest.mark.cluster
def test_a_server_killed_and_restarted_has_every_point(server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    uri = server()
    tracker = MlflowTracker(uri, tmp_path / "artifacts", tmp_path / "spool", "s", interval_s=0.05)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    slowest = 0.0
    for number in range(6):
        tracker.start_member(number, {"l2": 0.1, "log10_l2": -1.0}, {})
        for epoch in range(1, 101):
            began = time.perf_counter()
            tracker.log(number, epoch, {"val": 10.0 / epoch, "kl": float(number)})
            slowest = max(slowest, time.perf_counter() - began)
            time.sleep(0.004)
            if (number, epoch) == (2, 50):
                server.kill()
        tracker.end_member(number, "complete", {"score": 1.5}, {"state": "complete"})
    assert slowest < 0.5
    server()
    file = tmp_path / "report.html"
    file.write_text("<p>")
    tracker.artifact(file)
    assert not tracker.close(60), tracker._error
    _assert_whole(uri, 6, 100)
    assert capfd.readouterr().out == ""  # MLflow announces every run, into the user's table


# --- small things


def test_only_a_backlog_is_sent_without_a_pause(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said while a round is sent waits for more of it: a call for each epoch would cost far more than its points."""
    monkeypatch.setattr("infra.tracking.spool.MAX_RECORDS", 4)
    tracker = _tracker(home, at_once=False)
    tracker._thread = threading.Thread()  # none that sends
    monkeypatch.setattr(tracker._thread, "start", lambda: None)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    tracker.start_member(0, {"l2": 0.1}, {})
    for epoch in range(1, 4):
        tracker.log(0, epoch, {"val": 1.0})
    assert [tracker._writer.round() for _ in range(3)] == [True, False, False]
    assert not tracker._spool.unsent_bytes()


def test_what_is_said_while_somebody_waits_is_sent_at_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, later = _tracker(home, interval_s=1000.0), [2, 3]
    real = tracker._writer.round

    def round_and_more() -> bool:
        more = real()
        if later:
            tracker.log(0, later.pop(0), {"val": 1.0})
        return more

    monkeypatch.setattr(tracker._writer, "round", round_and_more)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    tracker.start_member(0, {"l2": 0.1}, {})
    tracker.log(0, 1, {"val": 1.0})
    assert tracker.flush(60) and not tracker.close(60)
    assert [step for step, _ in _points(home.tracking_uri, _runs(home.tracking_uri)["0"], "val")] == [1, 2, 3]


def test_half_a_record_is_not_read_yet(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.jsonl")
    spool.append({"kind": "log"})
    with spool.path.open("ab") as file:
        file.write(b'{"kind":')
        file.flush()
        records, offset = spool.read()
        spool.confirm(offset, {})
        file.write(b'"end"}\n')
    assert [record["kind"] for record in records + spool.read()[0]] == ["log", "end"]
    spool.remove()


def test_one_process_at_a_time_makes_the_tables(tmp_path: Path) -> None:
    """The second one waits; it goes on when the first one dies."""
    file = tmp_path / "mlflow.db"
    code = "import pathlib, sys; from infra.tracking.client import alone as _alone\n"
    code += "with _alone(pathlib.Path(sys.argv[1])): print('in', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"in\n"
    entered = threading.Event()

    def enter() -> None:
        with _alone(file):
            entered.set()

    waiting = threading.Thread(target=enter, daemon=True)
    waiting.start()
    assert not entered.wait(0.5)
    holder.kill()
    holder.communicate()
    assert entered.wait(60)
    waiting.join()


def test_batches_keep_epochs_whole() -> None:
    groups = [list(range(400)) for _ in range(6)] + [list(range(2300))]
    found = list(batches(groups))
    assert sum(map(len, found)) == 6 * 400 + 2300 and max(map(len, found)) <= MAX_METRICS
    assert [len(batch) for batch in found[:3]] == [800, 800, 800]


def test_the_null_tracker_leaves_nothing_unsent() -> None:
    tracker = NullTracker()
    tracker.log(0, 1, {"a": 1.0})
    assert not tracker.close(0) and str(Unsent()) == ""


def test_the_port_is_one_that_browsers_open_and_that_is_free() -> None:
    assert {0, 5060, 6000, 6666, 10080} <= BAD_PORTS and not {5000, 8080} & BAD_PORTS
    with pytest.raises(InfraError, match=r"refuse 6667.*--port 6670"):
        usable_port(6667)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert usable_port(port) > port


def test_a_view_is_what_mlflow_reads() -> None:
    (tag,) = view_tag("s", "the view", {"orderByAsc": True, "λ": 1}, 5).items()
    key, value = tag[0], json.loads(tag[1])
    assert key == "mlflow.sharedViewState.lagrange.s" and Place("7", "r", "s", "lagrange.s").runs.endswith("viewStateShareKey=lagrange.s")
    assert json.loads(zlib.decompress(base64.b64decode(value["state"].removeprefix("deflate;")))) == {"orderByAsc": True, "λ": 1}
    assert (value["name"], value["createdAt"]) == ("the view", 5)


def test_the_first_page_opens_on_training() -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        body = b"<head></head>" if scope["path"] == "/" else b"<head>"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99"), (b"etag", b"x"), (b"a", b"b")]})
        await send({"type": "http.response.body", "body": body[:3], "more_body": True})
        await send({"type": "http.response.body", "body": body[3:]})

    async def nothing() -> Any:
        return {}

    def got(path: str) -> tuple[list[Any], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(FirstPage(page)({"type": "http", "method": "GET", "path": path, "headers": []}, nothing, send))
        return sent[0]["headers"], b"".join(message.get("body", b"") for message in sent)

    headers, body = got("/")
    assert b"machine_learning" in body and body.startswith(b"<head><script>") and body.endswith(b"</script></head>")
    assert headers == [(b"a", b"b"), (b"content-length", str(len(body)).encode())]
    assert got("/other") == ([(b"content-length", b"99"), (b"etag", b"x"), (b"a", b"b")], b"<head>")


def test_the_ui_listens_to_this_machine_only(tmp_path: Path) -> None:
    command = ui_command(Home.open(tmp_path), 5123)
    assert command[command.index("--host") + 1] == "127.0.0.1" and command[command.index("--port") + 1] == "5123"
    with_password = Home.open(tmp_path, tracking_uri=f"postgresql+psycopg://ann:{SECRET}@db/mlflow")
    assert SECRET not in " ".join(ui_command(with_password)) and SECRET in ui_environment(with_password)["MLFLOW_BACKEND_STORE_URI"]
    with pytest.raises(InfraError, match=r"Open https://\*\*\*@mlflow"):
        ui_command(Home.open(tmp_path, tracking_uri=f"https://ann:{SECRET}@mlflow"))


def test_a_store_that_a_killed_process_had_begun_to_make_is_made_anew(tmp_path: Path) -> None:
    """MLflow's migrations are no transaction: half of them in the place of the store would be an error for ever."""
    (tmp_path / ".mlflow.db.new").write_bytes(b"half a database")
    client = open_client(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
    assert client.search_experiments(max_results=1)
    assert not list(tmp_path.glob(".mlflow.db.new*"))


def test_a_fault_of_the_store_is_raised_and_not_printed_too(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    """MLflow prints a traceback of each, into a sweep whose own sentence says what is wrong and what to do."""
    import sqlite3

    client = open_client(home.tracking_uri, home.artifacts)
    with sqlite3.connect(home.root / "mlflow.db") as connection:
        connection.execute("drop table experiment_tags")
    with pytest.raises(Exception, match="experiment_tags"):
        client.create_experiment("y", tags={"a": "b"})
    assert "Traceback" not in "".join(capfd.readouterr())


def _takes_no(what: str, error: Callable[[], Exception], real: Callable[..., Any], calls: Counter[str]) -> Callable[..., Any]:
    """A call of a client that fails for files whose name holds a word."""

    def call(run: str, path: str, folder: str | None = None) -> Any:
        calls[Path(path).name] += 1
        if what in Path(path).name or folder == "images":
            raise error()
        return real(run, path, folder)

    return call


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: _refusing(413), "raise its limit"),
        (lambda: _refusing(403), "password"),
        (lambda: ConnectionError("Connection refused"), "nobody answers"),
        (lambda: PermissionError(13, "Permission denied", "/server/files"), "--serve-artifacts"),
        (lambda: ImportError("No module named 'boto3'"), "boto3"),
    ],
    ids=["too large", "forbidden", "away", "a folder of the server's", "no client of the store"],
)
def test_files_that_nobody_takes_hold_up_no_numbers(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], words: str
) -> None:
    """A server of runs may take no file: its proxy has a limit, or its store of files is elsewhere. The next driver sends what waits."""
    monkeypatch.setattr("infra.tracking.BACKOFF_S", (0.01,))
    monkeypatch.setattr("infra.tracking.GIVE_UP_S", 0.0)
    monkeypatch.setattr("infra.tracking.spool.MAX_RECORDS", 5)  # so the files are in an early round, and most numbers in later ones
    tracker, calls = _tracker(home), Counter[str]()
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    assert tracker.flush(30)
    client = tracker._writer._opened
    monkeypatch.setattr(client, "log_artifact", _takes_no("report", error, client.log_artifact, calls))
    monkeypatch.setattr(client, "log_artifacts", _takes_no("report", error, client.log_artifacts, calls))
    (tmp_path / "report.html").write_text("x")
    picture = tmp_path / "1.png"
    from PIL import Image

    Image.new("L", (4, 4)).save(picture)
    tracker.artifact(tmp_path / "report.html")
    _tell(tracker, range(3), epochs=5)
    tracker.image(picture, "samples", 1, 0)
    tracker.artifact(tmp_path / "report.html")
    unsent = tracker.close(30)
    assert unsent.records == 2 and words in str(unsent) and "files: " in str(unsent) and not unsent.refused, str(unsent)
    assert left_of(home.spool, "s") == 2
    _assert_whole(home.tracking_uri, 3, 5)
    monkeypatch.undo()
    assert not _tracker(home).close(30)
    assert not home.spool.exists()
    _assert_whole(home.tracking_uri, 3, 5)
    assert list(home.artifacts.rglob("report.html")) and list(home.artifacts.rglob("samples*1*.png"))


def test_what_is_too_large_at_once_is_sent_in_parts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = _tracker(home)
    tracker.start_sweep("s", {"objective": "vae", "dataset": "digits"}, {})
    assert tracker.flush(30)
    client = tracker._writer._opened
    real = client.log_batch

    def small(run: str, metrics: Any = (), params: Any = (), tags: Any = (), **more: Any) -> Any:
        if len(metrics) + len(params) + len(tags) > 1:
            raise _refusing(413)
        return real(run, metrics, params, tags, **more)

    monkeypatch.setattr(client, "log_batch", small)
    monkeypatch.setattr(tracker._writer._points, "took", lambda *_: False)
    _tell(tracker, range(2), epochs=3)
    assert not tracker.close(60)
    _assert_whole(home.tracking_uri, 2, 3)


@pytest.mark.parametrize("waiting", ["x", [1], [{"kind": "log", "run": 0}], {"kind": "image"}, None])
def test_a_progress_that_another_wrote_is_no_reason_to_stop(tmp_path: Path, waiting: Any) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("{}\n")
    path.with_suffix(".progress").write_text(json.dumps({"sent": 0, "waiting": waiting}))
    assert Spool(path).waiting == [] and left_of(tmp_path, "s") == 1
