"""Nodes that join, leave or differ, and other sweeps that wait: what a sweep does then. What Ray says of them is given."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import NodeDiedError, TaskUnschedulableError

from infra.errors import InfraError, StorageError
from infra.ray.cluster import Cluster
from infra.ray.nodes import OWN_LABEL, Need, Node
from infra.storage.depot import Depot
from search.running.tune import grounds as file
from search.running.tune.crew import Crew, Worker
from search.running.tune.grounds import Grounds
from search.running.tune.sharing import label


class World:
    """A cluster as Ray would tell of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there: dict[str, int] = {}  # nodes, and the CPUs of each
        self.bad: set[str] = set()  # those that run other code
        self.groups: list[dict[str, str]] = []
        self.notes: list[str] = []
        monkeypatch.setattr(file.ray, "get_runtime_context", lambda: SimpleNamespace(get_job_id=lambda: "me"))
        monkeypatch.setattr(file.cluster, "nodes", self.nodes)
        monkeypatch.setattr(file, "placement_group_table", lambda: dict(enumerate(self.groups)))
        monkeypatch.setattr(file, "Proofs", self.proofs)
        monkeypatch.setattr(file, "LOOK_SECONDS", 0.0)

    def nodes(self) -> list[Node]:
        return [Node(name, f"host-{name}", {"CPU": cpus}) for name, cpus in self.there.items()]

    def proofs(self, modules: Any, depot: Any, proven: Iterable[str]) -> Any:
        found = SimpleNamespace(proven=set(proven), refused=dict[str, str](), asked=list[Node]())

        def judge() -> list[Node]:
            judged, found.asked = found.asked, []
            for node in judged:
                if node.id in self.bad:
                    found.refused[node.id] = f"{node.name} differs"
                else:
                    found.proven.add(node.id)
            return judged

        known = lambda: found.proven | set(found.refused)  # noqa: E731
        found.ask = lambda nodes: found.asked.extend(node for node in nodes if node.id not in known())
        found.judge = judge
        return found

    def grounds(self, placement: str | None = None, **more: Any) -> Grounds:
        up = Cluster("head:1", 2, {}, proven=frozenset(self.there), need=Need(cpu=1), **more)
        return Grounds(up, self.notes.append, Depot("", Path("nowhere")), placement=placement)

    def group(self, sweep: str, state: str, count: int = 1) -> None:
        self.groups += [{"name": label(sweep, len(self.groups) + k), "state": state} for k in range(count)]


class Plan:
    division = SimpleNamespace(workers=0)
    problem = ""


def crew(**on: str) -> Crew:
    """Free workers, each with its node; empty: it starts."""
    made = Crew(Plan(), SimpleNamespace(), 60.0)  # type: ignore[arg-type]
    for key, node in on.items():
        made.workers[key] = Worker(node=node)
        if node:
            made._frees(key)
    return made


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(monkeypatch)
    found.there = {"a": 2}
    return found


def test_a_node_that_joins_is_used_and_one_that_leaves_is_named(world: World) -> None:
    grounds, up = world.grounds(), crew(w0="a", w1="a")
    grounds.look(up)
    assert grounds.places() == 2 and world.notes == []
    world.there["b"] = 3
    grounds.look(up)
    assert grounds.places() == 5 == Plan.division.workers
    assert world.notes == ["the cluster has room for 5 members at once now (it had for 2)"]
    up = crew(w0="a", w1="b")
    del world.there["b"]
    assert grounds.how_it_died("b", "gone") == "preempted: its node host-b left the cluster: gone"
    assert grounds.how_it_died("a", "killed") == "killed"
    grounds.look(up)
    assert grounds.places() == 2 and "left the cluster: host-b" in world.notes[-1]
    assert grounds.leaving(up) == ["w1"]


def test_a_node_that_differs_is_left_out(world: World) -> None:
    grounds, up = world.grounds(), crew(w0="a", w1="b")
    world.there["b"], world.bad = 8, {"b"}
    grounds.look(up)
    assert grounds.places() == 2 and world.notes == ["left out: host-b differs"]
    assert grounds.admits("a") and not grounds.admits("b")
    assert grounds.leaving(up) == ["w1"]
    assert grounds.request("w2", up)["labels"] == {OWN_LABEL: "!in(b)"}


