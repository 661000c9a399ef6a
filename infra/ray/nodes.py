"""Nodes of a Ray as plain data: what each has, how many workers fit on it, and what is said where none does. Nothing here asks Ray."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

GIB = 2**30  # bytes in one GB of `memory_gb`, as Ray counts memory
OWN_LABEL = "ray.io/node-id"  # the label that Ray itself gives to every node
_SLACK = 1e-6  # Ray counts in units of 1e-4; a sum of floats may fall short of a whole number by less


@dataclass(frozen=True)
class Node:
    """A node that is up. `resources`: what it has in all, in Ray's names (CPU, GPU, memory in bytes); `free`: what nobody uses now."""

    id: str
    name: str
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    free: Mapping[str, float] | None = None

    def has(self) -> str:
        """What it has, in words."""
        have = self.resources
        known = [f"{have.get('CPU', 0):g} CPU", f"{have.get('GPU', 0):g} GPU", f"{have.get('memory', 0) / GIB:.0f} GB of memory"]
        own = [f"{amount:g} {name}" for name, amount in sorted(have.items()) if _is_custom(name)]
        labels = [f"{name}: {value}" for name, value in sorted(self.labels.items()) if not name.startswith("ray.io/")]
        return ", ".join([*known, *own, *labels])


@dataclass(frozen=True)
class Need:
    """What one worker occupies. All of it must be there on one node.

    `custom` are resources by the names that the nodes were started with. `labels` are what a node's labels must be, as Ray writes it:
    `value`, `!value`, `in(a,b)` or `!in(a,b)`.
    """

    cpu: float = 1
    gpu: float = 0
    memory_gb: float | None = None
    custom: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def bundle(self) -> dict[str, float]:
        """The need in Ray's names, without what is 0. Memory in bytes."""
        asked = {"CPU": self.cpu, "GPU": self.gpu, "memory": math.ceil((self.memory_gb or 0) * GIB), **self.custom}
        return {name: float(amount) for name, amount in asked.items() if amount > 0}

    def words(self) -> str:
        """The need as a person reads it."""
        parts = [f"{self.cpu:g} CPU", f"{self.gpu:g} GPU"]
        parts += [f"{self.memory_gb:g} GB of memory"] if self.memory_gb else []
        parts += [f"{amount:g} {name}" for name, amount in self.custom.items()]
        parts += [f"a node with {name}: {value}" for name, value in self.labels.items()]
        return ", ".join(parts)

    def on(self, node: Node, *, free: bool = False) -> int:
        """How many workers fit on a node at once. `free`: only on what nobody uses now.

        A part of a GPU is a part of one GPU: 2 GPUs hold two workers of 0.6 GPU each, not three.
        """
        have = node.resources if not free or node.free is None else node.free
        if not all(_matches(wanted, node.labels.get(name)) for name, wanted in self.labels.items()):
            return 0
        counts = []
        for name, amount in self.bundle().items():
            there = have.get(name, 0.0) + _SLACK
            counts.append(int(there) * int(1 / amount + _SLACK) if name == "GPU" and amount < 1 and not free else int(there // amount))
        return min(counts) if counts else 1


def capacity(nodes: Iterable[Node], need: Need) -> int:
    """How many workers fit at once, node by node. A node of 1 CPU and another one hold no worker of 2 CPUs."""
    return sum(need.on(node) for node in nodes)


def too_small(nodes: Sequence[Node], need: Need) -> str:
    """Why no worker fits on any node: what must hold, what the nodes have, and what to do."""
    have = [f"{count} × ({what})" if count > 1 else f"({what})" for what, count in Counter(node.has() for node in nodes).most_common(8)]
    return (
        f"One node must have room for one member, which needs {need.words()}. The nodes have: {'; '.join(have) or 'nothing'}. "
        "Lower `resources` in the spec, or start larger nodes. Where nodes are still to come, say how long to wait: resources.wait_minutes."
    )


def still_to_come(nodes: Sequence[Node]) -> bool:
    """Whether workers must still come: there are nodes, and none of them may train, as where a head was started with 0 CPUs."""
    return bool(nodes) and not any(node.resources.get("CPU", 0) > 0 for node in nodes)


def names(nodes: Iterable[Node]) -> str:
    """The names of nodes, once each."""
    return ", ".join(name for name, _ in groupby(sorted(node.name for node in nodes)))


def _is_custom(name: str) -> bool:
    """Whether a resource was named by whoever started the node."""
    return name not in ("CPU", "GPU", "memory", "object_store_memory") and not name.startswith(("node:", "accelerator_type:"))


def _matches(wanted: str, label: str | None) -> bool:
    """Whether a label is as a selector of Ray's asks."""
    against, _, inner = wanted.partition("in(") if wanted.rstrip().endswith(")") and "in(" in wanted else ("", "", "")
    values = [one.strip() for one in inner.rstrip().removesuffix(")").split(",")] if inner else [wanted.removeprefix("!")]
    refused = against.startswith("!") if inner else wanted.startswith("!")
    return (label not in values) if refused else label in values
