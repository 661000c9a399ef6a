"""A path of warm starts: is the score at a λ another one on the way up than on the way back?

Of each chain (one seed) the first training at a value of λ is of the way up, the second of the way back. The gap of a chain at a value is

    g = score on the way back − score on the way up,

and lower scores are better. The noise s of one gap is pooled over the values: s² = Σ (g − ḡ)² / Σ (n − 1), with n chains at a value. A mean
gap ḡ is more than luck where |ḡ| > t · s / √n; t is Student's, at 5 % for all values together (Bonferroni). With one chain s is unknown.

On the way back a member has trained longer than on the way up. At the end where the path turns, both ways have the same λ before them, so
the gap there is what more training alone does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from objectives.base import Knob, Phase, Value
from search.asking.space import OFF_ARM, SEARCH_ARM, Space, alone_arm
from search.choosing.answer import Answer, Row
from search.choosing.arms import t_quantile
from search.choosing.words import number
from search.modelling.axis import Axis

ERROR = 0.05
TWO_CHAINS = "sampler: {name: path, chains: 2}"


@dataclass(frozen=True)
class Point:
    """The mean scores at one value of λ, over chains that completed both ways."""

    value: float
    up: float
    back: float
    gap: float
    chains: int

    def words(self, noise: float) -> str:
        """`up 23.4, back 25.1`, with the digits that the noise of a gap leaves."""
        width = abs(self.gap) if math.isnan(noise) else max(noise, 1e-3 * abs(self.gap))
        return f"up {number(self.up, width)}, back {number(self.back, width)}"


@dataclass(frozen=True)
class Hysteresis:
    """The path of one λ. `noise`: the standard deviation of one chain's gap; NaN where it is unknown."""

    name: str
    points: tuple[Point, ...]  # from weak to strong
    noise: float
    freedom: int

    def limit(self, point: Point) -> float:
        """How large a mean gap luck makes."""
        if self.freedom < 1:
            return math.nan
        return t_quantile(1 - ERROR / (2 * len(self.points)), self.freedom) * self.noise / math.sqrt(point.chains)

    def plain(self) -> dict[str, Any]:
        """As plain data, for the answer."""
        points = [{**asdict(one), "luck": self.limit(one)} for one in self.points]
        return {"points": points, "noise": self.noise, "line": self.line()}

    @property
    def largest(self) -> Point:
        """The point with the largest gap, in either direction."""
        return max(self.points, key=lambda one: abs(one.gap))

    def line(self) -> str:
        """`at 0.5 up 23.4, back 25.1; at 1 up 22.0, back 22.1 (up and back differ by 0.2 in one chain by luck)`."""
        said = "; ".join(f"at {number(one.value)} {one.words(self.noise)}" for one in self.points)
        luck = f"up and back differ by {number(self.noise)} in one chain by luck" if self.freedom else "one chain: luck is unknown"
        return f"{said} ({luck})"

    def notes(self) -> list[str]:
        """What the path shows, in words."""
        at, limit = self.largest, self.limit(self.largest)
        most = f"Up and back differ most at {self.name} = {number(at.value)} ({at.words(self.noise)})"
        if math.isnan(limit):
            said = f"whether there is hysteresis is unknown. {most}. One chain does not say how large luck is; two would: {TWO_CHAINS}"
        elif abs(at.gap) > limit:
            said = f"hysteresis. {most}; luck alone makes {number(limit)} at most (95 %). So what was trained before, or how long, counts"
        else:
            said = f"no hysteresis was found. {most}, and luck alone makes up to {number(limit)} (95 %)"
        said = f"{self.name}: {said}"
        return [said, *self._turn()]

    def _turn(self) -> list[str]:
        """What more training alone does: at the end where the path turns, both ways come from the same values."""
        turn = self.points[-1]
        if turn.gap == 0:
            return []
        how = f"{number(abs(turn.gap))} {'worse' if turn.gap > 0 else 'better'}"
        return [f"{self.name}: at {number(turn.value)}, where the path turns, the way back only trains longer; its score is {how}"]


