"""Several metrics: which configs are confirmed, who comes to the final round, and the Pareto front of what was confirmed.

Of every number here lower is better (`spec/several.py` turns the others round), until `with_front` gives each metric back in its own way.

1. *Candidates*: a surface for each metric. The off arm; the minimum of the first metric, which is the score; and minima of the augmented
   Chebyshev function max_m w_m f_m + ρ Σ_m f_m for weights w that are spread evenly (Steuer and Choo 1983; as in ParEGO, Knowles 2006). f_m
   is the level of metric m, 0 at its own minimum and 1 at its worst among the minima of the others. Each such minimum is on the predicted
   front, and every point of the front is one for some w.
2. *Final*: after the first round the surfaces are fitted again. The off arm, the arm that is best by the first metric, and the arms that no
   other dominates by these surfaces are trained on fresh seeds, the same for all. Seeds are not saved where the effect is plain: the front
   needs intervals of its own.
3. *Front*: from the final seeds alone. A mean has a t interval. A gain over the off arm is paired by seed, and holds at once for all arms
   and metrics (Bonferroni). That a point is not dominated has a probability by the Bayesian bootstrap over seeds (Rubin 1981). The
   hypervolume of the front has a jackknife interval over seeds (Tukey 1958; Miller 1974): of noisy means it is too large on average, and
   the jackknife takes that off. Its reference point is fixed before the first final seed: a tenth of the range beyond the worst mean of
   the first round.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from objectives.base import Knob, Phase, State, Value
from search.choosing import race
from search.choosing.answer import Answer, Candidate, Row
from search.choosing.arms import CONFIDENCE, Arm, arm_of, differences, paired, spread, t_quantile
from search.choosing.candidates import candidates as of_score
from search.choosing.candidates import lambdas_of, off_value, same
from search.choosing.feasibility import LIKELY, held, keeps, surface_of
from search.choosing.findings import Front, FrontPoint, Interval
from search.choosing.fitted import surface_of_all
from search.modelling.minimum import lowest, rounded
from search.modelling.process import Array
from search.modelling.surface import Surface
from search.spec.constraints import Constraint
from search.spec.several import Asked

Flags = NDArray[np.bool_]
USUAL = 7  # configs in the first round where the spec does not say, the off arm among them
FINALISTS = 4  # of which so many are trained in the final round, beside the off arm
RHO = 0.05
DRAWS = 2000
BEYOND = 0.1


def judged(rows: Sequence[Row], metric: int) -> list[Row]:
    """The members as one metric judges them. A stopped member of which it was not measured says nothing."""
    found = [row.by(metric) for row in rows]
    return [row for row in found if row.state != State.STOPPED or row.curve or metric == 0]


@dataclass(frozen=True)
class Levels:
    """A surface for each metric, the score's first. It also knows of the constraints."""

    surfaces: list[Surface]

    @staticmethod
    def of(rows: Sequence[Row], knobs: Sequence[Knob], metrics: int, constraints: Sequence[Constraint] = ()) -> Levels | None:
        """The surfaces of these members; None where one metric has too few of them."""
        score = surface_of(rows, knobs, constraints)
        found = [score, *(surface_of_all(judged(rows, metric), knobs) for metric in range(1, metrics))]
        return None if any(one is None for one in found) else Levels([one for one in found if one is not None])

    def __call__(self, configs: Sequence[Mapping[str, Value]]) -> Array:
        """The level of each config in each metric, shape (n, metrics), with what broken constraints cost in every metric."""
        own: Array = np.array([one.level(configs) for one in self.surfaces]).T
        score = self.surfaces[0]
        if score.feasible is not None:
            own[:, 1:] += score.feasible.cost(score.encoder(configs))[:, None]
        return own

    def of_one(self, metric: int, configs: Sequence[Mapping[str, Value]]) -> Array:
        """The level of each config in one metric, shape (n,)."""
        found: Array = self(configs)[:, metric]
        return found


