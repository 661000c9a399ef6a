"""Which λ is best, with what certainty, and was it worth it: pure functions of a table of members.

`candidates` reads the search and says which few configs to confirm on fresh seeds. `answer` reads only the confirmation. For scores lower
is better, and no λ is in a score. In the confirmation a *diverged* or *collapsed* member means that its arm cannot be chosen; it is never
averaged away. A *failed* or *preempted* member is missing data, and is counted as such.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from objectives.base import Knob, Phase, Value
from search.asking.space import OFF_ARM
from search.choosing.answer import Answer, Candidate, Effect, LambdaAnswer, Promise, Row, Verdict, number
from search.choosing.arms import Arm, differences, paired, shared_seeds
from search.choosing.candidates import candidates, counts_of, lambdas_of
from search.choosing.confirm_fit import t_quantile
from search.choosing.lambda_interval import curve_of, lambda_answer, picture


def answer(
    rows: Sequence[Row],
    knobs: Sequence[Knob],
    cands: Sequence[Candidate],
    *,
    margin: float = 0.01,
    score_name: str = "",
    simplify: Sequence[str] = (),
    alone: bool = False,
) -> Answer:
    """What the confirmation says: the λ chosen by the 1-SE rule, its interval, its effect over the off arm, a verdict and a promise.

    Only confirm members count, paired by seed (common random numbers). The same seeds choose the arm and test it, so the interval of its
    effect must hold for every arm that could have been chosen: Bonferroni's t, at 1 − 0.05/(2m) with m confirmed λ arms. (m is fixed before
    any seed is drawn. If only arms that did not diverge counted, the data would choose m.) Dunnett's quantile would be narrower, but it
    needs one variance for all arms. Here the difference from the off arm varies more for arms that lie farther from it.

    Verdict, with d = off − chosen, [lo, hi] and δ = margin · |off score|: `helps` if lo > 0, `hurts` if hi < 0, `harmless` if [lo, hi] lies
    within ±δ, else `no evidence`. If the off arm lost seeds to divergence, those pairs are +∞ and the interval is open above. Then the
    verdict is `helps` if lo > 0 over the surviving pairs, or if at least two off seeds diverged (one may be chance) and the survivors do
    not say that λ hurts. If no λ arm can be chosen: `hurts` when λ lost at least two seeds and the off arm none, else `no evidence`.

    `without:<λ>` arms can be chosen too, because the question is which config to keep. But the 1-SE rule moves toward *more*
    regularization. So an arm with a λ off is chosen only where it is the best, and not because it is simpler.

    Where each λ was searched `alone`, each λ has a verdict of its own. The 1-SE rule chooses among its arms, which differ from the off arm
    in this λ only. The interval of the chosen arm's gain holds for the arms of all λ at once (m counts them all). The arm that gains most
    is then `best`, and its verdict is the verdict of the answer.

    Recommended is the chosen arm. It is the off arm in two cases: λ hurts; or the verdict is not `helps` and the off arm was better on the
    same seeds.

    Without one confirmed seed (none was asked for, or time ran out) the answer is the minimum of the search's fit, with `no evidence`.

    Raises:
        SelectionError: there are no candidates, and none can be found.
    """
    lambdas = lambdas_of(knobs, simplify)
    notes: list[str] = []
    few = 1 + len(lambdas) if alone else 2
    cands = list(cands) or candidates(rows, knobs, fixed=_fixed(rows, knobs), configs=few, simplify=simplify, alone=alone)
    arms = _table(rows, cands, notes)
    if not any(arm.scores for arm in arms.values()):
        notes.append("no confirm member completed: the best λ is the minimum of the search's fit, unconfirmed")
    off = arms.get(OFF_ARM)
    tested = [arm for name, arm in arms.items() if name != OFF_ARM and (arm.scores or arm.bad)]
    choosable = _choosable(tested, notes)
    count = max(len(tested), 1)
    delta = margin * abs(float(np.mean(list(off.scores.values())))) if off and off.scores else math.nan
    sides = [_asked(group, arms, choosable, alone) for group in ([[knob] for knob in lambdas] if alone else [lambdas])]
    chosen = _lowest([side.chosen for side in sides if side.chosen])
    effect = _against_off(off, chosen, tested, count)
    said = _judge(effect, delta, off, chosen, tested, [] if alone and chosen else notes)  # with `alone` each λ adds these notes itself
    best = chosen or _fallback(arms, rows)
    kept = off if off and _rather_off(said, off, effect) else best
    curves, found = {}, []
    for side in sides:
        for knob in side.lambdas:
            centre = side.chosen or side.arms.get("min", best) if alone else best
            curves[knob.name] = curve_of(knob, side.arms, centre, off)
            one = lambda_answer(knob, centre, curves[knob.name], side.arms)
            found.append(_with_verdict(one, side, off, count, delta, notes) if alone else one)
    notes += [one.warning for one in found if one.warning]
    return Answer(
        score_name=score_name,
        arm=best.name,
        best=best.config,
        recommended_arm=kept.name,
        recommended=kept.config,
        lambdas=found,
        effect=effect,
        off_score=off.mean if off else math.nan,
        best_score=best.mean,
        margin=delta,
        verdict=said,
        promise=promise(list(kept.scores.values())),
        arms=[_arm_table(arm, off, choosable, count) for arm in arms.values()],
        curve={knob.name: picture(knob, curves[knob.name], off) for knob in lambdas},
        spent=_spent(rows),
        notes=notes,
    )


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """Mean, its standard error (NaN for one value) and how many values."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"mean": float(np.mean(values)), "se": error, "n": len(values)}