def hysteresis(rows: Sequence[Row], knob: Knob, arm: str) -> Hysteresis | None:
    """The path of one λ in one arm; None where no chain completed both ways at any value."""
    seen: dict[tuple[int, float], list[float | None]] = {}
    for row in sorted(rows, key=lambda row: row.number):
        if row.phase == Phase.SEARCH and row.arm == arm and not row.astray:  # another member stands in for one that was lost
            score = row.score if row.ended == "ok" else None
            seen.setdefault((row.seed, float(row.config[knob.name])), []).append(score)
    pairs: dict[float, list[tuple[float, float]]] = {}
    for (_, value), scores in seen.items():
        up, back = (*scores, None, None)[:2]
        if up is not None and back is not None:
            pairs.setdefault(value, []).append((up, back))
    if not pairs:
        return None
    points, squares, freedom = [], 0.0, 0
    for value, both in sorted(pairs.items(), reverse=knob.more == "low"):
        gaps = np.array([back - up for up, back in both])
        up, back = np.mean(both, axis=0)
        points.append(Point(value, float(up), float(back), float(gaps.mean()), len(gaps)))
        squares += float(np.sum((gaps - gaps.mean()) ** 2))
        freedom += len(gaps) - 1
    return Hysteresis(knob.name, tuple(points), math.sqrt(squares / freedom) if freedom else math.nan, freedom)


def scratch_note(path: Hysteresis, knob: Knob, value: Value, mean: float, error: float) -> list[str]:
    """Whether trainings from scratch at a λ score as the path does there, by a line between its points; empty where too few say so."""
    axis = Axis.of(knob)
    points = sorted(path.points, key=lambda one: axis.u(one.value))
    places = [axis.u(one.value) for one in points]
    up, back = (float(np.interp(axis.u(value), places, [getattr(one, way) for one in points])) for way in ("up", "back"))
    nearest, way = (up, "up") if abs(up - mean) < abs(back - mean) else (back, "back")
    # A line between points h apart misses a curve by at most h²/8 times its second derivative; a second difference is h² times that.
    bend = float(np.abs(np.diff([getattr(one, way) for one in points], 2)).max(initial=0.0)) / 8
    # A gap is a difference of two scores; a point is the mean of as many scores as there are chains.
    noise = 0.0 if math.isnan(path.noise) else path.noise / math.sqrt(2 * min(one.chains for one in points))
    luck = 2 * math.hypot(error, noise) + bend
    if math.isnan(mean) or math.isnan(error):
        return []
    said = f"{knob.name} = {number(float(value))} trained from scratch scores {number(mean, error)} ± {number(error)}"
    ways = f"(up {number(up, error)}, back {number(back, error)})"
    if min(up, back) <= mean <= max(up, back) or abs(mean - nearest) <= luck:
        return [f"{said}, which agrees with the path {ways}; the exported {knob.name} is for training from scratch"]
    less = "worse" if mean > nearest else "better"
    apart = f"{number(abs(mean - nearest))} {less} than on the path {ways}, where the trainings before it count, too"
    return [f"{said}. That is {apart}. The exported {knob.name} is for training from scratch"]


def with_paths(found: Answer, space: Space, rows: Sequence[Row]) -> Answer:
    """The answer with what paths of warm starts show, and whether a training from scratch scores the same."""
    paths, notes = {}, list(found.notes)
    for knob in space.lambdas if any(row.parent is not None and not row.start for row in rows) else []:
        path = hysteresis(rows, knob, alone_arm(knob.name) if space.alone else SEARCH_ARM)
        one = next(each for each in found.lambdas if each.name == knob.name)
        if path is None:
            notes.append(f"{knob.name}: no value of the path is complete on both ways, so hysteresis is unknown")
            continue
        paths[knob.name] = path.plain()
        notes += path.notes()
        arm = next((each for each in found.arms if each["arm"] == (one.arm or found.arm) and each["arm"] != OFF_ARM), None)
        notes += scratch_note(path, knob, arm["config"][knob.name], arm["mean"], arm["se"]) if arm else []
    return replace(found, hysteresis=paths, notes=notes)