def candidates(
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    *,
    metrics: int,
    fixed: Mapping[str, Value],
    configs: int | None = None,
    simplify: Sequence[str] = (),
    constraints: Sequence[Constraint] = (),
) -> list[Candidate]:
    """The off arm, `min` (the minimum of the score) and `front-1`, `front-2`, …: configs that are spread over the predicted front.

    Raises:
        SelectionError: no searched knob is a λ, or no member completed.
    """
    most = configs if configs is not None else USUAL
    found = [one for one in of_score(rows, knobs, fixed=fixed, simplify=simplify, constraints=constraints) if one.arm in ("off", "min")]
    fitted = Levels.of(rows, knobs, metrics, constraints)
    lambdas = lambdas_of(knobs, simplify)
    tried = [row for row in rows if row.ended == "ok" and any(row.config[knob.name] != off_value(knob) for knob in lambdas)]
    kept = [row for row in tried if keeps(row, constraints)]
    spread = _spread(tried, knobs, fitted, most) if fitted is not None and tried else _undominated(kept, metrics)
    why = "on the front that smooth fits of all metrics predict" if fitted is not None else "a member that no other dominates"
    for config in spread:
        full = {**fixed, **config}
        on = any(config[knob.name] != off_value(knob) for knob in lambdas)
        if len(found) < most and on and not any(same(full, other.config, knobs) for other in found):
            found.append(Candidate(f"front-{len(found) - 1}", full, why))
    return found


def _spread(tried: Sequence[Row], knobs: Sequence[Knob], fitted: Levels, count: int) -> list[dict[str, Value]]:
    """A config for each of `count` weights: first the minimum of each metric but the score, then between them."""
    starts = [{knob.name: row.config[knob.name] for knob in knobs} for row in tried]
    metrics = len(fitted.surfaces)
    ends = [lowest(partial(fitted.of_one, metric), knobs, starts[0], starts) for metric in range(metrics)]
    levels = fitted(ends)
    best = np.diag(levels)
    width = np.maximum(levels.max(axis=0) - best, 1e-12)

    def chebyshev(weight: Array) -> dict[str, Value]:
        def level(configs: Sequence[Mapping[str, Value]]) -> Array:
            found = (fitted(configs) - best) / width
            value: Array = (weight * found).max(axis=1) + RHO * found.sum(axis=1)
            return value

        return rounded(lowest(level, knobs, starts[0], [*ends, *starts]), knobs)

    return [chebyshev(weight) for weight in weights(metrics, count)]


def weights(metrics: int, count: int) -> list[Array]:
    """Weights on the simplex: the ends of all metrics but the first, then `count` of them evenly between the ends."""
    ends = list(np.eye(metrics)[1:])
    if metrics == 2:
        return [*ends, *(np.array([1 - w, w]) for w in _from_the_middle(np.linspace(0, 1, count + 2)[1:-1]))]
    from scipy.stats.qmc import Sobol

    drawn = Sobol(metrics - 1, scramble=True, rng=0).random_base2(math.ceil(math.log2(max(count, 1))))  # balanced in powers of two only
    cuts = np.sort(drawn[:count], axis=1)
    return [*ends, *np.diff(np.hstack([np.zeros((len(cuts), 1)), cuts, np.ones((len(cuts), 1))]), axis=1)]


def _from_the_middle(values: Array) -> Array:
    """The middle first, then what is farthest from all that is taken: a list that is cut covers evenly."""
    left, taken = list(range(len(values))), [-1, len(values)]
    while left:
        taken.append(max(left, key=lambda place: min(abs(place - other) for other in taken)))
        left.remove(taken[-1])
    return values[taken[2:]]


def _undominated(tried: Sequence[Row], metrics: int) -> list[dict[str, Value]]:
    """The configs of the searched members that no other one dominates."""
    whole = [(row, values) for row in tried if (values := [row.by(m).score for m in range(metrics)]) and None not in values]
    kept: list[bool] = undominated(np.array([values for _, values in whole], dtype=np.float64)).tolist() if whole else []
    return [dict(row.config) for (row, _), free in zip(whole, kept, strict=True) if free]


# ------------------------------------------------------------------------------------------------------------------- the final round


