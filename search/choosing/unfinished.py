"""The values of a λ at which no training completed, and some were stopped early. The surface knows their first epochs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from objectives.base import Knob
from search.choosing.words import number
from search.modelling.axis import Axis
from search.modelling.process import Array
from search.modelling.surface import Surface

RISKY = 0.5  # where a loss is likelier than this, no minimum is counted
NEAR = 0.1  # a training that completed speaks for this part of the range on either side


class Cut(NamedTuple):
    """Whether an interval is cut off at its low and at its high end."""

    low: bool
    high: bool


@dataclass(frozen=True)
class Unfinished:
    """Values of a λ that lie where nobody was trained to the end, and somebody was stopped: `places` on the `path` through its range.

    They lie between two values at which a training completed, or beyond the last one, farther than `NEAR` from both. Values at which a loss
    is likely are none of them; a training that was lost says nothing else, for it has no score. A final score that is predicted from first
    epochs assumes that learning curves keep their order. Far from all curves that ended nothing tests this: a VAE whose code collapses at a
    large weight of the KL has the first epochs of a good one.
    """

    axis: Axis
    path: Array
    places: NDArray[np.bool_]
    stopped: Array  # where the members that were stopped lie
    lost: Array  # where those lie that were lost

    @staticmethod
    def of(surface: Surface, knob: Knob, path: Array) -> Unfinished:
        """Those of a surface, on a path of parts of the range."""
        column = surface.encoder.column(knob)
        at, gone = surface.losses.points[:, column], surface.losses.lost > 0
        sound, stopped, lost = np.unique(at[~surface.stopped & ~gone]), at[surface.stopped], at[gone]
        places = np.zeros(len(path), dtype=bool)
        if len(sound):
            fences = np.concatenate([[-np.inf], sound, [np.inf]])
            gap = np.searchsorted(sound, path)
            below, above = fences[gap], fences[gap + 1]
            watched = ((stopped > below[:, None]) & (stopped < above[:, None])).any(axis=1)
            likely = surface.losses.along(column).beyond(path[:, None]) > RISKY
            places = watched & (path - below > NEAR) & (above - path > NEAR) & ~likely
        return Unfinished(Axis.of(knob), path, places, stopped, lost)

    def taken_from(self, kept: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], Cut]:
        """The values that are left of an interval without them, and whether that cuts it off; all of them, where none would be left."""
        left = kept & ~self.places
        if not left.any():
            return kept, Cut(False, False)
        first, last = np.flatnonzero(left)[[0, -1]]
        return left, Cut(bool(first and kept[first - 1]), bool(last + 1 < len(kept) and kept[last + 1]))

    def parts(self) -> tuple[tuple[float, float], ...]:
        """Their runs, each from its lowest to its highest value, in units of the λ."""
        places = np.flatnonzero(self.places)
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else []
        return tuple((float(self.axis.value(self.path[run[0]])), float(self.axis.value(self.path[run[-1]]))) for run in runs)

    def words(self) -> str:
        """What is said of them, and what can be done; empty where there are none."""
        if not (parts := self.parts()):
            return ""
        shown = [(number(low), number(high)) for low, high in parts]
        where = " and ".join(f"at {low}" if low == high else f"from {low} to {high}" for low, high in shown)
        ends = [(self.axis.u(low), self.axis.u(high)) for low, high in parts]
        count, gone = (sum(any(low <= at <= high for low, high in ends) for at in those) for those in (self.stopped, self.lost))
        many = f"every training was stopped early ({count} of them)" if count else "no training ran to its end"
        many = f"no training completed ({count} stopped early, {gone} lost)" if gone else many
        return f"{where} {many}, so nobody knows whether the best lies there: a sweep of that range with scheduler none would tell"
