"""What makes a verdict mean little, as a person would see at a glance: nothing confirmed, nothing learnt yet, constant samples, a training
that was cut short."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from infra.catalogue import MemberRow, config_hash
from objectives.base import Phase, State
from search.choosing import race
from search.choosing.answer import LOST_TO_LAMBDA, Answer, Candidate
from search.choosing.words import number

# Metrics that say how much outputs differ, and below which value they are constant.
CONSTANT = {
    "val_active_units": (0.5, "no latent says anything about the image"),
    "val_output_spread": (0.01, "every image is rebuilt as the same one"),
    "val_diversity": (0.01, "every noise gives the same image"),
}
LAST = 0.2  # share of the epochs in which a curve is looked at


def quick_facts(
    answer: Answer,
    members: Sequence[MemberRow],
    chosen: Sequence[Candidate],
    curves: Mapping[int, Mapping[int, float]],
    constant: Mapping[str, float],
) -> list[str]:
    """What is said above the verdict; empty where all is well.

    Args:
        answer: the answer.
        members: every member.
        chosen: the confirmed configs.
        curves: the cheap score by member and epoch; lower is better.
        constant: what a model that knows only the mean image scores, by the score's name; lower is better.
    """
    exported = _complete(members, config_hash(answer.recommended, answer.recommended_schedule))
    off = next((one for one in chosen if race.is_off(one)), None)
    baseline = _complete(members, config_hash(off.config, off.schedule)) if off is not None else []
    said = [*_unconfirmed(answer, members), *_unlearnt(answer, exported, constant), *_constant(exported), *_off_the_curve(answer)]
    return said + _falling(answer, [curves.get(row.number, {}) for row in baseline])


def _unconfirmed(answer: Answer, members: Sequence[MemberRow]) -> list[str]:
    """An arm of the verdict of which no fresh seed was trained to its end, why, and what to do."""
    if answer.unconfirmed:
        ended = [row for row in members if row.phase == Phase.CONFIRM and row.state is not None]
        told = f"none of the {len(ended)} trainings on fresh seeds completed" if ended else "no training on fresh seeds was begun"
        return [f"no certainty: {told}{_why(ended)}. So the best λ is a guess of the search. {_remedy(ended)}"]
    said = []
    for arm in (one for one in answer.arms if one["final"] and not one["n"] and State.FAILED in one["states"]):
        digest = config_hash(arm["config"])
        mine = [row for row in members if row.phase == Phase.CONFIRM and row.config_hash == digest and row.state is not None]
        said.append(f"arm {arm['arm']} was not confirmed: none of its {len(mine)} trainings completed{_why(mine)}. {_remedy(mine)}")
    return said


def _why(rows: Sequence[MemberRow]) -> str:
    """` (15 failed: …; 2 diverged: …)`, the commonest reason of each state; empty without members."""
    states = Counter(row.state for row in rows)
    said = []
    for state, count in states.most_common():
        (reason, _), *_ = Counter(row.reason for row in rows if row.state == state).most_common(1)
        said.append(f"{count} {state}{f': {reason}' if reason else ''}")
    return f" ({'; '.join(said)})" if said else ""


def _remedy(rows: Sequence[MemberRow]) -> str:
    """What to do where these members, and no others, were to confirm."""
    if any(row.state == State.FAILED for row in rows):
        return "Mend their cause, then: lagrange resume NAME --retry-all-failed"
    if any(row.state in LOST_TO_LAMBDA for row in rows):
        return "Search where trainings do not diverge or collapse: smaller λ, a lower learning rate."
    return "Go on: lagrange resume NAME, with another --budget where it is used up."


def _complete(members: Sequence[MemberRow], digest: str) -> list[MemberRow]:
    """The complete members of a config: the confirmed ones, or where there are none those of the search."""
    mine = [row for row in members if row.config_hash == digest and row.state == State.COMPLETE and row.score is not None]
    return [row for row in mine if row.phase == Phase.CONFIRM] or mine


def _unlearnt(answer: Answer, exported: Sequence[MemberRow], constant: Mapping[str, float]) -> list[str]:
    """A score that is worse than that of a model which knows only the mean image."""
    known = constant.get(answer.score_name)
    if known is None or not exported:
        return []
    score = fmean(row.score for row in exported if row.score is not None)
    if score <= known:
        return []
    told = f"the exported config scores {number(score)} {answer.score_name}, and a constant model (always the mean image) {number(known)}"
    return [f"nothing has been learnt yet: {told}. Train longer, or look at the model; no verdict about λ means anything before that."]


def _constant(exported: Sequence[MemberRow]) -> list[str]:
    """Samples or reconstructions that do not differ."""
    said = []
    for name, (least, meaning) in CONSTANT.items():
        values = [row.metrics[name] for row in exported if math.isfinite(row.metrics.get(name, math.nan))]
        if values and fmean(values) < least:
            said.append(f"samples are constant: {name} of the exported config is {number(fmean(values))}, so {meaning}.")
    return said


def _off_the_curve(answer: Answer) -> list[str]:
    """An arm whose confirmed mean lies outside the band of the curve of its λ, by more than two of its standard errors.

    The curve is fitted to every member, so there the fit is wrong, and with it the interval of λ, which is read off it. The verdict is not:
    it compares the final seeds themselves. How often it is said where all is well: docs/certainty.md.
    """
    errors, said = _errors(answer.arms), []
    for one in answer.lambdas:
        drawn = answer.curve.get(one.name, {})
        if not drawn.get("grid"):
            continue
        place = np.log if one.log else np.asarray
        for point in (point for point in drawn["points"] if point["arm"] in errors):
            low, at, high = (float(np.interp(place(point["value"]), place(drawn["grid"]), drawn[line])) for line in ("low", "mean", "high"))
            if abs(point["mean"] - at) > (high - low) / 2 + 2 * errors[point["arm"]]:
                said.append(f"{number(point['mean'])} at {one.name} = {number(point['value'])}, where the curve has {number(at)}")
    if not said:
        return []
    told = f"the curve misses what was confirmed: {'; '.join(said)}"
    return [f"{told}. So the best λ may lie outside its interval; the verdict holds. Search more trials, with more epochs if they are few."]


def _errors(arms: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The standard error of each arm's mean, never less than that of a common spread of seeds: two seeds may be alike by chance."""
    known = {arm["arm"]: arm for arm in arms if arm["n"] > 1 and math.isfinite(arm["se"])}
    common = fmean(arm["se"] ** 2 * arm["n"] for arm in known.values()) if known else 0.0
    return {name: max(arm["se"], math.sqrt(common / arm["n"])) for name, arm in known.items()}


def _falling(answer: Answer, curves: Sequence[Mapping[int, float]]) -> list[str]:
    """The off arm still improves by more than λ does, surely (by two standard errors over its seeds)."""
    drops = []
    for curve in curves:
        last = max(curve, default=0)
        start = round((1 - LAST) * last)
        if start in curve and last - start >= 1 and math.isfinite(curve[start] - curve[last]):
            drops.append(curve[start] - curve[last])
    if len(drops) < 2 or not math.isfinite(answer.effect.mean):
        return []
    drop, error = fmean(drops), stdev(drops) / math.sqrt(len(drops))
    if drop <= abs(answer.effect.mean) or drop <= 2 * error:
        return []
    told = f"without λ the curve still falls by {number(drop)} in its last fifth, and the effect of λ is {number(abs(answer.effect.mean))}"
    return [f"about this budget only: {told}. With more epochs the answer may be another one."]
