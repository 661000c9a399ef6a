"""What the surface tells beside the answer: which knob matters, whether two λ depend on each other, what the end of the search bought."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from objectives.base import Knob, Phase, State, Value
from search.asking.importance import ped_anova
from search.asking.space import OFF_ARM, SEARCH_ARM, alone_arm
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.arms import Arm, arm_of, paired
from search.choosing.beside import Beside, Expected, Importance, Interaction, Simpler
from search.choosing.candidates import RISKY, edge, lambdas_of, minimum, off_value, same
from search.choosing.feasibility import LIKELY, surface_of
from search.choosing.fitted import surface_of_all, thinned
from search.choosing.race import WITHOUT
from search.choosing.trainings import finals
from search.modelling.axis import Axis
from search.modelling.minimum import cover, grid, rounded
from search.modelling.process import Array
from search.modelling.surface import BARRED, Surface
from search.spec.constraints import Constraint

OTHERS, STEPS = 128, 21  # configs over which a mean is taken, and values of a knob at which it is
PAIR_OTHERS, PAIR_STEPS = 32, 9  # the same for two knobs
PROCESSES, DRAWS = 16, 100  # how many surfaces are drawn, and how many times from each
LEADS = 0.1  # how far the first knob must lead where members were stopped early
WAY = 16  # configs on the way to a simpler one that are looked at
TOLD = 4  # members with a score for each searched knob, below which no importance is said


def beside(
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    cands: Sequence[Candidate],
    answer: Answer,
    *,
    seeds: Collection[int],
    simplify: Sequence[str] = (),
    alone: bool = False,
    simplest: bool = False,
    constraints: Sequence[Constraint] = (),
) -> Beside:
    """Everything that the surface of all members tells beside an answer.

    Args:
        rows: every member.
        knobs: the searched knobs.
        cands: the candidates.
        answer: what was found.
        seeds: the final seeds.
        simplify: the order of the λ.
        alone: whether each λ was searched alone.
        simplest: whether the most regularized arm was asked for, so that no simpler one is to be offered.
        constraints: what a config must keep to.
    """
    surface, lambdas = surface_of(rows, knobs, constraints), lambdas_of(knobs, simplify)
    arms = {one.arm: arm_of(one, rows, seeds) for one in cands if one.final}
    off, best = next((arm for name, arm in arms.items() if name.partition(":")[0] == OFF_ARM), None), arms.get(answer.arm)
    mine = [knob for knob in lambdas if not alone or answer.arm.endswith(f":{knob.name}")]
    offered = surface if answer.recommended_arm == answer.arm != OFF_ARM and mine and not simplest else None
    return Beside(
        importance(surface, rows, knobs, alone),
        interactions(surface, knobs, arms, off, best) if off and best and off is not best and not alone else [],
        last_third(surface, rows, knobs, mine or lambdas[:1], constraints),
        simpler(offered, answer.best, knobs, mine, answer.margin),
    )


def importance(surface: Surface | None, rows: Sequence[Row], knobs: Sequence[Knob], alone: bool = False) -> list[Importance]:
    """What the scores of trainings over the ranges vary by: first-order shares of variance (Sobol 1993), and PED-ANOVA beside them.

        share_i = Var_i(E[f | x_i]) / V,    luck = E[noise²] / V,    together = 1 − Σ share_i − luck,    V = Var(f) + E[noise²]

    f is the posterior mean of the surface on the scale of `Squash`, x uniform over the ranges (in log where the knob is), every λ on. Where
    trainings are likely lost, f is as bad as the worst score. Where nothing has an effect, all is luck.

    A knob that only makes training faster or slower seems to matter where members were stopped early, for their final scores are predicted
    from their rungs. So there a second surface is fitted without them, and what both say counts: each share is the smaller one.

    Empty where too few members have a score, and where the two surfaces do not both name the same first knob, `LEADS` before the second.
    Where each λ was searched `alone`, there is one for each λ, the others off.
    """
    scored = sum(row.ended == "ok" for row in rows)
    kept = [row for row in rows if row.state != State.STOPPED]
    whole = surface_of_all(kept, knobs) if len(kept) < len(rows) else surface
    if surface is None or whole is None:
        return []
    lambdas = [knob for knob in knobs if knob.is_lambda]
    found = []
    for side in [[knob] for knob in lambdas] if alone else [lambdas]:
        free = [knob for knob in knobs if knob in side or not knob.is_lambda]
        fixed = {knob.name: off_value(knob) for knob in lambdas if knob not in side}
        if scored < TOLD * len(free):
            continue
        named = side[0].name if alone else ""
        one: Importance | None = _shares(surface, free, fixed)
        if one is not None and whole is not surface:
            one = _both(one, _shares(whole, free, fixed))
        if one is not None:
            found.append(replace(one, alone=named, ped_anova=ped_anova(_trials(thinned(rows, knobs), free, named), free)))
    return found


def _both(one: Importance, other: Importance) -> Importance | None:
    """What two fits say alike; None where they do not name the same first knob, or not clearly."""
    firsts = []
    for each in (one, other):
        ordered = sorted(each.shares.items(), key=lambda item: -item[1])
        if len(ordered) > 1 and ordered[0][1] < ordered[1][1] + LEADS:
            return None
        firsts.append(ordered[0][0])
    if firsts[0] != firsts[1]:
        return None
    shares = {name: min(share, other.shares[name]) for name, share in one.shares.items()}
    together = min(one.together, other.together)
    return Importance(shares, together, 1.0 - sum(shares.values()) - together)


def _shares(surface: Surface, free: Sequence[Knob], fixed: Mapping[str, Value]) -> Importance:
    configs = [{**fixed, **one} for one in cover(free)]
    noise = float(np.mean(surface.process.noise(surface.encoder(configs)) ** 2))
    shares = {}
    for knob in free:
        means = [float(_height(surface, [{**one, knob.name: value} for one in configs[:OTHERS]]).mean()) for value in _values(knob, STEPS)]
        shares[knob.name] = float(np.var(means))
    alone = sum(shares.values())
    spread = max(float(np.var(_height(surface, configs))), alone)  # both are means over a few hundred configs
    total = spread + noise
    return Importance({name: one / total for name, one in shares.items()}, (spread - alone) / total, noise / total)


def _height(surface: Surface, configs: Sequence[Mapping[str, Value]]) -> Array:
    """The expected level of each config; that of the worst score where a training is likely lost, shape (n,)."""
    points = surface.encoder(configs)
    found: Array = surface.process.mean(points)
    return np.where(surface.losses.probability(points) > BARRED, float(surface.process.seen.scores.max()), found)


def _values(knob: Knob, most: int) -> list[Value]:
    """At most so many values that cover a knob's range."""
    every = grid(knob)
    return every if len(every) <= most else [every[round(place)] for place in np.linspace(0, len(every) - 1, most)]


