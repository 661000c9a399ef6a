"""Rows that are read together share what is equal, and nothing that is not; reports come in pages, and are the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from infra import catalogue as module
from infra.catalogue import Catalogue, MemberRow, ReportRow, SweepRow, each_report
from infra.catalogue.alike import Alike
from infra.errors import LockLost

VALUES = st.sampled_from([0, 0.0, -0.0, 1, 1.0, True, False, None, "1", "", [1], [1.0], {"a": 1}, math.nan, math.inf]) | st.floats()
ROWS = st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4), max_size=8)


@given(ROWS)
def test_what_is_shared_is_the_same_to_the_last_bit(rows: list[dict[str, Any]]) -> None:
    alike = Alike()
    assert [repr(alike.mapping("config", row)) for row in rows] == [repr(row) for row in rows]


def test_what_rows_have_in_common_is_there_once_and_what_may_be_changed_is_not_shared() -> None:
    text, alike = json.dumps({"beta": 0.125, "l2": 0.0, "act": "a word", "list": [1.5]}), Alike()
    first, second = (alike.mapping("config", json.loads(text)) for _ in range(2))
    assert first == second and first is not second and first["list"] is not second["list"]
    assert all(first[name] is second[name] for name in ("beta", "l2", "act"))
    assert all(one is other for one, other in zip(first, second, strict=True)), "the names, too"


@pytest.fixture
def kept(tmp_path: Path) -> Catalogue:
    found = Catalogue(f"sqlite:///{tmp_path}/lagrange.db")
    found.create_sweep(SweepRow("s", {}))
    found.add_members("s", [MemberRow(number, {"beta": 1.0, "n": number % 2}, 7) for number in range(11)])
    found.add_reports("s", [ReportRow(n, epoch, float(n), {"m": n + 0.5}) for n in range(11) if n % 3 for epoch in range(n % 4)])
    return found


def test_reports_that_come_in_pages_are_those_that_come_at_once(kept: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    numbers = [row.number for row in kept.members("s")]
    assert list(each_report(kept, "s", numbers)) == kept.reports("s") != []
    assert list(each_report(kept, "s", [])) == []
    assert kept.reports("s", 4, 6) == [*kept.reports("s", 4), *kept.reports("s", 5)]


def test_who_has_the_lock_asks_once_a_transaction_which_sweep_it_is_and_never_takes_the_key_of_another(kept: Catalogue) -> None:
    kept.create_sweep(SweepRow("other", {}))
    kept.add_members("other", [MemberRow(0, {}, 1)])
    asked: list[str] = []
    sa.event.listen(kept._database._engine, "before_cursor_execute", lambda c, cursor, said, *_: asked.append(said))
    with kept.lock("s") as held:
        asked.clear()
        with kept.together():
            for number in range(5):
                kept.end_member("s", number, state="complete")
            kept.end_member("other", 0, state="stopped")
        assert sum(said.startswith("SELECT sweeps.id") for said in asked) == 2, "one for the fence, and one for the other sweep"
        assert [row.state for row in kept.members("other")] == ["stopped"]
        assert [row.number for row in kept.members("s") if row.state] == [0, 1, 2, 3, 4]
        with kept._database.transaction() as connection:
            connection.execute(sa.text("update sweeps set lock_token = 'x' where name = 's'"))
        with pytest.raises(LockLost):
            kept.end_member("s", 6, state="complete")
        del held


def test_an_outline_says_of_each_member_what_its_row_says_and_a_few_rows_are_those_of_all(kept: Catalogue) -> None:
    kept.end_member("s", 3, state="complete", score=1.5, metrics={"m": 1.0})
    rows = kept.members("s")
    told = [(row.number, row.seed, row.phase, row.arm, row.state, row.score) for row in rows]
    assert [(row.number, row.seed, row.phase, row.arm, row.state, row.score) for row in kept.outline("s")] == told
    assert kept.members("s", numbers=[9, 3, 77]) == [rows[3], rows[9]] and kept.members("s", numbers=[]) == []
