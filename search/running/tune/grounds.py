"""The nodes under a sweep while it runs. Each proves itself before it trains; those that join are used; those that leave are named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import ray
from ray.exceptions import NodeDiedError, TaskUnschedulableError
from ray.util.placement_group import placement_group_table
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from infra.errors import InfraError, StorageError
from infra.ray import alike, cluster, shared
from infra.ray.cluster import Cluster
from infra.ray.nodes import OWN_LABEL, Need, Node, capacity, names
from infra.storage import disk, folder
from infra.storage.depot import Depot
from search.running.tune.crew import Crew
from search.running.tune.sharing import Shares, chosen, label, shares

LOOK_SECONDS = 2.0  # between two looks at the nodes
PROOF_SECONDS = 60.0  # a node that does not answer for so long is left out


class Proofs:
    """Asks each node, by a task that is pinned to it, what decides there what a training is, and whether it shares the storage."""

    def __init__(self, modules: Sequence[str], depot: Depot, proven: Iterable[str] = ()) -> None:
        self._modules, self._depot, self._token = tuple(modules), depot, ""
        self._asked: dict[Any, tuple[Node, float]] = {}
        self.proven = set(proven)
        self.refused: dict[str, str] = {}  # node, and what is said of it

    @cached_property
    def _here(self) -> dict[str, str]:
        if said := folder.gone():  # then no module of the user's is found here, and no node is to be blamed
            raise StorageError(said)
        return alike.facts(self._modules)

    @property
    def pending(self) -> bool:
        """Whether a node has not answered yet."""
        return bool(self._asked)

    def ask(self, nodes: Iterable[Node]) -> None:
        """Ask those that were not asked yet. Does not wait."""
        known = self.proven | set(self.refused) | {node.id for node, _ in self._asked.values()}
        for node in nodes:
            if node.id not in known:
                self._token = self._token or shared.begin(self._depot)
                pinned = NodeAffinitySchedulingStrategy(node.id, soft=False)
                task = ray.remote(alike.proof).options(num_cpus=0, max_retries=0, scheduling_strategy=pinned)
                self._asked[task.remote(self._modules, self._depot, self._token, _called(node))] = node, time.monotonic()

    def judge(self, seconds: float = 0.0) -> list[Node]:
        """Wait for answers, at most so long. Returns the nodes that are judged by them."""
        if not self._asked:
            return []
        ready, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=seconds)
        late = [ref for ref, (_, since) in self._asked.items() if ref not in ready and time.monotonic() - since > PROOF_SECONDS]
        judged = [self._judged(ref, ref in ready) for ref in (*ready, *late)]
        if not self._asked:
            shared.end(self._depot, self._token)
            self._token = ""
        return judged

    def _judged(self, ref: Any, answered: bool) -> Node:
        node, _ = self._asked.pop(ref)
        try:
            faults = self._faults(ref, node) if answered else [_unlike(node, f"it did not answer within {PROOF_SECONDS:g} s")]
        except (TaskUnschedulableError, NodeDiedError):
            return node  # it is gone: neither proven nor refused. One that comes back is another node
        if faults:
            self.refused[node.id] = " ".join(faults)
        else:
            self.proven.add(node.id)
        return node

    def _faults(self, ref: Any, node: Node) -> list[str]:
        try:
            facts, storage = ray.get(ref)
        except (TaskUnschedulableError, NodeDiedError):
            raise
        except Exception as error:  # no Lagrange there, or an older one
            return [_unlike(node, str(error).strip().splitlines()[-1][:200])]
        found = alike.differences(self._here, facts)
        return [
            *([_unlike(node, "; ".join(found))] if found else []),
            *shared.missing(self._depot, self._token, {_called(node): storage}),
        ]


def _called(node: Node) -> str:
    """A name of its own for each node: a host may have several."""
    return f"{node.name} ({node.id[:8]})"


def _unlike(node: Node, what: str) -> str:
    return (
        f"Every node must run what the driver runs; node {_called(node)} does not: {what}. "
        "Install there what the driver has (constraints.txt, and the same Lagrange), or stop that node."
    )


def proven(up: Cluster, modules: Sequence[str], depot: Depot) -> Cluster:
    """The cluster, with the nodes that have proved themselves.

    Raises:
        StorageError: the storage is full or read-only, or the driver's folder is gone.
        InfraError: a node on which members could be trained has other versions or code, shares no storage, or does not answer.
    """
    proofs = Proofs(modules, depot)
    try:
        proofs.ask(node for node in cluster.nodes() if up.need.on(node))
    except OSError as error:
        if said := disk.fault(error, [depot.here]):
            raise StorageError(said) from None
        raise InfraError(
            f"The driver must be able to write to the storage {depot.url or depot.here}: {error}. Name another: --storage."
        ) from None
    while proofs.pending:
        proofs.judge(PROOF_SECONDS)
    if proofs.refused:
        raise InfraError("\n".join(proofs.refused.values()))
    return replace(up, proven=frozenset(proofs.proven))


class Grounds:
    """Where workers may be, and how many. Of a local Ray nothing changes, and nobody looks."""

    def __init__(
        self,
        up: Cluster,
        note: Callable[[str], None],
        depot: Depot,
        *,
        modules: Sequence[str] = (),
        placement: str | None = None,
        wait_minutes: float | None = None,
    ) -> None:
        self._up, self._note, self._placement = up, note, placement
        self._proofs = Proofs(modules, depot, up.proven)
        self._nodes: dict[str, Node] = {}  # those that are up
        self._names: dict[str, str] = {}  # of all that were seen
        self._pinned: dict[str, str] = {}  # the node that was chosen for a worker
        self._room, self._count = up.workers, 0
        self._cap: int | None = None  # while others wait: how many workers this sweep keeps to
        self._minutes = cluster.WAIT_MINUTES if wait_minutes is None else wait_minutes
        self._empty: float | None = None  # since when there is no node for a worker
        self._looked, self._said_to_wait = -LOOK_SECONDS, False
        self._mine = ray.get_runtime_context().get_job_id()
        self._shares = Shares(self._mine)

    @property
    def need(self) -> Need:
        """What one worker occupies."""
        return self._up.need

    def places(self) -> int:
        """How many workers there may be now. One is always asked for: an autoscaler hears of it, and a cluster may come back."""
        if self._up.local:
            return self._up.workers
        # A sweep with a number of its own asks a cluster that can grow for so many; another asks for what there is.
        wanted = self._up.most or self._room
        room = wanted if self._up.grows else min(wanted, self._room)
        return max(1, min(room, self._cap or room))

    def request(self, key: str, crew: Crew) -> dict[str, Any]:
        """What one more worker asks for: resources, labels of its node, and the name of the request."""
        self._count += 1
        here = [self._pinned.get(other) or worker.node for other, worker in crew.workers.items()]
        node = chosen(self._placement, self._admitted(), self.need, {name: here.count(name) for name in here})
        self._pinned[key] = node
        out = f"!in({','.join(sorted(self._proofs.refused))})" if self._proofs.refused else ""
        own = {OWN_LABEL: node or out} if node or out else {}
        return {"bundle": self.need.bundle(), "labels": {**self.need.labels, **own}, "name": label(self._mine, self._count)}

    def admits(self, node: str) -> bool:
        """Whether workers on this node may train."""
        return self._up.local or node in self._proofs.proven

    def leaving(self, crew: Crew) -> list[str]:
        """Free workers that do not go on: their node is gone or refused, or another sweep waits for their place."""
        gone = [key for key in crew.free() if self._gone(crew.workers[key].node) or crew.workers[key].node in self._proofs.refused]
        for key in [key for key in crew.free() if key not in gone] if self._shares.wanted else []:
            if not self._shares.lets_go(crew.idle):
                break
            self._cap = self._shares.held[self._mine]
            gone.append(key)
        return gone

    def how_it_died(self, node: str, words: str) -> str:
        """What is said of a worker that is gone: whether its node is gone with it."""
        self._see(cluster.nodes() if node and not self._up.local else ())
        return f"preempted: its node {self._names.get(node, node)} left the cluster: {words}" if self._gone(node) else words

    def look(self, crew: Crew) -> None:
        """Look at the nodes and at the other sweeps, not too often.

        Raises:
            InfraError: there has been no node for a worker for too long.
        """
        now = time.monotonic()
        if self._up.local or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        self._see(cluster.nodes())
        self._share(crew)
        room = capacity(self._admitted(), self.need)
        self._bear(room, now)
        if room > self._room:
            crew.again()
        if room > self._room and crew.up:
            self._note(f"the cluster has room for {room} members at once now (it had for {self._room})")
        self._room = room
        crew.plan.division.workers = self.places()

    def _bear(self, room: int, now: float) -> None:
        """Wait for a node where none is left, and not for ever."""
        if room:
            self._empty = None
        elif self._empty is None:
            self._empty = now
            self._note(f"no node is left on which a member fits; waiting for one, at most {self._minutes:g} min (resources.wait_minutes)")
        elif now - self._empty > 60 * self._minutes:
            raise InfraError(
                f"A node must have room for a member; none came within {self._minutes:g} min. "
                "What was trained is kept: start nodes and resume the sweep."
            )

    def _see(self, found: Sequence[Node]) -> None:
        """Take in which nodes are there, and let new ones prove themselves."""
        if not found:
            return
        left = set(self._nodes) - {node.id for node in found}
        self._nodes = {node.id: node for node in found}
        self._names |= {node.id: node.name for node in found}
        self._proofs.ask(node for node in found if self.need.on(node))
        for node in self._proofs.judge():
            if node.id in self._proofs.refused and node.id in self._nodes:
                self._note(f"left out: {self._proofs.refused[node.id]}")
        if gone := [Node(one, self._names[one]) for one in left if one in self._proofs.proven]:
            self._note(f"left the cluster: {names(gone)}; what was trained there goes on elsewhere")

    def _share(self, crew: Crew) -> None:
        """Take in who else has workers and who waits. A sweep that gave workers back takes them again when nobody waits."""
        self._shares = shares(self._mine, placement_group_table().values())
        self._shares.leaving(max(0, self._shares.held[self._mine] - len(crew.workers)))
        if not self._shares.wanted:
            self._cap = None
        elif self._cap is not None and self._shares.poor and not crew.idle:
            self._cap += 1
        waits = self._shares.waiting[self._mine] > 0 and not self._shares.held[self._mine]
        if waits and not self._said_to_wait:
            others = sum(count > 0 for name, count in self._shares.held.items() if name != self._mine)
            busy = (
                f"{others} other sweep{'s' if others != 1 else ''} on the cluster" if others else "other programs on the cluster, or nodes"
            )
            self._note(f"no place is free for a member; waiting for {busy}")
        self._said_to_wait = waits

    def _admitted(self) -> list[Node]:
        return [node for node in self._nodes.values() if node.id in self._proofs.proven]

    def _gone(self, node: str) -> bool:
        """Whether a node is known to have left."""
        return node in self._names and node not in self._nodes
