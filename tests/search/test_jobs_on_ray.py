"""A sweep on a Ray with a dashboard and a token: submitted, watched, stopped, resumed, and its submitting process and driver killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.catalogue import Catalogue
from infra.storage import Home

pytest.importorskip("aiohttp_cors", reason="the extra `cluster` (ray[default]) is not installed: make test-cluster installs it")
pytestmark = pytest.mark.cluster

ROOT, BIN = Path(__file__).parents[2], Path(sys.executable).parent
MINE = "import helper\nfrom objectives.families.toy import Toy\n\nclass Mine(Toy):\n    pass\n"
SPEC = (
    "objective: mine:Mine\ndataset: {name: none, noise: 0.5, seconds_per_epoch: 0.4}\nsearch: {l2: {}}\nscheduler: none\n"
    "budget: {trials: 8, epochs: 5}\nconfirm: {configs: 3, seeds: 2}\n"
)
SECRET = "hunter2hunter2"


@dataclass
class Head:
    """A Ray of one node that takes jobs, and a folder of the user's."""

    gcs: int
    dashboard: int
    here: Path
    home: Home
    file: Path
    environment: dict[str, str]

    def lagrange(self, *args: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        environment = {name: value for name, value in {**self.environment, **changes}.items() if value}
        return subprocess.run(
            [BIN / "lagrange", *args], cwd=self.here, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    def begin(self, *args: str) -> subprocess.Popen[str]:
        """Start a command."""
        return subprocess.Popen([BIN / "lagrange", *args], cwd=self.here, env=self.environment, stdout=subprocess.PIPE, text=True)

    @property
    def at(self) -> tuple[str, str]:
        return "--address", f"http://127.0.0.1:{self.dashboard}"

    def submit(self, name: str) -> tuple[str, ...]:
        return "submit", "spec.yaml", "--name", name, "--home", str(self.home.root), "--environment-file", str(self.file), *self.at

    def rows(self, name: str) -> list[Any]:
        with Catalogue(self.home.catalogue_url, create=False) as catalogue:
            return catalogue.members(name) if catalogue.has_sweep(name) else []

    def until(self, holds: Callable[[], Any], sweep: str) -> None:
        """Wait, and show the driver's log where it takes too long."""
        deadline = time.monotonic() + 240
        while not holds():
            assert time.monotonic() < deadline, self.lagrange("logs", sweep, *self.at).stdout
            time.sleep(0.5)


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    folder = tmp_path_factory.mktemp("head")
    here = folder / "here"
    here.mkdir()
    for name, text in {"spec.yaml": SPEC, "mine.py": MINE, "helper.py": "", ".env": f"PASSWORD={SECRET}"}.items():
        (here / name).write_text(text)
    (folder / "token").write_text("0123456789abcdef" * 4)
    (folder / "secrets").write_text(f"MLFLOW_TRACKING_PASSWORD={SECRET}\n")
    (folder / "secrets").chmod(0o600)
    short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path holds 107 characters at most
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "LAGRANGE_"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"), "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    gcs, dashboard, client, agent = free_ports(4)
    command = [str(BIN / "ray"), "start", "--head", f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
    # Two Rays of a machine would want one port for Ray Client and one for the agent that starts jobs.
    command += [f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}"]
    command += ["--num-cpus=1", "--block", f"--temp-dir={short}", "--object-store-memory=80000000", "--disable-usage-stats"]
    with (folder / "head.log").open("w") as sink:
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, start_new_session=True)
    found = Head(gcs, dashboard, here, Home.open(folder / "home"), folder / "secrets", environment)
    try:
        deadline = time.monotonic() + 180
        while found.lagrange("jobs", *found.at).returncode:
            assert time.monotonic() < deadline and process.poll() is None, (folder / "head.log").read_text()
            time.sleep(1)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(short, ignore_errors=True)


def test_a_submitted_sweep_outlives_who_submitted_it_and_is_stopped_and_resumed(head: Head) -> None:
    submitting = head.begin(*head.submit("s"), "-f")
    head.until(lambda: sum(row.state is not None for row in head.rows("s")) >= 2, "s")
    submitting.kill()
    submitting.wait()
    second = head.lagrange(*head.submit("s"))
    assert second.returncode == 2 and "has one already, job s" in second.stderr
    running = head.lagrange("jobs", *head.at)
    assert " running " in running.stdout
    processes = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert any("--name s --resume" in line for line in processes) and not any(SECRET in line for line in processes)
    listed = subprocess.run([BIN / "ray", "job", "list", *head.at], env=head.environment, capture_output=True, text=True, check=False)
    assert "lagrange sweep spec.yaml" in listed.stdout and SECRET not in listed.stdout + listed.stderr
    stopped = head.lagrange("stop", "s", *head.at)
    assert stopped.returncode == 0 and "nothing is lost" in stopped.stdout
    with Catalogue(head.home.catalogue_url) as catalogue:
        assert catalogue.sweep("s").status == "interrupted" and catalogue.locked_by("s") is None
    assert "was interrupted; nothing is lost" in head.lagrange("logs", "s", *head.at).stdout
    before = {row.number: row.score for row in head.rows("s") if row.state is not None}
    resumed = head.lagrange("resume", "s", *head.at)
    assert resumed.returncode == 0, resumed.stderr
    log = head.lagrange("logs", "s", "-f", *head.at)
    assert log.returncode == 0, log.stdout
    rows = head.rows("s")
    assert all(row.state == "complete" for row in rows) and len({row.number for row in rows}) == len(rows)
    assert before.items() <= {row.number: row.score for row in rows}.items()
    again = head.lagrange(*head.submit("s"), "-f")
    assert again.returncode == 0 and "this sweep was complete: nothing was left to do" in again.stdout and len(head.rows("s")) == len(rows)


def test_a_driver_that_was_killed_goes_on_where_the_same_command_is_run_again(head: Head) -> None:
    assert head.lagrange(*head.submit("k")).returncode == 0
    head.until(lambda: sum(row.state is not None for row in head.rows("k")) >= 2, "k")
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "--name" in words and words[words.index("--name") + 1] == "k" and "sweep" in words and str(head.home.root) in words:
            process.send_signal(signal.SIGKILL)
    head.until(lambda: " running " not in head.lagrange("jobs", *head.at).stdout, "k")
    ended = {row.number for row in head.rows("k") if row.state == "complete"}
    again = head.lagrange(*head.submit("k"), "-f")
    assert again.returncode == 0, again.stdout
    rows = head.rows("k")
    assert all(row.state == "complete" for row in rows) and len({row.number for row in rows}) == len(rows)
    assert ended <= {row.number for row in rows}


def test_an_address_that_cannot_be_used_is_one_sentence(head: Head, tmp_path: Path) -> None:
    """The server that says nothing is a real one: Ray itself would wait for it for minutes."""
    here = f"127.0.0.1:{head.gcs}"
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        nobody = silent.getsockname()[1]
        cases = [
            (here, {"RAY_AUTH_MODE": ""}, "wants a token, and this process sends none"),
            (here, {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "no")}, "cannot be read: No such file"),
            (here, {"RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_TOKEN": "wrong" * 8}, "the one that this process sends is another one"),
            (f"127.0.0.1:{head.dashboard}", {}, "does not answer as Ray does"),
            (f"127.0.0.1:{nobody}", {}, "does not answer as Ray does: no answer"),
            ("ray://127.0.0.1:10001", {}, "lagrange submit SPEC"),
        ]
        for address, changes, words in cases:
            done = head.lagrange("sweep", "toy", "--dataset", "none", "--home", str(tmp_path / "h"), "--address", address, **changes)
            assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
        assert not (tmp_path / "h").exists()
        for server, changes, words in (
            (head.dashboard, {"RAY_AUTH_MODE": ""}, "wants a token"),
            (head.dashboard, {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "no")}, "cannot be read: No such file"),
            (head.gcs, {}, "does not answer as one"),
            (nobody, {}, "does not answer as one"),
        ):
            done = head.lagrange("jobs", "--address", f"http://127.0.0.1:{server}", **changes)
            assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
