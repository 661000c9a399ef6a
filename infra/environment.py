"""Secrets from a file into the environment of a process: everybody can list a command line, and the environment of a job."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, MutableMapping
from pathlib import Path

from infra.errors import InfraError

FILE = "LAGRANGE_ENVIRONMENT_FILE"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def parsed(text: str, file: str) -> dict[str, str]:
    """The variables of a file of lines KEY=VALUE. `export` may stand before a key, quotes around a value; a line may be a comment.

    Raises:
        InfraError: names the lines that are none of these, and none of their content.
    """
    found, wrong = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip().removeprefix("export ").strip()
        if not words or words.startswith("#"):
            continue
        key, equals, value = words.partition("=")
        if not equals or not _NAME.fullmatch(key.strip()) or "\0" in value:
            wrong.append(str(number))
            continue
        value = value.strip()
        found[key.strip()] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    if wrong:
        raise InfraError(f"Each line of {file} must be KEY=VALUE; line {', '.join(wrong)} is not. Correct it.")
    return found


def load(file: str, note: Callable[[str], None], environment: MutableMapping[str, str] = os.environ) -> None:
    """Read a file into the environment; it comes before what stands there. `note` is told where others can read the file.

    Raises:
        InfraError: it is not there, cannot be read, or a line of it is no KEY=VALUE.
    """
    path = Path(file)
    try:
        text, mode = path.read_text(encoding="utf-8"), path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InfraError(
            f"The environment file must be readable where the driver runs; {file}: {reason}. Put it there, or name another one."
        ) from None
    environment.update(parsed(text, file))
    if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
        note(f"every user of this machine can read {file}: chmod 600 {file}")
