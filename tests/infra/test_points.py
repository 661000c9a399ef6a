"""Points that are written at once are those that MLflow's client writes."""

from __future__ import annotations

import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infra.storage import Home
from infra.tracking.client import open_client, quiet_environment
from infra.tracking.points import Points

quiet_environment()
# Name, value, time in ms, epoch. Some come twice, late, or are no numbers.
TOLD = [("val", 1.0, 5, 1), ("val", 0.5, 6, 2), ("val", 0.5, 6, 2), ("val", 2.0, 4, 2), ("a/b c-d.e", math.nan, 5, 1)]
TOLD += [
    ("kl", math.inf, 5, 1),
    ("kl", -math.inf, 5, 1),
    ("kl", 3.0, 1, 0),
    ("val", 9.0, 9, 1),
    ("nan", 1.0, 5, 1),
    ("nan", math.nan, 5, 1),
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with one run, and its id."""
    home = Home.open(tmp_path_factory.mktemp("template"))
    client = open_client(home.tracking_uri, home.artifacts)
    run = client.create_run(client.create_experiment("x")).info.run_id
    client._tracking_client.store.engine.dispose()
    return home.root / "mlflow.db", run


def store(empty: tuple[Path, str], folder: Path) -> Home:
    folder.mkdir()
    for part in empty[0].parent.glob("mlflow.db*"):
        shutil.copy(part, folder)
    return Home.open(folder)


def entities(told: list[tuple[str, float, int, int]]) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(*one) for one in told]


def tables(home: Home) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(home.root / "mlflow.db")) as connection:
        wanted = "key, value, timestamp, step, is_nan, run_uuid"
        return {name: sorted(connection.execute(f"select {wanted} from {name}")) for name in ("metrics", "latest_metrics")}


@pytest.mark.parametrize("cut", [0, 3, len(TOLD)], ids=["one batch", "two batches", "said again"])
def test_the_tables_hold_what_mlflow_would_have_written(empty: tuple[Path, str], cut: int, tmp_path: Path) -> None:
    ours, theirs = store(empty, tmp_path / "ours"), store(empty, tmp_path / "theirs")
    client = open_client(theirs.tracking_uri, theirs.artifacts)
    for told in (TOLD[:cut], TOLD[cut:] or TOLD):
        if told:
            assert Points(ours.tracking_uri).took(empty[1], entities(told))
            client.log_batch(empty[1], entities(told), synchronous=True)
    found = tables(ours)
    assert found == tables(theirs) and len(found["metrics"]) == 10 and len(found["latest_metrics"]) == 4
    history = open_client(ours.tracking_uri, ours.artifacts).get_metric_history(empty[1], "val")
    assert [(one.step, one.value) for one in history if one.step == 2] == [(2, 2.0), (2, 0.5)]


def test_what_is_not_known_is_left_to_mlflow(empty: tuple[Path, str], tmp_path: Path) -> None:
    home, one = store(empty, tmp_path / "home"), entities(TOLD[:1])
    before, points = tables(home), Points(home.tracking_uri)
    for name in ("../up", "a//b", "", "é", "x" * 251):
        assert not points.took(empty[1], [*one, *entities([(name, 1.0, 1, 1)])])
    assert not points.took("another run", one) and not points.took(empty[1], []) and not Points("http://127.0.0.1:9").took(empty[1], one)
    with closing(sqlite3.connect(home.root / "mlflow.db")) as connection, connection:
        connection.execute("alter table metrics add column colour text")
    assert not points.took(empty[1], one)
    with closing(sqlite3.connect(home.root / "mlflow.db")) as connection, connection:
        connection.execute("alter table metrics drop column colour")
        connection.execute("update runs set lifecycle_stage = 'deleted'")
    assert not points.took(empty[1], one) and tables(home) == before
