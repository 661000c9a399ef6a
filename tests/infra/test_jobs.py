"""Jobs of Ray Jobs, with a client of ours in the place of Ray's: names, what can be listed, logs that go on, sentences."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.errors import InfraError, StoreGone
from infra.ray import jobs
from infra.ray.answers import sentence
from infra.ray.jobs import SWEEP, Jobs, dashboard, entrypoint, made_up


class Cluster:
    """A client as Ray's: jobs by id, the time at which each was submitted, and what their drivers print."""

    def __init__(self) -> None:
        self.jobs: dict[str, SimpleNamespace] = {}
        self.logs: dict[str, list[Any]] = {}

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any], metadata: dict[str, str]) -> str:
        if submission_id in self.jobs:
            raise RuntimeError(f"Request failed with status code 500: Job with submission_id {submission_id} already exists.")
        self.jobs[submission_id] = SimpleNamespace(
            submission_id=submission_id,
            status="RUNNING",
            metadata=metadata,
            entrypoint=entrypoint,
            runtime_env=runtime_env,
            start_time=1_000_000 + len(self.jobs),
            end_time=None,
            message="",
            driver_exit_code=None,
        )
        return submission_id

    def list_jobs(self) -> list[Any]:
        return [SimpleNamespace(metadata=None, submission_id="other"), *self.jobs.values()]

    def get_job_info(self, job: str) -> Any:
        return self.jobs[job]

    def stop_job(self, job: str) -> bool:
        self.jobs[job].status = "STOPPED"
        return True

    def get_job_logs(self, job: str) -> str:
        return "".join(part for part in self.logs[job] if isinstance(part, str))

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        """Each time from the beginning, as Ray's; an exception in the list is a connection that ends there, once."""
        for place, part in enumerate(self.logs[job]):
            if isinstance(part, Exception):
                del self.logs[job][place]
                raise part
            yield part
        self.jobs[job].status = "SUCCEEDED"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def there(cluster: Cluster) -> Jobs:
    return Jobs("http://head:8265", cluster)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://head:8265", "http://head:8265"),
        ("http://head", "http://head:8265"),
        ("https://head/", "https://head:443"),
        ("head:8265", "http://head:8265"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_the_address_of_a_dashboard(given: str, found: str) -> None:
    assert dashboard(given) == found


@pytest.mark.parametrize("given", ["ray://head:10001", "http://", "http://h:99999", "http://user:secret@head:1", "ftp://head", ""])
def test_what_is_no_dashboard(given: str) -> None:
    with pytest.raises(InfraError, match="http://HEAD:8265") as caught:
        dashboard(given)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("http://h:99999", "a port is a number from 1 to 65535"),
        ("http://h:0", "a port is a number from 1 to 65535"),
        ("h:abc", "a port is a number from 1 to 65535"),
        ("auto", "that is an address for `lagrange sweep`"),
        ("in-process", "that is an address for `lagrange sweep`"),
        ("ray://head:10001", "Ray Client does not take jobs"),
    ],
)
def test_what_is_wrong_with_the_address_of_a_dashboard_is_named(given: str, words: str) -> None:
    with pytest.raises(InfraError, match=words):
        dashboard(given)


@pytest.mark.parametrize(("address", "other"), [("https://head:8265", "http://head:8265"), ("http://head:443", "https://head:443")])
def test_a_dashboard_of_the_other_kind_is_named(address: str, other: str) -> None:
    said = str(sentence(address, ConnectionError(f"Failed to connect to Ray at address: {address}."), first=True))
    assert f"try {other}" in said
    assert "try http" not in str(sentence(address, ValueError("Expecting value: line 1"), first=True))


def test_what_is_told_of_an_error_ends_with_a_word() -> None:
    said = str(sentence("http://head:8265", ValueError("words " * 100), first=True))
    assert "words …. Correct" in said


def test_jobs_are_named_after_their_sweep_and_one_lives_at_a_time(there: Jobs, cluster: Cluster) -> None:
    first = there.submit("s", ["lagrange", "sweep"], None, {})
    assert first.id == "s"
    with pytest.raises(InfraError, match=r"'s' has one already, job s on http://head:8265, and no second one was started"):
        there.submit("s", ["lagrange", "sweep"], None, {})
    for turn in range(2, 12):  # by number: "s~10" comes after "s~9"
        there.stop(there.newest("s"), waited=lambda _: None)
        assert there.submit("s", ["lagrange", "sweep"], None, {}).id == f"s~{turn}"
    there.submit("t", ["lagrange", "sweep"], None, {})
    assert [one.sweep for one in there.all()][:2] == ["t", "s"] and len(there.of("s")) == 11
    with pytest.raises(InfraError, match=r"none of 'u'. It has jobs of: t, s"):
        there.newest("u")


