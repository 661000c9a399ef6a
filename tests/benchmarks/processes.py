"""CPU time and private memory of a command and all its descendants, sampled from /proc.

`RUSAGE_CHILDREN` knows only children that were waited for, so it misses Ray's workers. Here every process that was ever seen below the
command counts with the last value seen of it, whether it vanished or lives. What a process uses between its last sample and its end (one
interval at most) is in what the kernel says of its parent's ended children, where the parent waited for it; else it is missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
INTERVAL_S = 0.1
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
MB = 1e6
COMMAND, WORKER, OTHER = "command", "worker", "other"


@dataclass(frozen=True)
class Usage:
    """What a command used, descendants included. `cpu_by_role` and `uss_mb` are by role: the command itself, Ray's workers, the rest."""

    wall_s: float
    cpu_s: float
    cpu_by_role: dict[str, float]
    uss_mb: dict[str, float] = field(default_factory=dict)
    output: str = ""


def run(
    argv: Sequence[str], *, folder: Path, memory: bool = False, variables: Mapping[str, str] | None = None, timeout_s: float = 3600
) -> Usage:
    """Run a command in `folder` to its end and say what it used; private memory too (peak of one process by role) if asked for.

    `variables` are added to its environment.

    Raises:
        RuntimeError: the command failed.
    """
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, **(variables or {})}
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        tree = Tree(process.pid, memory=memory)
        with tree:
            code = process.wait(timeout_s)
        wall = time.monotonic() - started
        output.seek(0)
        text = output.read()
    if code:
        raise RuntimeError(f"{' '.join(argv)} must succeed; it ended with {code}:\n{text[-3000:]}")
    return Usage(wall, sum(tree.cpu_s().values()), tree.cpu_s(), tree.uss_mb, text)


def python(module: str, *arguments: object) -> list[str]:
    """The command line of a module of this repository."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def lagrange(*arguments: object) -> list[str]:
    """The command line of `lagrange`: the script beside this Python."""
    return [str(Path(sys.executable).with_name("lagrange")), *map(str, arguments)]


class Tree:
    """A thread that samples a process and everything it ever started."""

    def __init__(self, root: int, *, memory: bool = False) -> None:
        self._root, self._memory = root, memory
        self._ticks: dict[tuple[int, int], int] = {}  # (pid, start time): a pid may be used again
        self._waited: dict[tuple[int, int], int] = {}  # ticks of the children that a process has waited for, theirs included
        self._parents: dict[tuple[int, int], int] = {}
        self._here: set[tuple[int, int]] = set()  # those of the last sample
        self._roles: dict[tuple[int, int], str] = {}
        self._family = {root}
        self._strangers: set[int] = {os.getpid()}
        self.uss_mb: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Tree:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def cpu_s(self) -> dict[str, float]:
        """Seconds of CPU by role, user and system together."""
        found = {COMMAND: 0.0, WORKER: 0.0, OTHER: 0.0}
        for key, ticks in self._ticks.items():
            found[self._roles.get(key, OTHER)] += ticks * TICK_S
        found[OTHER] += self._missed() * TICK_S
        return found

    def _missed(self) -> int:
        """Ticks of ended children that were never seen: what their parents have waited for, less what was seen of them."""
        seen: dict[int, int] = {}
        for key, parent in self._parents.items():
            if key not in self._here:
                seen[parent] = seen.get(parent, 0) + self._ticks[key] + self._waited[key]
        return sum(max(0, waited - seen.get(key[0], 0)) for key, waited in self._waited.items())

    def _watch(self) -> None:
        while True:
            self._sample()
            if self._stop.wait(INTERVAL_S):
                return

    def _sample(self) -> None:
        here = set()
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - ten times a second
        self._strangers &= pids
        self._family &= pids
        for pid in sorted(pids - self._strangers):
            stat = _stat(pid)
            if stat is None:
                continue
            parent, started, ticks, waited = stat
            if pid in self._family or parent in self._family:
                self._family.add(pid)
                here.add((pid, started))
                self._ticks[pid, started], self._waited[pid, started] = ticks, waited
                self._parents.setdefault((pid, started), parent)
                self._look(pid, (pid, started))
            else:
                self._strangers.add(pid)
        self._here = here

    def _look(self, pid: int, key: tuple[int, int]) -> None:
        """The role of a process; Ray names a worker after its actor once it serves one."""
        role = self._roles.get(key, OTHER)
        if role == OTHER:
            role = self._roles[key] = COMMAND if pid == self._root else WORKER if _title(pid).startswith("ray::") else OTHER
        if self._memory and role != OTHER:
            try:
                uss = psutil.Process(pid).memory_full_info().uss / MB
            except (psutil.Error, OSError):
                return
            self.uss_mb[role] = max(uss, self.uss_mb.get(role, 0.0))


def _stat(pid: int) -> tuple[int, int, int, int] | None:
    """Parent, start time, CPU ticks of a process, and those of the children that it has waited for; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold anything
    return int(fields[1]), int(fields[19]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
