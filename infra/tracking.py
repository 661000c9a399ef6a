"""MLflow, fed from a background thread: what the catalogue holds, for people to look at.

Everything said to a tracker is appended to a spool file first, one JSON record a line, and a thread sends the file's tail in batches. So
training never waits for a server; what a dead server or a killed process left unsent is sent later, and memory does not grow meanwhile.

Nothing is written twice: runs are found again by the tags lagrange.sweep and lagrange.member; an epoch that a run holds is left out; and a
batch that is sent again after an uncertain failure carries its first time stamps, which makes it the same rows to MLflow. The sweep may
therefore repeat its whole catalogue when it resumes: what is missing is written, the rest is ignored.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from infra.errors import InfraError
from infra.storage import Home, ready, sqlite_path, strip_password, sweep_name

INTERVAL_S: Final = 5.0
"""Pause between two rounds, so that a short member is one batch: calls cost far more than points."""
BACKOFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
GIVE_UP_S: Final = 10.0
"""How long `close` goes on when every attempt fails."""
MAX_RECORDS: Final = 5000
"""Records taken from the spool in one round; bounds memory after an outage."""
MAX_METRICS: Final = 1000
MAX_NAMES: Final = 100
_RUN_STATUS: Final = {"complete": "FINISHED", "stopped": "FINISHED", "running": "RUNNING", "preempted": "KILLED", "interrupted": "KILLED"}
_REFUSED: Final = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "MALFORMED_REQUEST", "RESOURCE_ALREADY_EXISTS")
_SWEEP: Final = -1
"""Stands for the sweep's own run where members have their numbers."""


