"""The server that starts the processes of members, and the side of the worker that speaks to it.

    python -m objectives.programs.host FD [OBJECTIVE]

The server imports a user's module once and forks a process for each member, which costs milliseconds where a new interpreter with torch
costs seconds. A program is started by it too. Every member leads a process group. When a member ends, what it has left behind is killed.
When the worker ends, however it does, the server hears the end of its socket and kills all groups. So nothing outlives a worker.

A module that has started CUDA when it was imported cannot be forked. Its members are new interpreters (`forked: false`).
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from objectives.base import ObjectiveError
from objectives.programs.member import run
from objectives.registry import load
from objectives.traces import shown

START_SECONDS = 120.0
KILL = 9  # SIGKILL
PR_SET_CHILD_SUBREAPER = 36  # Linux: orphans below a process become its children


class Host:
    """The worker's side: a server that starts processes.

    Args:
        objective: the user's function as a spec names it; empty where only programs are started.
        threads: how many threads a process may use for its computations.

    Raises:
        ObjectiveError: this system cannot fork, or the user's module cannot be imported.
    """

    def __init__(self, objective: str = "", threads: int = 1) -> None:
        if not hasattr(os, "fork"):
            raise ObjectiveError("functions and commands as objectives need a system that can fork (Linux, macOS, WSL); this one cannot.")
        mine, theirs = socket.socketpair()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "PYTHONUNBUFFERED": "1",
            "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # so that asking whether there is CUDA does not start it
            # What computes in threads cannot be forked. Each member gets its threads after the fork.
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        self._members = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        # Of a program that takes the place of a process nothing is ours: its interpreter may be another.
        self._programs = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTORCH_NVML_BASED_CUDA_CHECK")}
        command = [sys.executable, "-m", "objectives.programs.host", str(theirs.fileno()), objective]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # what a module prints when it is imported
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._socket, self._asked = mine, 0
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {0: queue.Queue()}
        threading.Thread(target=self._listen, name="lagrange-host", daemon=True).start()
        try:
            ready = self._answer(0, START_SECONDS)
        except queue.Empty:
            ready = {"error": f"the import of {objective} must end within {START_SECONDS:g} s; it has not. Does it train, or loop?"}
        if "error" in ready:
            self.close()
            raise ObjectiveError(ready["error"])

    def start(self, request: Mapping[str, Any], fds: Sequence[int]) -> int:
        """Start a process; its number here. `request` is what `member.run` takes; `fds` become its descriptors, which are closed here.

        Raises:
            ObjectiveError: the server is gone.
        """
        self._asked += 1
        self._answers[self._asked] = queue.Queue()
        more = {**self._members, **(self._programs if "argv" in request else {}), **request.get("environment", {})}
        try:
            _send(self._socket, {**request, "start": self._asked, "environment": more}, fds)
        except OSError as error:
            raise ObjectiveError(f"the process that starts members is gone: {error}") from error
        finally:
            for fd in fds:
                os.close(fd)
        return self._asked

    def status(self, number: int, timeout_s: float) -> int | None:
        """How a process ended, as `waitpid` says it; None if it has not ended within this time."""
        try:
            status = int(self._answer(number, timeout_s)["status"])
        except queue.Empty:
            return None
        self._answers.pop(number, None)
        return status

    @property
    def alive(self) -> bool:
        """Whether the server runs."""
        return self._process.poll() is None

    def kill(self, number: int) -> None:
        """Kill a process with its whole group. One that has ended is left alone."""
        with suppress(OSError):
            _send(self._socket, {"kill": number}, ())

    def close(self) -> None:
        """End the server and all that it has started."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # to close it would not do: the thread that listens holds it, too
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)

    def _answer(self, number: int, timeout_s: float) -> dict[str, Any]:
        return self._answers[number].get(timeout=timeout_s)

    def _listen(self) -> None:
        """Sort what the server says; when it is gone, say so to all who wait."""
        with suppress(OSError), self._socket.makefile("r") as lines:
            for line in lines:
                said = json.loads(line)
                self._answers[said["number"]].put(said)
        for waiting in list(self._answers.values()):
            waiting.put({"status": -KILL, "error": "the process that starts members ended while it imported the objective"})


