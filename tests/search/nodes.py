"""Nodes of a Ray on this machine, as processes that a test starts and stops."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).parent / "ray")
LAGRANGE = str(Path(sys.executable).parent / "lagrange")
UP_SECONDS = 120.0


def free_port() -> int:
    """A port below Ray's range of worker ports that nobody listens on."""
    for port in range(6400, 6999):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("no port is free")


def ray_ip() -> str:
    """The address that Ray gives to this machine's nodes."""
    from ray._private.services import get_node_ip_address

    return str(get_node_ip_address())


class Nodes:
    """A head and what was added to it. `environment` is that of a driver."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self._processes = folder, free_port(), list[subprocess.Popen[bytes]]()
        self.short = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path holds 107 characters at most
        token = folder / "token"
        token.write_text("0123456789abcdef" * 4)
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    @property
    def address(self) -> str:
        """What a driver connects to."""
        return f"127.0.0.1:{self.port}"

    def add(
        self, *options: str, cpus: int = 1, environment: Mapping[str, str] | None = None, within: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start the head, or one more node, and wait until it is up."""
        head = ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self.short}"]
        command = [RAY, "start", *([f"--address={self.address}"] if self._processes else head), f"--num-cpus={cpus}", "--block", *options]
        command += ["--object-store-memory=80000000", "--disable-usage-stats"]
        command = [*within, *command]
        log = self.folder / f"node-{len(self._processes)}.log"
        with log.open("w") as sink:
            started = subprocess.Popen(
                command, env={**self.environment, **(environment or {})}, stdout=sink, stderr=sink, start_new_session=True
            )
        self._processes.append(started)
        deadline = time.monotonic() + UP_SECONDS
        while "Ray runtime started" not in log.read_text():  # asking a head that is not up yet blocks for a minute
            assert time.monotonic() < deadline and started.poll() is None, log.read_text()
            time.sleep(0.2)
        return started

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """End a node at once, as a machine that is taken away."""
        _kill(node)

    def sweep(self, spec: str, name: str = "s", *options: str, here: Path | None = None) -> subprocess.Popen[str]:
        """Start a sweep of this spec, with a home in the folder."""
        here = here or self.folder
        (here / f"{name}.yaml").write_text(spec)
        command = [LAGRANGE, "sweep", f"{name}.yaml", "--name", name, "--address", self.address, "--plain"]
        command += ["--home", str(self.folder / "home"), *options]
        return subprocess.Popen(command, cwd=here, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def close(self) -> None:
        """Stop all that were started, and nothing else."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                _kill(process)
        shutil.rmtree(self.short, ignore_errors=True)


def _kill(node: subprocess.Popen[bytes]) -> None:
    """End a node with all that it has started: Ray's processes are in sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        mine = psutil.Process(node.pid)
        for process in (*mine.children(recursive=True), mine):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    node.wait(timeout=60)


@contextmanager
def nodes(folder: Path) -> Iterator[Nodes]:
    """Nodes that are stopped at the end."""
    found = Nodes(folder)
    try:
        yield found
    finally:
        found.close()
