"""A home that was renamed, copied or mounted elsewhere shows its files, and writes nothing outside itself."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from infra.storage import Home
from infra.tracking import MlflowTracker, quiet_environment
from infra.tracking.moved import follow

pytestmark = pytest.mark.turns(2)

quiet_environment()


def shown(home: Home, sweep: str, text: str) -> None:
    """A sweep with one member, and one file each."""
    tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, sweep, interval_s=0.05)
    tracker.start_sweep(sweep, {"objective": "toy", "dataset": "none"}, {})
    tracker.start_member(0, {"l2": 0.1}, {})
    file = home.reports(sweep) / "answer.txt"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    tracker.artifact(file)
    tracker.artifact(file, number=0)
    assert not tracker.close(60)


def addresses(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("select artifact_location from experiments union select artifact_uri from runs").fetchall()
    return {row[0] for row in found}


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_a_copy_shows_its_own_files_and_writes_only_into_itself(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    old = Home.open(tmp_path / "old")
    shown(old, "one", "first")
    shutil.copytree(old.root, tmp_path / "new place")
    before, new = content(old.root), Home.open(tmp_path / "new place")
    shown(new, "two", "second")
    assert content(old.root) == before, "the home that was copied is as it was"
    assert all(address.startswith(new.artifacts.as_uri()) for address in addresses(new.root / "mlflow.db") if "mlruns" not in address)
    shutil.rmtree(old.root)
    client = MlflowClient(new.tracking_uri)
    (experiment,) = [one for one in client.search_experiments() if one.name.startswith("lagrange")]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4
    for run in runs:
        (file,) = client.list_artifacts(run.info.run_id)
        text = "first" if run.data.tags["lagrange.sweep"] == "one" else "second"
        assert Path(client.download_artifacts(run.info.run_id, file.path)).read_text() == text


def test_a_file_that_was_not_sent_yet_is_found_after_the_move(tmp_path: Path) -> None:
    old = Home.open(tmp_path / "old")
    tracker = MlflowTracker("http://127.0.0.1:9", old.artifacts, old.spool, "one", at_once=False)
    inside, outside = old.reports("one") / "a.txt", tmp_path / "b.txt"
    tracker.artifact(inside)
    tracker.artifact(outside)
    paths = [record["path"] for record in tracker._spool.read()[0]]
    assert paths == [str(inside.relative_to(old.root)), str(outside)]


def test_a_store_of_another_place_is_left_alone(tmp_path: Path) -> None:
    store, artifacts = tmp_path / "shared" / "mlflow.db", tmp_path / "home" / "artifacts"
    store.parent.mkdir()
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("create table experiments (name text, artifact_location text)")
        connection.execute("insert into experiments values ('lagrange/toy', 'file:///elsewhere/artifacts/lagrange/toy')")
    assert not follow(store, artifacts)
    assert follow(store, store.parent / "artifacts"), "the same store in its own home is corrected"
    assert not follow(store, store.parent / "artifacts"), "once"
    assert not follow(tmp_path / "none.db", tmp_path / "artifacts")
