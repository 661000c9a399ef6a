"""MLflow's UI: the command that serves it, the ports that browsers open, and links to the pages of a sweep."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import socket
import sys
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final
from urllib.parse import quote

from infra.errors import InfraError
from infra.storage import Home, hidden_in, sqlite_path, strip_password, sweep_name
from infra.storage.hints import command
from infra.tracking.client import open_client as _client
from infra.tracking.client import quiet_environment
from infra.tracking.moved import follow
from infra.tracking.notes import VIEW, view_key
from infra.tracking.said import first_line, status

APP: Final = "lagrange"
"""The name under which `served.py` is known to MLflow: an entry point of this package."""
TRAINING: Final = "workflowType=machine_learning"
"""Without it a browser that was never here lands on MLflow's pages for language models."""
NEXT_PORTS: Final = 50
NEWEST: Final = 50
# The bad ports of the Fetch standard (https://fetch.spec.whatwg.org/#port-blocking): no browser opens them.
# fmt: off
BAD_PORTS: Final = frozenset({
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111,
    113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548,
    554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665,
    6666, 6667, 6668, 6669, 6679, 6697, 10080,
})
# fmt: on


@dataclass(frozen=True)
class Place:
    """Where MLflow shows a sweep: the ids of its experiment and of its own run, and the key of its prepared view, if it has one."""

    experiment: str = ""
    run: str = ""
    sweep: str = ""
    view: str = ""

    @property
    def runs(self) -> str:
        """The page of its members, in the prepared view; where nothing is known, the list of experiments."""
        if not self.experiment:
            return f"/#/experiments?{TRAINING}"
        return f"/#/experiments/{self.experiment}/runs?{TRAINING}" + (f"&viewStateShareKey={quote(self.view)}" if self.view else "")

    @property
    def answer(self) -> str:
        """The page of its own run, which has the answer as its description."""
        return f"/#/experiments/{self.experiment}/runs/{self.run}?{TRAINING}"


def view_tag(sweep: str, name: str, state: Mapping[str, Any], created_ms: int, what: str = "") -> dict[str, str]:
    """A saved view of the runs page as MLflow's "Save view" writes it: an experiment tag with a deflated state."""
    packed = zlib.compress(json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode(), 9)
    plain = {"name": name, "state": f"deflate;{base64.b64encode(packed).decode()}", "createdAt": created_ms, "updatedAt": created_ms}
    return {f"{VIEW}{view_key(sweep, what)}": json.dumps(plain, ensure_ascii=False)}


def base_url(home: Home, port: int = 5000) -> str:
    """Where the UI of a home is: its server, without passwords, or this machine once `lagrange ui` runs."""
    return f"http://127.0.0.1:{port}" if is_database(home.tracking_uri) else strip_password(home.tracking_uri).rstrip("/")


def is_database(uri: str) -> bool:
    """Whether runs are in a database, and no server shows them yet."""
    return not uri.startswith(("http://", "https://"))


def find(home: Home, sweep: str = "") -> Place:
    """Where MLflow shows a sweep, or the latest one that has a view. Nothing is known where it has none.

    Raises:
        InfraError: the store or the server does not answer as MLflow does, or no sweep can have this name.
    """
    uri = home.tracking_uri
    if (file := sqlite_path(uri)) is not None and not (file.exists() and file.stat().st_size):
        return Place()
    quiet_environment()
    wanted = f"tags.`lagrange.sweep` = '{sweep_name(sweep)}'" if sweep else "tags.`lagrange.sweep` != ''"
    try:
        client = _client(uri, home.artifacts)
        experiments = {one.experiment_id: one.tags for one in client.search_experiments()}
        order = ["start_time ASC" if sweep else "start_time DESC"]
        runs = client.search_runs(list(experiments), wanted, max_results=NEWEST, order_by=order) if experiments else []
    except Exception as error:
        raise InfraError(f"MLflow at {strip_password(uri)} must answer; {hidden_in(why(error), uri)}") from error
    places = []
    for run in runs:
        experiment, tags = run.info.experiment_id, run.data.tags
        key = view_key(tags["lagrange.sweep"])
        view = key if f"{VIEW}{key}" in experiments[experiment] else ""
        places.append(Place(experiment, tags.get("mlflow.parentRunId", run.info.run_id), tags["lagrange.sweep"], view))
    return next((place for place in places if place.view), places[0] if places else Place())


def why(error: BaseException) -> str:
    """What a failed call to MLflow means, in a sentence that says what to do."""
    text = strip_password(str(error))
    for signs, said in _MEANINGS:
        if any(sign in text or sign == type(error).__name__ for sign in signs):
            return f"{said} ({_short(text) or first_line(error)})"
    return _short(text) or first_line(error)


def why_files(error: BaseException) -> str:
    """What it means that a file is not taken, as `why`."""
    if isinstance(error, OSError) and error.filename and error.errno != errno.ENOSPC:
        # where a server gives its files to a folder, the client looks for it on its own machine
        said = f"the server keeps them in a folder that this machine cannot write ({error.filename}: {error.strerror})"
        return f"files: {said}; start it with --serve-artifacts, or mount the folder"
    return f"files: {why(error)}"


