"""What keeps others out of a Ray that this process starts: it listens on the loopback interface alone, and asks for a token."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PREFIX = "lagrange-token-"
# Ray's own switch for macOS and Windows: without clusters a node's address is 127.0.0.1, and all of its ports are bound to that.
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@contextmanager
def on_loopback() -> Iterator[None]:
    """Inside, a Ray that this process starts has the address 127.0.0.1, and all of its ports are bound to that. Ray must be imported."""
    constants: Any = sys.modules["ray._private.ray_constants"]
    known, said = constants.ENABLE_RAY_CLUSTER, os.environ.get(_CLUSTERS)
    # Ray's processes read the variable, and this one the constant. Afterwards others may start, or join, a cluster from here.
    os.environ[_CLUSTERS], constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = known
        os.environ.pop(_CLUSTERS)
        if said is not None:
            os.environ[_CLUSTERS] = said


def token() -> None:
    """Let the Ray that this process starts ask every client for a token, for other users of the machine reach its ports, too.

    The file lies in a folder that only this user reads. It is removed when this process ends; one that was killed leaves it to the next.
    """
    # Ray reads the mode when it is imported; a process that imported it before us keeps the mode it has.
    if "RAY_AUTH_MODE" in os.environ or "ray" in sys.modules:
        return
    remove_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    atexit.register(_remove, folder, os.getpid())
    file = folder / "token"
    file.touch(mode=0o600)
    file.write_text(secrets.token_hex(32))
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(file))


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a process that was forked from ours is not the owner
        shutil.rmtree(folder, ignore_errors=True)


def remove_left() -> None:
    """Remove token folders of processes that are no more. Those of other users cannot be removed, and stay."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdigit() and not folder.is_symlink() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