class Tracker(Protocol):
    """Where a sweep is shown while it runs. No method but `close` waits, and none raises for what a server does."""

    def start_sweep(self, sweep: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """The sweep begins, or resumes. `objective` and `dataset` among the params name the experiment."""
        ...

    def start_member(self, number: int, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """A member begins; saying so again changes nothing."""
        ...

    def log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """What a member measured after an epoch; epochs come in ascending order, and one that is there already is ignored."""
        ...

    def end_member(self, number: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """How a member ended; saying so again changes nothing."""
        ...

    def artifact(self, path: Path, folder: str = "") -> None:
        """Show a file with the sweep."""
        ...

    def end_sweep(self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """The sweep ends with this status."""
        ...

    def close(self, timeout_s: float) -> Unsent:
        """Wait at most `timeout_s` for what is not written yet; the answer is false if all is."""
        ...


@dataclass(frozen=True)
class Unsent:
    """What MLflow lacks after `close`. False if nothing."""

    uri: str = ""
    records: int = 0
    error: str = ""
    refused: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.records or self.refused)

    def __str__(self) -> str:
        parts = []
        if self.records:
            why = f" ({self.error})" if self.error else ""
            parts.append(
                f"MLflow at {self.uri} has not taken {self.records} records yet{why}; they are kept, and sent when the sweep resumes"
            )
        if self.refused:
            parts.append(f"MLflow at {self.uri} refused {len(self.refused)} entries for good, the first: {self.refused[0]}")
        return ". ".join(parts)


class NullTracker:
    """Shows nothing."""

    def start_sweep(self, sweep: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def start_member(self, number: int, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Do nothing."""

    def end_member(self, number: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Do nothing."""

    def end_sweep(self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def close(self, timeout_s: float) -> Unsent:
        """Nothing was left unsent."""
        return Unsent()


class MlflowTracker:
    """One sweep in MLflow: a parent run for the sweep, a child run for each member.

    `tracking_uri` is a server or a database; `artifact_root` is used only for a database. `spool` is a folder on a local disk. `created`
    tells sweeps apart that had the same name one after the other. The process must be the sweep's only driver.
    """

    def __init__(
        self, tracking_uri: str, artifact_root: Path, spool: Path, sweep: str, *, created: str = "", interval_s: float = INTERVAL_S
    ) -> None:
        quiet_environment()
        self._spool = _Spool(spool / f"{sweep_name(sweep)}.jsonl")
        self._writer = _Writer(tracking_uri, Path(artifact_root), self._spool, sweep, created)
        self._interval_s = interval_s
        self._news, self._hurry, self._closing, self._idle = threading.Event(), threading.Event(), threading.Event(), threading.Condition()
        self._error, self._asked_to_close, self._deadline = "", 0.0, 0.0
        self._thread = threading.Thread(target=self._work, name="lagrange-mlflow", daemon=True)
        self._thread.start()

    def start_sweep(self, sweep: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """See Tracker."""
        self._say("start", _SWEEP, params=_params(params), tags=_tags(tags))

    def start_member(self, number: int, params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """See Tracker."""
        self._say("start", number, params=_params(params), tags=_tags(tags))

    def log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """See Tracker. Costs tens of microseconds, whatever the server does."""
        self._say("log", number, epoch=epoch, metrics=_metrics(metrics))

    def end_member(self, number: int, state: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """See Tracker."""
        self._say("end", number, state=str(state), metrics=_metrics(metrics), tags=_tags(tags))

    def artifact(self, path: Path, folder: str = "") -> None:
        """See Tracker. The file is read when it is sent."""
        self._say("artifact", _SWEEP, path=str(Path(path).absolute()), folder=folder)

    def end_sweep(self, status: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """See Tracker."""
        self._say("end", _SWEEP, state=str(status), metrics=_metrics(metrics), tags=_tags(tags))

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is written; False if it took longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        self._hurry.set()
        self._news.set()
        with self._idle:
            while self._spool.unsent_bytes() and self._thread.is_alive():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._idle.wait(min(left, 0.5))
        return not self._spool.unsent_bytes()

    def close(self, timeout_s: float) -> Unsent:
        """See Tracker. May be called again."""
        self._asked_to_close = time.monotonic()
        self._deadline = self._asked_to_close + timeout_s
        self._closing.set()
        written = self.flush(timeout_s)
        self._thread.join(max(0.1, self._deadline - time.monotonic()))
        left = Unsent(strip_password(self._writer.uri), self._spool.unsent_records(), self._error, tuple(self._writer.refused))
        if written and not self._thread.is_alive():
            self._spool.remove()
        return left

    def _say(self, kind: str, number: int, **rest: Any) -> None:
        try:
            self._spool.append({"kind": kind, "run": number, "ms": time.time_ns() // 1_000_000, **rest})
        except OSError as error:  # a full disk must not end a training for the sake of its picture
            self._writer.refused.append(f"the spool: {error.strerror}")
        self._news.set()

    def _work(self) -> None:
        """Send the spool's tail, round by round, until closed and empty."""
        failures = 0
        while True:
            try:
                more = self._writer.round()
                failures, self._error = 0, ""
            except Exception as error:  # whatever a server or its client does, training goes on
                more, self._error = False, _first_line(error)
                self._writer.forget()
                failures += 1
            with self._idle:
                self._idle.notify_all()
            if self._finished(failures):
                return
            if failures:
                if self._closing.wait(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1]):
                    time.sleep(0.5)
            elif not more:
                self._wait_for_news()

    def _finished(self, failures: int) -> bool:
        if not self._closing.is_set():
            return False
        now = time.monotonic()
        return not self._spool.unsent_bytes() or now > self._deadline or (failures > 0 and now > self._asked_to_close + GIVE_UP_S)

    def _wait_for_news(self) -> None:
        self._news.wait()
        self._hurry.wait(self._interval_s)  # for more of it
        if not self._closing.is_set():
            self._hurry.clear()
        self._news.clear()


# --- the spool --------------------------------------------------------------------------------------------------------------------------


class _Spool:
    """An append-only file of records and, beside it, a ledger: how much of it was sent and what the runs hold."""

    def __init__(self, path: Path) -> None:
        self.path, self._ledger = ready(path), path.with_suffix(".ledger")
        self._lock = threading.Lock()
        self.ledger = self._read_ledger()
        self._file = _append_to(path)
        self._end: int = self._file.tell()
        if self._end and not self._ends_whole():
            self._end += self._file.write(b"\n")  # a killed process left half a record: it becomes a line that is skipped
        self.sent = min(int(self.ledger.get("sent", 0)), self._end)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record. It survives the process from here on (not a power cut: the catalogue repairs that)."""
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._file.closed:
                return
            self._end += self._file.write(line)

    def read(self) -> tuple[list[dict[str, Any]], int]:
        """The next unsent records, and the offset after them."""
        records: list[dict[str, Any]] = []
        with self.path.open("rb") as file:
            file.seek(self.sent)
            offset = self.sent
            for line in file:
                if not line.endswith(b"\n"):
                    break
                offset += len(line)
                with suppress(ValueError):
                    records.append(json.loads(line))
                if len(records) >= MAX_RECORDS:
                    break
        return records, offset

    def confirm(self, offset: int, ledger: Mapping[str, Any]) -> None:
        """Everything before `offset` is written."""
        self.ledger = {**ledger, "sent": offset}
        beside = self._ledger.with_suffix(".new")
        beside.write_text(json.dumps(self.ledger))
        beside.replace(self._ledger)
        self.sent = offset

    def unsent_bytes(self) -> int:
        with self._lock:
            return self._end - self.sent

    def unsent_records(self) -> int:
        if not self.unsent_bytes():
            return 0
        with self.path.open("rb") as file:
            file.seek(self.sent)
            return sum(1 for _ in file)

    def remove(self) -> None:
        """All was sent: leave nothing behind."""
        with self._lock:
            self._file.close()
            self.path.unlink(missing_ok=True)
            self._ledger.unlink(missing_ok=True)
        with suppress(OSError):  # another sweep's spool is in there
            self.path.parent.rmdir()

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _read_ledger(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._ledger.read_text()))
        except (OSError, ValueError):
            return {}


def _append_to(path: Path) -> Any:
    """Open for appending, though another process may be removing the empty folder right now."""
    for _ in range(10):
        with suppress(FileNotFoundError):
            return ready(path).open("ab", buffering=0)
    raise InfraError(f"The spool {path} must be writable; it cannot be opened. Choose another home or set LAGRANGE_HOME.")


# --- writing ----------------------------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """What a run in MLflow is known to hold."""

    id: str
    epoch: int = -1
    started: bool = False
    ended: str = ""
    last: dict[str, float] = field(default_factory=dict)


@dataclass
class _News:
    """What one round has to say about one run."""

    started_ms: int
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    epochs: dict[int, tuple[int, dict[str, float]]] = field(default_factory=dict)
    final: tuple[int, dict[str, float]] | None = None
    state: str = ""
    begins: bool = False


class _Writer:
    """Writes records to MLflow. Used by one thread only."""

    def __init__(self, uri: str, artifact_root: Path, spool: _Spool, sweep: str, created: str) -> None:
        self.uri, self._artifact_root, self._spool, self._sweep, self._created = uri, artifact_root, spool, sweep, created
        self.refused: list[str] = []
        self._client: Any = None
        self._experiment = self._experiment_name = ""
        self._runs: dict[int, _Run] | None = None

    def round(self) -> bool:
        """Write the next records of the spool; False if there are none. Raises whatever the client raises; nothing is lost then."""
        records, offset = self._spool.read()
        if offset == self._spool.sent:
            return False
        if records:
            self._open(records)
            for number, news in sorted(_sorted_out(records).items()):  # the sweep's own run is -1, so it comes before its members
                self._write(number, news)
            for record in records:
                if record["kind"] == "artifact":
                    self._send_artifact(record)
        self._spool.confirm(offset, {"experiment": self._experiment_name})
        return True

    def forget(self) -> None:
        """After a failure nobody knows what arrived: look at MLflow again before the next write."""
        self._runs = None

    def _open(self, records: list[dict[str, Any]]) -> None:
        if self._client is None:
            self._client = _client(self.uri, self._spool.path.parent)
        if self._runs is None:
            self._experiment = self._find_experiment(records)
            self._runs = self._find_runs()

    def _find_experiment(self, records: list[dict[str, Any]]) -> str:
        start = next((record for record in records if record["kind"] == "start" and record["run"] == _SWEEP), None)
        said = {} if start is None else {**start["tags"], **start["params"]}
        parts = [said[key] for key in ("objective", "dataset") if said.get(key)]
        name = "/".join(["lagrange", *(["-".join(parts)] if parts else [])])
        name = self._experiment_name = self._experiment_name or (self._spool.ledger.get("experiment") if start is None else None) or name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = (self._artifact_root / name).as_uri() if _is_database(self.uri) else None
            return str(self._client.create_experiment(name, artifact_location=location))
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find_runs(self) -> dict[int, _Run]:
        """What MLflow holds of this sweep, by one search: runs, their newest epoch, how they ended."""
        wanted = f"tags.`lagrange.sweep` = '{self._sweep}'"
        if self._created:
            wanted += f" and tags.`lagrange.created` = '{self._created}'"
        runs: dict[int, _Run] = {}
        token: str | None = None
        while token is None or token:
            page = self._client.search_runs([self._experiment], wanted, max_results=1000, order_by=["start_time ASC"], page_token=token)
            for run in page:
                number = int(run.data.tags.get("lagrange.member", _SWEEP))
                points = run.data._metric_objs
                epoch = max((point.step for point in points), default=-1)
                last = {point.key: point.value for point in points if point.step == epoch}
                ended = run.data.tags.get("lagrange.ended", "") if run.info.status not in ("RUNNING", "SCHEDULED") else ""
                runs.setdefault(number, _Run(run.info.run_id, epoch, bool(run.data.params), ended, last))
            token = page.token or ""
        return runs

    def _write(self, number: int, news: _News) -> None:
        assert self._runs is not None
        run = self._runs.get(number)
        if run is None:
            run = self._runs[number] = _Run(self._create(number, news))
        elif run.ended and not news.state and (news.epochs.keys() - range(run.epoch + 1) or (news.begins and number == _SWEEP)):
            self._client.update_run(run.id, status="RUNNING")
            run.ended = ""
        # a sweep's answer may change when it resumes; a member that ended alike ended once
        ends = bool(news.state) and (number == _SWEEP or run.ended != news.state)
        groups = self._new_points(run, news, ends)
        tags = {**news.tags, "lagrange.ended": news.state} if ends else news.tags if not news.state else {}
        self._send(run.id, groups, {} if run.started else news.params, tags)
        run.started = run.started or news.begins
        if news.epochs and max(news.epochs) > run.epoch:
            run.epoch = max(news.epochs)
            run.last = news.epochs[run.epoch][1]
        if ends:
            self._client.set_terminated(run.id, _RUN_STATUS.get(news.state, "FAILED"), news.final[0] if news.final else None)
            run.ended = news.state

    def _create(self, number: int, news: _News) -> str:
        tags = {"lagrange.sweep": self._sweep, "lagrange.created": self._created}
        name = self._sweep
        if number != _SWEEP:
            assert self._runs is not None
            if _SWEEP not in self._runs:
                self._runs[_SWEEP] = _Run(self._create(_SWEEP, _News(news.started_ms)))
            name = f"{self._sweep}-{number:04d}"
            tags |= {"lagrange.member": str(number), "mlflow.parentRunId": self._runs[_SWEEP].id}
        tags = {key: value for key, value in tags.items() if value}
        return str(self._client.create_run(self._experiment, start_time=news.started_ms, tags=tags, run_name=name).info.run_id)

    def _new_points(self, run: _Run, news: _News, ends: bool) -> list[list[Any]]:
        """Metric entities in groups of one epoch each, which MLflow then holds wholly or not at all."""
        from mlflow.entities import Metric

        new = [(epoch, *news.epochs[epoch]) for epoch in sorted(news.epochs) if epoch > run.epoch]
        if ends and news.final is not None:
            epoch, last = (new[-1][0], new[-1][2]) if new else (max(run.epoch, 0), run.last)
            ms, final = news.final
            # the last epoch's numbers are there already; nan equals itself here
            new.append((epoch, ms, {key: value for key, value in final.items() if str(last.get(key)) != str(value)}))
        return [[Metric(key, value, ms, epoch) for key, value in metrics.items()] for epoch, ms, metrics in new]

    def _send(self, run: str, groups: list[list[Any]], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        todo_params = [Param(key, value) for key, value in params.items()]
        todo_tags = [RunTag(key, value) for key, value in tags.items()]
        for metrics in _batches(groups):
            self._batch(run, metrics, todo_params[:MAX_NAMES], todo_tags[:MAX_NAMES])
            todo_params, todo_tags = todo_params[MAX_NAMES:], todo_tags[MAX_NAMES:]
        while todo_params or todo_tags:
            self._batch(run, [], todo_params[:MAX_NAMES], todo_tags[:MAX_NAMES])
            todo_params, todo_tags = todo_params[MAX_NAMES:], todo_tags[MAX_NAMES:]

    def _batch(self, run: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        """Send one batch; what MLflow refuses for good is found, noted and left out, so that it cannot hold up the rest."""
        try:
            self._client.log_batch(run, metrics, params, tags, synchronous=True)
        except Exception as error:
            if not _is_refusal(error):
                raise
            if self._client.get_run(run).info.lifecycle_stage == "deleted":
                self.refused.append("a run that was deleted in the UI")
                return
            entries = [([item], [], []) for item in metrics] + [([], [item], []) for item in params] + [([], [], [item]) for item in tags]
            if len(entries) == 1:
                self.refused.append(_first_line(error))
                return
            for one_metric, one_param, one_tag in entries:
                self._batch(run, one_metric, one_param, one_tag)

    def _send_artifact(self, record: Mapping[str, Any]) -> None:
        assert self._runs is not None
        if not Path(record["path"]).is_file():
            self.refused.append(f"the file {Path(record['path']).name} is gone")
            return
        if _SWEEP not in self._runs:
            self._runs[_SWEEP] = _Run(self._create(_SWEEP, _News(record["ms"])))
        self._client.log_artifact(self._runs[_SWEEP].id, record["path"], record["folder"] or None)


def _sorted_out(records: list[dict[str, Any]]) -> dict[int, _News]:
    """What the records say, run by run. A run that is only spoken of by artifacts is left out."""
    runs: dict[int, _News] = {}
    for record in records:
        if record["kind"] == "artifact":
            continue
        news = runs.setdefault(record["run"], _News(record["ms"]))
        if record["kind"] == "start":
            news.params |= record["params"]
            news.tags |= record["tags"]
            news.begins = True
            news.state, news.final = "", None
        elif record["kind"] == "log":
            news.epochs.setdefault(record["epoch"], (record["ms"], {key: float(value) for key, value in record["metrics"].items()}))
        else:
            news.tags |= record["tags"]
            news.state = record["state"]
            news.final = (record["ms"], {key: float(value) for key, value in record["metrics"].items()})
    return runs


def _batches(groups: list[list[Any]]) -> Iterator[list[Any]]:
    """Groups joined into batches of at most 1000; a group is cut only if it alone is larger."""
    batch: list[Any] = []
    for group in groups:
        if batch and len(batch) + len(group) > MAX_METRICS:
            yield batch
            batch = []
        batch = batch + group
        while len(batch) > MAX_METRICS:
            yield batch[:MAX_METRICS]
            batch = batch[MAX_METRICS:]
    if batch:
        yield batch


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "error_code", None) in _REFUSED


def _is_database(uri: str) -> bool:
    return re.match(r"(sqlite|postgresql|mysql|mssql)", uri) is not None


def _first_line(error: Exception) -> str:
    lines = strip_password(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _text(value: Any, longest: int) -> str:
    text = strip_password(str(value))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _key(key: str) -> str:
    return re.sub(r"[^/\w.\- :]", "_", str(key))[:250]


def _params(params: Mapping[str, Any]) -> dict[str, str]:
    return {_key(key): _text(value, 6000) for key, value in params.items()}


def _tags(tags: Mapping[str, Any]) -> dict[str, str]:
    return {_key(key): _text(value, 5000) for key, value in tags.items()}


def _metrics(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Numbers for JSON, which has no NaN."""
    numbers = ((_key(key), float(value)) for key, value in metrics.items())
    return {key: number if math.isfinite(number) else str(number) for key, number in numbers}


# --- the client -------------------------------------------------------------------------------------------------------------------------


def quiet_environment() -> None:
    """MLflow neither calls home nor retries by itself: it would block for minutes, and a repeated POST makes a second run."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a run, into the live table
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"


def _client(uri: str, folder: Path) -> Any:
    """An MLflow client, after the store has been made. Slow: imports mlflow (1.5 s), makes tables the first time (1.5 s)."""
    warnings.filterwarnings("ignore", module=r"mlflow\b")  # not catch_warnings: in a thread it would undo what others set meanwhile
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    client = MlflowClient(uri, registry_uri=uri)
    file = sqlite_path(uri)
    if file is None:
        client.search_experiments(max_results=1)
        return client
    with _alone(ready(file)):
        with closing(_sqlite(file)) as connection:
            connection.execute("pragma journal_mode=wal")  # readers (the UI) then never wait for us, nor we for them
        client.search_experiments(max_results=1)
    return client


def _sqlite(file: Path) -> Any:
    import sqlite3

    return sqlite3.connect(file, timeout=30)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Only one process at a time makes MLflow's tables: its migrations race. The lock dies with the process that holds it."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with file.parent.joinpath(f".{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def forget(uri: str, sweep: str) -> int:
    """Mark the runs of a sweep deleted (MLflow's own `gc` frees their space); how many there were. A store that is not there has none."""
    file = sqlite_path(uri)
    if file is not None and not file.exists():
        return 0
    client, gone = _client(uri, Path()), 0
    experiments = [found.experiment_id for found in client.search_experiments()]
    while experiments and (page := client.search_runs(experiments, f"tags.`lagrange.sweep` = '{sweep}'", max_results=1000)):
        for run in page:
            client.delete_run(run.info.run_id)
        gone += len(page)
    return gone


def ui_command(home: Home, port: int = 5000) -> list[str]:
    """The command that serves MLflow's UI for this home on 127.0.0.1; start it with `ui_environment`.

    Raises InfraError when the home uses a server, which serves the UI itself.
    """
    if not _is_database(home.tracking_uri):
        raise InfraError(
            f"The UI is served for a database; this home uses a server. Open {strip_password(home.tracking_uri)} in a browser."
        )
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--default-artifact-root", home.artifacts.as_uri()]
    if strip_password(home.tracking_uri) == home.tracking_uri:
        command += ["--backend-store-uri", home.tracking_uri]
    return command


def ui_environment(home: Home) -> dict[str, str]:
    """The environment for `ui_command`: a URI with a password travels here, since everybody can read command lines."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **quiet, "MLFLOW_BACKEND_STORE_URI": home.tracking_uri}
