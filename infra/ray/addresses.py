"""Which Ray an address names, and whether this process can use it.

Asked directly, Ray waits for minutes where nobody answers, ends the process where a token file is missing, and by itself takes any Ray of
the machine. So an address is looked at first: by a connection, and by a process of its own that asks for versions under a limit of time.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.storage import strip_address

AUTO: Final = "auto"
CONNECT_S: Final = 4.0
ANSWER_S: Final = 6.0
IMPORT_S: Final = 120.0  # on a machine where many processes import Ray at once
_HOST_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\s:/@]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Raylet:
    """A node of some Ray on this machine. `private`: the process that started it keeps it for itself, as every local sweep does."""

    gcs: str
    mine: bool
    private: bool


def raylets() -> list[Raylet]:
    """The Ray nodes whose processes this process can see."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if not process.name().startswith("raylet"):
                continue
            words = process.cmdline()
            gcs = next((word.partition("=")[2] for word in words if word.startswith(("--gcs-address=", "--gcs_address="))), "")
            if gcs:
                found.append(Raylet(gcs, process.username() == psutil.Process().username(), _is_private(process)))
    return found


def _is_private(raylet: Any) -> bool:
    """Whether a program that runs started it for itself; `ray start` leaves, or waits and does nothing else."""
    with suppress(Exception):  # the parent ends meanwhile, or belongs to somebody else
        parent = raylet.parent()
        words = parent.cmdline() if parent is not None else []
        return bool(words) and "python" in Path(words[0]).name.lower() and not _is_ray_start(words)
    return False


def _is_ray_start(words: Sequence[str]) -> bool:
    return any(Path(one).name in ("ray", "ray.exe", "scripts.py") and other == "start" for one, other in pairwise(words))


def resolved(address: str, seen: Callable[[], list[Raylet]] = raylets) -> str:
    """HOST:PORT of an address; of `auto`, that of RAY_ADDRESS or of the one Ray of this user on this machine.

    Raises:
        InfraError: it is no such address, or `auto` finds no Ray or several.
    """
    if address == AUTO:
        named = os.environ.get("RAY_ADDRESS", "")
        return resolved(named) if named not in ("", AUTO, "local") else _only(seen())
    if address.startswith("ray://"):
        head = address.removeprefix("ray://").partition(":")[0] or "HEAD"
        raise InfraError(
            f"A sweep does not run through Ray Client; got {strip_address(address)!r}. Submit it, and its driver lives on the cluster: "
            f"lagrange submit SPEC --address http://{head}:8265. On a node of the cluster --address HEAD:6379 works, too."
        )
    if "://" in address:
        raise InfraError(
            f"The address of `sweep` must be auto or HOST:PORT of Ray's own port, such as HEAD:6379; got {strip_address(address)!r}. "
            "The address of a dashboard is for `lagrange submit SPEC --address http://HEAD:8265`."
        )
    _parts(address)
    return address


def _only(found: Sequence[Raylet]) -> str:
    """The address of the one Ray of this user."""
    mine = sorted({one.gcs for one in found if one.mine and not one.private})
    if len(mine) == 1:
        return mine[0]
    others = sorted({one.gcs for one in found if not one.private} - set(mine))
    if mine:
        raise InfraError(f"--address auto must find one Ray of yours on this machine; it finds {', '.join(mine)}. Name one of them.")
    beside = f" (it does not take those of other users: {', '.join(others)})" if others else ""
    raise InfraError(
        f"--address auto must find a Ray of yours on this machine; there is none{beside}, and RAY_ADDRESS is not set. "
        "Start one with `ray start --head`, name one (HOST:PORT), or leave out --address for a local Ray."
    )


def checked(
    address: str,
    *,
    seen: Callable[[], list[Raylet]] = raylets,
    ask: Callable[[str], dict[str, Any]] | None = None,
) -> str:
    """HOST:PORT of a Ray that answers, has this process's versions, and has a node on this machine. It takes at most about 15 s.

    Raises:
        InfraError: says which of these does not hold.
    """
    found = resolved(address, seen)
    host, port = _parts(found)
    require_token()
    connect(host, port)
    _same_versions(found, (ask or versions)(found))
    if not any(one.gcs.rpartition(":")[2] == str(port) for one in seen()):
        raise InfraError(
            f"This machine must be a node of the cluster at {found}; no process of Ray's runs here for it. Run "
            f"`ray start --address={found}` here, or submit the sweep: lagrange submit SPEC --address http://{host}:8265"
        )
    return found


