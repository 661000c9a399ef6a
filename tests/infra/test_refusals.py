"""Databases that refuse: each is told in one sentence, without a password, soon. And one database for everything, by schemas."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from infra.catalogue import HEAD, Catalogue, MemberRow, SweepRow, opening
from infra.errors import InfraError
from infra.storage import Home
from infra.tracking import MlflowTracker
from tests.postgres import Postgres

SECRET = "s3cr3t-pass"
SOON_S = 15.0


def told(url: str) -> str:
    began = time.monotonic()
    with pytest.raises(InfraError) as caught:
        Catalogue(url)
    assert time.monotonic() - began < SOON_S
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_server_that_is_not_there_or_says_nothing_is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Connection refused" in told(f"postgresql://ann:{SECRET}@127.0.0.1:1/lagrange")
    assert "write %40 for @" in told(f"postgresql://ann:p@{SECRET}/x@127.0.0.1:1/lagrange")
    assert "resolve" in told(f"postgresql://ann:{SECRET}@no-such-host.invalid/lagrange")
    monkeypatch.setitem(opening.CLIENT, "connect_timeout", 2)  # the least that the client knows
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        assert "timeout" in told(f"postgresql://ann:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/lagrange")


@pytest.mark.parametrize("setting", ["pool_size=many", "statement_timeout=-1", "pool_recycle=1.5"])
def test_settings_in_the_url_are_numbers(setting: str) -> None:
    assert f"{setting.partition('=')[0]} in a database's URL is a whole number" in told(f"postgresql://127.0.0.1:1/lagrange?{setting}")


def test_a_file_that_nobody_here_may_write_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with Catalogue(url) as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))
        catalogue.add_members("s", [MemberRow(0, {}, 1)])
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(opening, "_may_write", lambda file: False)  # the tests may be run by one who may do all
    with Catalogue(url) as catalogue:
        assert [row.name for row in catalogue.sweeps()] == ["s"] and len(catalogue.members("s")) == 1
        assert catalogue.seen("s").status == "interrupted"
        with pytest.raises(InfraError, match="read-only"):
            catalogue.update_sweep("s", status="failed")
        with pytest.raises(InfraError, match="read-only"):
            catalogue.lock("s").__enter__()
    assert sorted(tmp_path.iterdir()) == before, "reading leaves nothing beside the file"


def test_an_older_schema_that_nobody_here_may_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    with Catalogue(url) as catalogue, catalogue._database._engine.begin() as connection:
        connection.execute(sa.text("update lagrange_version set version_num = '0001'"))
    monkeypatch.setattr(opening, "_may_write", lambda file: False)
    assert "is of revision 0001" in (said := told(url)) and f"needs {HEAD}" in said


# --- with a server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    server = Postgres(SECRET)
    server.start()
    yield server
    server.remove()


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


@pytest.mark.cluster
def test_a_server_that_refuses_is_told_in_a_sentence(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.database("refused")
    assert "Check user and password" in told(url.replace(SECRET, "wrong"))
    monkeypatch.setenv("PGPASSWORD", "stale")
    assert "takes that of PGPASSWORD" in told(url.replace(f":{SECRET}", ""))
    assert "createdb" in told(url.replace("/refused", "/nowhere"))
    assert "create schema" in told(f"{url}?options=-csearch_path%3Dnowhere")
    with Catalogue(f"{url}?pool_size=2&statement_timeout=7&application_name=mine") as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))
        with catalogue._database.read() as connection:
            assert connection.execute(sa.text("show statement_timeout")).scalar() == "7s"
            assert connection.execute(sa.text("show application_name")).scalar() == "mine"
            assert connection.execute(sa.text("show idle_in_transaction_session_timeout")).scalar() == "20s"
    run(url, "create role reader login password 'r'", "grant select on all tables in schema public to reader")
    with Catalogue(url.replace(f"lagrange:{SECRET}", "reader:r")) as catalogue:
        assert [row.name for row in catalogue.sweeps()] == ["s"]
        with pytest.raises(InfraError, match="Ask for the right to write"):
            catalogue.update_sweep("s", status="failed")
    run(url, "alter database refused set default_transaction_read_only = on")
    with Catalogue(url) as catalogue:
        assert catalogue.sweep("s").name == "s"
        with pytest.raises(InfraError, match="ls, show and best work"):
            catalogue.update_sweep("s", status="failed")


@pytest.mark.cluster
def test_a_clock_that_is_an_hour_off_changes_nothing(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalogue(postgres.database("clock")) as catalogue, Catalogue(catalogue._database._engine.url.render_as_string(False)) as other:
        catalogue.create_sweep(SweepRow("s", {}))
        real = time.time
        for skew in (3600.0, -3600.0):
            with catalogue.lock("s"):
                run(other._database._engine.url.render_as_string(False), "update sweeps set lock_host = 'elsewhere'")
                with monkeypatch.context() as patch:
                    patch.setattr(time, "time", lambda skew=skew: real() + skew)
                    assert other.locked_by("s")
                    with pytest.raises(InfraError, match=r"which was last heard [0-5] s ago"):
                        other.lock("s").__enter__()
            run(other._database._engine.url.render_as_string(False), "update sweeps set lock_heartbeat = lock_heartbeat - 31")
            assert other.locked_by("s") is None


@pytest.mark.cluster
def test_one_database_holds_catalogue_mlflow_and_optuna_in_schemas_of_their_own(postgres: Postgres, tmp_path: Path) -> None:
    import optuna

    url = postgres.database("everything")
    run(url, *(f"create schema {name}" for name in ("lagrange", "mlflow", "optuna")))
    urls = {name: f"{url}?options=-csearch_path%3D{name}" for name in ("lagrange", "mlflow", "optuna")}
    home = Home.open(tmp_path, catalogue_url=urls["lagrange"], tracking_uri=urls["mlflow"], optuna_url=urls["optuna"])
    with Catalogue(home.catalogue_url) as catalogue:
        catalogue.create_sweep(SweepRow("s", {}))
    optuna.create_study(storage=home.optuna_url, study_name="s")
    tracker = MlflowTracker(home.tracking_uri, home.artifacts, home.spool, "s", interval_s=0.05)
    tracker.start_sweep("s", {"objective": "toy", "dataset": "none"}, {})
    tracker.start_member(0, {"l2": 0.1}, {})
    tracker.log(0, 1, {"val": 1.0})
    assert not tracker.close(60), tracker._error
    with Catalogue(home.catalogue_url) as catalogue:  # it opens again beside the others
        assert catalogue.has_sweep("s")
    assert optuna.get_all_study_names(home.optuna_url) == ["s"]
    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    tables = {name: set(inspector.get_table_names(schema=name)) for name in ("public", "lagrange", "mlflow", "optuna")}
    engine.dispose()
    assert not tables["public"] and tables["lagrange"] == {"sweeps", "members", "reports", "lagrange_version"}
    assert {"runs", "alembic_version"} <= tables["mlflow"] and {"studies", "alembic_version"} <= tables["optuna"]
