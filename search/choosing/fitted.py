"""The surface of a sweep's members: of all of them, or in a large sweep of a part that says as much about its minimum.

Fitting a Gaussian process takes time with the third power of its trainings. Up to `MOST` members the surface is that of all of them.
Beyond, the members of the search are thinned, arm by arm: half of an arm's share lies evenly over the order of asking, so it covers what
the sampler covered; the other half are the members whose configs lie nearest to the best of the first half. So nobody is taken because its
own score was lucky: a surface through the luckiest of thousands would lie too low at its minimum. Confirmed members are always there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from objectives.base import Knob, Phase, State
from search.choosing.answer import LOST_TO_LAMBDA, Row
from search.choosing.trainings import finals, trainings
from search.modelling.encoder import Encoder
from search.modelling.process import Array
from search.modelling.surface import Surface

MOST = 400  # members, above which a surface is fitted to a part of them
PLACES = 10  # the best of an arm's first half, near which its other half lies
KEPT = 8  # surfaces that are remembered: the answer asks for the same ones again and again
_ENDED = (State.COMPLETE, State.STOPPED, *LOST_TO_LAMBDA)
_known: OrderedDict[Any, Surface | None] = OrderedDict()


def surface_of_all(rows: Sequence[Row], knobs: Sequence[Knob]) -> Surface | None:
    """The surface of these members, thinned where they are many; None where too few completed. The same members have the same one."""
    told = trainings(thinned(rows, knobs))
    key = (tuple(knobs), tuple((tuple(one.config.items()), one.seed, one.score, one.doubt, one.stopped) for one in told))
    if key not in _known:
        _known[key] = Surface.of(told, knobs)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return _known[key]


def thinned(rows: Sequence[Row], knobs: Sequence[Knob]) -> Sequence[Row]:
    """The members that a surface is fitted to: all of them, or `MOST` where more have ended."""
    ended = [row for row in rows if row.state in _ENDED]
    if len(ended) <= MOST:
        return rows
    searched = sorted((row for row in ended if row.phase == Phase.SEARCH), key=lambda row: row.number)
    kept = [row for row in ended if row.phase != Phase.SEARCH]
    room, arms = max(MOST - len(kept), MOST // 2), dict[str, list[Row]]()
    for row in searched:
        arms.setdefault(row.arm, []).append(row)
    for mine in arms.values():
        kept += _part(mine, max(1, round(room * len(mine) / len(searched))), knobs)
    return sorted(kept, key=lambda row: row.number)


def _part(rows: Sequence[Row], count: int, knobs: Sequence[Knob]) -> list[Row]:
    """So many members of one arm: half of them evenly over its order, the others near the best of these."""
    if count >= len(rows):
        return list(rows)
    even = np.unique(np.linspace(0, len(rows) - 1, max(1, count // 2)).round().astype(int))
    first = [rows[at] for at in even]
    known = finals(first)
    best = sorted((row for row in first if row.number in known), key=lambda row: (known[row.number].score, row.number))[:PLACES]
    if not best:
        return [rows[at] for at in np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))]
    taken = set(even.tolist())
    rest = [row for at, row in enumerate(rows) if at not in taken]
    encoder = Encoder(knobs, [row.config for row in rows])
    near = _apart(encoder([row.config for row in rest]), encoder([row.config for row in best]))
    return first + [rest[at] for at in np.argsort(near, kind="stable")[: count - len(first)]]


def _apart(points: Array, places: Array) -> Array:
    """The squared distance of each row from the nearest place, shape (n,)."""
    found: Array = np.full(len(points), np.inf)
    for place in places:
        found = np.minimum(found, ((points - place) ** 2).sum(axis=1))
    return found