def _parts(address: str) -> tuple[str, int]:
    match = _HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise InfraError(
            f"The address of a Ray must be auto or HOST:PORT, with a port from 1 to 65535; got {strip_address(address)!r}. "
            "Ray's own port is 6379."
        )
    return match["host"].strip("[]"), int(match["port"])


def require_token() -> None:
    """Raise InfraError where Ray is to use a token and there is none: Ray itself would end this process without a word for people."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        empty = not path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InfraError(
            f"RAY_AUTH_MODE is token, so a file must hold the cluster's token; {path} cannot be read: {reason}. "
            "Name it in RAY_AUTH_TOKEN_PATH; every node and every driver needs the same token."
        ) from None
    if empty:
        raise InfraError(f"The file {path} must hold the cluster's token; it is empty. Copy the token of the head node into it.")


RAY = "A Ray", "Start it with `ray start --head`, correct the address (Ray's own port is 6379), or leave out --address for a local Ray."
DASHBOARD = (
    "The dashboard of a Ray",
    "Start one with `ray start --head` (`ray[default]` is needed there), or correct the address (the usual port is 8265).",
)


def connect(host: str, port: int, wanted: tuple[str, str] = RAY) -> None:
    """Raise InfraError where nobody accepts a connection within 4 s. `wanted` says what should be there, and what to do where it is not."""
    what, remedy = wanted
    try:
        socket.create_connection((host, port), timeout=CONNECT_S).close()
    except socket.gaierror:
        raise InfraError(f"{what} must be up at {host}:{port}; no machine has the name {host!r}. Correct the address.") from None
    except (OSError, UnicodeError) as error:
        reason = "nothing listens there" if isinstance(error, ConnectionRefusedError) else f"it cannot be reached ({error})"
        raise InfraError(f"{what} must be up at {host}:{port}; {reason}. {remedy}") from None


def _same_versions(address: str, theirs: dict[str, Any]) -> None:
    """Raise InfraError where the cluster has another Ray or another Python."""
    level = 2 if os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL") == "minor" else 3
    python = str(theirs["python"])
    if theirs["ray"] == theirs["mine"] and python.split(".")[:level] == platform.python_version().split(".")[:level]:
        return
    raise InfraError(
        f"A driver must have the cluster's Ray and Python; {address} has Ray {theirs['ray']} and Python {python}, here are Ray "
        f"{theirs['mine']} and Python {platform.python_version()}. Install the same versions (constraints.txt), or submit the sweep, whose "
        f"driver then runs on the cluster: lagrange submit SPEC --address http://{address.rpartition(':')[0]}:8265"
    )


def versions(address: str) -> dict[str, Any]:
    """The versions of Ray and Python of the cluster at HOST:PORT, and `mine` of Ray, asked for by a process that is ended when it hangs.

    Raises:
        InfraError: it wants a token, or what answers there is no Ray that this Ray understands.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-m", "infra.ray.addresses", address]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=IMPORT_S, check=False)
        said = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        said = {"error": "", "reason": f"no answer within {ANSWER_S:g} s"}
    if said.get("error") == "AuthenticationError":
        raise InfraError(
            f"The Ray at {address} wants a token, and {which_token()}. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a file that "
            "holds the token of the head node (there: ~/.ray/auth_token, or what its RAY_AUTH_TOKEN_PATH names)."
        )
    if "error" in said:
        raise InfraError(
            f"A Ray must answer at {address}; something listens there, but does not answer as Ray does: {said['reason']}. "
            "Correct the address: Ray's own port is 6379, the dashboard's 8265."
        )
    return dict(said)


def which_token() -> str:
    """Which token this process sends, where the cluster wants another one: of several sources Ray takes the first."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return "this process sends none (RAY_AUTH_MODE is not token)"
    if not os.environ.get("RAY_AUTH_TOKEN"):
        return "the one that this process sends is another one"
    beside = ", which is taken before RAY_AUTH_TOKEN_PATH: unset it" if os.environ.get("RAY_AUTH_TOKEN_PATH") else ""
    return f"the one that this process sends is another one, that of RAY_AUTH_TOKEN{beside}"


def _asked(address: str) -> dict[str, Any]:
    """What a Ray says of its versions."""
    import ray
    from ray._common.usage.usage_lib import get_cluster_metadata
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    faulthandler.dump_traceback_later(ANSWER_S, exit=True, file=Path(os.devnull).open("w"))  # noqa: SIM115 - it ends with the process
    try:
        found = get_cluster_metadata(GcsClient(address=address))
    except Exception as error:
        return {"error": type(error).__name__, "reason": str(error).partition("\n")[0][:200]}
    return {"ray": found["ray_version"], "python": found["python_version"], "mine": ray.__version__}


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(_asked(sys.argv[1])) + "\n")
