"""An MLflow server with its basic-auth app, as the files of infra/deploy start it: who has the password is served, who has not is told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.catalogue import Catalogue
from infra.storage import Home
from search.running.where import IN_PROCESS
from search.sweep import resume, run

pytestmark = pytest.mark.cluster

DEPLOY = Path(__file__).parents[2] / "infra" / "deploy"
PASSWORD = "a long password of the server"
SPEC: dict[str, Any] = {
    "objective": "toy",
    "search": {"l2": {}},
    "scheduler": "none",
    "budget": {"trials": 4, "epochs": 2},
    "confirm": {"configs": 2, "seeds": 2},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    settings = (DEPLOY / "mlflow-auth.ini").read_text().replace("/server/", f"{folder}/")
    (folder / "auth.ini").write_text(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = re.search(r"command: \[mlflow, server, (.*)\]", (DEPLOY / "compose.yaml").read_text())
    assert words is not None
    options = words[1].replace("0.0.0.0", "127.0.0.1").replace("5000", str(port)).replace("/server/", f"{folder}/").split(", ")
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": "lagrange",
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "0" * 48,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
    }
    command = [str(Path(sys.executable).with_name("mlflow")), "server", *options]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        _wait(port, process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import infra.deploy.healthy as healthy

    healthy.ADDRESSES["mlflow"] = f"http://127.0.0.1:{port}/health"  # asks for no password
    deadline = time.monotonic() + 180
    while healthy.main("mlflow"):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.5)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first requests of a server take long on a busy machine."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    for variable in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(variable, raising=False)


def with_password(monkeypatch: pytest.MonkeyPatch, password: str = PASSWORD) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "lagrange")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def sent(home: Home, uri: str, name: str) -> None:
    """Every member of a sweep arrives, at the latest with what `resume` sends."""
    with Catalogue(home.catalogue_url) as catalogue:
        members = len(catalogue.members(name))
    deadline = time.monotonic() + 240
    while len(found := runs(uri, name)) < members + 1 and time.monotonic() < deadline:
        resume(name, home=home, address=IN_PROCESS)
    assert len(found) == members + 1  # and the sweep's own


def runs(uri: str, sweep: str) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([one.experiment_id for one in client.search_experiments()], f"tags.`lagrange.sweep` = '{sweep}'")
    return list(found)


def test_a_sweep_is_shown_to_who_has_the_password(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_password(monkeypatch)
    home = Home.open(tmp_path / "home", tracking_uri=server)
    assert run(SPEC, name="shown", home=home, address=IN_PROCESS).status == "complete"
    sent(home, server, "shown")


@pytest.mark.parametrize("password", [None, "another"])
def test_who_has_not_is_told_in_a_sentence_and_loses_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    name = f"hidden-{password}"
    if password:
        with_password(monkeypatch, password)
    home = Home.open(tmp_path / "home", tracking_uri=server)
    outcome = run(SPEC, name=name, home=home, address=IN_PROCESS)
    assert outcome.status == "complete", "a server that refuses does not end a sweep"
    told = [note for note in outcome.notes if "MLflow" in note]
    assert len(told) == 1, outcome.notes
    assert "MLFLOW_TRACKING_USERNAME" in told[0] and "Traceback" not in told[0] and "\n" not in told[0].strip()
    assert password is None or password not in told[0]

    with_password(monkeypatch)
    assert runs(server, name) == []
    sent(home, server, name)
