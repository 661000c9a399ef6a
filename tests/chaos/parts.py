"""The parts of a cluster on this machine, each with the ways in which it fails: real servers, started and stopped by us alone.

Each part is a process group of its own. Nothing else on the machine is touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.storage import Home
from infra.tracking import ui_command, ui_environment

START_SECONDS = 120.0
OBJECT_STORE = "--object-store-memory=80000000"
CPU_OF_A_NODE = 1


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(true: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until something is true. Raises AssertionError when it takes longer."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} within {seconds:g} s"
        time.sleep(0.2)


@dataclass
class Server:
    """A process group that can be started again after it was killed."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    ready: Callable[[], bool]
    user: str | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with (self.folder / f"{self.name}.log").open("ab") as sink:
            options: dict[str, Any] = {"user": self.user} if self.user else {}
            self.process = subprocess.Popen(
                self.command, env=dict(self.environment), stdout=sink, stderr=sink, cwd=self.folder, start_new_session=True, **options
            )
        until(lambda: self.ready() or self.process is None or self.process.poll() is not None, f"{self.name} must be up")

    def signalled(self, number: int) -> None:
        """Send a signal to all its processes, those in groups of their own too."""
        if self.process is None:
            return
        with suppress(psutil.NoSuchProcess):
            whole = psutil.Process(self.process.pid)
            for one in [*whole.children(recursive=True), whole]:
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(number)

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        self.signalled(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)
        self.process = None

    @property
    def alive(self) -> bool:
        """Whether its first process lives."""
        return self.process is not None and self.process.poll() is None


class Clocks:
    """Clocks of parts, each of which can be set. They need a C compiler; without one no clock jumps (`there` is false)."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._library = folder, folder / "clock.so"
        compiler = shutil.which("cc") if sys.platform == "linux" else None
        command = [compiler or "", "-shared", "-fPIC", str(Path(__file__).with_name("clock.c")), "-o", str(self._library), "-ldl"]
        self.there = compiler is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0

    def environment(self, part: str) -> dict[str, str]:
        """What a part must have in its environment."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_FILE": str(self._folder / f"{part}.clock")} if self.there else {}

    def jump(self, part: str, seconds: int) -> None:
        """From now on a part's time of day is so many seconds ahead (or behind)."""
        fresh = self._folder / f"{part}.clock.new"
        fresh.write_text(f"{seconds}\n")
        fresh.replace(self._folder / f"{part}.clock")


class Cluster:
    """Two Ray nodes, PostgreSQL, an MLflow server, and a storage of its own size where this system lets us mount one.

    With `jobs` the head takes jobs, and knows the stores by its environment.
    """

    def __init__(self, folder: Path, jobs: bool = False) -> None:
        self.folder, self.jobs, self.clocks = folder, jobs, Clocks(folder)
        self.short = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path holds 107 characters at most
        folder.chmod(0o755)
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
        }
        self.ray_port, self.sql_port, self.mlflow_port, self.jobs_port, self.client_port = (free_port() for _ in range(5))
        self.environment |= self.stores
        os.environ.update({name: value for name, value in self.environment.items() if name.startswith("RAY_AUTH")})  # Ray's client for jobs
        self.storage = folder / "storage"
        self.mounted = _mounted(self.storage)
        self.postgres = self._postgres()
        self.mlflow = self._mlflow()
        self.head, self.node = self._ray("head"), self._ray("node")

    @property
    def address(self) -> str:
        """Where the driver finds Ray."""
        return f"127.0.0.1:{self.ray_port}"

    @property
    def dashboard(self) -> str:
        """Where jobs are submitted."""
        return f"http://127.0.0.1:{self.jobs_port}"

    @property
    def stores(self) -> dict[str, str]:
        """What says where the stores are."""
        return {"LAGRANGE_CATALOGUE_URL": self.catalogue_url, "LAGRANGE_TRACKING_URI": self.tracking_uri}

    @property
    def catalogue_url(self) -> str:
        """Where the catalogue is."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.sql_port}/postgres"

    @property
    def tracking_uri(self) -> str:
        """Where MLflow is."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    def start(self) -> None:
        """Start everything."""
        for part in (self.postgres, self.mlflow, self.head, self.node):
            part.start()

    def stop(self) -> None:
        """End everything, and remove what it has left."""
        for part in (self.node, self.head, self.mlflow, self.postgres):
            part.signalled(signal.SIGCONT)
            part.kill()
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.storage)], check=False)
        shutil.rmtree(self.short, ignore_errors=True)

    def workers(self) -> list[psutil.Process]:
        """The processes that train."""
        return self.processes("MemberTrainable")

    def processes(self, words: str) -> list[psutil.Process]:
        """The processes of Ray's nodes whose command line holds these words."""
        found = []
        for part in (self.head, self.node):
            if part.process is None:
                continue
            with suppress(psutil.NoSuchProcess):
                for one in psutil.Process(part.process.pid).children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        if words in " ".join(one.cmdline()):
                            found.append(one)
        return found

    def _ray(self, which: str) -> Server:
        ray = str(Path(sys.executable).parent / "ray")
        first = [
            f"--port={self.ray_port}",
            "--head",
            f"--include-dashboard={str(self.jobs).lower()}",
            f"--dashboard-port={self.jobs_port}",
            f"--ray-client-server-port={self.client_port}",
            f"--temp-dir={self.short}",
            "--node-ip-address=127.0.0.1",
        ]
        where = first if which == "head" else [f"--address=127.0.0.1:{self.ray_port}"]
        command = [ray, "start", *where, f"--num-cpus={CPU_OF_A_NODE}", "--block", OBJECT_STORE, "--disable-usage-stats"]
        command += [f"--dashboard-agent-listen-port={free_port()}"]  # all Rays of a machine would want one
        log = self.folder / f"{which}.log"

        def ready() -> bool:
            return log.exists() and "Ray runtime started" in log.read_text()

        return _Fresh(which, command, self.environment | self.clocks.environment(which), self.folder, ready)

    def _postgres(self) -> Server:
        bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        assert bins, "PostgreSQL's programs must be installed (/usr/lib/postgresql)"
        data = self.folder / "postgres"
        data.mkdir()
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            shutil.chown(data, user)
        as_user: dict[str, Any] = {"user": user} if user else {}
        init = [str(bins[-1] / "initdb"), "-D", str(data), "--auth=trust", "--username=postgres"]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user)
        options = ["-p", str(self.sql_port), "-c", "listen_addresses=127.0.0.1", "-k", str(data), "-c", "max_connections=100"]
        command = [str(bins[-1] / "postgres"), "-D", str(data), *options]
        return Server("postgres", command, {"PATH": os.environ["PATH"]}, self.folder, lambda: listens(self.sql_port), user)

    def _mlflow(self) -> Server:
        home = Home.open(self.folder / "mlflow")
        home.root.mkdir(parents=True)
        environment = {**os.environ, **ui_environment(home)}
        return Server("mlflow", ui_command(home, self.mlflow_port), environment, self.folder, lambda: listens(self.mlflow_port))


class _Fresh(Server):
    """A server that says in its log that it is up. So the log of an earlier start must go."""

    def start(self) -> None:
        (self.folder / f"{self.name}.log").unlink(missing_ok=True)
        super().start()


def _mounted(folder: Path, megabytes: int = 64) -> bool:
    """A small file system of its own at `folder`, where we may mount one; else a plain folder."""
    folder.mkdir()
    if os.geteuid() != 0:
        return False
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=False, capture_output=True)
    return done.returncode == 0
