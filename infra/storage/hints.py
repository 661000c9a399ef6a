"""What is said of a home: the commands that find it again, as they may be copied, and what was found where somebody looked."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.storage import Home, sqlite_path, strip_password

DEFAULT: Final = "mlflow_runs"
DASHBOARD: Final = "LAGRANGE_DASHBOARD"
"""The variable in which a job of a cluster has the address that it was submitted to."""
_URLS: Final = {"catalogue_url": "--catalogue-url", "tracking_uri": "--tracking-uri", "kept_at": "--storage"}
_CATALOGUE: Final = ("catalogue_url",)
_ALL: Final = ("catalogue_url", "tracking_uri", "kept_at")
TAKES: Final = {
    **dict.fromkeys(("ls", "show", "best", "watch", "report", "compare", "export"), _CATALOGUE),
    **dict.fromkeys(("ui", "query"), ("tracking_uri",)),
    **dict.fromkeys(("train", "register"), ("catalogue_url", "tracking_uri")),
    **dict.fromkeys(("sweep", "resume"), _ALL),
    "rm": ("catalogue_url", "kept_at"),
}
"""What each command that looks into a home takes beside `--home`."""
_STORED: Final = re.compile(rf"lagrange (?P<command>{'|'.join(TAKES)}) NAME\b")


def here() -> Path | None:
    """The current folder; None where it was removed meanwhile, as Ray does with the folder of a job that is stopped."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def command(words: str, home: Home | None, *, address: str | None = None) -> str:
    """`lagrange WORDS` with the options by which it finds this home again from here, so that it may be copied as it is printed.

    `words` begin with the name of the command, and are quoted already where that is needed. What the environment or the current folder
    says is not repeated. A URL with a password is no option: the environment has to say it, as it did before. In a job of a cluster it
    is for whoever submitted it: `resume` goes by the dashboard, and what looks into the home is said to be for the head node.
    """
    if dashboard := os.environ.get(DASHBOARD):
        if words.split()[0] == "resume":
            return f"lagrange {words} --address {quoted(dashboard)}"
        return f"{_command(words, home, address)} (on the head node)"
    return _command(words, home, address)


def _command(words: str, home: Home | None, address: str | None) -> str:
    options = [*_home_options(home, words.split()[0]), *(["--address", address] if address else [])]
    return " ".join(["lagrange", words, *map(quoted, options)])


def quoted(word: str) -> str:
    """A word as a shell takes it."""
    return subprocess.list2cmdline([word]) if os.name == "nt" else shlex.quote(word)


def _home_options(home: Home | None, name: str) -> list[str]:
    if home is None:
        return []
    folder, usual = here(), os.environ.get("LAGRANGE_HOME")
    default = Path(os.path.abspath(Path(usual).expanduser())) if usual else None if folder is None else folder / DEFAULT  # noqa: PTH100
    found = [] if home.root == default else ["--home", str(home.root)]
    with suppress(InfraError):  # the environment names what is no home; the options did better
        known = Home.open(home.root)
        for field in TAKES[name]:
            url = str(getattr(home, field))
            if url != str(getattr(known, field)) and strip_password(url) == url:
                found += [_URLS[field], url]
    return found


def looked_in(url: str) -> str:
    """What the catalogue at a URL is where it holds no sweep: one sentence, which says what was looked in."""
    file = sqlite_path(url)
    if file is None or file.exists():
        return f"{strip_password(url) if file is None else file} holds no sweep yet."
    if not file.parent.is_dir():
        return f"The folder {file.parent} does not exist."
    inside = file.parent / DEFAULT
    if (inside / file.name).exists():
        return f"The folder {file.parent} holds no sweeps, but {inside} does: give --home {quoted(str(inside))}."
    return f"The folder {file.parent} holds no sweeps: it has no {file.name}."


def see_all(home: Home, catalogue: Any) -> str:
    """How to see the sweeps of a home, whose catalogue is open; where it holds none, what was looked in."""
    return f"See them all: {command('ls', home)}" if catalogue.sweeps() else str(catalogue.looked_in)


def filled(text: str, name: str, home: Home | None) -> str:
    """A stored text with its commands as they may be copied: stored is `lagrange resume NAME`, for homes move."""
    return _STORED.sub(lambda found: command(f"{found['command']} {name}", home), text)
