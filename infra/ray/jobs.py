"""Sweeps as jobs of Ray Jobs: the driver lives on the cluster and does not need the machine that submitted it.

What a job is can be listed by everybody who reaches the cluster: its command line, its metadata and its environment hold no secret. A
job of a sweep is named after it; the jobs that go on with it are NAME~2, NAME~3 and so on. Of two with one name Ray takes the first.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from infra.errors import InfraError
from infra.ray import addresses
from infra.ray.answers import AGENT_S, NO_AGENT, again, answered, is_away, lost, sentence
from infra.storage import strip_address, strip_password, sweep_name
from infra.storage.hints import DASHBOARD

SWEEP: Final = "lagrange.sweep"  # the keys of a job's metadata
FILES: Final = "lagrange.files"
OPTIONS: Final = "lagrange.options"
SEVERAL: Final = "lagrange.several"
BEGIN: Final = "lagrange.begin"
SERVER: Final = "RAY_API_SERVER_ADDRESS"
ANSWER_S: Final = 10.0
WORK_S: Final = 120.0  # a head on a busy machine takes long to keep a package, or to start its first job
STOP_S: Final = 120
"""How long a driver that is asked to stop may take, before Ray ends it: by itself Ray gives it three seconds."""
ALIVE: Final = ("PENDING", "RUNNING")
_TRIES: Final = 15  # how often a connection is made again, a second apart, before the head is given up
_MISSING = "lagrange must be on the PATH of the head node, as ray start finds it: activate its environment before ray start"


@dataclass(frozen=True)
class Job:
    """A job of a sweep. `ended` is None while it lives; times are in UTC. `message` is Ray's, without passwords."""

    sweep: str
    id: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""
    exit_code: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether it runs, or waits for its turn."""
        return self.status in ALIVE


def dashboard(address: str) -> str:
    """The address of a cluster's dashboard, with its port.

    Raises:
        InfraError: it is none.
    """
    parts, what = urlsplit(address if "://" in address else f"http://{address}"), ""
    try:
        port = (443 if parts.scheme == "https" else 8265) if parts.port is None else parts.port
    except ValueError:
        port = 0
    if address.startswith("ray://"):
        what = "Ray Client does not take jobs; "
    elif address in (addresses.AUTO, "in-process"):
        what = "that is an address for `lagrange sweep`, where the driver runs here; "
    elif parts.hostname and not port:
        what = "a port is a number from 1 to 65535; "
    if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.username or "sweep" in what:
        given = strip_address(address)
        raise InfraError(
            f"The address of a cluster that takes jobs is that of its dashboard, http://HEAD:8265; {what}got {given!r}. "
            "Where the head node serves none, run `ray start --head` with the extra `cluster` installed (ray[default])."
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


class Jobs:
    """The jobs of sweeps on one cluster. Every call raises InfraError where the cluster does not answer."""

    def __init__(self, address: str, client: Any = None) -> None:
        self.address = dashboard(address)
        self._client = client or _client(self.address)

    def all(self) -> list[Job]:
        """The jobs of sweeps, the newest first. Jobs of other programs are not among them."""
        with answered(self.address):
            found = [_job(one) for one in self._client.list_jobs() if SWEEP in (one.metadata or {})]
        first = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda one: one.started or first, reverse=True)

    def of(self, sweep: str) -> list[Job]:
        """The jobs of one sweep, the newest first."""
        return sorted((one for one in self.all() if one.sweep == sweep), key=lambda one: _turn(one.id), reverse=True)

    def newest(self, sweep: str) -> Job:
        """The newest job of a sweep. Raises InfraError where there is none."""
        if found := self.of(sweep):
            return found[0]
        known = ", ".join(dict.fromkeys(one.sweep for one in self.all())) or "none"
        raise InfraError(
            f"A job of the sweep must be on {self.address}; there is none of {sweep!r}. It has jobs of: {known}. A head that was started "
            f"again has forgotten its jobs, and not the sweeps: {again(sweep, self.address)}"
        )

    def submit(
        self,
        sweep: str,
        command: Sequence[str],
        folder: Path | None,
        metadata: Mapping[str, str],
        waited: Callable[[float], None] = time.sleep,
    ) -> Job:
        """Start a driver of a sweep on the cluster. `folder` goes to every node; `command` is what runs in it.

        Raises:
            InfraError: a job of the sweep lives, another one was submitted at this moment, or the head starts none within `AGENT_S`.
        """
        before = self.of(sweep_name(sweep))
        if living := next((one for one in before if one.alive), None):
            raise taken(sweep, living.id, self.address)
        name = sweep if not before else f"{sweep}~{_turn(before[0].id) + 1}"
        line = entrypoint(command)
        if strip_password(line) != line:
            raise InfraError("A job's command line must hold no password: everybody on the cluster can list it. Use the environment there.")
        # The environment of a job is listed, too: it holds this and nothing else.
        environment: dict[str, Any] = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S), DASHBOARD: self.address}}
        if folder is not None:
            environment["working_dir"] = str(folder)
        asked = {"entrypoint": line, "submission_id": name, "runtime_env": environment, "metadata": {SWEEP: sweep, **metadata}}
        until = time.monotonic() + AGENT_S
        with answered(self.address):
            while True:
                try:
                    self._client.submit_job(**asked)
                    break
                except RuntimeError as error:
                    if "already" in str(error):
                        raise taken(sweep, name, self.address) from None
                    if NO_AGENT not in str(error) or time.monotonic() > until:
                        raise
                waited(2.0)
        return Job(sweep, name, "PENDING", metadata=dict(metadata))

    def stop(self, job: Job, waited: Callable[[float], None] = time.sleep) -> Job:
        """Ask a driver to stop, and return its job when it has: what it did is in its catalogue, and it can be resumed."""
        with answered(self.address, job.sweep):
            self._client.stop_job(job.id)
        until = time.monotonic() + STOP_S + 30
        while (now := self.look(job)).alive and time.monotonic() < until:
            waited(0.5)
        return now

    def look(self, job: Job) -> Job:
        """The job as it is now."""
        with answered(self.address, job.sweep):
            return _job(self._client.get_job_info(job.id))

    def log(self, job: Job) -> str:
        """What the driver has printed so far."""
        with answered(self.address, job.sweep):
            return strip_password(str(self._client.get_job_logs(job.id)))

    def follow(self, job: Job, waited: Callable[[float], None] = time.sleep) -> Iterator[str]:
        """What the driver has printed, and what it prints until it ends. A connection that is cut is made again.

        Raises:
            StoreGone: the head is gone.
        """
        told = tries = 0
        while True:
            ended = False
            try:
                for part in _followed(self._client, job.id, told):
                    told, tries = told + len(part), 0
                    yield strip_password(part)
                ended, tries = not _job(self._client.get_job_info(job.id)).alive, 0
            except Exception as error:
                if not is_away(error):
                    self.look(job)  # where the head has forgotten the job, this says so
                    raise sentence(self.address, error, job.sweep) from None
                tries += 1
                if tries > _TRIES:
                    raise lost(self.address, job.sweep, error) from None
            if ended:
                return
            waited(1.0)


def taken(sweep: str, job: str, address: str) -> InfraError:
    """What is said of a job that is submitted twice under one name."""
    return InfraError(
        f"A sweep has one driver at a time; {sweep!r} has one already, job {job} on {address}, and no second one was started. "
        f"See it: lagrange logs {sweep} -f --address {address}; stop it: lagrange stop {sweep} --address {address}"
    )


def entrypoint(command: Sequence[str]) -> str:
    """The shell's line that a job runs. `exec`: Ray's signal to stop reaches the driver itself, and no shell is between them."""
    return f"command -v {command[0]} > /dev/null || {{ echo {shlex.quote(_MISSING)} >&2; exit 2; }}; exec {shlex.join(command)}"


def _turn(job: str) -> int:
    """1 for NAME, n for NAME~n."""
    tail = job.rpartition("~")[2]
    return int(tail) if "~" in job and tail.isdigit() else 1


def _job(found: Any) -> Job:
    """What Ray says of a job, as ours."""

    def moment(milliseconds: int | None) -> datetime | None:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None

    return Job(
        found.metadata.get(SWEEP, ""),
        str(found.submission_id),
        str(getattr(found.status, "value", found.status)),
        moment(found.start_time),
        moment(found.end_time),
        strip_password(str(found.message or "")),
        getattr(found, "driver_exit_code", None),
        dict(found.metadata),
    )


def _client(address: str) -> Any:
    """Ray's own client for jobs. It gets a limit for every request, and takes no other address from the environment.

    Raises:
        InfraError: nobody answers, no Ray answers, it wants a token, or Ray's client is not installed.
    """
    parts = urlsplit(address)
    addresses.require_token()
    addresses.connect(parts.hostname or "", parts.port or 8265, addresses.DASHBOARD)
    from ray.dashboard.modules.job import sdk

    for chatty in ("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk", "ray._private.runtime_env.packaging"):
        logging.getLogger(chatty).setLevel(logging.ERROR)

    class Client(sdk.JobSubmissionClient):  # type: ignore[misc]
        """Ray's client waits for ever where a server takes a request and says nothing."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            seconds = ANSWER_S if endpoint == "/api/version" else WORK_S
            return super()._do_request(method, endpoint, **{"timeout": seconds, **options})

    before = os.environ.get(SERVER)
    os.environ[SERVER] = address  # Ray's client prefers this, and RAY_ADDRESS, to the address that it is given
    try:
        with answered(address, first=True):
            return Client(address)
    finally:
        os.environ.pop(SERVER)
        if before is not None:
            os.environ[SERVER] = before


def _followed(client: Any, job: str, told: int) -> Iterator[str]:
    """The parts of a log as they come, without the first `told` characters."""
    loop = asyncio.new_event_loop()
    try:
        parts = client.tail_job_logs(job).__aiter__()
        while True:
            try:
                part = str(loop.run_until_complete(parts.__anext__()))
            except StopAsyncIteration:
                return
            skipped = min(told, len(part))
            told -= skipped
            if part[skipped:]:
                yield part[skipped:]
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


_UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")


def made_up(stem: str, now: datetime | None = None) -> str:
    """A name for a sweep that was given none: the cluster's catalogue cannot be asked from here for the next free number."""
    return sweep_name(f"{_UNNAMED.sub('-', stem).strip('-.') or 'sweep'}-{(now or datetime.now(UTC)):%m%d-%H%M%S}"[:100])