def with_test(given: Answer, read: Sequence[tuple[str, int, float]], error: str = "") -> Answer:
    """The answer with its reading of the test split: for each arm the scores by seed, and their paired improvement over the off arm.

    `recommended` is the arm that is exported once more, under the name by which a reader looks for it.

    Args:
        given: the answer as chosen on validation; nothing in it changes.
        read: arm (`chosen`, `off`, or the arm of a λ that was searched alone), seed and score of each confirmed member that was read.
        error: why the test split could not be read.
    """
    scores: dict[str, dict[int, float]] = {}
    for arm, seed, score in read:
        scores.setdefault(arm, {})[seed] = score
    test: dict[str, Any] = {"error": error} if error else {}
    for arm, by_seed in sorted(scores.items()):
        values = [by_seed[seed] for seed in sorted(by_seed)]
        test[arm] = {**mean_of(values), "scores": values}
    exported = OFF_ARM if given.recommended_arm == OFF_ARM else "chosen"
    test |= {"recommended": test[exported]} if exported in test else {}

    def effect(arm: str) -> dict[str, Any]:
        """The effect over the off arm. The choice was made with these same weights, so the interval is simultaneous here too."""
        seeds = sorted(set(scores[arm]) & set(scores[OFF_ARM]))
        return asdict(paired([scores[OFF_ARM][seed] - scores[arm][seed] for seed in seeds], given.effect.comparisons))

    if "chosen" in scores and OFF_ARM in scores:
        test["effect"] = effect("chosen")
        arms = {one.name: "chosen" if one.arm == given.arm else one.arm for one in given.lambdas if one.alone}
        alone = {name: effect(arm) for name, arm in arms.items() if arm in scores}
        test |= {"alone": alone} if alone else {}
    return replace(given, test=test)


def _fixed(rows: Sequence[Row], knobs: Sequence[Knob]) -> dict[str, Value]:
    """The knobs that have one value in all members, from the first member."""
    first = min(rows, key=lambda row: row.number, default=None)
    searched = {knob.name for knob in knobs}
    return {name: value for name, value in first.config.items() if name not in searched} if first else {}


def _fallback(arms: Mapping[str, Arm], rows: Sequence[Row]) -> Arm:
    """The arm to name where no λ arm can be chosen: the off arm if it trained, else the minimum of the search's fit.

    Where each λ was searched alone: the minimum of the λ with the best member.
    """
    off = arms.get(OFF_ARM)
    if off is not None and off.scores and not off.bad:
        return off
    searched = sorted((row for row in rows if row.phase == Phase.SEARCH and row.ended == "ok"), key=lambda row: (row.score, row.number))
    minima = [f"min:{row.arm.partition(':')[2]}" if ":" in row.arm else "min" for row in searched]
    return next((arms[name] for name in [*minima, "min"] if name in arms), next(iter(arms.values())))


@dataclass(frozen=True)
class _Asked:
    """λ that one choice is made for: the arms that tell of them, and the arm chosen by the 1-SE rule, if one can be chosen.

    Where each λ was searched alone, `min:l2` is called `min` here, so that this is a sweep of one λ.
    """

    lambdas: Sequence[Knob]
    arms: Mapping[str, Arm]
    chosen: Arm | None


def _asked(lambdas: Sequence[Knob], arms: Mapping[str, Arm], choosable: Sequence[Arm], alone: bool) -> _Asked:
    tail = f":{lambdas[0].name}" if alone else ""
    mine = {name.removesuffix(tail): arm for name, arm in arms.items() if name == OFF_ARM or name.endswith(tail)}
    eligible = [arm for arm in mine.values() if arm in choosable]
    return _Asked(lambdas, mine, _one_se(eligible, lambdas) if eligible else None)


