"""Which few configs to confirm on fresh seeds: a pure function of the search's members.

For scores lower is better, and no λ is in a score. Three rules are declared, not estimated:

- a *diverged* or *collapsed* member enters the fit one unit above the worst other member;
- a *stopped* member enters at the final score that its rung scores predict, with the uncertainty of that prediction;
- a *failed* or *preempted* member says nothing about λ: it is missing data.

Both sides, λ and off, choose their nuisance knobs by one rule from the same information. The information is one fit over the members of
both sides. The choice is among the combinations of nuisance knobs with which a member of either side trained to its end. Both sides share
the combination that is best for both together. If the fit says, by more than one predictive sd, that one side loses by sharing, each side
has its own best combination. The reason: if each side were tuned on its own few trials, the luck of these trials would be measured as an
effect of λ. If the off arm got what suits λ, that too would be measured as an effect of λ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from objectives.base import Knob, Phase, State, Value
from search.asking.space import OFF_ARM, alone_arm
from search.choosing.answer import Candidate, Row, SelectionError
from search.choosing.confirm_fit import Array, Axis, place
from search.choosing.search_fit import Encoder, Final, Squash, Surface, edge, finals, fit_surface, lowest, minimum

WORST = 1.0  # how far beyond the worst other member a diverged one lies, in squashed units: a factor e


def candidates(
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    *,
    fixed: Mapping[str, Value],
    configs: int | None = None,
    simplify: Sequence[str] = (),
    alone: bool = False,
) -> list[Candidate]:
    """The configs to confirm on fresh seeds: `off`, `min`, `without:<λ>`, `edge`, `low` and `high`, in this order of priority.

    `min` minimizes a smooth fit of the search scores. `edge` is the 1-SE edge of `min` toward more regularization (one λ at a time, in
    `simplify` order). `low` and `high` lie a factor 3 (a quarter of a linear range) outside min..edge. With several λ there is for each λ a
    `without:<λ>` (this λ at its off value), a `low:<λ>` and a `high:<λ>`. The λ arms share the nuisance knobs of `min`. So does the off
    arm, unless it is clearly better with its own.

    Where each λ was searched `alone`, each λ is decided from its own members and the members of the off arm. The order is `off`, then
    `min:<λ>` of each λ, then of each λ the weaker neighbour, `edge:<λ>` and the stronger neighbour. All have the other λ off. A λ with no
    complete member is left out.

    Args:
        rows: every member of the search.
        knobs: the searched knobs; their `low` and `high` are the ranges of this sweep.
        fixed: the values of all other knobs.
        configs: how many candidates at most; None means `usual(…)`.
        simplify: the order in which λ are moved toward more regularization; λ that are not named follow in knob order.
        alone: whether searched members had one λ on at a time.

    Raises:
        SelectionError: no searched knob is a λ, or no λ member completed.
    """
    ordered = sorted((row for row in rows if row.phase == Phase.SEARCH), key=lambda row: row.number)
    lambdas = lambdas_of(knobs, simplify)
    search = [row for row in ordered if row.arm != OFF_ARM]
    if not any(row.ended == "ok" for row in search):
        counts = counts_of(row.state for row in search) or "none was trained"
        raise SelectionError(f"at least one λ member must complete before one can be chosen; of {len(search)}: {counts}")
    found = _each_alone(ordered, knobs, lambdas) if alone else _arms([_Side.of(ordered, knobs, lambdas)])[0]
    limit = configs if configs is not None else usual(len(lambdas), alone)
    chosen: dict[str, Candidate] = {}
    for one in found:
        full = {**fixed, **{knob.name: off_value(knob) for knob in lambdas}, **one.config}
        chosen.setdefault(repr(sorted(full.items())), Candidate(one.arm, full, one.why))
    return list(chosen.values())[: max(limit, 0)]


def usual(lambdas: int, alone: bool = False) -> int:
    """How many configs are confirmed where a spec does not say. With each λ alone: the off arm, and for each λ its best and a neighbour."""
    if alone:
        return 1 + 2 * lambdas
    return 5 if lambdas == 1 else 3 + 3 * lambdas


def _each_alone(rows: Sequence[Row], knobs: Sequence[Knob], lambdas: Sequence[Knob]) -> list[Candidate]:
    """The candidates of every λ alone, by priority: the off arm, all minima, all weaker neighbours, all edges, all stronger neighbours.

    The weaker neighbour comes first. Few members tell of each λ, and a λ that is too strong costs far more than a λ that is too weak (a GAN
    collapses on some seeds). Without the weaker neighbour a λ might be called harmful only because its minimum was misplaced.
    """
    sides = []
    for knob in lambdas:
        mine = [row for row in rows if row.arm in (OFF_ARM, alone_arm(knob.name))]
        if any(row.ended == "ok" for row in mine if row.arm != OFF_ARM):
            sides.append(_Side.of(mine, [other for other in knobs if other is knob or not other.is_lambda], [knob]))
    found: list[Candidate] = []
    ranked: dict[int, list[Candidate]] = {}
    for side, column in zip(sides, _arms(sides), strict=True):
        [knob] = side.lambdas
        weaker, stronger = ("high", "low") if knob.more == "low" else ("low", "high")
        order = ["min", weaker, "edge", stronger]
        found = found or column[:1]
        for one in column[1:]:
            ranked.setdefault(order.index(one.arm), []).append(replace(one, arm=f"{one.arm}:{knob.name}"))
    return [*found, *(one for rank in sorted(ranked) for one in ranked[rank])]


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


@dataclass(frozen=True)
class _Fit:
    """The fit over every λ and nuisance knob, and the combinations of nuisance knobs that trained to the end on either side."""

    surface: Surface
    encoder: Encoder
    nuisances: list[dict[str, Value]]
    count: int
    predicted: int


@dataclass(frozen=True)
class _Side:
    """λ that are decided together: the members that tell of them (`rows`, with members of the off arm), and a fit if one can be made."""

    rows: Sequence[Row]
    knobs: Sequence[Knob]
    lambdas: Sequence[Knob]
    known: Mapping[int, Final]
    fit: _Fit | None

    @staticmethod
    def of(rows: Sequence[Row], knobs: Sequence[Knob], lambdas: Sequence[Knob]) -> _Side:
        known = finals(rows)
        return _Side(rows, knobs, lambdas, known, _fit(rows, known, knobs, lambdas))

    @property
    def off_rows(self) -> list[Row]:
        return [row for row in self.rows if row.arm == OFF_ARM and row.number in self.known]


def _arms(sides: Sequence[_Side]) -> list[list[Candidate]]:
    """For each side: `off`, which is the same config for all sides that have a fit; `min`; and the arms around `min`."""
    tuned = iter(_tuned([side for side in sides if side.fit]))
    columns = []
    for side in sides:
        if side.fit:
            off, best, off_why = next(tuned)
            best, why, edges = _about(side.fit, best, side.lambdas)
        else:
            complete = [row for row in side.rows if row.arm != OFF_ARM and row.ended == "ok"]
            off, best, off_why, why, edges = _best_members(side.off_rows, complete, side.known, side.knobs, side.lambdas)
        best = _off_the_off_value(best, side.lambdas)
        columns.append([Candidate(OFF_ARM, off, off_why), Candidate("min", best, why), *_arms_of(best, edges, side.lambdas)])
    return columns


def _fit(rows: Sequence[Row], known: Mapping[int, Final], knobs: Sequence[Knob], lambdas: Sequence[Knob]) -> _Fit | None:
    """The fit over λ members and off members alike; None where too few scores are known.

    An off member lies at its off value, or a step below a log range that cannot hold the off value. It must share its seed with a λ member.
    An off member with a seed of its own carries that seed's shift, and the fit would read this shift as an effect of λ.
    """
    seeds = {row.seed for row in rows if row.arm != OFF_ARM}
    paired = [row for row in rows if row.arm != OFF_ARM or row.seed in seeds]
    seen = [row for row in paired if row.number in known]
    bad = [row for row in paired if row.ended == "bad"]
    blind = [row for row in paired if row.state == State.STOPPED and row.number not in known]
    encoder = Encoder(knobs, [row.config for row in [*seen, *bad, *blind]])
    scores = np.array([known[row.number].score for row in seen])
    scale = Squash.of(scores)
    z = scale(scores)
    variance = np.array([known[row.number].variance for row in seen]) * scale.slope(scores) ** 2
    points = encoder([row.config for row in [*seen, *bad, *blind]])
    # Stopped, and no member can predict its score: take the median, with the spread of all scores as its uncertainty.
    guesses = [float(z.max()) + WORST] * len(bad) + [float(np.median(z))] * len(blind)
    doubts = [0.0] * len(bad) + [float(np.var(z))] * len(blind)
    surface = fit_surface(points, np.concatenate([z, guesses]), np.concatenate([variance, doubts]), encoder.longest)
    names = {knob.name for knob in lambdas}
    others = [knob.name for knob in knobs if knob.name not in names]
    combinations = {repr(rest): rest for rest in ({name: row.config[name] for name in others} for row in seen if row.ended == "ok")}
    predicted = sum(row.ended != "ok" for row in seen)
    return _Fit(surface, encoder, list(combinations.values()), len(seen), predicted) if surface else None


NO_OFF_MEMBER = "every λ off; no off member completed, so the nuisance knobs are those of the best λ"
_Config = dict[str, Value]
_Excess = tuple[Array, Array]  # every combination of nuisance knobs: how much worse it is than the best one, and the predictive sd of that


def _tuned(sides: Sequence[_Side]) -> list[tuple[_Config, _Config, str]]:
    """For each side with a fit: the off arm, the minimum, and why the off arm is so.

    All sides get the nuisance combination that is best for all of them together. Where a fit tells the sides apart, each gets its own best.
    """
    fits = [(side.fit, side.lambdas) for side in sides if side.fit]
    combinations = list({repr(rest): rest for fit, _ in fits for rest in fit.nuisances}.values())
    bests = [minimum(fit.surface, fit.encoder, [Axis.of(knob) for knob in lambdas], fit.nuisances) for fit, lambdas in fits]
    offs = [{**best, **{knob.name: off_value(knob) for knob in lambdas}} for best, (_, lambdas) in zip(bests, fits, strict=True)]
    known = any(side.off_rows for side in sides)
    of_bests = [_excess(fit, best, combinations) for best, (fit, _) in zip(bests, fits, strict=True)]
    of_offs = [_excess(fit, off, combinations) for off, (fit, _) in zip(offs, fits, strict=True)] if known else []
    chosen = [int(np.argmin(excess)) for excess, _ in of_bests]
    for_off = int(np.argmin(np.sum([excess for excess, _ in of_offs or of_bests], axis=0))) if fits else 0
    whose = "its own, clearly better for it"
    if (shared := _shared([*of_bests, *of_offs])) is not None:
        chosen, for_off, whose = [shared] * len(fits), shared, "those of min, for the fit tells no other from them"
    why = (
        f"every λ off; the nuisance knobs are {whose} ({len(combinations)} combinations trained on either side)" if known else NO_OFF_MEMBER
    )
    return [
        ({**off, **combinations[for_off]}, {**best, **combinations[mine]}, why) for off, best, mine in zip(offs, bests, chosen, strict=True)
    ]


def _excess(fit: _Fit, side: _Config, combinations: Sequence[_Config]) -> _Excess:
    configs = [{**side, **rest} for rest in combinations]
    return fit.surface.excess(fit.encoder(configs), fit.encoder([lowest(fit.surface, fit.encoder, configs)]))


def _shared(excesses: Sequence[_Excess]) -> int | None:
    """The combination that is best for all sides together, among those that no fit tells from a side's own best; None where there is none.

    Two sides are told apart by more than one predictive sd. With more sides the bound is wider, so that chance exceeds it equally rarely.
    """
    if not excesses:
        return None
    bound = NormalDist().inv_cdf(NormalDist().cdf(1.0) ** (2 / max(len(excesses), 2)))
    fits_all = np.all([excess <= bound * sd + 1e-9 for excess, sd in excesses], axis=0)
    total = np.sum([excess for excess, _ in excesses], axis=0)
    return int(np.argmin(np.where(fits_all, total, np.inf))) if fits_all.any() else None


def _about(fit: _Fit, best: _Config, lambdas: Sequence[Knob]) -> tuple[_Config, str, dict[str, float]]:
    """The minimum with rounded λ, why it is the minimum, and for every λ the u of its 1-SE edge."""
    axes = [Axis.of(knob) for knob in lambdas]
    edges, at = {}, dict(best)
    for axis in axes:
        edges[axis.name] = edge(fit.surface, fit.encoder, axis, at, best)
        at[axis.name] = axis.exact(edges[axis.name])
    rounded = {**best, **{axis.name: axis.value(axis.u(best[axis.name])) for axis in axes}}
    stopped = f", {fit.predicted} of them stopped early and predicted" if fit.predicted else ""
    return rounded, f"minimum of a smooth fit to {fit.count} members{stopped}", edges


def _best_members(
    off_rows: Sequence[Row], complete: Sequence[Row], known: Mapping[int, Final], knobs: Sequence[Knob], lambdas: Sequence[Knob]
) -> tuple[_Config, _Config, str, str, dict[str, float]]:
    """The candidates without a fit: the best member of either side, with edges a step away."""
    axes = [Axis.of(knob) for knob in lambdas]
    best, off = (
        {knob.name: min(rows, key=lambda row: (known[row.number].score, row.number)).config[knob.name] for knob in knobs}
        for rows in (complete, off_rows or complete)
    )
    away = {axis.name: axis.u(best[axis.name]) + axis.more * axis.step for axis in axes}
    off_why = f"every λ off; the best of {len(off_rows)} off members" if off_rows else NO_OFF_MEMBER
    off = {**off, **{knob.name: off_value(knob) for knob in lambdas}}
    return off, best, off_why, "the best member: too few completed for a fit", away


def off_value(knob: Knob) -> float | int:
    """The off value of a λ, in its type."""
    assert knob.off is not None and not isinstance(knob.off, str)
    return round(knob.off) if knob.integer else knob.off


def _off_the_off_value(best: dict[str, Value], lambdas: Sequence[Knob]) -> dict[str, Value]:
    """Move a minimum that has every λ at its off value (a linear range may hold 0) by a third of a step: else it is a second off arm."""
    if any(best[knob.name] != off_value(knob) for knob in lambdas):
        return best
    axis = Axis.of(lambdas[0])
    at = axis.u(best[axis.name])
    moved = at + axis.more * axis.step / 3
    free = place(axis, moved if 0.0 <= moved <= 1.0 else at - axis.more * axis.step / 3, [at], near=True)
    return best if free is None else {**best, axis.name: axis.value(free)}


def _arms_of(best: dict[str, Value], edges: Mapping[str, float], lambdas: Sequence[Knob]) -> list[Candidate]:
    """All λ arms except `min`, by priority."""
    axes = [Axis.of(knob) for knob in lambdas]
    several = len(axes) > 1
    found = []
    if several:
        found = [Candidate(f"without:{knob.name}", {**best, knob.name: off_value(knob)}, f"min without {knob.name}") for knob in lambdas]
    moved = {axis.name: axis.value(edges[axis.name]) for axis in axes}
    off = {axis.name: [axis.u(off_value(knob))] if axis.holds(off_value(knob)) else [] for axis, knob in zip(axes, lambdas, strict=True)}
    at = axes[0].u(best[axes[0].name])
    if not several or {**best, **moved} == best:
        nearest = at + axes[0].more * min(axes[0].step, 1.0) / 3
        free = place(
            axes[0], axes[0].more * max(axes[0].more * edges[axes[0].name], axes[0].more * nearest), [at], off[axes[0].name], near=True
        )
        moved = {**moved, axes[0].name: axes[0].value(free if free is not None else at)}
    found.append(Candidate("edge", {**best, **moved}, "1-SE edge of the fit toward more regularization, or the next distinct value"))
    for axis in axes:
        at, tail = axis.u(best[axis.name]), f":{axis.name}" if several else ""
        taken = [at, axis.u(moved[axis.name])]
        inner, outer = min(taken), max(taken)
        if several:
            taken = [at]
        for arm, wanted in (("low", inner - axis.step), ("high", outer + axis.step)):
            free = place(axis, wanted, taken, off[axis.name])
            if free is not None:
                taken.append(free)
                side = f"a step {'below' if arm == 'low' else 'above'} min..edge"
                why = side if wanted == free else "the range ends: another distinct value near min"
                found.append(Candidate(arm + tail, {**best, axis.name: axis.value(free)}, why))
    return found