def finalists(
    found: Sequence[Candidate],
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    lambdas: Sequence[Knob],
    *,
    metrics: int,
    simpler: bool = False,
    most: int = 8,
    error: float = race.FIRST,
    constraints: Sequence[Constraint] = (),
) -> list[Candidate]:
    """The candidates; those of the final round come first: off, the arm that is judged, and at most `FINALISTS` − 1 more of the front.

    The arm that is judged is the best by the score; with `simpler` the best by the second metric among those within one posterior sd of it.
    It may be ablated as well (see `race`).
    Arms that lost more seeds than the best are left out, and arms that are not likely to keep to the constraints.
    """
    ordered = race.finalists(found, rows, knobs, lambdas, most=most, error=error, constraints=constraints)
    off = [one for one in found if race.is_off(one)][:1]  # a point of the front, with nuisance knobs of its own; there may be none
    plain = [*off, *(one for one in ordered if not race.is_off(one) and not one.arm.startswith((race.WITHOUT, race.ABLATED)))]
    judged_, rest = [one for one in plain if one.final][:1], [one for one in plain if not one.final]
    fitted = Levels.of(rows, knobs, metrics, constraints)
    lost = race.lost_seeds(plain, rows)
    sound = [one for one in rest if not race.is_off(one) and lost.get(one.arm, 0) <= min((lost.get(a.arm, 0) for a in judged_), default=0)]
    chosen = [*judged_]
    if fitted is not None and judged_:
        sure = fitted.surfaces[0].with_sure(LIKELY)
        arms = [judged_[0], *(one for one in sound if sure.allowed([one.config])[0])]
        levels = fitted([arm.config for arm in arms])
        free = undominated(levels)
        kept = _farthest(levels, [place for place in range(len(arms)) if free[place] or place == 0])
        chosen = [arms[place] for place in kept[:FINALISTS]]
        if simpler:
            excess, doubt = sure.excess([arm.config for arm in arms], arms[0].config)
            within = [place for place in range(len(arms)) if place == 0 or excess[place] <= doubt[place]]
            first = arms[min(within, key=lambda place: (float(levels[place, 1]), place))]
            chosen = [first, *(arm for arm in chosen if arm is not first)][:FINALISTS]
    bare = [race.ablated(chosen[0], lambdas, knobs)] if off and chosen else []
    bare = [one for one in bare if one.config != off[0].config]  # else the off arm is that
    names = {one.arm for one in (*off, *chosen, *bare)}
    rest = [one for one in plain if one.arm not in names and one.config not in [each.config for each in bare]]
    ordered = [*off, *chosen, *bare, *rest]
    return [replace(one, seeds=most if one.arm in names else 0) for one in ordered]


def _farthest(levels: Array, places: Sequence[int]) -> list[int]:
    """The places in an order in which each is the farthest from all before it, in ranges scaled to 1; the first stays the first."""
    chosen, left = list(places[:1]), list(places[1:])
    scale = np.maximum(np.ptp(levels[list(places)], axis=0), 1e-12)
    while left:
        gaps = [min(float(np.sum(((levels[one] - levels[other]) / scale) ** 2)) for other in chosen) for one in left]
        chosen.append(left.pop(int(np.argmax(gaps))))
    return chosen


# ------------------------------------------------------------------------------------------------------------------------- the front


@dataclass(frozen=True)
class _Confirmed:
    """The finalists in all metrics. `values` of the seeds that all of them have, shape (seeds, arms, metrics)."""

    arms: list[Candidate]
    by_metric: list[list[Arm]]  # metric, arm
    values: Array