def _lowest(arms: Sequence[Arm]) -> Arm | None:
    """The arm with the lowest mean over the seeds that all of them share."""
    seeds = shared_seeds(arms) if arms else []
    return min(arms, key=lambda arm: float(np.mean([arm.scores[seed] for seed in seeds])), default=None)


def _with_verdict(one: LambdaAnswer, side: _Asked, off: Arm | None, comparisons: int, delta: float, notes: list[str]) -> LambdaAnswer:
    """The gain of a λ alone over the off arm, and its verdict. A λ without a confirmed arm has no value."""
    own: list[str] = []
    tested = [arm for name, arm in side.arms.items() if name != OFF_ARM and (arm.scores or arm.bad)]
    effect = _against_off(off, side.chosen, tested, comparisons)
    said = _judge(effect, delta, off, side.chosen, tested, own)
    notes += [note for note in (f"{one.name}: {text}" for text in own) if note not in notes]
    if "min" not in side.arms:
        return replace(one, value=math.nan, low=math.nan, high=math.nan, warning="", alone=effect, verdict=said)
    arm = side.chosen or side.arms["min"]
    return replace(one, alone=effect, verdict=said, arm=arm.name, score=arm.mean)


def promise(scores: Sequence[float]) -> Promise:
    """The 95 % prediction interval for one new seed: mean ± t(.975, S−1) · s · sqrt(1 + 1/S)."""
    count = len(scores)
    mean = float(np.mean(scores)) if count else math.nan
    if count < 2:
        return Promise(mean, -math.inf, math.inf, count)
    half = t_quantile(0.975, count - 1) * float(np.std(scores, ddof=1)) * math.sqrt(1 + 1 / count)
    return Promise(mean, mean - half, mean + half, count)


def judge(low: float, high: float, delta: float) -> Verdict:
    """The verdict of an interval [low, high] of the improvement, with margin δ."""
    if low > 0.0:
        return Verdict.HELPS
    if high < 0.0:
        return Verdict.HURTS
    return Verdict.HARMLESS if -delta <= low and high <= delta else Verdict.NO_EVIDENCE


def _table(rows: Sequence[Row], cands: Sequence[Candidate], notes: list[str]) -> dict[str, Arm]:
    """One arm per candidate. A seed trained twice (a resumed sweep) counts once: an ended member before a missing one, else the later."""
    table = {}
    for one in cands:
        mine = [row for row in rows if row.phase == Phase.CONFIRM and row.arm == one.arm]
        mine.sort(key=lambda row: (row.ended != "missing", row.number))
        last = {row.seed: row for row in mine}
        scores = {seed: row.score for seed, row in sorted(last.items()) if row.ended == "ok" and row.score is not None}
        bad = tuple(sorted(seed for seed, row in last.items() if row.ended == "bad"))
        table[one.arm] = Arm(one.arm, dict(one.config), scores, bad, dict(sorted(Counter(row.state for row in last.values()).items())))
        missing = [row.state for row in last.values() if row.ended == "missing"]
        if missing:
            notes.append(f"arm {one.arm}: {len(missing)} of {len(last)} seeds are missing ({counts_of(missing)}); their pairs are left out")
        if bad:
            so = "" if one.arm == OFF_ARM else ": not choosable"
            notes.append(f"arm {one.arm} diverged or collapsed on {len(bad)} of {len(last)} seeds{so}")
    return table


def _choosable(tested: Sequence[Arm], notes: list[str]) -> list[Arm]:
    """Arms that lost no seed to λ and share seeds with one another. An arm with less than half of the fullest arm's seeds is left out."""
    sound = [arm for arm in tested if arm.scores and not arm.bad]
    fullest = max((len(arm.scores) for arm in sound), default=0)
    kept = [arm for arm in sound if 2 * len(arm.scores) >= fullest]
    while len(kept) > 1 and len(shared_seeds(kept)) < min(2, fullest):
        kept.remove(min(reversed(kept), key=lambda arm: len(arm.scores)))
    notes += [f"arm {arm.name} has too few seeds to be chosen" for arm in sound if arm not in kept]
    return kept


