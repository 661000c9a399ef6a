"""Many sweeps at once: 16 against one PostgreSQL and one MLflow server, 6 in one home on SQLite. `-s` shows the throughput."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.storage import Home
from tests.postgres import Postgres
from tests.search.at_once import Found, at_once
from tests.search.test_servers import Server

pytestmark = [pytest.mark.cluster, pytest.mark.whole]


def assert_whole(found: Found, count: int) -> None:
    print(
        f"\n| {count} sweeps | {found.seconds:.1f} s | {found.members} members, {found.members / found.seconds:.1f}/s "
        f"| {found.points} points, {found.points / found.seconds:.1f}/s |"
    )
    assert sorted(found.names) == sorted(f"toy-none-{number}" for number in range(1, count + 1))
    assert found.members == count * 14 and found.points == found.members * 6
    assert not found.missing, found.missing
    assert not any("MLflow" in note or "catalogue" in note for note in found.notes), found.notes


def test_sixteen_sweeps_share_one_postgresql_and_one_mlflow_server(tmp_path: Path) -> None:
    postgres, server = Postgres(), Server(tmp_path / "server")
    try:
        postgres.start()
        server.start()
        url = postgres.database("many")
        assert_whole(at_once(16, Home.open(tmp_path / "home"), catalogue_url=url, tracking_uri=server.uri), 16)
    finally:
        server.kill()
        postgres.remove()


def test_six_sweeps_share_one_home_on_sqlite(tmp_path: Path) -> None:
    assert_whole(at_once(6, Home.open(tmp_path)), 6)
