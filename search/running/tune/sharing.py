"""Several sweeps on one cluster: who has how many workers, who waits, and when one goes back. Plain data; nothing here asks Ray.

A sweep takes all that fits, or at most its `workers`. While another sweep waits for room, whoever has more workers than that one lets one
go when its member ends, until both have equally many. Workers with nothing to do go at once. No member is interrupted for this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.ray.nodes import Need, Node

PREFIX = "lagrange"
_WAITS = ("PENDING", "PREPARED", "RESCHEDULING")


@dataclass
class Shares:
    """How many workers each sweep has, and for how many it waits, by a name of its own. `mine` is the sweep that looks."""

    mine: str
    held: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)

    @property
    def wanted(self) -> bool:
        """Whether another sweep waits for room."""
        return any(count > 0 for name, count in self.waiting.items() if name != self.mine)

    @property
    def poor(self) -> bool:
        """Whether this sweep may ask for one more: another has two more than it, at least, and would let one go."""
        return any(count > self.held[self.mine] + 1 for name, count in self.held.items() if name != self.mine)

    def leaving(self, count: int) -> None:
        """So many workers of this sweep are on their way out: the poorest of those who wait will have them."""
        for _ in range(count):
            others = [name for name, waits in self.waiting.items() if name != self.mine and waits > 0]
            if others:
                self._hand(min(others, key=lambda name: (self.held[name], name)))

    def _hand(self, other: str) -> None:
        self.held[self.mine] -= 1
        self.held[other] += 1
        self.waiting[other] -= 1

    def lets_go(self, idle: bool) -> bool:
        """Whether a worker that is free now goes back, and count it as gone. `idle`: there is nothing for it to do.

        A sweep keeps one worker. The poorest of those who wait is served first.
        """
        others = [name for name, count in self.waiting.items() if name != self.mine and count > 0]
        if not others or self.held[self.mine] <= 1:
            return False
        poorest = min(others, key=lambda name: (self.held[name], name))
        if not idle and self.held[self.mine] <= self.held[poorest] + 1:
            return False
        self._hand(poorest)
        return True


def label(sweep: str, count: int) -> str:
    """The name under which a sweep asks for its worker."""
    return f"{PREFIX}/{sweep}/{count}"


def shares(mine: str, table: Iterable[Mapping[str, Any]]) -> Shares:
    """The shares, by Ray's table of placement groups. Those that others than sweeps have asked for are left out."""
    found = Shares(mine)
    for group in table:
        prefix, _, rest = str(group.get("name", "")).partition("/")
        if prefix == PREFIX and group["state"] == "CREATED":
            found.held[rest.partition("/")[0]] += 1
        elif prefix == PREFIX and group["state"] in _WAITS:
            found.waiting[rest.partition("/")[0]] += 1
    return found


def chosen(placement: str | None, nodes: Sequence[Node], need: Need, taken: Mapping[str, int]) -> str:
    """The node for one more worker; empty where Ray is to choose. `taken`: how many workers of this sweep are on each node already.

    `pack` fills the node that has room for the fewest more, `spread` takes the one with the fewest workers of this sweep.
    """
    room = {node.id: need.on(node) - taken.get(node.id, 0) for node in nodes}
    open_nodes = [name for name in sorted(room) if room[name] > 0]
    if placement is None or not open_nodes:
        return ""
    return min(open_nodes, key=lambda name: room[name] if placement == "pack" else taken.get(name, 0))