def _one_se(arms: Sequence[Arm], lambdas: Sequence[Knob]) -> Arm:
    """The most regularized arm whose mean is within one SE of the best. The SE is that of the paired difference from the best.

    Several λ are taken one at a time: of the arms within one SE keep those with the most of the first λ, then of the second, and so on.
    """
    seeds = shared_seeds(arms)
    scores = {arm.name: np.array([arm.scores[seed] for seed in seeds]) for arm in arms}
    best = min(arms, key=lambda arm: float(scores[arm.name].mean()))
    within = []
    for arm in arms:
        gap = scores[arm.name] - scores[best.name]
        error = float(gap.std(ddof=1)) / math.sqrt(len(seeds)) if len(seeds) > 1 else 0.0
        if float(gap.mean()) <= error:
            within.append(arm)
    for knob in lambdas:
        sign = -1.0 if knob.more == "low" else 1.0
        most = max(sign * float(arm.config[knob.name]) for arm in within)
        within = [arm for arm in within if sign * float(arm.config[knob.name]) == most]
    return best if best in within else within[0]


def _against_off(off: Arm | None, chosen: Arm | None, tested: Sequence[Arm], comparisons: int) -> Effect:
    if off is None or chosen is None:
        lost = chosen is None and off is not None and any(arm.bad for arm in tested)
        return Effect(-math.inf if lost else math.nan, -math.inf, math.inf, 0, comparisons)
    effect = paired(differences(off, chosen), comparisons)
    return replace(effect, high=math.inf) if off.bad else effect


def _rather_off(said: Verdict, off: Arm, effect: Effect) -> bool:
    """Whether to train without λ: λ hurts; or nothing says that it helps, and the off arm was better on the same seeds."""
    return said is Verdict.HURTS or (said is not Verdict.HELPS and bool(off.scores) and effect.mean < 0)


def _judge(effect: Effect, delta: float, off: Arm | None, chosen: Arm | None, tested: Sequence[Arm], notes: list[str]) -> Verdict:
    if off is None or not (off.scores or off.bad):
        notes.append("the off arm was not confirmed: nothing to compare λ with")
        return Verdict.NO_EVIDENCE
    if chosen is None:
        lost = max((len(arm.bad) for arm in tested), default=0)
        notes.append("no λ arm trained on every seed" if lost else "no λ arm was confirmed")
        return Verdict.HURTS if lost >= 2 and not off.bad else Verdict.NO_EVIDENCE
    if off.bad:
        return _judge_bad_off(effect, off, chosen, notes)
    said = judge(effect.low, effect.high, delta)
    if said is Verdict.HELPS and effect.mean <= delta:
        notes.append(f"the improvement {number(effect.mean)} is certain but below the margin of {number(delta)}")
    if effect.seeds < 2:
        notes.append(f"{effect.seeds} paired seeds: no interval; confirm on at least two, better five")
    return said


def _judge_bad_off(effect: Effect, off: Arm, chosen: Arm, notes: list[str]) -> Verdict:
    total = len(off.bad) + len(off.scores)
    lost = f"off arm diverged on {len(off.bad)} of {total} seeds"
    survivors = paired(differences(off, chosen), effect.comparisons)
    if survivors.high < 0.0:
        notes.append(f"{lost}, but is better where it trained: no verdict")
        return Verdict.NO_EVIDENCE
    if effect.low > 0.0 or len(off.bad) >= 2:
        notes.append(f"helps: {lost}, {chosen.name} on none; the size is that of the seeds where both trained")
        return Verdict.HELPS
    notes.append(f"{lost}: one may be chance, and the others do not decide")
    return Verdict.NO_EVIDENCE


def _arm_table(arm: Arm, off: Arm | None, choosable: Sequence[Arm], comparisons: int) -> dict[str, Any]:
    count = len(arm.scores)
    error = float(np.std(list(arm.scores.values()), ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    gain = paired(differences(off, arm), comparisons) if off and arm is not off and not arm.bad and not off.bad else None
    return {
        "arm": arm.name,
        "config": arm.config,
        "n": count,
        "mean": arm.mean,
        "se": error,
        "states": arm.states,
        "choosable": arm in choosable,
        "gain": asdict(gain) if gain else None,
    }


def _spent(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Members, epochs and seconds by phase and state, and in total."""
    spent: dict[str, dict[str, dict[str, float]]] = {}
    for row in sorted(rows, key=lambda row: row.number):
        for phase, state in ((row.phase, row.state), (row.phase, "total"), ("total", "total")):
            entry = spent.setdefault(phase, {}).setdefault(state, {"members": 0, "epochs": 0, "seconds": 0.0})
            entry["members"] += 1
            entry["epochs"] += row.epochs
            entry["seconds"] += row.seconds
    return spent
