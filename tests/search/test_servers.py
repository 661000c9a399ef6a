"""The same sweep with real servers: an MLflow server that dies in mid-sweep, and PostgreSQL where there is one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from infra.catalogue import Catalogue
from infra.storage import Home
from infra.tracking import ui_command, ui_environment
from search.sweep import run

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_up")]
POSTGRES = os.environ.get("LAGRANGE_TEST_POSTGRES", "")
SPEC: dict[str, Any] = {
    "objective": "toy",
    "dataset": {"name": "none", "noise": 0.5, "seconds_per_epoch": 0.1},
    "scheduler": "none",
    "budget": {"trials": 12, "epochs": 8},
    "confirm": {"configs": 3, "seeds": 2},
}


class Server:
    """`mlflow server` on loopback, over a store of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.uri, self._home, self._process = f"http://127.0.0.1:{self.port}", Home.open(folder), None

    def start(self) -> None:
        command, environment = ui_command(self._home, self.port), ui_environment(self._home)
        self._home.root.mkdir(parents=True, exist_ok=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self._home.root}
        self._process: Any = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise AssertionError("the MLflow server did not start")

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path / "server")
    found.start()
    yield found
    found.kill()


def points(uri: str, sweep: str) -> dict[int, list[int]]:
    """Epochs of the validation risk by member, as the server has them."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found = {}
    for one in client.search_runs(experiments, filter_string=f"tags.`lagrange.sweep` = '{sweep}'", max_results=1000):
        if "lagrange.member" in one.data.tags:
            found[int(one.data.tags["lagrange.member"])] = [
                metric.step for metric in client.get_metric_history(one.info.run_id, "val_risk")
            ]
    return found


def test_a_tracking_server_killed_in_mid_sweep_stops_nothing_and_loses_no_point(server: Server, tmp_path: Path) -> None:
    home, held = Home.open(tmp_path / "home", tracking_uri=server.uri), tmp_path / "held"
    spec = {**SPEC, "objective": "tests.search.halting:Halts", "dataset": {**SPEC["dataset"], "held": str(held)}, "search": {"l2": {}}}
    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(run, spec, name="s", home=home, workers=2)
        _wait_for_members(home, 4)
        server.kill()
        _wait_for_members(home, 10)  # training goes on without the server
        held.touch()  # it is back before the sweep ends, however long it takes to start
        server.start()
        held.unlink()
        outcome = sweep.result(timeout=300)
    assert outcome.status == "complete" and outcome.answer is not None
    assert not any("MLflow" in note for note in outcome.notes), outcome.notes
    with Catalogue(home.catalogue_url) as catalogue:
        expected: dict[int, list[int]] = {}
        for report in catalogue.reports("s"):
            expected.setdefault(report.number, []).append(report.epoch)
    assert points(server.uri, "s") == expected


@pytest.mark.skipif(not POSTGRES, reason="no PostgreSQL server: LAGRANGE_TEST_POSTGRES is not set")
def test_catalogue_and_optuna_on_postgresql(tmp_path: Path) -> None:
    engine = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in ("lagrange_catalogue", "lagrange_optuna"):
            connection.execute(sa.text(f"drop database if exists {name} with (force)"))
            connection.execute(sa.text(f"create database {name}"))
    urls = [POSTGRES.rpartition("/")[0] + f"/lagrange_{name}" for name in ("catalogue", "optuna")]
    home = Home.open(tmp_path / "home", catalogue_url=urls[0], optuna_url=urls[1])
    outcome = run(SPEC, name="s", home=home, workers=2, tracking=False)
    assert outcome.status == "complete" and outcome.answer is not None and not outcome.notes
    import optuna

    assert {study.study_name for study in optuna.get_all_study_summaries(urls[1])} == {"s", "s/off"}
    assert not (tmp_path / "home" / "lagrange.db").exists()


def _wait_for_members(home: Home, count: int) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if (home.root / "lagrange.db").exists():
            with Catalogue(home.catalogue_url) as catalogue:
                if catalogue.has_sweep("s") and sum(row.state is not None for row in catalogue.members("s")) >= count:
                    return
    raise AssertionError(f"fewer than {count} members ended in time")