def _trials(rows: Sequence[Row], free: Sequence[Knob], alone: str) -> list[tuple[Mapping[str, Value], float]]:
    """The searched members with a λ on, with their scores: seen, predicted, or the worst one for a member that was lost."""
    known = finals(rows)
    mine = [row for row in rows if row.phase == Phase.SEARCH and (row.arm == alone_arm(alone) if alone else row.arm == SEARCH_ARM)]
    worst = max((known[row.number].score for row in mine if row.number in known), default=math.nan)
    scored = [(row.config, known[row.number].score if row.number in known else worst) for row in mine if _told(row, known)]
    return [(config, score) for config, score in scored if math.isfinite(score) and all(_inside(knob, config[knob.name]) for knob in free)]


def _told(row: Row, known: Mapping[int, Any]) -> bool:
    return row.number in known or row.ended == "bad"


def _inside(knob: Knob, value: Value) -> bool:
    if knob.choices:
        return value in knob.choices
    return knob.low is not None and knob.high is not None and knob.low <= float(value) <= knob.high


def interactions(surface: Surface | None, knobs: Sequence[Knob], arms: Mapping[str, Arm], off: Arm, best: Arm) -> list[Interaction]:
    """For each two λ that are on in `best`: gain(both) − gain(first) − gain(second), each gain over both off.

    With two λ the final round has all four arms, so the contrast is paired by seed: s(without first) + s(without second) − s(best) − s(off)
    with a t interval. The off arm keeps its own nuisance knobs, so these are gains over the off arm that was trained. With more λ, and
    where seeds are missing, it is read off the surface, the other knobs as in `best`; the interval is that of its posterior draws.
    """
    on = [knob for knob in knobs if knob.is_lambda and best.config[knob.name] != off_value(knob)]
    found = []
    for first, second in combinations(on, 2):
        said = _by_seeds(arms, off, best, first, second) if len(on) == 2 else None
        said = said or (by_surface(surface, best.config, first, second) if surface is not None else None)
        if said is not None:
            found.append(replace(said, share=_pair_share(surface, knobs, first, second) if surface is not None else math.nan))
    return found


