"""The process of one member, after it was started: a user's function, or a program that takes its place.

Its descriptors are, in this order: where all that it prints goes; and for a function, where it reads answers and where it tells events.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from objectives.base import ObjectiveError
from objectives.programs.trial import Request, Stop, Trial
from objectives.registry import load
from objectives.traces import last_line, shown

CANNOT_START = 127  # as a shell has it
PR_SET_PDEATHSIG = 1  # Linux: the signal that a process gets when its parent ends


def run(request: Mapping[str, Any], fds: Sequence[int], *, forked: bool = True) -> NoReturn:
    """Become the member.

    `request` has `argv`, a program and its arguments; or `trial`, a `Request`, and `objective`, the function. `environment` is added to the
    process's own.
    """
    if sys.platform == "win32":  # `Host` refuses it
        raise OSError
    code = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _surroundings(request)
        _connect(fds[0])
        if "argv" in request:
            _become(request["argv"])
        elif forked:
            code = _train(request, fds[1], fds[2])
        else:
            _anew(request, fds)
    except BaseException as error:
        print(shown(error), file=sys.stderr)
    finally:
        _flush()
        os._exit(code)  # the exit functions of the server are not the member's


def _surroundings(request: Mapping[str, Any]) -> None:
    """The environment of a member: what is asked for is added, and what is None in it is taken away."""
    if sys.platform.startswith("linux"):  # a member does not outlive its server, however that ends
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for name, value in request.get("environment", {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _connect(output: int) -> None:
    """Nothing on standard input, and all that is printed to `output`."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)


def _become(argv: Sequence[str]) -> None:
    """The program takes the place of this process."""
    try:
        os.execvp(argv[0], list(argv))
    except FileNotFoundError:
        print(f"{argv[0]}: no such program", file=sys.stderr)
    except PermissionError:
        print(f"{shutil.which(argv[0]) or argv[0]}: not executable", file=sys.stderr)
    except OSError as error:
        print(f"{argv[0]}: cannot be started: {error}", file=sys.stderr)
    _flush()
    os._exit(CANNOT_START)


def _anew(request: Mapping[str, Any], fds: Sequence[int]) -> None:
    """A new interpreter takes the place of this one, which cannot use its accelerator."""
    for fd in fds[1:]:
        os.set_inheritable(fd, True)
    argv = [sys.executable, "-m", "objectives.programs.member", json.dumps(dict(request)), str(fds[1]), str(fds[2])]
    os.execv(sys.executable, argv)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue


class _Pipes:
    """The way to the worker."""

    def __init__(self, answers: int, events: int) -> None:
        self._answers, self._events = os.fdopen(answers, "r"), os.fdopen(events, "w")

    def tell(self, what: Mapping[str, Any]) -> None:
        """Send one line."""
        self._events.write(json.dumps(dict(what)) + "\n")
        self._events.flush()

    def may_go_on(self) -> bool:
        """Wait for `go`. When the worker is gone, the member ends at once."""
        answer = self._answers.readline()
        if not answer:
            os._exit(1)
        return answer.strip() == "go"


def _train(request: Mapping[str, Any], answers: int, events: int) -> int:
    """Train, and say how it ended. Returns the exit status."""
    channel, mine = _Pipes(answers, events), os.getpid()
    try:
        asked = Request.from_plain(request["trial"])
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(asked.threads)
        load(request["objective"]).train(Trial(asked, channel))  # type: ignore[attr-defined]
    except BaseException as error:
        if os.getpid() != mine:  # a child that the function has forked: its end is not the member's
            return _end_of_child(error)
        return _told(error, channel)
    if os.getpid() == mine:
        channel.tell({"end": "returned"})
    return 0


def _end_of_child(error: BaseException) -> int:
    """The exit status of a child that raised, as Python has it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    print(shown(error), file=sys.stderr)
    return 1


def _told(error: BaseException, channel: _Pipes) -> int:
    """Say how a function ended that did not return. Returns the exit status."""
    if isinstance(error, Stop):
        channel.tell({"end": "stopped"})
    elif isinstance(error, SystemExit):
        channel.tell({"end": "exited", "code": error.code if isinstance(error.code, int | None) else str(error.code)})
    else:
        reason, trace = f"{type(error).__name__}: {error}", _trace(error)
        print(trace if reason in trace else f"{trace}{reason}", file=sys.stderr)
        channel.tell({"end": "raised", "reason": reason, "traceback": trace})
    return 0


def _trace(error: BaseException) -> str:
    """Where an error was raised. What is not as we ask for says so itself: of it, the line of the user's alone."""
    return last_line(error) if isinstance(error, ObjectiveError) else shown(error)


if __name__ == "__main__":
    status = 1
    try:
        status = _train(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    finally:
        _flush()
        os._exit(status)