def with_front(
    given: Answer,
    rows: Sequence[Row],
    chosen: Sequence[Candidate],
    asked: Sequence[Asked],
    seeds: Collection[int],
    constraints: Sequence[Constraint] = (),
    error: float = CONFIDENCE,
) -> Answer:
    """The answer with the front of its finalists; without one, and a note, where fewer than two seeds have all metrics of two arms.

    All effects of the front together err with probability `error`.

    An arm that lost more than half of its seeds is not compared. One that breaks a constraint by the mean of its seeds is no point of the
    front, and dominates nobody.
    """
    confirmed = _confirmed(rows, chosen, len(asked), seeds)
    if confirmed is None:
        note = "no front: fewer than two arms have all metrics on two or more final seeds in common"
        return replace(given, notes=[*given.notes, note])
    means = confirmed.values.mean(axis=0)
    worst = reference(rows, chosen, len(asked), seeds, means)
    broken = [
        [one.constraint for one in held(arm, rows, constraints, seeds, arm.name) if one.seeds and not one.within]
        for arm in confirmed.by_metric[0]
    ]
    good = [place for place, texts in enumerate(broken) if not texts]
    free, likely = np.zeros(len(means), dtype=bool), np.zeros(len(means))
    free[good], likely[good] = undominated(means[good]), probabilities(confirmed.values[:, good])
    volume, low, high = hypervolume_interval(confirmed.values[:, good], worst)
    points = [
        replace(_point(confirmed, place, asked, bool(free[place]), float(likely[place]), error), broken=broken[place])
        for place in range(len(confirmed.arms))
    ]
    count = len(confirmed.values)
    found = Front(
        metrics={one.name: one.better for one in asked},
        points=points,
        seeds=count,
        hypervolume=Interval(volume, low, high, count),
        reference={one.name: one.lower(float(value)) for one, value in zip(asked, worst, strict=True)},
        beside=confirmed.arms[good[smallest(confirmed.values[:, good])]].arm if good else "",
    )
    notes = [] if good else ["the front is empty: no confirmed arm keeps to the constraints by the mean of its final seeds"]
    return replace(given, front=found, notes=[*given.notes, *notes])


def unwatched(rows: Sequence[Row], asked: Sequence[Asked]) -> list[str]:
    """The metrics beside the score that no searched member reported before its last epoch: by these nobody can be stopped early."""
    searched = [row for row in rows if row.phase == Phase.SEARCH and row.ended == "ok"]
    early = [any(min(row.other_curves[place], default=row.epochs) < row.epochs for row in searched) for place in range(len(asked) - 1)]
    return [one.name for one, seen in zip(asked[1:], early, strict=True) if searched and not seen]


def _confirmed(rows: Sequence[Row], chosen: Sequence[Candidate], metrics: int, seeds: Collection[int]) -> _Confirmed | None:
    final = [one for one in chosen if one.final and not one.arm.startswith(race.ABLATED)]  # that is no point of the front
    by_arm = [[arm_of(one, judged(rows, metric), seeds) for metric in range(metrics)] for one in final]
    kept = [place for place, arms in enumerate(by_arm) if all(len(arm.scores) >= max(2, len(arm.bad)) for arm in arms)]
    common = sorted(set.intersection(*(set(arm.scores) for place in kept for arm in by_arm[place]))) if kept else []
    if len(kept) < 2 or len(common) < 2:
        return None
    values = np.array([[[arm.scores[seed] for arm in by_arm[place]] for place in kept] for seed in common], dtype=np.float64)
    return _Confirmed([final[place] for place in kept], [[by_arm[place][m] for place in kept] for m in range(metrics)], values)


def _point(confirmed: _Confirmed, place: int, asked: Sequence[Asked], free: bool, likely: float, error: float) -> FrontPoint:
    one, off = confirmed.arms[place], next((k for k, arm in enumerate(confirmed.arms) if race.is_off(arm)), None)
    comparisons = max(1, len(asked) * (len(confirmed.arms) - 1))
    values, effects = {}, {}
    for metric, arms in zip(asked, confirmed.by_metric, strict=True):
        values[metric.name] = _interval(list(arms[place].scores.values()), metric)
        if off is not None and place != off:
            effects[metric.name] = paired(differences(arms[off], arms[place]), comparisons, error)
    return FrontPoint(one.arm, dict(one.config), values, effects, free, likely, max(len(arms[place].bad) for arms in confirmed.by_metric))


