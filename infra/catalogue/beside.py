"""What else is in a database that holds no catalogue: tables of MLflow, of Optuna, or of a program that nobody here knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from infra.catalogue.tables import Base
from infra.errors import InfraError
from infra.storage import sqlite_path, strip_address
from infra.storage.hints import looked_in

VERSION: Final = "lagrange_version"
NOWHERE: Final = "sqlite://"
"""In memory: what is read instead of a catalogue that is not there."""
_OURS: Final = (VERSION, *Base.metadata.tables)
_PROGRAMS: Final = {"MLflow": {"experiments", "runs"}, "Optuna": {"studies", "trials"}}
_NAMED: Final = 3  # tables that are named of a database


def tables(connection: sa.Connection) -> list[str]:
    """The tables of the schema in which the catalogue's would be made, by name."""
    return sorted(sa.inspect(connection).get_table_names())


def revision(connection: sa.Connection) -> str | None:
    """The revision of the catalogue in a database; None where it holds none."""
    if connection.dialect.name == "sqlite":
        query = f"select name from sqlite_master where name='{VERSION}'"
    else:
        query = f"select to_regclass('{VERSION}')"
    if connection.exec_driver_sql(query).scalar() is None:
        return None
    found = connection.exec_driver_sql(f"select version_num from {VERSION}").scalar()
    return None if found is None else str(found)


def to_read(url: str) -> tuple[str, list[str] | None]:
    """What is opened to read a catalogue, and the tables of a SQLite file that holds none. No file is made, and none is changed."""
    file = sqlite_path(url)
    if file is None:
        return url, None
    found = _kept_in(file) if file.exists() else None
    return (url if found is None and file.exists() else NOWHERE), found


def _kept_in(file: Path) -> list[str] | None:
    """The tables of a SQLite file that holds no catalogue; None where it holds one, or cannot be read so."""
    name = f"file:{quote(str(file))}?mode=ro"
    with suppress(sqlite3.Error, OSError), closing(sqlite3.connect(name, uri=True, timeout=2.0)) as connection:
        found = sorted(str(table) for (table,) in connection.execute("select name from sqlite_master where type='table'"))
        return None if VERSION in found else found
    return None


def holds_none(url: str, found: Sequence[str]) -> str:
    """What is said to whoever looks for sweeps in a database without a catalogue. `url` holds no password."""
    if not found:
        return f"{looked_in(url).removesuffix(' holds no sweep yet.')} holds no catalogue: no sweep was begun there."
    return f"{url} holds no catalogue: it has tables of {_whose(found)} and none of Lagrange's. Correct the URL of the catalogue."


def refuse_no_mlflow(url: str) -> None:
    """Raise InfraError where a database holds nothing of MLflow's: to ask MLflow would make its tables there."""
    file = sqlite_path(url)
    if file is not None and not file.exists():
        raise InfraError(f"The MLflow store must exist; {file} does not. Run a sweep first, or give --home.")
    if not url.startswith(("sqlite", "postgresql")):
        return
    found: list[str] | None = None
    with suppress(Exception):  # what is wrong with the database MLflow says
        if file is not None:
            with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=2.0)) as connection:
                found = [str(name) for (name,) in connection.execute("select name from sqlite_master where type='table'")]
        else:
            engine = sa.create_engine(url)
            try:
                found = sorted(sa.inspect(engine).get_table_names())
            finally:
                engine.dispose()
    if found is not None and not _PROGRAMS["MLflow"] <= set(found):
        raise InfraError(
            f"The MLflow store must exist; {strip_address(url)} holds none of MLflow's tables. Run a sweep first, give --home, or correct "
            "--tracking-uri (LAGRANGE_TRACKING_URI)."
        )


def refuse_taken(url: str, found: Sequence[str]) -> None:
    """Raise InfraError where a table of another program has a name that the catalogue needs."""
    if taken := [name for name in _OURS if name in found]:
        raise InfraError(
            f"The catalogue must be the only one that has tables {', '.join(_OURS)}; in {url}, which holds no catalogue, another program "
            f"has {', '.join(taken)}. Name another database, or a schema of its own: ?options=-csearch_path%3DSCHEMA (PostgreSQL)."
        )


def made_beside(url: str, found: Sequence[str]) -> str:
    """What is said once to whoever begins a catalogue in the database of another program."""
    return (
        f"The catalogue was made in a database of {_whose(found)}: {url}. That works; where another one was meant, remove the tables "
        f"{', '.join(_OURS)} there."
    )


def _whose(found: Sequence[str]) -> str:
    known = [program for program, marks in _PROGRAMS.items() if marks <= set(found)]
    named = f"{', '.join(found[:_NAMED])}{', …' if len(found) > _NAMED else ''}"
    return f"{' and '.join(known) or 'another program'} ({named})"
