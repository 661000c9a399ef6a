"""The rows for the choice are made once, and are those of today."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest

from infra.catalogue import MemberRow, config_hash
from infra.machine import without_collections
from objectives.base import Knob, Phase, State
from search.choosing.answer import Candidate
from search.choosing.table import Table
from search.modelling.axis import Axis
from search.modelling.encoder import Encoder

MEMBERS = [MemberRow(number, {"l2": 0.1 * number}, seed=number, arm="search") for number in range(3)]
SAME = {"l2": 0.5}
FRESH = MemberRow(3, SAME, 9, Phase.CONFIRM, "min", config_hash(SAME), State.COMPLETE, score=1.0)
CHOSEN = [Candidate("min", {"l2": 0.5}, "")]


def test_the_same_rows_come_back_as_long_as_nothing_has_changed() -> None:
    table = Table({})
    first = table.of([*MEMBERS, FRESH], CHOSEN)
    assert table.of([*MEMBERS, FRESH], list(CHOSEN)) is first


def test_what_has_changed_is_made_anew_and_nothing_else() -> None:
    curves: dict[int, dict[int, float]] = {}
    table, members = Table(curves), [*MEMBERS, FRESH]
    first = table.of(members, CHOSEN)
    curves[1] = {5: 0.25}
    members[1] = replace(members[1], state=State.STOPPED, rung_score=0.25, epochs=5)
    members.append(replace(MEMBERS[0], number=4))
    again = table.of(members, CHOSEN)
    assert again == Table(curves).of(members, CHOSEN)
    assert (again[1].state, again[1].curve, again[4].number) == (State.STOPPED, {5: 0.25}, 4)
    assert [new is old for new, old in zip(again, first, strict=False)] == [True, False, True, True]
    assert first[1].state == "open"  # nobody's list is changed under his hands


@pytest.mark.parametrize(("candidate", "arm"), [([], "dropped"), ([Candidate("near", {"l2": 0.5}, "")], "near")])
def test_a_confirmed_member_has_the_arm_of_todays_candidates(candidate: list[Candidate], arm: str) -> None:
    table = Table({})
    assert table.of([*MEMBERS, FRESH], CHOSEN)[3].arm == "min"
    rows = table.of([*MEMBERS, FRESH], candidate)
    assert rows[3].arm == arm and {row.arm for row in rows[:3]} == {"search"}


def test_members_that_are_taken_away_have_no_row() -> None:
    table = Table({})
    table.of([*MEMBERS, FRESH], CHOSEN)
    assert [row.number for row in table.of(MEMBERS[1:], CHOSEN)] == [1, 2]
    assert [row.number for row in table.of(MEMBERS[1:2], CHOSEN)] == [1]


@pytest.mark.parametrize("log", [True, False])
def test_many_values_have_the_places_that_each_has(log: bool) -> None:
    knob = Knob("l2", "", "", "1", default=0.1, low=0.01, high=10.0, log=log, off=0.0, more="high")
    values = [0.0, 0.01, 0.3, 3, 10.0, 30.0]
    assert Axis.of(knob).places(values) == [Axis.of(knob).u(value) for value in values]
    encoder = Encoder([knob], [{"l2": value} for value in values])
    rows = encoder([{"l2": value} for value in values])
    assert rows.tolist() == [encoder([{"l2": value}])[0].tolist() for value in values] and rows.flags.c_contiguous


def test_no_garbage_is_looked_for_in_a_block_and_after_it_as_before() -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), without_collections():
        assert not gc.isenabled()
        with without_collections():
            pass
        assert not gc.isenabled()
        1 / 0  # noqa: B018
    assert gc.isenabled()