def _interval(scores: Sequence[float], metric: Asked) -> Interval:
    """Mean ± t(0.975, S − 1) s/√S, in the metric's own direction."""
    count, mean = len(scores), float(np.mean(scores))
    half = t_quantile(0.975, count - 1) * spread(scores) / math.sqrt(count) if count > 1 else math.inf
    low, high = sorted((metric.lower(mean - half), metric.lower(mean + half)))
    return Interval(metric.lower(mean), low, high, count)


def reference(rows: Sequence[Row], chosen: Sequence[Candidate], metrics: int, seeds: Collection[int], means: Array) -> Array:
    """The reference point of the hypervolume, shape (metrics,): a tenth of the range beyond the worst mean of the first round.

    Only other seeds than the final ones are used. Where there was no first round, the means of the final one.
    """
    others = {row.seed for row in rows if row.phase == Phase.CONFIRM} - set(seeds)
    found = []
    for metric in range(metrics):
        arms = [arm_of(one, judged(rows, metric), others) for one in chosen] if others else []
        known = [arm.mean for arm in arms if arm.scores] or [float(value) for value in means[:, metric]]
        found.append(max(known) + BEYOND * (max(known) - min(known)))
    return np.array(found)


def undominated(values: Array) -> Flags:
    """Which rows of values (…, arms, metrics) no other row dominates, (…, arms). To dominate: at least as good in all, better in one."""
    one, other = values[..., :, None, :], values[..., None, :, :]
    beaten = np.logical_and((other <= one).all(axis=-1), (other < one).any(axis=-1))
    found: Flags = ~np.any(beaten, axis=-1)
    return found


def probabilities(values: Array) -> Array:
    """How likely it is that each arm is not dominated, shape (arms,): Bayesian bootstrap over seeds of values (seeds, arms, metrics)."""
    shares = np.random.default_rng(0).dirichlet(np.ones(len(values)), DRAWS)
    found: Array = undominated(np.einsum("ds,sam->dam", shares, values)).mean(axis=0)
    return found


def hypervolume(points: Array, worst: Array) -> float:
    """The volume that points, shape (n, metrics), dominate below the reference point: Σ over subsets A of (−1)^(|A|+1) Π (r − max A).

    Exact for any number of metrics. Its cost doubles with each point, so dominated points are left out first.
    """
    kept = np.unique(points[undominated(points)], axis=0)
    if not len(kept):
        return 0.0
    sides = [np.max(subset, axis=0) for size in range(1, len(kept) + 1) for subset in combinations(kept, size)]
    signs = [(-1) ** (size + 1) for size in range(1, len(kept) + 1) for _ in combinations(kept, size)]
    return float(np.sum(np.array(signs) * np.prod(np.maximum(worst - np.array(sides), 0.0), axis=1)))


def hypervolume_interval(values: Array, worst: Array) -> tuple[float, float, float]:
    """The hypervolume of the front of the means over seeds, without its bias, and a 95 % interval: the jackknife over seeds.

    With θ of all seeds and θ₋ₛ without one, the pseudo-values are Sθ − (S − 1)θ₋ₛ; the interval is that of Student's t of their mean.
    """
    count = len(values)
    whole = hypervolume(values.mean(axis=0), worst)
    without = np.array([hypervolume(np.delete(values, seed, axis=0).mean(axis=0), worst) for seed in range(count)])
    pseudo = count * whole - (count - 1) * without
    half = t_quantile(0.975, count - 1) * spread(pseudo) / math.sqrt(count)
    mean = max(float(pseudo.mean()), 0.0)  # no volume is negative; what the bias takes off may be
    return mean, max(mean - half, 0.0), mean + half


def smallest(values: Array) -> int:
    """The arm that is best in the second metric among those within one standard error of the best in the first; of values (seeds, arms, …).

    The standard error is that of the difference to the best arm, paired by seed.
    """
    means = values.mean(axis=0)
    best = int(np.argmin(means[:, 0]))
    apart = values[:, :, 0] - values[:, [best], 0]
    error = apart.std(axis=0, ddof=1) / math.sqrt(len(values))
    within = [place for place in range(len(means)) if apart[:, place].mean() <= error[place]]
    return min(within, key=lambda place: (float(means[place, 1]), place))
