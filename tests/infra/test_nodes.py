"""How many workers fit on the nodes of a cluster, and whether nodes run the same code. Nodes are plain data here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.ray import alike, nodes
from infra.ray.nodes import GIB, Need, Node, capacity


def node(cpu: float = 1, gpu: float = 0, memory_gb: float = 8, name: str = "a", **more: float) -> Node:
    return Node(name, name, {"CPU": cpu, "GPU": gpu, "memory": memory_gb * GIB, **more}, {"zone": name})


@pytest.mark.parametrize(
    ("need", "fit"),
    [
        (Need(cpu=1), 12),
        (Need(cpu=0.5), 24),
        (Need(cpu=8), 1),  # 12 CPUs in all, and one node with 8
        (Need(cpu=9), 0),
        (Need(gpu=1), 3),
        (Need(gpu=2), 1),
        (Need(cpu=0.1, gpu=0.5), 6),
        (Need(cpu=0.1, gpu=0.6), 3),  # a part is of one GPU: 2 GPUs hold two such workers, not three
        (Need(cpu=0.1, gpu=1 / 3), 9),
        (Need(memory_gb=16), 2),
        (Need(custom={"license": 1}), 5),
        (Need(custom={"nothing": 1}), 0),
        (Need(labels={"zone": "large"}), 8),
        (Need(labels={"zone": "!large"}), 4),
        (Need(labels={"zone": "in(large, other)"}), 8),
        (Need(labels={"zone": "!in(large,other)"}), 4),
        (Need(labels={"rack": "1"}), 0),
        (Need(labels={"rack": "!1"}), 12),  # a node without the label has another one
    ],
)
def test_what_fits_is_counted_node_by_node(need: Need, fit: int) -> None:
    assert capacity([node(8, 2, 32, "large", license=5), node(4, 1, 8, "small")], need) == fit


@given(
    st.lists(st.tuples(st.integers(0, 64), st.integers(0, 8)), max_size=6),
    st.sampled_from([0.25, 0.5, 1, 2, 3]),
    st.sampled_from([0, 0.25, 0.5, 1, 2]),
)
def test_no_node_is_given_more_than_it_has(sizes: list[tuple[int, int]], cpu: float, gpu: float) -> None:
    need, there = Need(cpu, gpu), [node(*size) for size in sizes]
    for one in there:
        fit = need.on(one)
        assert fit * cpu <= one.resources["CPU"] and fit * gpu <= one.resources["GPU"]
        assert (fit + 1) * cpu > one.resources["CPU"] or (gpu and (fit + 1) * gpu > one.resources["GPU"])
    total = {name: sum(one.resources[name] for one in there) for name in ("CPU", "GPU")}
    assert capacity(there, need) <= need.on(Node("all", "all", total))


def test_what_is_free_is_counted_apart() -> None:
    one = Node("a", "a", {"CPU": 8}, free={"CPU": 3})
    assert (Need(cpu=2).on(one), Need(cpu=2).on(one, free=True)) == (4, 1)
    assert Need(cpu=2).on(Node("a", "a", {"CPU": 8}, free={}), free=True) == 0


def test_a_need_that_no_node_meets_is_told_with_what_the_nodes_have() -> None:
    said = nodes.too_small([node(name="b"), node(name="b"), node(2, 1, 4, "c", license=5)], Need(3, 2, custom={"license": 1}))
    assert "needs 3 CPU, 2 GPU, 1 license" in said
    assert "2 × (1 CPU, 0 GPU, 8 GB of memory, zone: b)" in said and "(2 CPU, 1 GPU, 4 GB of memory, 5 license, zone: c)" in said
    assert "resources.wait_minutes" in said


@pytest.mark.parametrize(("there", "coming"), [([], False), ([node(0)], True), ([node(0), node(1)], False)])
def test_a_head_without_processors_has_workers_still_to_come(there: list[Node], coming: bool) -> None:
    assert nodes.still_to_come(there) is coming


def test_a_node_with_other_code_is_told_from_one_with_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "a_users_module", raising=False)
    file = tmp_path / "a_users_module.py"
    file.write_text("x = 1")
    modules = alike.modules_of(["a_users_module:Mine", None, "toy", "a_users_module:other"])
    assert modules == ("a_users_module",)
    here = alike.facts(modules)
    assert alike.differences(here, alike.facts(modules)) == []
    file.write_text("x = 2")
    assert [said.split(" (")[0] for said in alike.differences(here, alike.facts(modules))] == ["the module a_users_module"]
    assert alike.differences({**here, "torch": "1.0"}, {**here, "torch": "2.0"}) == ["torch (1.0 at the driver, 2.0 there)"]
    assert len(here["the code of Lagrange"]) == 64 and len(here["the module a_users_module"]) == 64


def test_another_line_of_our_code_is_another_digest(tmp_path: Path) -> None:
    for folder in alike.FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "search" / "a.py").write_text("1")
    before = alike._digest(list(tmp_path.rglob("*.py")), tmp_path)
    (tmp_path / "search" / "a.py").rename(tmp_path / "infra" / "a.py")
    moved = alike._digest(list(tmp_path.rglob("*.py")), tmp_path)
    (tmp_path / "infra" / "a.py").write_text("2")
    assert len({before, moved, alike._digest(list(tmp_path.rglob("*.py")), tmp_path)}) == 3
