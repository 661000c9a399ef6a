"""A database without a catalogue: to look for sweeps makes nothing there, and to begin one beside another program's tables is said."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from infra.catalogue import Catalogue, SweepRow
from infra.errors import InfraError
from search.cli import app
from tests.postgres import Postgres

MLFLOW = ("alembic_version", "experiments", "metrics", "runs")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    made = Postgres()
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that exists, without tables."""
    if request.param == "sqlite":
        (tmp_path / "other.db").touch()
        return f"sqlite:///{tmp_path}/other.db"
    server: Postgres = request.getfixturevalue("server")
    return server.database("other")


def make(url: str, tables: tuple[str, ...]) -> None:
    made = sa.create_engine(url)
    with made.begin() as connection:
        for table in tables:
            connection.execute(sa.text(f"create table {table} (id integer)"))
    made.dispose()


def tables(url: str) -> list[str]:
    made = sa.create_engine(url)
    found = sorted(sa.inspect(made).get_table_names())
    made.dispose()
    return found


READING = (("ls",), ("ls", "--json"), ("show", "s"), ("best",), ("watch",), ("watch", "s"), ("report", "s"), ("export", "s"), ("rm", "s"))


@pytest.mark.parametrize(
    "others", [(), MLFLOW, ("studies", "trials"), ("alembic_version", "experiments", "runs", "studies", "trials"), ("a",)]
)
def test_to_look_for_sweeps_makes_no_table_and_says_what_is_there(url: str, others: tuple[str, ...], tmp_path: Path) -> None:
    make(url, others)
    before = (tmp_path / "other.db").read_bytes() if url.startswith("sqlite") else b""
    for words in READING:
        said = CliRunner().invoke(app, [*words, "--home", str(tmp_path / "home"), "--catalogue-url", url]).output
        assert tables(url) == sorted(others), words
        assert "--json" in words or "holds no catalogue" in " ".join(said.split()), (words, said)
        program = "MLflow" if "runs" in others else "Optuna" if "studies" in others else "another program"
        assert "--json" in words or not others or f"it has tables of {program}" in " ".join(said.split()), (words, said)
    if before:
        assert (tmp_path / "other.db").read_bytes() == before and not list(tmp_path.glob("other.db-*")), "not even its mode"
    with Catalogue(url, create=False) as catalogue:
        assert catalogue.sweeps() == [] and not catalogue.has_sweep("s")


def test_a_catalogue_that_is_made_later_is_found(url: str) -> None:
    with Catalogue(url, create=False) as before:
        assert before.sweeps() == []
    with Catalogue(url) as made:
        made.create_sweep(SweepRow("s", {}))
    with Catalogue(url, create=False) as after:
        assert [row.name for row in after.sweeps()] == ["s"]


def test_a_catalogue_beside_another_program_is_said_once(url: str, caplog: pytest.LogCaptureFixture) -> None:
    make(url, MLFLOW)
    with caplog.at_level(logging.WARNING, "lagrange"):
        for _ in range(2):
            with Catalogue(url) as catalogue:
                assert catalogue.sweeps() == []
    (said,) = [record.getMessage() for record in caplog.records if record.name == "lagrange"]
    assert "in a database of MLflow (alembic_version, experiments, metrics, …)" in said and "remove the tables lagrange_version" in said


def test_a_catalogue_whose_database_is_empty_is_made_without_a_word(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lagrange"), Catalogue(url):
        pass
    assert not [record for record in caplog.records if record.name == "lagrange"]


@pytest.mark.parametrize("taken", ["sweeps", "members", "reports"])
def test_a_table_of_another_program_with_a_name_of_ours_is_left_alone(url: str, taken: str) -> None:
    make(url, (taken,))
    with pytest.raises(InfraError, match=rf"another program has {taken}\. Name another database"):
        Catalogue(url)
    assert tables(url) == [taken]


def test_a_file_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["ls", "--catalogue-url", f"sqlite:///{tmp_path}/typo.db"]).output
    assert "typo.db" in said.replace("\n", "") and not list(tmp_path.iterdir())


def test_a_file_that_is_open_elsewhere_is_read_as_it_is(tmp_path: Path) -> None:
    with Catalogue(f"sqlite:///{tmp_path}/lagrange.db") as made, closing(sqlite3.connect(tmp_path / "lagrange.db")) as writer:
        made.create_sweep(SweepRow("s", {}))
        writer.execute("begin immediate")
        with Catalogue(made.url, create=False) as read:
            assert [row.name for row in read.sweeps()] == ["s"]


def test_to_ask_for_runs_makes_no_table_of_mlflows(url: str, tmp_path: Path) -> None:
    with Catalogue(url):
        pass
    before = tables(url)
    for words in (("query", "metrics.score < 1"), ("ui", "s")):
        done = CliRunner().invoke(app, [*words, "--home", str(tmp_path / "home"), "--tracking-uri", url])
        assert done.exit_code == 2 and "holds none of MLflow's tables" in " ".join(done.output.split()), done.output
        assert tables(url) == before and "sweeps" in before
