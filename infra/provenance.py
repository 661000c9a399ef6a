"""What ran: commit, versions, command line. Names no person, folder or machine, so that it can be shown with the answer."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from infra.storage import strip_password

PACKAGES: Final = ("lagrange-search", "torch", "torchvision", "ray", "optuna", "mlflow", "sqlalchemy", "numpy", "scipy", "scikit-learn")


def collect() -> dict[str, Any]:
    """Plain data: `git_commit` and `git_dirty` (None outside a repository), `packages`, `python`, `platform`, `command`, `time` (UTC)."""
    commit, dirty = _git()
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        "packages": {name: version for name in PACKAGES if (version := _version(name)) is not None},
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "command": _command(sys.argv),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _command(arguments: list[str]) -> str:
    """The command line: the program and files by name only, since a folder can name a person; no password."""
    words = [word if "://" in word or not Path(word).is_absolute() else Path(word).name for word in arguments]
    return strip_password(" ".join(words))


def _git() -> tuple[str | None, bool | None]:
    commit = _run("git", "rev-parse", "HEAD")
    if commit is None:
        return None, None
    changes = _run("git", "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


def _run(*command: str) -> str | None:
    """What a command prints; None if it fails, is missing or takes longer than 5 s."""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=5, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
