"""Two sweeps side by side: what differs in what was asked, what each found, and whether their scores can be compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, variance
from typing import Any

from infra.storage import HomeLike
from objectives.base import lowered
from objectives.registry import names
from search.asking.space import AGAINST_NOTHING, OFF_ARM
from search.choosing.answer import Answer, LambdaAnswer
from search.choosing.arms import t_quantile
from search.choosing.findings import Interval
from search.choosing.words import number
from search.facts import SOURCES
from search.telling.looking import notebook
from search.telling.promised import measured_by
from search.telling.view import View

# What decides the meaning of a score, as people call it.
_WORDS = {
    "kept weights": "the epoch whose weights are scored",
    "epochs": "the epochs of a training",
    "dataset.name": "the data set",
    "dataset.train_size": "the size of the training split",
}
_NOT_ASKED = ("provenance", "promise")


@dataclass(frozen=True)
class Difference:
    """Something that two sweeps have, each its own value."""

    what: str
    first: str
    second: str


@dataclass(frozen=True)
class Comparison:
    """Two sweeps. `spec` is what differs in what was asked, `found` what each found.

    `apart` says because of what their scores cannot be compared; it is empty where they can. `gain` is then how much better the second's
    exported config scores than the first's (positive is better), by their fresh seeds: a difference of means with Welch's 95 % interval,
    the seeds of the two sweeps taken as independent. It is None where a sweep has fewer than two such seeds.
    """

    first: str
    second: str
    spec: Sequence[Difference]
    found: Sequence[Difference]
    apart: Sequence[str] = field(default_factory=tuple)
    gain: Interval | None = None
    score: str = ""

    def plain(self) -> dict[str, Any]:
        """Plain data, with the sentence."""
        return {**asdict(self), "sentence": self.sentence()}

    def sentence(self) -> str:
        """Which of the two promises more, as one sentence."""
        if self.apart:
            return f"The scores of {self.first} and {self.second} cannot be compared, because of {'; '.join(self.apart)}."
        if self.gain is None:
            return f"The scores of {self.first} and {self.second} can be compared, but not both have two fresh seeds of what they export."
        if self.gain.low <= 0 <= self.gain.high:
            return f"{self.second} cannot be told from {self.first}: {self.gain.words()} gained in {self.score} by what it exports (95 %)."
        better = self.gain.mean > 0
        one, other = (self.second, self.first) if better else (self.first, self.second)
        gain = self.gain if better else Interval(-self.gain.mean, -self.gain.high, -self.gain.low, self.gain.seeds)
        return f"{one} exports the better config: {gain.words()} gained in {self.score} over that of {other} (95 %)."


def compare(first: str, second: str, *, home: HomeLike | None = None) -> Comparison:
    """Two sweeps of one home side by side.

    Raises:
        InfraError: one of them does not exist.
    """
    one, other = (notebook.view(name, home=home) for name in (first, second))
    apart = not_comparable(one, other)
    return Comparison(
        first,
        second,
        spec=differences(one.sweep.spec, other.sweep.spec),
        found=_found(one, other),
        apart=apart,
        gain=None if apart else gain(one, other),
        score=one.asked[0].name,
    )


# --- what was asked ---------------------------------------------------------------------------------------------------------------------


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """The keys of two specs that differ, with a dot between the levels."""
    flat = [_flat({key: value for key, value in spec.items() if key not in _NOT_ASKED}) for spec in (one, other)]
    return [
        Difference(key, _text(flat[0].get(key)), _text(flat[1].get(key)))
        for key in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(key) != flat[1].get(key)
    ]


def _flat(spec: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{head}{key}.")
        elif value not in (None, {}, [], ()):
            found[f"{head}{key}"] = value
    return found


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)


# --- what was found ---------------------------------------------------------------------------------------------------------------------


def _found(one: View, other: View) -> list[Difference]:
    both = [_facts(view) for view in (one, other)]
    return [Difference(key, both[0].get(key, "–"), both[1].get(key, "–")) for key in dict.fromkeys([*both[0], *both[1]])]


def _facts(view: View) -> dict[str, str]:
    answer, total = view.answer, view.spent.get("total", {}).get("total", {})
    cost = f"{total.get('members', 0):.0f} members, {total.get('epochs', 0):,.0f} epochs, {number(total.get('seconds', 0.0))} s of training"
    if answer is None:
        return {"status": f"{view.sweep.status}, no answer", "cost": cost}
    found = {"status": view.sweep.status, "verdict": answer.verdict_word}
    found |= {f"exported {one.name}": _exported(answer, one) for one in answer.lambdas}
    if answer.against != AGAINST_NOTHING:
        which = " of the best λ, which is not exported" if answer.keeps_off and answer.arm != OFF_ARM else ""
        found["effect"] = f"{answer.effect.words()}{which}"
    found |= {"score": answer.score_label or answer.score_name, "promise": answer.promise.words(), "cost": cost}
    return found


def _exported(answer: Answer, one: LambdaAnswer) -> str:
    value = answer.exported[one.name]
    if answer.keeps_off:
        return f"{number(value)} ({one.against})" if answer.against != AGAINST_NOTHING else number(value)
    return f"{number(value)} {one.interval()}"


# --- whether numbers can be compared ----------------------------------------------------------------------------------------------------


def not_comparable(one: View, other: View) -> list[str]:
    """Because of what the scores of two sweeps are not of one kind; empty where they are."""
    found = [f"the answer of {view.name}, which is not there yet" for view in (one, other) if view.answer is None]
    metrics = [", ".join(f"{each.name}{' (higher is better)' * (each.better == 'higher')}" for each in view.asked) for view in (one, other)]
    found += [f"the score ({metrics[0]} and {metrics[1]})"] if metrics[0] != metrics[1] else []
    first, second = (measured_by(view.sweep.spec, view.sweep.facts) for view in (one, other))
    for key in dict.fromkeys([*first, *second]):
        if first.get(key) != second.get(key) and (key != "data" or first.get("dataset.name") == second.get("dataset.name")):
            values = f" ({_text(first.get(key))} and {_text(second.get(key))})"
            found.append("the content of the data" if key == "data" else f"{_WORDS.get(key, f'the {key}')}{values}")
    labels = [view.answer.score_label if view.answer is not None else "" for view in (one, other)]
    if all(labels) and labels[0] != labels[1] and metrics[0] == metrics[1]:
        found.append(f"what the score stands for ({labels[0]} and {labels[1]})")
    return found + _own(one, other)


def _own(one: View, other: View) -> list[str]:
    """Of an objective that is a user's own nobody knows what its score means: only the same one can be compared."""
    ours = names("objective")
    if one.sweep.objective in ours and other.sweep.objective in ours:
        return []
    if one.sweep.objective != other.sweep.objective:
        return [f"the objective ({one.sweep.objective} and {other.sweep.objective}), of which one is your own"]
    changed = [view.sweep.facts.get(SOURCES) for view in (one, other)]
    return ["your own files, which changed between the two"] if all(changed) and changed[0] != changed[1] else []


def gain(one: View, other: View) -> Interval | None:
    """How much better the exported config of `other` scores than that of `one` on their fresh seeds.

    Welch 1947: d = mean(a) − mean(b) with a and b lowered, half width t(0.975, ν) √(s²_a/n_a + s²_b/n_b), ν by Satterthwaite.
    """
    scores = [
        [lowered(score, view.better) for score in view.scores(view.exported_arm).values()]
        for view in (one, other)
        if view.answer is not None
    ]
    if len(scores) < 2 or min(len(values) for values in scores) < 2:
        return None
    mean = fmean(scores[0]) - fmean(scores[1])
    parts = [variance(values) / len(values) for values in scores]
    if not sum(parts):
        return Interval(mean, mean, mean, min(len(values) for values in scores))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, scores, strict=True))
    freedom = max(freedom, min(len(values) for values in scores) - 1)  # it is never less; this is about rounding
    half = t_quantile(0.975, freedom) * math.sqrt(sum(parts))
    return Interval(mean, mean - half, mean + half, min(len(values) for values in scores))