def _short(text: str) -> str:
    """What lies at the bottom of an error of a call over HTTP, which the layers above wrap in hundreds of characters."""
    if answered := status(text):
        return f"HTTP status {answered}"
    if secure := re.search(r"\[SSL: (\w+)\]", text):
        return f"SSL: {secure[1]}"
    return next((said for signs, said in _BOTTOMS if any(sign in text for sign in signs)), "")


_BOTTOMS: Final = (
    (("Connection refused", "WinError 10061"), "connection refused"),
    (("NameResolutionError", "Failed to resolve", "Name or service not known", "getaddrinfo failed"), "the name of the host is unknown"),
    (("ConnectTimeout", "timed out"), "timed out"),
    (("No route to host", "Network is unreachable"), "no way leads to the host"),
    (("Connection reset", "RemoteDisconnected", "Connection aborted"), "it hung up"),
    (("Exceeded 30 redirects",), "more than 30 redirects"),
    (("Max retries exceeded",), "no connection"),
)
_MEANINGS: Final = (
    (("No space left", "disk is full", "disk full"), "its disk is full: make room"),
    (
        ("error code 401", "error code 403", "401 Client Error", "403 Client Error", "PERMISSION_DENIED", "UNAUTHENTICATED"),
        "it asks for a password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    ),
    (("error code 429", "429 Client Error", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED"), "it takes no more calls for now"),
    (
        ("error code 413", "413 Client Error"),
        "it takes nothing of this size at once: raise its limit, or that of the proxy before it (nginx: client_max_body_size)",
    ),
    (("Exceeded 30 redirects",), "it redirects in a circle: give the address that a browser shows in the end"),
    (
        ("SSLError", "CERTIFICATE_VERIFY_FAILED"),
        "its https is not trusted, or it redirects to https that is none: give the right address",
    ),
    (
        ("error responses", "error code 5", "INTERNAL_ERROR"),
        "the server has a fault of its own, such as a full disk or no database: look into its log",
    ),
    (
        ("unsupported URI", "filesystem tracking backend", "Could not parse SQLAlchemy URL", "Can't load plugin"),
        "it must be a server, as http://HOST:5000, or a database, as sqlite:///FILE or postgresql://…",
    ),
    (
        ("Connection refused", "ConnectTimeout", "Max retries exceeded", "NameResolutionError", "Failed to resolve", "timed out"),
        "nobody answers at this address: is the server up, and the address right?",
    ),
    (
        (
            "error code 404",
            "ENDPOINT_NOT_FOUND",
            "404 Client Error",
            "Expecting value",
            "JSONDecodeError",
            "not valid JSON",
            "valid JSON",
        ),
        "it answers, but not as MLflow 3 does: it is another program, a page for logging in, another path, or an MLflow that is too old",
    ),
)


def usable_port(port: int, home: Home | None = None, name: str | None = None) -> int:
    """This port, or the next one that is free and that browsers open.

    Raises:
        InfraError: no browser opens it, or none of those after it is free.
    """
    again = f"ui {name}" if name else "ui"
    if port in BAD_PORTS:
        good = next(one for one in range(max(port, 1024), 65536) if one not in BAD_PORTS)
        raise InfraError(
            f"The port must be one that browsers open; they refuse {port}. Choose another: {command(f'{again} --port {good}', home)}"
        )
    for one in range(port, min(port + NEXT_PORTS, 65536)):
        if one not in BAD_PORTS and _free(one):
            return one
    raise InfraError(
        f"The port must be free; {port} and those after it are not. Choose another: {command(f'{again} --port {port + NEXT_PORTS}', home)}"
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name == "posix":  # on other systems this option takes a port away from the process that has it
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def ui_command(home: Home, port: int = 5000) -> list[str]:
    """The command that serves MLflow's UI for this home on 127.0.0.1; start it with `ui_environment`.

    Raises InfraError when the home uses a server, which serves the UI itself.
    """
    if not is_database(home.tracking_uri):
        raise InfraError(
            f"The UI is served for a database; this home uses a server. Open {strip_password(home.tracking_uri)} in a browser."
        )
    if (file := sqlite_path(home.tracking_uri)) is not None:
        follow(file, home.artifacts)
    app = ["--app-name", APP] if _app_known() else []
    return [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *app]


def _app_known() -> bool:
    """Whether this MLflow can serve our app: it is installed, and MLflow serves an app as it serves its own (seen from 3.17 on)."""
    with suppress(metadata.PackageNotFoundError, ValueError):
        version = tuple(int(part) for part in metadata.version("mlflow").split(".")[:2])
        return version >= (3, 17) and any(one.name == APP for one in metadata.entry_points(group="mlflow.app"))
    return False


def ui_environment(home: Home) -> dict[str, str]:
    """The environment for `ui_command`. It names the store: its URL may hold a password, and everybody can read command lines."""
    served = {"MLFLOW_BACKEND_STORE_URI": home.tracking_uri, "MLFLOW_DEFAULT_ARTIFACT_ROOT": home.artifacts.as_uri()}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **served, **quiet}