def _send(link: socket.socket, what: Mapping[str, Any], fds: Sequence[int]) -> None:
    if sys.platform == "win32":  # `Host` refuses it
        raise OSError
    data = json.dumps(what).encode()
    socket.send_fds(link, [len(data).to_bytes(4, "big")], list(fds))
    link.sendall(data)


# In the server --------------------------------------------------------------------------------------------------------------------------


def serve(link: socket.socket, objective: str) -> None:
    """Start processes until the worker closes the socket."""
    if sys.platform == "win32":  # `Host` refuses it
        raise OSError
    _adopt_orphans()
    forked = _imported(link, objective)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, int] = {}  # process by number
    while True:
        ready, _, _ = select.select([link.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _reap(link, running)
        if link.fileno() in ready and not _obey(link, running, objective, forked):
            for pid in running.values():
                _kill_all(pid)
            return


def _imported(link: socket.socket, objective: str) -> bool:
    """Import the user's module, and say how that went. Returns whether processes may be forked from here."""
    said: dict[str, Any] = {"number": 0}
    if objective:
        try:
            load(objective)
        except BaseException as error:
            said["error"] = f"{type(error).__name__}: {error}\n{shown(error)}"
    _rehearse()
    _say(link, said)
    torch = sys.modules.get("torch")
    return torch is None or not torch.cuda.is_initialized()


def _rehearse() -> None:
    """Load what torch loads when the first optimizer is made: 1.5 s of CPU, which every member would spend for itself.

    Nothing is computed: torch's own threads would be missing in a forked process.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.optim.SGD([torch.zeros(1, requires_grad=True)])


def _obey(link: socket.socket, running: dict[int, int], objective: str, forked: bool) -> bool:
    """Do what the worker asks for; False when it is gone."""
    if sys.platform == "win32":  # `Host` refuses it
        raise OSError
    try:
        head, fds, _, _ = socket.recv_fds(link, 4, 8)
        data = b""
        while head and len(data) < int.from_bytes(head, "big"):
            data += link.recv(int.from_bytes(head, "big") - len(data)) or _gone()
    except OSError:
        return False
    if not head:
        return False
    asked = json.loads(data)
    if "kill" in asked:
        if asked["kill"] in running:
            _kill_all(running[asked["kill"]])
        return True
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        link.close()
        run({**asked, "objective": objective}, fds, forked=forked)  # does not return
    with suppress(OSError):  # the member does it too; whoever comes first
        os.setpgid(pid, pid)
    running[asked["start"]] = pid
    for fd in fds:
        os.close(fd)
    return True


def _gone() -> bytes:
    raise ConnectionError


def _reap(link: socket.socket, running: dict[int, int]) -> None:
    """Tell the worker which processes have ended, and kill what they have left behind."""
    if sys.platform == "win32":  # `Host` refuses it
        raise OSError
    for number, pid in list(running.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _kill_group(pid)
            del running[number]
            _kill_orphans(set(running.values()))
            _say(link, {"number": number, "status": os.waitstatus_to_exitcode(status)})


def _adopt_orphans() -> None:
    """On Linux, become the parent of what members leave behind in sessions of their own, as torchrun does with its workers."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def _kill_orphans(members: set[int]) -> None:
    """Kill what an ended member has left behind: the children of this process that are no members."""
    for pid in _children(os.getpid()):
        if pid not in members:
            _kill_all(pid)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _kill_all(pid: int) -> None:
    """Kill a process with its group and all that descends from it, in whatever session."""
    found = [pid]
    for one in found:
        found += [child for child in _children(one) if child not in found]
    for one in found:
        _kill_group(one)
        with suppress(ProcessLookupError, PermissionError):
            os.kill(one, KILL)


def _children(pid: int) -> list[int]:
    """The children of a process; none where the system has no /proc."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return found


def _kill_group(pid: int) -> None:
    if sys.platform == "win32":  # `Host` refuses it
        raise OSError
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _say(link: socket.socket, what: Mapping[str, Any]) -> None:
    with suppress(OSError):
        link.sendall(json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    # A member's own module may be called as one of ours.
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent.resolve()]
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