def _by_seeds(arms: Mapping[str, Arm], off: Arm, best: Arm, first: Knob, second: Knob) -> Interaction | None:
    ones = [arms.get(WITHOUT + knob.name) for knob in (first, second)]
    if None in ones:
        return None
    four = [*(one.scores for one in ones if one is not None), best.scores, off.scores]
    seeds = sorted(set.intersection(*(set(scores) for scores in four)))
    if len(seeds) < 2:
        return None
    one = paired([four[0][seed] + four[1][seed] - four[2][seed] - four[3][seed] for seed in seeds])
    return Interaction(first.name, second.name, one.mean, one.low, one.high, one.seeds, math.nan)


def by_surface(surface: Surface, best: Mapping[str, Value], first: Knob, second: Knob) -> Interaction:
    """The interaction of two λ that the surface expects, the other knobs as in `best`: the median and 95 % of its posterior draws."""
    offs = {knob.name: off_value(knob) for knob in (first, second)}
    four = [{**best, first.name: offs[first.name]}, {**best, second.name: offs[second.name]}, dict(best), {**best, **offs}]
    drawn = _drawn(surface, four) @ np.array([1.0, 1.0, -1.0, -1.0])
    low, mean, high = (float(one) for one in np.quantile(drawn, [0.025, 0.5, 0.975]))
    return Interaction(first.name, second.name, mean, low, high, 0, math.nan)


def _pair_share(surface: Surface, knobs: Sequence[Knob], first: Knob, second: Knob) -> float:
    """(Var(E[f | x_i, x_j]) − Var(E[f | x_i]) − Var(E[f | x_j])) / V, V as in `importance`."""
    configs = cover(knobs)
    total = float(np.var(_height(surface, configs)) + np.mean(surface.process.noise(surface.encoder(configs)) ** 2))
    rows, columns = _values(first, PAIR_STEPS), _values(second, PAIR_STEPS)
    asked = [{**one, first.name: a, second.name: b} for a in rows for b in columns for one in configs[:PAIR_OTHERS]]
    table = _height(surface, asked).reshape(len(rows), len(columns), PAIR_OTHERS).mean(axis=2)
    table = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    return float(np.mean(table**2)) / total


def _drawn(surface: Surface, configs: Sequence[Mapping[str, Value]]) -> Array:
    """Expected scores of configs, drawn from the posterior distribution, shape (draws, n)."""
    points, rng = surface.encoder(configs), np.random.default_rng(0)
    found = []
    for process in surface.process.drawn(PROCESSES, rng):
        values, vectors = np.linalg.eigh(process.covariance(points))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        found.append(surface.score(process.mean(points) + rng.normal(size=(DRAWS, len(points))) @ root.T))
    return np.concatenate(found)


def _difference(surface: Surface, config: Mapping[str, Value], at: Mapping[str, Value]) -> Expected:
    """How much worse `config` is expected to be than `at`. The sd is half of the middle 68 % of the posterior draws."""
    return _differences(surface, [config], at)[0]


