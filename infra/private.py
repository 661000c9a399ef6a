"""What keeps others out of a Ray that this process starts: it listens on the loopback interface alone, and asks for a token."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

PREFIX = "lagrange-token-"
# Ray's own switch for macOS and Windows: without clusters a node's address is 127.0.0.1, and all of its ports are bound to that.
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def shut(*, local: bool) -> None:
    """Settings of Ray for a local one, or for one on other machines. Call it before Ray starts, each time.

    A local Ray listens on 127.0.0.1 and asks every client for a token, because other users of the machine reach that, too. The token's file
    lies in a folder that only this user reads. It is removed when this process ends; one that was killed leaves it to the next.
    """
    os.environ[_CLUSTERS] = "0" if local else "1"
    with suppress(KeyError, AttributeError):  # a Ray that was imported before has read the switch
        sys.modules["ray._private.ray_constants"].ENABLE_RAY_CLUSTER = not local  # type: ignore[attr-defined]
    # Ray reads the mode when it is imported; a process that imported it before us keeps the mode it has.
    if not local or "RAY_AUTH_MODE" in os.environ or "ray" in sys.modules:
        return
    remove_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    atexit.register(_remove, folder, os.getpid())
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # a process that was forked from ours is not the owner
        shutil.rmtree(folder, ignore_errors=True)


def remove_left() -> None:
    """Remove token folders of processes that are no more. Those of other users cannot be removed, and stay."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdigit() and not folder.is_symlink() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
