"""A PostgreSQL server for tests: made in a folder of its own, stopped and started at will. Not as root: the server refuses that."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: float(path.parent.name))


class Postgres:
    """A server on loopback. `password` is asked of everybody if it is given."""

    def __init__(self, password: str = "") -> None:
        if PROGRAMS is None:
            pytest.skip("no PostgreSQL programs under /usr/lib/postgresql")
        self.folder = Path(tempfile.mkdtemp(prefix="lagrange-pg-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        secret = self.folder / "secret"
        secret.write_text(password or "unused")
        secret.chmod(0o644)
        way = "scram-sha-256" if password else "trust"
        self._run("initdb", "-D", str(self.data), "-U", "lagrange", "-A", way, "--pwfile", str(secret), "--no-sync")
        self.password = password

    @property
    def data(self) -> Path:
        """The server's folder."""
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        assert PROGRAMS is not None
        who: dict[str, Any] = {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder}
        subprocess.run([str(PROGRAMS / program), *arguments], check=True, **quiet, **who)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is as after a power cut."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop it, if it runs, and remove its folder."""
        with suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self, name: str) -> str:
        """Make a database, and return its URL."""
        import psycopg

        with psycopg.connect(self._url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f'drop database if exists "{name}" with (force)')  # type: ignore[arg-type]
            connection.execute(f'create database "{name}"')  # type: ignore[arg-type]
        return self._url(name)

    def _url(self, name: str) -> str:
        secret = f":{self.password}" if self.password else ""
        return f"postgresql+psycopg://lagrange{secret}@127.0.0.1:{self.port}/{name}"