def _differences(surface: Surface, configs: Sequence[Mapping[str, Value]], at: Mapping[str, Value]) -> list[Expected]:
    """The same for several configs, by the same draws."""
    mean = surface.score(surface.process.mean(surface.encoder([*configs, at])))
    drawn = _drawn(surface, [*configs, at])
    low, high = np.quantile(drawn[:, :-1] - drawn[:, -1:], [0.16, 0.84], axis=0)
    return [Expected(float(one - mean[-1]), float(b - a) / 2) for one, a, b in zip(mean[:-1], low, high, strict=True)]


def last_third(
    surface: Surface | None, rows: Sequence[Row], knobs: Sequence[Knob], lambdas: Sequence[Knob], constraints: Sequence[Constraint] = ()
) -> Expected | None:
    """How much worse, by the surface of all members, the config is that the first two thirds of the search's members would have chosen
    than the one that all of them chose. None where either had no surface, or the order of asking has fewer than three members.

    Args:
        surface: the surface of all members, the race included.
        rows: every member. Members are in the order of asking by their numbers.
        knobs: the searched knobs.
        lambdas: the λ that are decided together.
    """
    searched = sorted((row for row in rows if row.phase == Phase.SEARCH), key=lambda row: row.number)
    if surface is None or len(searched) < 3:
        return None
    first, whole = (minimum(part, knobs, lambdas, constraints) for part in (searched[: round(2 * len(searched) / 3)], searched))
    if first is None or whole is None:
        return None
    lost = surface.lost([first, whole])
    if lost[0] > RISKY >= lost[1]:
        return Expected(math.inf, math.nan)
    return _difference(surface, first, whole)


def simpler(
    surface: Surface | None, best: Mapping[str, Value], knobs: Sequence[Knob], lambdas: Sequence[Knob], margin: float = 0.0
) -> Simpler | None:
    """The farthest config toward more regularization that is known to be about as good as `best`; None where that is `best` itself.

    It lies within one posterior sd of `best`, on the way to the farthest one of these. Where little is known that sd is large, and
    everything lies within it. So one thing more must hold: what is expected to be lost and one sd of it are together at most what one
    training differs from another by its seed (the fitted noise at `best`), or the margin.

    Also None where it lies near lost trainings, and where the surface holds it for surely better: then it is no concession.

    Args:
        surface: the surface of all members.
        best: the chosen config.
        knobs: the searched knobs.
        lambdas: the λ that are decided together, in the order in which they are simplified.
        margin: below which a difference of scores does not count, in units of the score.
    """
    if surface is None:
        return None
    way = [one for one in _way(best, edge(surface, best, lambdas), lambdas) if not same(one, best, knobs)]
    if not way:
        return None
    most = max(_luck(surface, best), margin if math.isfinite(margin) else 0.0)
    allowed, lost = surface.with_sure(LIKELY).allowed(way), surface.lost(way)
    for config, loss, kept, lossy in zip(way, _differences(surface, way, best), allowed, lost, strict=True):
        if loss.mean + loss.sd <= most and kept and lossy <= RISKY and surface.losses.far(surface.encoder([config])):
            return Simpler({one.name: config[one.name] for one in lambdas}, loss) if loss.mean + loss.sd > 0 else None
    return None


def _way(best: Mapping[str, Value], far: Mapping[str, Value], lambdas: Sequence[Knob]) -> list[dict[str, Value]]:
    """Configs from the far one back to `best`, all λ moving alike."""
    moved = [knob for knob in lambdas if knob.name in far and far[knob.name] != best[knob.name]]
    found = []
    for part in np.linspace(1.0, 0.0, WAY, endpoint=False):
        at = dict(best)
        for axis in map(Axis.of, moved):
            start, end = axis.u(best[axis.name]), axis.u(far[axis.name])
            at[axis.name] = axis.exact(float(start + part * (end - start))) if part < 1.0 else far[axis.name]
        found.append({**best, **rounded(at, moved)})
    return found if moved else []


def _luck(surface: Surface, config: Mapping[str, Value]) -> float:
    """How much worse a training of this config is by the luck of its seed, one sd of the fitted noise, in units of the score."""
    points = surface.encoder([config])
    level, noise = surface.process.mean(points), surface.process.noise(points)
    at, worse = (float(surface.score(one)[0]) for one in (level, level + noise))
    return worse - at
