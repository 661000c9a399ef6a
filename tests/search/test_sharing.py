"""Several sweeps on one cluster come to equal shares, and give back what they do not use. All of it on plain data."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from infra.ray.nodes import Need, Node
from search.running.tune.sharing import Shares, chosen, label, shares


def group(name: str, state: str) -> dict[str, str]:
    return {"name": name, "state": state}


def test_shares_are_read_from_the_table_of_placement_groups() -> None:
    table = [group(label("a", 1), "CREATED"), group(label("a", 2), "REMOVED"), group(label("b", 1), "PENDING"), group("other", "PENDING")]
    found = shares("a", table)
    assert (found.held, found.waiting, found.wanted) == (Counter(a=1), Counter(b=1), True)
    assert not shares("b", table).wanted, "only others count"


def test_nothing_goes_back_while_nobody_waits() -> None:
    assert not Shares("a", Counter(a=9, b=1)).lets_go(idle=True)


def test_a_worker_with_nothing_to_do_goes_at_once_and_one_is_kept() -> None:
    mine = Shares("a", Counter(a=3, b=3), Counter(b=5))
    assert [mine.lets_go(idle=True) for _ in range(4)] == [True, True, False, False]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 40))
def test_two_sweeps_come_to_equal_shares_and_stay_there(mine: int, waits: int, theirs: int) -> None:
    found = Shares("a", Counter(a=mine, b=theirs), Counter(b=waits))
    given_back = 0
    while found.lets_go(idle=False):
        given_back += 1
        assert given_back <= waits and found.held["a"] >= 1
    a, b = mine - given_back, theirs + given_back
    if given_back:
        assert a >= b, "the richer one stays the richer one, or both have equally many"
    if given_back < waits:
        assert a <= max(b + 1, 1)
    back = Shares("b", Counter(a=a, b=b), Counter(a=10))
    assert b > a + 1 or not back.lets_go(idle=False), "it does not go back and forth"


def test_the_poorest_of_those_who_wait_is_served_first() -> None:
    found = Shares("a", Counter(a=6, b=3, c=1), Counter(b=4, c=4))
    while found.lets_go(idle=False):
        pass
    assert found.held == Counter(a=4, b=3, c=3)


def test_placement_fills_nodes_or_spreads_over_them() -> None:
    nodes = [Node(name, name, {"CPU": cpu}) for name, cpu in (("large", 4), ("small", 2))]
    for placement, order in (("pack", ["small", "small", "large"]), ("spread", ["large", "small", "large"])):
        taken: Counter[str] = Counter()
        for expected in order:
            node = chosen(placement, nodes, Need(), taken)
            assert node == expected, placement
            taken[node] += 1
    assert chosen(None, nodes, Need(), {}) == "" == chosen("pack", nodes, Need(), {"large": 4, "small": 2})