def test_of_two_that_submit_at_one_moment_ray_takes_the_first(there: Jobs, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    there.submit("s", ["lagrange"], None, {})
    monkeypatch.setattr(Jobs, "of", lambda *_: [])  # as it was for both a moment before
    with pytest.raises(InfraError, match="no second one was started"):
        there.submit("s", ["lagrange"], None, {})


class Starting(Cluster):
    """A head whose agent is not up for the first `refused` requests."""

    refused = 3

    def submit_job(self, **asked: Any) -> str:
        self.refused -= 1
        if self.refused >= 0:
            raise RuntimeError("Request failed with status code 500: No available agent to submit job, please try again later..")
        return super().submit_job(**asked)


def test_a_head_that_still_starts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    there = Jobs("http://head:8265", Starting())
    assert there.submit("s", ["lagrange"], None, {}, waits.append).id == "s" and len(waits) == 3 and len(there.of("s")) == 1
    monkeypatch.setattr(jobs, "AGENT_S", -1.0)
    with pytest.raises(InfraError, match=r"an agent that starts jobs.*submit again in a minute"):
        Jobs("http://head:8265", Starting()).submit("s", ["lagrange"], None, {}, waits.append)


def test_what_everybody_can_list_holds_no_secret(there: Jobs, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAGRANGE_CATALOGUE_URL", "postgresql://u:secret@h/d")
    there.submit("s", ["lagrange", "sweep", "a b.yaml", "--environment-file", "/etc/lagrange"], tmp_path, {"lagrange.files": "[]"})
    listed = vars(cluster.jobs["s"])
    assert "secret" not in json.dumps(listed)
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": "120", "LAGRANGE_DASHBOARD": "http://head:8265"}
    assert listed["runtime_env"] == {"env_vars": variables, "working_dir": str(tmp_path)}
    assert listed["metadata"] == {SWEEP: "s", "lagrange.files": "[]"}
    with pytest.raises(InfraError, match="must hold no password"):
        there.submit("t", ["lagrange", "sweep", "--catalogue-url", "postgresql://u:secret@h/d"], None, {})
    assert "t" not in cluster.jobs


def test_the_line_of_a_job_runs_the_command_itself_or_says_what_is_missing(tmp_path: Path) -> None:
    """`exec`: the signal to stop reaches the driver, and the shell does not outlive it."""
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\necho "$$ $1"\n')
    tool.chmod(0o755)
    line = entrypoint(["tool", "a b's"])
    shell = subprocess.Popen(["/bin/sh", "-c", line], env={"PATH": f"{tmp_path}:/bin"}, stdout=subprocess.PIPE, text=True)
    assert shell.communicate()[0] == f"{shell.pid} a b's\n"
    lost = subprocess.run(["/bin/sh", "-c", line], env={"PATH": "/nothing"}, capture_output=True, text=True, check=False)
    assert lost.returncode == 2 and "must be on the PATH of the head node" in lost.stderr
    assert shlex.split(line)[-2:] == ["tool", "a b's"]


def test_a_log_goes_on_after_a_cut_without_a_line_twice(there: Jobs, cluster: Cluster) -> None:
    job = there.submit("s", ["lagrange"], None, {})
    cut = RuntimeError("WebSocket connection closed unexpectedly with close code 1006")
    cluster.logs["s"] = ["one\ntwo\n", cut, "three ", ConnectionResetError("reset"), "postgresql://u:secret@h/d\n"]
    assert "".join(there.follow(job, waited=lambda _: None)) == "one\ntwo\nthree postgresql://u:***@h/d\n"
    assert there.log(job).endswith("u:***@h/d\n")


def test_an_error_that_is_no_cut_ends_the_watching_with_a_sentence(there: Jobs, cluster: Cluster) -> None:
    job = there.submit("s", ["lagrange"], None, {})
    cluster.logs["s"] = ["one\n", RuntimeError("Request failed with status code 404: job s does not exist")]
    with pytest.raises(InfraError, match="not there any more"):
        list(there.follow(job, waited=lambda _: None))


class Gone(Cluster):
    """A head that is killed after the first part of a log."""

    told = False

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        if not self.told:
            self.told = True
            yield "one\n"
        raise ConnectionRefusedError("Cannot connect: Connection refused")


def test_a_head_that_is_gone_while_its_log_is_followed_is_a_store_that_is_gone() -> None:
    heard, waits = list[str](), list[float]()
    there = Jobs("http://head:8265", Gone())
    job = there.submit("s", ["lagrange"], None, {})
    with pytest.raises(StoreGone) as caught:
        for part in there.follow(job, waited=waits.append):
            heard.append(part)
    said = str(caught.value)
    assert heard == ["one\n"] and len(waits) > 5, "it is tried again"
    assert "connection to http://head:8265 was lost" in said and "nothing listens there" in said and "Correct the address" not in said
    assert "lagrange logs s -f --address http://head:8265" in said and "lagrange submit SPEC --name s --address http://head:8265" in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (type("AuthenticationError", (Exception,), {})("no"), "wants a token"),
        (RuntimeError("The Ray jobs CLI & SDK require the ray[default] installation"), "lagrange-search[cluster]"),
        (ValueError("Expecting value: line 1"), "does not answer as one"),
        (TimeoutError("Read timed out. u:p postgresql://u:secret@h/d"), "does not any more (no answer in time)"),
        (type("ConnectionError", (OSError,), {})("[Errno 111] Connection refused"), "does not any more (nothing listens there)"),
    ],
)
def test_what_a_dashboard_answers_is_told_in_a_sentence(there: Jobs, cluster: Cluster, error: Exception, words: str) -> None:
    def fails() -> list[Any]:
        raise error

    cluster.list_jobs = fails  # type: ignore[method-assign]
    with pytest.raises(InfraError) as caught:
        there.all()
    assert words in str(caught.value) and "secret" not in str(caught.value)


def test_a_name_is_made_up_where_none_is_given() -> None:
    now = datetime(2026, 11, 29, 20, 5, 1, tzinfo=UTC)
    assert made_up("vae-mnist", now) == "vae-mnist-1129-200501"
    assert made_up("a b/c:λ", now) == "a-b-c-1129-200501"
    assert made_up("λ", now) == "sweep-1129-200501"


def test_a_driver_that_does_not_end_is_not_said_to_have_stopped(there: Jobs, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    job = there.submit("s", ["lagrange"], None, {})
    monkeypatch.setattr(cluster, "stop_job", lambda _: True)
    monkeypatch.setattr(jobs, "STOP_S", -30)
    assert there.stop(job, waited=lambda _: None).alive
