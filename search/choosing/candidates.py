"""Which configs to train on fresh seeds: a pure function of the members so far.

For scores lower is better, and no λ is in a score. One surface is fitted to all members, of the λ arms and of the off arm, over λ and the
nuisance knobs (`modelling/surface.py`). Both sides choose their nuisance knobs by it. If each side were tuned on its own few trials, the
luck of these trials would be measured as an effect of λ; and if the off arm got what suits λ, that too would be measured as an effect.

A *diverged* or *collapsed* member makes losses likely near its config. A *stopped* member enters at the score that its rungs predict. A
*failed* or *preempted* member says nothing about λ: it is missing data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from objectives.base import Knob, Value
from search.asking.space import ALONE, OFF_ARM, alone_arm
from search.choosing.answer import Candidate, Row, SelectionError
from search.choosing.feasibility import CANNOT, LIKELY, keeps, surface_of
from search.choosing.fitted import thinned
from search.conditions import active, settled, with_a_lambda, without
from search.modelling.axis import Axis
from search.modelling.minimum import lowest, numeric, rounded
from search.modelling.surface import Surface
from search.spec.constraints import Constraint

SAME = 0.02  # configs nearer than this, as a part of each range, are not told apart
BESIDE = 1.5  # where the arms beside the minimum stand: so many standard deviations of one training above it
RISKY = 0.3  # no arm beside the minimum stands where a loss is likelier than this
EVEN = 0.5  # where constraints are as likely met as broken
NO_OFF_MEMBER = "every λ off; no off member completed, so the nuisance knobs are those of the best λ"
_Config = dict[str, Value]


def candidates(
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    *,
    fixed: Mapping[str, Value],
    configs: int | None = None,
    simplify: Sequence[str] = (),
    alone: bool = False,
    constraints: Sequence[Constraint] = (),
) -> list[Candidate]:
    """The configs to train on fresh seeds, by priority. Configs that are not told apart are trained once.

    - `off`: every λ off, with the nuisance knobs that are best for it;
    - `min`: the minimum of the surface;
    - `bound`, where there are constraints: the minimum where they are as likely met as not;
    - `without:<λ>`, where several λ are searched together: `min` with this λ off;
    - `off:min`: every λ off, with the nuisance knobs of `min`;
    - `lucky`: the config with the best score;
    - `edge`: the farthest λ toward more regularization that is within one standard error of `min`, one λ after the other;
    - `mixed`: the λ of the minimum where the nuisance knobs are those of `lucky`;
    - `low:<λ>`, `high:<λ>`: `min` with this λ moved to where the surface is 1.5 sd of one training higher.

    Where each λ was searched `alone`, each λ has arms of its own, `min:<λ>` and so on, with all other λ off. A λ of which no member
    completed has none. Where no member with a λ on completed at all, the off arm is the only candidate.

    With constraints a minimum is taken among configs that very likely keep to them, as far as there are any, and no arm but `off` stands
    where they are surely broken. The off arm is the best that keeps to them; where none may, the best there is.

    Args:
        rows: every member so far.
        knobs: the searched knobs; their `low` and `high` are the ranges of this sweep.
        fixed: the values of all other knobs.
        configs: how many candidates at most; None means `usual(…)`.
        simplify: the order in which λ are moved toward more regularization; λ that are not named follow in knob order.
        alone: whether searched members had one λ on at a time.
        constraints: what a config must keep to.

    Raises:
        SelectionError: no searched knob is a λ, or no member at all completed.
    """
    lambdas = lambdas_of(knobs, simplify)
    ordered = sorted(rows, key=lambda row: row.number)
    if not any(row.ended == "ok" for row in ordered):
        counts = counts_of(row.state for row in ordered) or "none was trained"
        raise SelectionError(f"at least one member must complete before a λ can be chosen; of {len(ordered)}: {counts}")
    surface = surface_of(ordered, knobs, constraints)
    names = [ALONE + ":" + knob.name for knob in lambdas] if alone else [""]
    judged = [[knob] for knob in lambdas] if alone else [lambdas]
    sides = [_Side(ordered, knobs, one, surface, constraints) for one in judged]
    off = _off(surface, sides, knobs, lambdas, ordered)
    ranked = [Candidate(OFF_ARM, *off)]
    columns = [_named(side.arms(off[0]), name) for side, name in zip(sides, names, strict=True) if side.best is not None]
    for rank in range(max((len(column) for column in columns), default=0)):
        ranked += [column[rank] for column in columns if rank < len(column)]
    limit = configs if configs is not None else usual(len(lambdas), alone)
    off_values = {knob.name: off_value(knob) for knob in lambdas}
    full = [replace(one, config=settled({**fixed, **off_values, **one.config}, knobs)) for one in ranked]
    return _allowed(_apart(full, knobs), surface)[:limit]


def minima(
    rows: Sequence[Row], knobs: Sequence[Knob], lambdas: Sequence[Knob], surface: Surface | None, *, alone: bool = False
) -> dict[str, dict[str, Value]]:
    """The searched part of the minimum of each λ that is judged by itself, by its name; of all λ together under the name "".

    A minimum is left out where no member completed, where there is no surface, and where it lies nearer to a lost training than to three
    times its distance from a sound one: a curve says nothing about where trainings begin to be lost.
    """
    ordered = sorted(rows, key=lambda row: row.number)
    sides = [_Side(ordered, knobs, [knob], surface) for knob in lambdas] if alone else [_Side(ordered, knobs, lambdas, surface)]
    names = [knob.name for knob in lambdas] if alone else [""]
    found = {name: side.best for name, side in zip(names, sides, strict=True) if surface is not None}
    return {
        name: best
        for name, best in found.items()
        if best is not None and surface is not None and surface.losses.far(surface.encoder([best]))
    }


def edge(surface: Surface | None, best: Mapping[str, Value], lambdas: Sequence[Knob]) -> _Config:
    """The farthest config on the more regularized side whose excess over `best` is within one posterior sd, one λ after the other."""
    at, acting = dict(best), [knob for knob in lambdas if active(knob, best) and knob.more is not None]
    for axis in (Axis.of(knob) for knob in acting):
        start = axis.u(at[axis.name])
        path = [{**at, axis.name: axis.exact(float(u))} for u in np.linspace(start, 1.0 if axis.more > 0 else 0.0, 61)]
        if surface is None:
            at[axis.name] = axis.value(start + axis.more * axis.step)
            continue
        excess, sd = surface.excess(path, best)
        broken = ~surface.with_sure(LIKELY).allowed(path)
        outside = np.flatnonzero((excess > sd + 1e-9) | (surface.lost(path) > RISKY) | broken)
        at = path[max(int(outside[0]) - 1, 0) if len(outside) else -1]
    return rounded(at, acting)


def minimum(rows: Sequence[Row], knobs: Sequence[Knob], lambdas: Sequence[Knob], constraints: Sequence[Constraint] = ()) -> _Config | None:
    """The searched part of the config that these members would have chosen: the minimum of their surface; None where they have none."""
    surface = surface_of(rows, knobs, constraints)
    return _Side(rows, knobs, lambdas, surface).best if surface is not None else None


def usual(lambdas: int, alone: bool) -> int:
    """How many configs are trained on fresh seeds where the spec does not say: five, and more where several λ are to be told apart."""
    return 1 + 3 * lambdas if alone else 5 + (lambdas if lambdas > 1 else 0)


def counts_of(states: Iterable[str]) -> str:
    """`2 complete, 1 failed`."""
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items()))


def lambdas_of(knobs: Sequence[Knob], simplify: Sequence[str]) -> list[Knob]:
    """The searched λ in `simplify` order."""
    found = [knob for knob in knobs if knob.is_lambda]
    if not found:
        raise SelectionError(f"at least one searched knob must be a λ; got {', '.join(knob.name for knob in knobs) or 'none'}")
    rank = {name: place for place, name in enumerate(simplify)}
    return sorted(found, key=lambda knob: rank.get(knob.name, len(rank)))


def off_value(knob: Knob) -> float | int:
    """The off value of a λ, in its type."""
    assert knob.off is not None and not isinstance(knob.off, str)
    return round(knob.off) if knob.integer else knob.off


def _named(column: Sequence[Candidate], name: str) -> list[Candidate]:
    tail = name.partition(":")[2]
    return [replace(one, arm=f"{one.arm}:{tail}") for one in column] if tail else list(column)


def _apart(found: Sequence[Candidate], knobs: Sequence[Knob]) -> list[Candidate]:
    """The candidates that can be told from all before them."""
    kept: list[Candidate] = []
    for one in found:
        if not any(same(one.config, other.config, knobs) for other in kept):
            kept.append(one)
    return kept


def _allowed(found: Sequence[Candidate], surface: Surface | None) -> list[Candidate]:
    """The candidates without those that cannot keep to the constraints. The off arm stays. Where none can, all stay."""
    if surface is None or surface.feasible is None:
        return list(found)
    likely = dict(zip([one.arm for one in found], surface.keeps([one.config for one in found]), strict=True))
    if all(likely[one.arm] < CANNOT for one in found[1:]):
        return list(found)
    return [found[0], *(one for one in found[1:] if likely[one.arm] >= CANNOT)]


def same(left: Mapping[str, Value], right: Mapping[str, Value], knobs: Sequence[Knob]) -> bool:
    """Whether two configs are not told apart: every number within a fiftieth of its range, all else equal."""
    for knob in knobs:
        a, b = left[knob.name], right[knob.name]
        if a != b and (not numeric(knob) or knob.choices or abs(Axis.of(knob).u(a) - Axis.of(knob).u(b)) >= SAME):
            return False
    return True


def _off(
    surface: Surface | None, sides: Sequence[_Side], knobs: Sequence[Knob], lambdas: Sequence[Knob], rows: Sequence[Row]
) -> tuple[_Config, str]:
    """The off arm with the nuisance knobs that are best for it, and why they are."""
    values = {knob.name: off_value(knob) for knob in lambdas}
    nuisances = [knob for knob in knobs if not knob.is_lambda]
    complete = [row for row in rows if row.arm == OFF_ARM and row.ended == "ok"]
    constraints = sides[0].constraints
    first = next((side.best for side in sides if side.best is not None), None)
    if surface is None or not complete:
        best = dict(_best(complete, constraints).config) if complete else dict(first or rows[0].config)
        why = f"every λ off; the best of {len(complete)} off members" if complete else NO_OFF_MEMBER
        return {**{knob.name: best[knob.name] for knob in nuisances}, **values}, why
    starts = [row.config for row in thinned(rows, knobs) if row.ended == "ok"]
    found = lowest(surface.level, nuisances, {**starts[0], **values}, starts)
    if surface.keeps([found])[0] < CANNOT:  # λ off cannot keep to the constraints: it is the yardstick as good as it gets
        found = lowest(replace(surface, feasible=None).level, nuisances, {**starts[0], **values}, starts)
    why = "every λ off; the nuisance knobs are the best for it by a smooth fit to all members"
    return {name: value for name, value in rounded(found, nuisances).items() if name in {knob.name for knob in knobs}}, why


def _best(rows: Sequence[Row], constraints: Sequence[Constraint]) -> Row:
    """The member with the best score, of those that keep to every constraint where there are any."""
    return min(rows, key=lambda row: (not keeps(row, constraints), row.score, row.number))


@dataclass(frozen=True)
class _Side:
    """λ that are decided together: all of them, or one that was searched alone, with the surface of all members."""

    rows: Sequence[Row]
    knobs: Sequence[Knob]
    lambdas: Sequence[Knob]
    surface: Surface | None
    constraints: Sequence[Constraint] = ()

    @property
    def mine(self) -> list[Row]:
        """The members that completed with one of these λ on, and no other."""
        alone = [alone_arm(knob.name) for knob in self.lambdas]
        others = [knob for knob in self.knobs if knob.is_lambda and knob not in self.lambdas]
        on = [row for row in self.rows if row.ended == "ok" and any(row.config[knob.name] != off_value(knob) for knob in self.lambdas)]
        if not others:
            return on
        return [row for row in on if row.arm in alone or all(row.config[knob.name] == off_value(knob) for knob in others)]

    @property
    def searched(self) -> list[Knob]:
        """The knobs of this side, without choices that switch all of its λ off."""
        return with_a_lambda(without([knob.name for knob in self.knobs if knob.is_lambda and knob not in self.lambdas], self.knobs))

    def _acting(self, config: _Config) -> list[Knob]:
        """The λ of this side that act where a config lies."""
        return [knob for knob in self.lambdas if active(knob, config)]

    @property
    def best(self) -> _Config | None:
        """The minimum of the surface, or of the members where there is no surface; None where no member completed."""
        if not self.mine:
            return None
        lucky = self._config(_best(self.mine, self.constraints))
        if self.surface is None:
            return lucky
        return self._lowest(self.surface, lucky)

    def _lowest(self, surface: Surface, lucky: _Config) -> _Config:
        found = lowest(surface.level, self.searched, lucky, [self._config(row) for row in thinned(self.mine, self.knobs)])
        return self._on(rounded(found, self.searched))

    def arms(self, off: _Config) -> list[Candidate]:
        """All arms of this side except `off`, by priority."""
        best, lucky = self.best, self._on(self._config(_best(self.mine, self.constraints)))
        assert best is not None
        why = f"minimum of a smooth fit to {len(self.mine)} members with λ on" if self.surface else "the best member: too few for a fit"
        found = [Candidate("min", best, why)]
        if self.surface is not None and self.surface.feasible is not None:
            bold = self._lowest(self.surface.with_sure(EVEN), lucky)
            found.append(Candidate("bound", bold, "minimum where the constraints are as likely met as broken"))
        if len(self.lambdas) > 1:
            acting = self._acting(best)
            lone = [k for k in acting if k.more is not None]  # the others have no off value, but that of the baseline or the default
            found += [Candidate(f"without:{k.name}", {**best, k.name: off_value(k)}, f"min without {k.name}") for k in lone]
        nuisances = [knob for knob in self.knobs if not knob.is_lambda]
        if nuisances:
            found.append(Candidate("off:min", {**off, **{k.name: best[k.name] for k in nuisances}}, "off with the nuisance knobs of min"))
        found.append(Candidate("lucky", lucky, "the member with the best score"))
        found.append(Candidate("edge", edge(self.surface, best, self.lambdas), "1-SE edge of the fit toward more regularization"))
        if nuisances and self.surface is not None:
            # Its λ are those that act with the choices of `lucky`.
            mine = [replace(knob, when=()) for knob in self._acting(lucky)]
            mixed = self._on(rounded(lowest(self.surface.level, mine, lucky, [best]), mine))
            found.append(Candidate("mixed", mixed, "the best λ with the nuisance knobs of the best score"))
        return found + self._beside(best)

    def _config(self, row: Row) -> _Config:
        return {knob.name: row.config[knob.name] for knob in self.knobs}

    def _on(self, config: _Config) -> _Config:
        """A config that has a λ on: a minimum at the off value (it may be in the range) moves by a third of a step, or to a neighbour."""
        acting = self._acting(config)
        if any(config[knob.name] != off_value(knob) for knob in acting):
            return config
        if not acting:  # nothing may be moved there
            return self._config(_best(self.mine, self.constraints))
        axis = Axis.of(acting[0])
        at, move = axis.u(config[axis.name]), axis.more * axis.step / 3
        free = [axis.u(choice) for choice in axis.choices if choice != config[axis.name]]
        if free:
            return {**config, axis.name: axis.value(min(free, key=lambda u: abs(u - at)))}
        return {**config, axis.name: axis.value(at + move if 0.0 <= at + move <= 1.0 else at - move)}

    def _beside(self, best: _Config) -> list[Candidate]:
        """Arms where the curve is to be known: where it lies so much higher that few seeds tell, and no loss is likely."""
        found = []
        for axis in (Axis.of(knob) for knob in self._acting(best)):
            tail = f":{axis.name}" if len(self.lambdas) > 1 else ""
            for arm, end in (("low", 0.0), ("high", 1.0)):
                place = self._rise(best, axis, end)
                if place is not None:
                    why = f"min with {axis.name} where the fit is {BESIDE:g} sd of one training higher"
                    found.append(Candidate(arm + tail, {**best, axis.name: axis.value(place)}, why))
        return found

    def _rise(self, best: _Config, axis: Axis, end: float) -> float | None:
        """How far toward `end` of the axis the surface rises by `BESIDE`; the end where it does not; None where there is no room."""
        start = min(max(axis.u(best[axis.name]), 0.0), 1.0)
        if abs(end - start) < SAME:
            return None
        if self.surface is None:
            return min(max(start + (axis.step if end else -axis.step), 0.0), 1.0)
        path = np.linspace(start, end, 61)
        configs = [{**best, axis.name: axis.exact(float(u))} for u in path]
        rise = self.surface.process.mean(self.surface.encoder(configs))
        sound = (self.surface.lost(configs) <= RISKY) & self.surface.with_sure(EVEN).allowed(configs)
        last = int(np.argmin(sound)) - 1 if not sound.all() else len(path) - 1
        high = np.flatnonzero(rise - rise[0] >= BESIDE * self.surface.noise)
        place = min(int(high[0]) if len(high) else last, last)
        return float(path[place]) if place > 0 else None