@pytest.mark.parametrize(
    "error", [TaskUnschedulableError("the node does not exist any more"), NodeDiedError("gone"), ValueError("no Lagrange")]
)
def test_a_node_that_goes_while_it_proves_itself_is_neither_proven_nor_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Its remedy would be untrue: nothing is to be installed on a node that is gone."""

    def get(ref: str) -> Any:
        raise error

    remote = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *_: "ref"))
    replaced = SimpleNamespace(remote=lambda task: remote, get=get, wait=lambda refs, **_: (refs, []))
    monkeypatch.setattr(file, "ray", replaced)
    proofs = file.Proofs([], Depot("", tmp_path))
    proofs.ask([Node("a" * 56, "host-a", {"CPU": 1})])
    assert [node.name for node in proofs.judge()] == ["host-a"] and not proofs.pending
    assert not proofs.proven and bool(proofs.refused) == isinstance(error, ValueError)


@pytest.mark.parametrize(("number", "raised"), [(errno.ENOSPC, StorageError), (errno.EROFS, StorageError), (errno.ENOTDIR, InfraError)])
def test_a_storage_that_takes_no_proof_is_full_or_is_the_wrong_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[InfraError]
) -> None:
    """A full one is waited for (exit code 3); another one is named (2)."""

    def refuse(nodes: Any) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "proof"))

    monkeypatch.setattr(file, "Proofs", lambda modules, depot: SimpleNamespace(ask=refuse))
    with pytest.raises(InfraError, match=str(tmp_path)) as caught:
        file.proven(Cluster("head:1", 2, {}, need=Need(cpu=1)), [], Depot("", tmp_path))
    assert type(caught.value) is raised


@pytest.mark.parametrize(("more", "places"), [({}, 2), ({"most": 1}, 1), ({"most": 9}, 2), ({"most": 9, "grows": True}, 9)])
def test_more_than_there_is_is_asked_for_only_where_a_cluster_grows(world: World, more: dict[str, Any], places: int) -> None:
    grounds = world.grounds(**more)
    grounds.look(crew(w0="a"))
    assert grounds.places() == places


def test_where_no_node_is_left_one_is_waited_for_and_not_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    grounds, now = world.grounds(), [0.0]
    monkeypatch.setattr(file.time, "monotonic", lambda: now[0])
    world.there = {"head": 0}
    for now[0] in (1.0, 500.0, 601.0):
        grounds.look(crew())
    assert grounds.places() == 1, "an autoscaler must hear of it"
    assert len(world.notes) == 1 and "waiting for one, at most 10 min" in world.notes[0]
    now[0] = 602.0
    with pytest.raises(InfraError, match="none came within 10 min"):
        grounds.look(crew())
    world.there = {"head": 0, "b": 2}
    grounds.look(crew())
    assert grounds.places() == 2


def test_what_others_wait_for_goes_back_and_is_taken_again_when_nobody_waits(world: World) -> None:
    world.there = {"a": 4}
    grounds, up = world.grounds(), crew(w0="a", w1="a", w2="a", w3="a")
    world.group("me", "CREATED", 4), world.group("other", "PENDING", 4)
    grounds.look(up)
    assert grounds.leaving(up) == ["w0", "w1"] and grounds.places() == 2
    world.groups = []
    world.group("me", "CREATED", 2), world.group("other", "CREATED", 2)
    grounds.look(crew(w2="a", w3="a"))
    assert grounds.places() == 4, "they are asked for; whoever has them lets them go when that is fair"


def test_a_sweep_without_a_worker_says_what_it_waits_for_once(world: World) -> None:
    grounds = world.grounds()
    world.group("me", "PENDING"), world.group("other", "CREATED", 2)
    grounds.look(crew(w0="")), grounds.look(crew(w0=""))
    assert world.notes == ["no place is free for a member; waiting for 1 other sweep on the cluster"]


def test_placement_pins_workers_to_nodes(world: World) -> None:
    world.there = {"a": 2, "b": 2}
    for placement, expected in (("pack", ["a", "a", "b", "b"]), ("spread", ["a", "b", "a", "b"])):
        grounds, up = world.grounds(placement), crew()
        grounds.look(up)
        chosen = []
        for k in range(4):
            chosen.append(grounds.request(f"w{k}", up)["labels"][OWN_LABEL])
            up.starts(f"w{k}")
        assert chosen == expected, placement


def test_nobody_looks_at_a_local_ray(world: World) -> None:
    grounds = Grounds(Cluster(None, 3, {}), world.notes.append, Depot("", Path("nowhere")))
    world.there = {}
    grounds.look(crew(w0="a"))
    assert grounds.places() == 3 and grounds.admits("anywhere")
