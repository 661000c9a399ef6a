"""MLflow as a sweep writes it: runs found again by their tags, records turned into batches, and the client."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.storage import sqlite_path, strip_password
from infra.tracking import files
from infra.tracking import spool as spools
from infra.tracking.client import is_database, open_client
from infra.tracking.notes import MAX_TAG, digest, forget_views, guarded, log_data, tag_experiment
from infra.tracking.points import Points
from infra.tracking.runs import Run as _Run
from infra.tracking.runs import found
from infra.tracking.said import first_line, status
from infra.tracking.spool import FILES, SWEEP_RUN, Spool

MAX_METRICS: Final = 1000
MAX_NAMES: Final = 100
MAX_FOLDER: Final = 200
TOO_LARGE: Final = "413"  # the HTTP status of what is too large to be taken at once
# A member that λ made collapse or diverge has told something. Only what failed looks like a crash.
_RUN_STATUS: Final = {
    **dict.fromkeys(("complete", "stopped", "collapsed", "diverged"), "FINISHED"),
    **dict.fromkeys(("preempted", "interrupted"), "KILLED"),
    "running": "RUNNING",
}
_REFUSED: Final = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "MALFORMED_REQUEST", "RESOURCE_ALREADY_EXISTS")


@dataclass
class _News:
    """What one round has to say about one run."""

    started_ms: int
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    epochs: dict[int, tuple[int, dict[str, float]]] = field(default_factory=dict)
    final: tuple[int, dict[str, float]] | None = None
    facts: dict[str, float] = field(default_factory=dict)
    added: tuple[int, dict[str, float]] | None = None
    added_at: int = 0  # after how many epochs
    name: str = ""
    state: str = ""
    begins: bool = False


class Writer:
    """Writes records to MLflow. Used by one thread only."""

    def __init__(
        self,
        uri: str,
        artifact_root: Path,
        spool: Spool,
        sweep: str,
        created: str,
        drawn: Callable[[Path], Any] | None = None,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.uri, self._artifact_root, self._spool, self._sweep, self._created = uri, artifact_root, spool, sweep, created
        self.refused: list[str] = []
        self._drawn, self._allowed, self._points = drawn, allowed, Points(uri)
        self._opened: Any = None
        self._experiment = self._experiment_name = ""
        self._experiment_tags: dict[str, str] = {}
        self._data: dict[str, str] = {}
        self._runs: dict[int, _Run] | None = None
        self._known: dict[int, str] = {}  # the runs that we write to
        self._doubtful = False  # whether a call may have been carried out after we had given it up

    def round(self) -> bool:
        """Write the next records of the spool; True if there may be more of them already.

        Raises whatever the client raises; nothing is lost: call `look_again`, and later `round`. FilesWaitError: only files wait.
        """
        records, offset = self._spool.read()
        waiting = self._spool.waiting
        if offset == self._spool.sent and not waiting:
            return False
        left: Sequence[Any] = []
        failed: Exception | None = None
        if records or waiting:
            self._open(records)
            self._data = next((record["data"] for record in reversed(records) if record["kind"] == "data"), self._data)
            for number, news in sorted(_sorted_out(records).items()):  # the sweep's own run is -1, so it comes before its members
                self._write(number, news)
            for record in records:
                if record["kind"] == "experiment":
                    there = self._experiment_tags if record.get("keep") else {}
                    tags = {key: value for key, value in record["tags"].items() if not there.get(key)}
                    tag_experiment(self._client, self._experiment, tags, self._experiment_tags)
            left = [*waiting, *files.among(records)]
            if len(records) < spools.MAX_RECORDS:  # else there are more numbers, which go first
                left, failed = self._send_files(left)
        self._spool.confirm(offset, {"experiment": self._experiment_name}, left)
        if failed is not None:
            raise files.FilesWaitError from failed
        return len(records) >= spools.MAX_RECORDS

    def _send_files(self, said: Sequence[Any]) -> tuple[Sequence[Any], Exception | None]:
        return files.send(
            said,
            client=lambda: self._client,
            run_of=self._shown_with,
            runs=self._runs or {},
            drawn=self._drawn,
            home=self._artifact_root.parent,
            refused=self.refused,
            refuses=_is_refusal,
        )

    @property
    def _client(self) -> Any:
        """The client, for one call."""
        if not self._allowed():
            raise InfraError("another driver may have the sweep")
        return self._opened

    def run_id(self, number: int) -> str:
        """The id of a run that was written; empty where there is none."""
        run = (self._runs or {}).get(number)
        return run.id if run is not None else ""

    def page(self) -> tuple[str, str]:
        """The ids of the experiment and of the sweep's run; empty where MLflow has not answered yet."""
        return self._experiment, self.run_id(SWEEP_RUN)

    def look_again(self) -> None:
        """After a failure nobody knows what arrived: ask MLflow before the next write."""
        self._runs, self._doubtful = None, True

    def settle(self) -> None:
        """All was sent: after failures, look once more for runs that a slow server has made twice. Raises whatever the client raises."""
        if self._doubtful and self._experiment:
            self._runs, self._doubtful = self._find_runs(), False

    def _open(self, records: list[dict[str, Any]]) -> None:
        if self._opened is None:
            self._opened = open_client(self.uri, self._artifact_root)
        if self._runs is None:
            self._experiment = self._find_experiment(records)
            self._runs = self._find_runs()

    def _find_experiment(self, records: list[dict[str, Any]]) -> str:
        start = next((record for record in records if record["kind"] == "start" and record["run"] == SWEEP_RUN), None)
        said = {} if start is None else {**start["tags"], **start["params"]}
        parts = [said[key] for key in ("objective", "dataset") if said.get(key)]
        name = "/".join(["lagrange", *([_folder("-".join(parts))] if parts else [])])
        name = self._experiment_name = self._experiment_name or (self._spool.progress.get("experiment") if start is None else None) or name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            location = (self._artifact_root / name).as_uri() if is_database(self.uri) else None
            return str(self._client.create_experiment(name, artifact_location=location))
        self._experiment_tags = dict(found.tags)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def _find_runs(self) -> dict[int, _Run]:
        """What MLflow holds of this sweep: runs, their newest epoch, how they ended."""
        runs = found(self._client, self._experiment, self._sweep, self._created, self._known)
        self._known = {number: run.id for number, run in runs.items()}
        return runs

    def _write(self, number: int, news: _News) -> None:
        assert self._runs is not None
        run = self._runs.get(number)
        if run is None:
            run = self._runs[number] = _Run(self._create(number, news), name=news.name)
            self._known[number] = run.id
        if self._data and not run.data:
            self._data = _told_data(self._client, run, self._data, self.refused)
        run.look_up({name for _, metrics in news.epochs.values() for name in metrics} | set(news.final[1] if news.final else ()))
        if run.ended and not news.state and (news.epochs.keys() - range(run.epoch + 1) or (news.begins and number == SWEEP_RUN)):
            self._client.update_run(run.id, status="RUNNING")
            run.ended = ""
        # a sweep's answer may change when it resumes; a member ends in the same state only once
        ends = bool(news.state) and (number == SWEEP_RUN or run.ended != news.state)
        groups = _new_points(run, news, ends)
        tags = news.tags | ({"mlflow.runName": news.name} if news.name and run.name != news.name else {})
        if number != SWEEP_RUN:
            tags = run.due(tags, begins=news.begins, state=news.state)
        if ends:
            tags["lagrange.ended"] = news.state
        if number == SWEEP_RUN:
            tags = guarded(tags, run.tags)
            run.tags |= tags
        self._send(run.id, groups, {} if run.started else news.params, tags)
        run.started, run.name = run.started or news.begins, news.name or run.name
        if news.epochs and max(news.epochs) > run.epoch:
            run.epoch = max(news.epochs)
            run.last = news.epochs[run.epoch][1]
        if ends:
            self._client.set_terminated(run.id, _RUN_STATUS.get(news.state, "FAILED"), news.final[0] if news.final else None)
            run.forget(news.state)

    def _create(self, number: int, news: _News) -> str:
        tags = {"lagrange.sweep": self._sweep, "lagrange.created": self._created}
        name = self._sweep
        if number != SWEEP_RUN:
            assert self._runs is not None
            if SWEEP_RUN not in self._runs:
                self._runs[SWEEP_RUN] = _Run(self._create(SWEEP_RUN, _News(news.started_ms)))
            name = news.name or f"{self._sweep}-{number:04d}"
            tags |= {"lagrange.member": str(number), "mlflow.parentRunId": self._runs[SWEEP_RUN].id}
        tags = {key: value for key, value in tags.items() if value}
        return str(self._client.create_run(self._experiment, start_time=news.started_ms, tags=tags, run_name=name).info.run_id)

    def _send(self, run: str, groups: list[list[Any]], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        todo_params = [Param(key, value) for key, value in params.items()]
        todo_tags = [RunTag(key, value) for key, value in tags.items()]
        if self._client and self._points.took(run, (metric for group in groups for metric in group)):
            groups = []
        for metrics in batches(groups):
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
            if not _is_refusal(error) and status(str(error)) != TOO_LARGE:
                raise
            if self._client.get_run(run).info.lifecycle_stage == "deleted":
                self.refused.append("a run that was deleted in the UI")
                return
            entries = [([item], [], []) for item in metrics] + [([], [item], []) for item in params] + [([], [], [item]) for item in tags]
            if len(entries) == 1:
                self.refused.append(first_line(error))
                return
            for one_metric, one_param, one_tag in entries:
                self._batch(run, one_metric, one_param, one_tag)

    def _shown_with(self, number: int) -> _Run:
        """The run that a file is shown with: the one of a member, or else the sweep's own."""
        assert self._runs is not None
        if SWEEP_RUN not in self._runs:
            self._runs[SWEEP_RUN] = _Run(self._create(SWEEP_RUN, _News(time.time_ns() // 1_000_000)))
        return self._runs.get(number, self._runs[SWEEP_RUN])


def _told_data(client: Any, run: _Run, data: dict[str, str], refused: list[str]) -> dict[str, str]:
    """Say which data a run trains on. Returns what other runs say; nothing where a server is too old, which is asked no more."""
    try:
        log_data(client, run.id, data)
    except Exception as error:
        if not _is_refusal(error) and getattr(error, "error_code", None) != "ENDPOINT_NOT_FOUND":
            raise
        refused.append(f"the data set: {first_line(error)}")
        data = {}
    run.data = True
    return data


def _new_points(run: _Run, news: _News, ends: bool) -> list[list[Any]]:
    """Metric entities in groups of one epoch each, which MLflow then holds wholly or not at all."""
    from mlflow.entities import Metric

    new = [(epoch, *news.epochs[epoch]) for epoch in sorted(news.epochs) if epoch > run.epoch]
    facts = {key: value for key, value in news.facts.items() if key not in run.facts}
    run.facts |= facts.keys()
    if ends and news.final is not None:
        epoch, last = (new[-1][0], new[-1][2]) if new else (max(run.epoch, 0), run.last)
        ms, final = news.final
        # the last epoch's numbers are there already; nan equals itself here
        new.append((epoch, ms, {key: value for key, value in final.items() if str(last.get(key)) != str(value)}))
    if news.added is not None:
        new.append((max(run.epoch, news.added_at, *news.epochs), *news.added))
    new.insert(0, (0, news.started_ms, facts))
    return [[Metric(key, value, ms, epoch) for key, value in metrics.items()] for epoch, ms, metrics in new]


def _sorted_out(records: list[dict[str, Any]]) -> dict[int, _News]:
    """What the records say, run by run. A run of which only artifacts speak is left out."""
    runs: dict[int, _News] = {}
    for record in records:
        if record["kind"] in (*FILES, "experiment"):
            continue
        news = runs.setdefault(record["run"], _News(record["ms"]))
        if record["kind"] == "start":
            news.params |= record["params"]
            news.tags |= record["tags"]
            news.name = record.get("name") or news.name
            news.facts |= {key: float(value) for key, value in record.get("metrics", {}).items()}
            news.begins = True
            news.state, news.final = "", None
        elif record["kind"] == "log":
            news.epochs.setdefault(record["epoch"], (record["ms"], {key: float(value) for key, value in record["metrics"].items()}))
        elif record["kind"] == "add":
            news.tags |= record["tags"]
            before = news.added[1] if news.added is not None else {}
            news.added_at = max(news.added_at, record.get("epoch", 0))
            news.added = (record["ms"], before | {key: float(value) for key, value in record["metrics"].items()})
        elif record["kind"] == "end":
            news.tags |= record["tags"]
            news.state = record["state"]
            news.final = (record["ms"], {key: float(value) for key, value in record["metrics"].items()})
    return runs


def batches(groups: list[list[Any]]) -> Iterator[list[Any]]:
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


def _folder(name: str) -> str:
    """A name of an experiment that is a folder inside the one of all files: it may come from a path of the user's, and be long."""
    inside = ".." not in name and not name.startswith("/") and len(name.encode()) <= MAX_FOLDER
    return name if inside else f"{re.sub(r'[^A-Za-z0-9._-]+|[.]{2,}', '_', name)[-100:]}-{digest(name)}"


def _is_refusal(error: Exception) -> bool:
    return getattr(error, "error_code", None) in _REFUSED


def _text(value: Any, longest: int) -> str:
    text = strip_password(str(value)).encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _key(key: str) -> str:
    return re.sub(r"[^/\w.\- :]", "_", str(key))[:250]


def as_params(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as MLflow takes them, without passwords."""
    return {_key(key): _text(value, 6000) for key, value in params.items()}


def as_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Tags as MLflow takes them, without passwords."""
    return {_key(key): _text(value, MAX_TAG) for key, value in tags.items()}


def as_metrics(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Metrics with names that MLflow takes, and NaN and ±inf as text, for JSON has none."""
    numbers = ((_key(key), float(value)) for key, value in metrics.items())
    return {key: number if math.isfinite(number) else str(number) for key, number in numbers}


def forget(uri: str, sweep: str) -> int:
    """Mark the runs of a sweep deleted (MLflow's own `gc` frees their space); how many there were. A store that is not there has none."""
    file = sqlite_path(uri)
    if file is not None and not file.exists():
        return 0
    client, gone = open_client(uri, Path()), 0
    known = client.search_experiments()
    for one in known:
        forget_views(client, one, sweep)
    experiments = [found.experiment_id for found in known]
    while experiments and (page := client.search_runs(experiments, f"tags.`lagrange.sweep` = '{sweep}'", max_results=1000)):
        for run in page:
            client.delete_run(run.info.run_id)
        gone += len(page)
    return gone
